"""Repositories: what applications address. What was deleted stays for its statistics.

Those of cloud accounts are hidden: only documents and statistics know them.
"""

import base64
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repositories
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
    hidden: bool
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
    connection: AsyncConnection,
    organisation_id: str,
    workspace_ids: Collection[str] | None = None,
    *,
    ids: Collection[str] | None = None,
    wallet_address: str | None = None,
) -> list[Repository]:
    """Live ones of an organisation, or of some of its workspaces; newest first. What is not given filters nothing."""
    wanted = select(repositories).where(_shown_in(organisation_id))
    if workspace_ids is not None:
        wanted = wanted.where(repositories.c.workspace_id.in_(workspace_ids))
    if ids is not None:
        wanted = wanted.where(repositories.c.id.in_(ids))
    if wallet_address is not None:
        wanted = wanted.where(repositories.c.wallet_address == wallet_address)
    return [made(Repository, row) for row in await connection.execute(wanted.order_by(repositories.c.id.desc()))]


async def lock_all(connection: AsyncConnection, organisation_id: str) -> None:
    """Nobody else changes those that there are before this transaction ends. Locked in the order of `revisions`."""
    wanted = select(repositories.c.id).where(repositories.c.organisation_id == organisation_id)
    await connection.execute(wanted.order_by(repositories.c.id).with_for_update())


async def named(connection: AsyncConnection, organisation_id: str, name: str) -> str | None:
    """The id of the live one of that name."""
    wanted = select(repositories.c.id).where(repositories.c.name == name, _shown_in(organisation_id))
    found = await connection.execute(wanted)
    return found.scalar_one_or_none()


async def count(connection: AsyncConnection, organisation_id: str) -> int:
    """How many live ones an organisation has."""
    return (await connection.execute(select(func.count()).where(_shown_in(organisation_id)))).scalar_one()


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


def _shown_in(organisation_id: str) -> ColumnElement[bool]:
    """Live ones that are not a cloud account's."""
    live = and_(repositories.c.deleted_at.is_(None), repositories.c.hidden.is_(False))
    return and_(repositories.c.organisation_id == organisation_id, live)


def _is(organisation_id: str, repository_id: str) -> ColumnElement[bool]:
    return and_(_shown_in(organisation_id), repositories.c.id == repository_id)
