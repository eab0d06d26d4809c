"""Stored cloud credentials that buckets, and whole accounts, are reached by."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, delete, func, or_, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import buckets, provider_keys, repositories, repository_buckets
from bridge_node.platform.store import revisions
from bridge_node.platform.store.sql import made
from bridge_node.platform.vault import Vault

_TABLE = provider_keys.name
_STORAGE = {"GCP": "GCS", "AZURE": "BLOB", "LOCAL": "LOCAL"}
_WITHOUT_STORAGE = {"OPENAI", "ANTHROPIC"}
_CLOUDS = {"AWS", "GCP", "AZURE"}
_STORAGE_BIT, _AI_BIT, _CLOUD_BIT, _EVERYTHING = 1, 2, 4, 0xFF


@dataclass(frozen=True, slots=True)
class ProviderKey:
    id: str
    organisation_id: str
    workspace_id: str
    provider: str
    key: str
    secret_sealed: bytes | None = field(repr=False)
    endpoint: str
    region: str
    tenant_id: str
    subscription_id: str
    description: str
    created_at: int

    def secret(self, vault: Vault) -> str:
        """In clear; empty where there is none. Raises VaultError."""
        return vault.open(self.secret_sealed, _TABLE, self.id) if self.secret_sealed else ""

    @property
    def storage_type(self) -> str | None:
        return storage_type_of(self.provider)


def storage_type_of(provider: str) -> str | None:
    """How a provider's storage is spoken to: all that we do not know better speak S3. None: it stores nothing."""
    return None if provider in _WITHOUT_STORAGE else _STORAGE.get(provider, "S3")


def capabilities_of(provider: str) -> int:
    """The mask of what a provider offers (contract §§0.5, 4)."""
    if provider in _WITHOUT_STORAGE:
        return _AI_BIT
    return _STORAGE_BIT | _AI_BIT | _CLOUD_BIT if provider in _CLOUDS else _EVERYTHING


async def with_id(
    connection: AsyncConnection, organisation_id: str, provider_key_id: str, *, lock: bool = False
) -> ProviderKey | None:
    """One of this organisation; with `lock`, nobody else changes it before this transaction ends."""
    wanted = select(provider_keys).where(_is(organisation_id, provider_key_id))
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return made(ProviderKey, row) if row else None


async def of(
    connection: AsyncConnection, organisation_id: str, workspace_ids: Collection[str] | None = None
) -> list[ProviderKey]:
    """Of an organisation, or of some of its workspaces; newest first."""
    wanted = select(provider_keys).where(provider_keys.c.organisation_id == organisation_id)
    if workspace_ids is not None:
        wanted = wanted.where(provider_keys.c.workspace_id.in_(workspace_ids))
    return [made(ProviderKey, row) for row in await connection.execute(wanted.order_by(provider_keys.c.id.desc()))]


async def with_ids(
    connection: AsyncConnection, organisation_id: str, ids: Collection[str], *, lock: bool = False
) -> dict[str, ProviderKey]:
    """Those of this organisation, by id; with `lock`, none is changed or deleted before this transaction ends."""
    wanted = select(provider_keys).where(provider_keys.c.organisation_id == organisation_id)
    wanted = wanted.where(provider_keys.c.id.in_(ids)).order_by(provider_keys.c.id)
    rows = await connection.execute(wanted.with_for_update(read=True) if lock else wanted)
    return {row.id: made(ProviderKey, row) for row in rows}


async def reaching(connection: AsyncConnection, repository_ids: Collection[str]) -> dict[str, ProviderKey]:
    """Those that the attachments of these repositories are reached by, by id."""
    attached = repository_buckets.c
    in_it = (attached.repository_id.in_(repository_ids), attached.deleted_at.is_(None))
    through_buckets = select(buckets.c.provider_key_id).join(repository_buckets, attached.bucket_id == buckets.c.id)
    wanted = select(provider_keys).where(
        or_(
            provider_keys.c.id.in_(select(attached.provider_key_id).where(*in_it)),
            provider_keys.c.id.in_(through_buckets.where(*in_it)),
        )
    )
    return {row.id: made(ProviderKey, row) for row in await connection.execute(wanted)}


async def add(
    connection: AsyncConnection,
    vault: Vault,
    provider_key_id: str,
    organisation_id: str,
    workspace_id: str,
    now: int,
    *,
    secret: str,
    **values: str,
) -> None:
    """A new one; `values` are its other columns."""
    row = dict(values, id=provider_key_id, organisation_id=organisation_id, workspace_id=workspace_id, created_at=now)
    await connection.execute(new(provider_keys).values(row | _sealed(vault, provider_key_id, secret)))


async def change(
    connection: AsyncConnection,
    vault: Vault,
    organisation_id: str,
    provider_key_id: str,
    *,
    secret: str | None = None,
    **values: str,
) -> None:
    """New values of some columns, and a new secret if one is given: in force for every bucket behind it at once."""
    row: dict[str, Any] = dict(values)
    if secret is not None:
        row |= _sealed(vault, provider_key_id, secret)
    if row:
        await connection.execute(update(provider_keys).where(_is(organisation_id, provider_key_id)).values(row))
        await revisions.provider_key_changed(connection, provider_key_id)


async def bucket_counts(connection: AsyncConnection, provider_key_ids: Collection[str]) -> dict[str, int]:
    """How many live buckets are reached by each of these."""
    counted = (
        select(buckets.c.provider_key_id, func.count().label("buckets"))
        .where(buckets.c.provider_key_id.in_(provider_key_ids), buckets.c.deleted_at.is_(None))
        .group_by(buckets.c.provider_key_id)
    )
    return {row.provider_key_id: row.buckets for row in await connection.execute(counted)}


async def uses(connection: AsyncConnection, provider_key_id: str) -> int:
    """How many live buckets, and live repositories with its whole account, are reached by it."""
    through_it = (buckets.c.provider_key_id == provider_key_id, buckets.c.deleted_at.is_(None))
    attached = repository_buckets.c
    accounts = (
        select(func.count())
        .select_from(repository_buckets)
        .join(repositories, repositories.c.id == attached.repository_id)
        .where(attached.provider_key_id == provider_key_id)
        .where(attached.deleted_at.is_(None), repositories.c.deleted_at.is_(None))
    )
    both = select(select(func.count()).where(*through_it).scalar_subquery() + accounts.scalar_subquery())
    number: int = (await connection.execute(both)).scalar_one()
    return number


async def remove(connection: AsyncConnection, organisation_id: str, provider_key_id: str) -> None:
    """Deletes one that nothing uses, for good; deleted buckets forget it."""
    forgotten = update(buckets).where(buckets.c.provider_key_id == provider_key_id, buckets.c.deleted_at.is_not(None))
    await connection.execute(forgotten.values(provider_key_id=None))
    await connection.execute(delete(provider_keys).where(_is(organisation_id, provider_key_id)))


def _is(organisation_id: str, provider_key_id: str) -> ColumnElement[bool]:
    return (provider_keys.c.organisation_id == organisation_id) & (provider_keys.c.id == provider_key_id)


def _sealed(vault: Vault, provider_key_id: str, secret: str) -> dict[str, bytes | None]:
    return {"secret_sealed": vault.seal(secret, _TABLE, provider_key_id) if secret else None}
