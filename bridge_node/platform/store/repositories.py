"""Repositories: what applications address. What was deleted stays for its statistics."""

import base64
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, case, func, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import buckets, repositories, repository_buckets
from bridge_node.platform.store import revisions
from bridge_node.platform.store.sql import made
from bridge_node.platform.vault import Vault

_TABLE = repositories.name
_PREVIOUS = f"{_TABLE}.previous"
TOKEN_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Repository:
    id: str
    organisation_id: str
    workspace_id: str
    name: str
    storage_type: str
    mode: str
    disabled: bool
    wallet_address: str
    options: Mapping[str, Any]
    token_key_sealed: bytes = field(repr=False)
    previous_token_key_sealed: bytes | None = field(repr=False)
    revision: int
    created_at: int
    deleted_at: int | None

    def token_key(self, vault: Vault) -> str:
        """What continuation tokens and upload ids are sealed with, in base64. Raises VaultError."""
        return vault.open(self.token_key_sealed, _TABLE, self.id)

    def previous_token_key(self, vault: Vault) -> str:
        """Its predecessor; empty where there is none. Raises VaultError."""
        sealed = self.previous_token_key_sealed
        return vault.open(sealed, _PREVIOUS, self.id) if sealed else ""


async def with_id(
    connection: AsyncConnection, organisation_id: str, repository_id: str, *, lock: bool = False
) -> Repository | None:
    """A live one of this organisation; with `lock`, nobody else changes it before this transaction ends."""
    wanted = select(repositories).where(_is(organisation_id, repository_id))
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return made(Repository, row) if row else None


async def of(
    connection: AsyncConnection, organisation_id: str, workspace_ids: Collection[str] | None = None
) -> list[Repository]:
    """Live ones of an organisation, or of some of its workspaces; newest first."""
    live = (repositories.c.organisation_id == organisation_id, repositories.c.deleted_at.is_(None))
    wanted = select(repositories).where(*live)
    if workspace_ids is not None:
        wanted = wanted.where(repositories.c.workspace_id.in_(workspace_ids))
    return [made(Repository, row) for row in await connection.execute(wanted.order_by(repositories.c.id.desc()))]


async def lock_all(connection: AsyncConnection, organisation_id: str) -> None:
    """Nobody else changes those that there are before this transaction ends. Locked in the order of `revisions`."""
    wanted = select(repositories.c.id).where(repositories.c.organisation_id == organisation_id)
    await connection.execute(wanted.order_by(repositories.c.id).with_for_update())


async def mirrored_elsewhere(connection: AsyncConnection, organisation_id: str) -> list[str]:
    """Names of buckets that are in a MIRROR and in another live repository too, which no organisation may have."""
    attached = repository_buckets.c
    wanted = (
        select(buckets.c.name)
        .join(repository_buckets, attached.bucket_id == buckets.c.id)
        .join(repositories, repositories.c.id == attached.repository_id)
        .where(repositories.c.organisation_id == organisation_id)
        .where(attached.deleted_at.is_(None), repositories.c.deleted_at.is_(None))
        .group_by(buckets.c.name)
        .having(
            func.count(repositories.c.id.distinct()) > 1, func.count(case((repositories.c.mode == "MIRROR", 1))) > 0
        )
        .order_by(buckets.c.name)
    )
    return list((await connection.execute(wanted)).scalars())


async def add(
    connection: AsyncConnection,
    vault: Vault,
    repository_id: str,
    organisation_id: str,
    workspace_id: str,
    now: int,
    **values: Any,
) -> None:
    """A new one with a token key of its own; `values` are the other columns.

    Raises IntegrityError for a name that is taken.
    """
    token_key = base64.b64encode(secrets.token_bytes(TOKEN_KEY_BYTES)).decode()
    row = dict(
        values,
        id=repository_id,
        organisation_id=organisation_id,
        workspace_id=workspace_id,
        created_at=now,
        token_key_sealed=vault.seal(token_key, _TABLE, repository_id),
    )
    await connection.execute(new(repositories).values(row))
    await revisions.repository_changed(connection, repository_id)


async def change(connection: AsyncConnection, organisation_id: str, repository_id: str, **values: Any) -> None:
    """New values of some columns. Raises IntegrityError for a name that is taken."""
    await connection.execute(update(repositories).where(_is(organisation_id, repository_id)).values(values))
    await revisions.repository_changed(connection, repository_id)


async def remove(connection: AsyncConnection, organisation_id: str, repository_id: str, now: int) -> None:
    """Hides it: no node serves it from the next answer on, so its keys open nothing."""
    await connection.execute(update(repositories).where(_is(organisation_id, repository_id)).values(deleted_at=now))
    await revisions.repository_changed(connection, repository_id)


def _is(organisation_id: str, repository_id: str) -> ColumnElement[bool]:
    live = repositories.c.deleted_at.is_(None)
    return and_(repositories.c.organisation_id == organisation_id, repositories.c.id == repository_id, live)
