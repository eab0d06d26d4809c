"""What nodes are given: a repository of the store as the document that is sealed for each of them.

`served_by` is cheap: a node whose revisions did not change needs nothing else. `build` reads one repository whole and
opens its secrets; what it gives is in clear, so it is sealed and forgotten, never logged or stored.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import (
    AttachmentDocument,
    BackendDocument,
    KeyDocument,
    RepositoryDocument,
    RightsKeyDocument,
)
from bridge_node.platform.models import assignments, organisations, repositories
from bridge_node.platform.store import attachments, repokeys
from bridge_node.platform.store.attachments import Attachment
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.repokeys import RepositoryKey
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.store.sql import made
from bridge_node.platform.vault import Vault

KINDS: Mapping[str, Literal["s3", "gcs", "azure", "local"]] = {
    "S3": "s3",
    "GCS": "gcs",
    "BLOB": "azure",
    "LOCAL": "local",
}
"""What platform and nodes call a storage type of the contract."""


class NoSuchRepository(Exception):
    """It was deleted. Nothing else may look like that: nodes stop serving what is deleted."""


async def served_by(connection: AsyncConnection, node: Node) -> dict[str, int]:
    """The ids of what a node serves, each with its revision.

    That is everything of its organisation, or what is assigned to it when the organisation assigns; cloud accounts,
    which nobody can assign, always. Public nodes serve only what is assigned to them.
    """
    assigned = repositories.c.id.in_(select(assignments.c.repository_id).where(assignments.c.node_id == node.id))
    serves = select(repositories.c.id, repositories.c.revision).where(repositories.c.deleted_at.is_(None))
    if node.organisation_id:
        serves = serves.join(organisations, organisations.c.id == repositories.c.organisation_id)
        serves = serves.where(organisations.c.id == node.organisation_id)
        everything = or_(organisations.c.assigns_repositories.is_(False), repositories.c.hidden.is_(True))
        serves = serves.where(or_(everything, assigned))
    else:
        serves = serves.where(assigned)
    return {row.id: row.revision for row in await connection.execute(serves)}


async def served_by_all_of(connection: AsyncConnection, organisation_id: str) -> dict[str, int] | None:
    """What every node of an organisation serves; None when it assigns, and each node is to be asked for."""
    serves = (
        select(organisations.c.assigns_repositories, repositories.c.id, repositories.c.revision)
        .join_from(organisations, repositories, isouter=True)
        .where(organisations.c.id == organisation_id, repositories.c.deleted_at.is_(None))
    )
    rows = (await connection.execute(serves)).all()
    if any(row.assigns_repositories for row in rows):
        return None
    return {row.id: row.revision for row in rows if row.id is not None}


async def build(connection: AsyncConnection, vault: Vault, repository_id: str) -> RepositoryDocument:
    """The document of a live repository, secrets in clear.

    Raises NoSuchRepository when there is none any more, and VaultError when one of its secrets does not open.
    """
    repository, disabled = await _live(connection, repository_id)
    attached = [one for one in await attachments.of(connection, repository_id) if one.target.storage_type]
    names = {one.target.id: one.target.bucket for one in attached if isinstance(one.target, Bucket)}
    keys = await repokeys.of(connection, repository_id)
    return RepositoryDocument.model_validate(
        {
            "id": repository.id,
            "name": repository.name,
            "protocol": repository.storage_type,
            "mode": repository.mode,
            "disabled": disabled,
            "tokenKey": repository.token_key(vault),
            "previousTokenKey": repository.previous_token_key(vault),
            "attachments": [_attachment(vault, one) for one in attached],
            "keys": [_key(vault, one, names) for one in keys if one.access not in _RIGHTS],
            "keysByRights": [_key_by_rights(vault, one, names) for one in keys if one.access in _RIGHTS] or None,
            "options": repository.options,
        }
    )


async def _live(connection: AsyncConnection, repository_id: str) -> tuple[Repository, bool]:
    """The repository, and whether it or its organisation is disabled."""
    wanted = select(repositories).where(repositories.c.id == repository_id, repositories.c.deleted_at.is_(None))
    row = (await connection.execute(wanted)).one_or_none()
    if row is None:
        raise NoSuchRepository(repository_id)
    switched_off = select(organisations.c.repos_disabled).where(organisations.c.id == row.organisation_id)
    return made(Repository, row), row.disabled or (await connection.execute(switched_off)).scalar_one()


def _attachment(vault: Vault, attachment: Attachment) -> AttachmentDocument:
    target = attachment.target
    return AttachmentDocument(
        id=target.id,
        backend=_backend(vault, attachment),
        bucket=target.bucket if isinstance(target, Bucket) else "",
        folder=attachment.folder.removeprefix("/"),
        master=attachment.master,
        account=isinstance(target, ProviderKey),
        options=dict(attachment.options),
    )


def _backend(vault: Vault, attachment: Attachment) -> BackendDocument:
    """A bucket's own address and region come before those of its provider key."""
    target, credentials = attachment.target, attachment.credentials
    return backend(
        target.storage_type or "",
        endpoint=target.endpoint or credentials.endpoint,
        region=target.region or credentials.region,
        key=credentials.key,
        secret=credentials.secret(vault),
    )


def backend(storage_type: str, *, endpoint: str, region: str, key: str, secret: str) -> BackendDocument:
    """How a node reaches it. The endpoint of a LOCAL one names one of the operator's roots, never a path."""
    kind = KINDS[storage_type]
    if kind == "local":
        return BackendDocument(kind=kind, root=endpoint)
    return BackendDocument(kind=kind, endpoint=endpoint, region=region, key=key, secret=secret)


def _key(vault: Vault, key: RepositoryKey, names: Mapping[str, str]) -> KeyDocument:
    return KeyDocument.model_validate(_opening(vault, key, names) | {"access": key.access})


def _key_by_rights(vault: Vault, key: RepositoryKey, names: Mapping[str, str]) -> RightsKeyDocument:
    return RightsKeyDocument.model_validate(_opening(vault, key, names) | {"rights": _RIGHTS[key.access]})


_RIGHTS: Mapping[str, tuple[str, ...]] = {"WRITEONLY": ("WRITE",)}
"""Access that no level names: nodes that know levels only do not see such keys at all, and so open nothing more."""


def _opening(vault: Vault, key: RepositoryKey, names: Mapping[str, str]) -> dict[str, Any]:
    """`buckets` are names there. One that is not attached any more opens nothing, so it is left out."""
    limited = None if key.buckets is None else tuple(names[one] for one in key.buckets if one in names)
    if key.bucket_names is not None:
        limited = tuple(key.bucket_names)
    return {"id": key.id, "key": key.key, "secret": key.verifier(vault), "buckets": limited}
