"""Access keys of repositories. A deleted key opens nothing from then on; its row stays for its last minutes."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repository_keys
from bridge_node.platform.store import revisions
from bridge_node.platform.store.sql import made
from bridge_node.platform.vault import Vault

_TABLE = repository_keys.name
AccessType = Literal["READ", "WRITE", "READWRITE", "WRITEONLY", "ADMIN"]
"""A repository's WRITE reads too (promise 15); WRITEONLY does not."""


@dataclass(frozen=True, slots=True)
class RepositoryKey:
    """`key` is what clients send. `buckets`: the ids of the only ones that it opens, or None for all.

    `bucket_names` of them instead, where whole accounts are attached: whatever has the name at the time of a request.
    """

    id: str
    organisation_id: str
    repository_id: str
    name: str
    access: AccessType
    key: str
    secret_sealed: bytes | None = field(repr=False)
    public_key: str
    buckets: list[str] | None
    bucket_names: list[str] | None
    created_at: int
    last_used_at: int | None
    deleted_at: int | None

    def verifier(self, vault: Vault) -> str:
        """What a node checks its clients by: the secret that both know, or the public half of a GCS key."""
        return vault.open(self.secret_sealed, _TABLE, self.id) if self.secret_sealed else self.public_key


@dataclass(frozen=True, slots=True)
class Pair:
    """A new key as its owner gets it, once. `public_key`: the only thing kept of it, instead of its secret."""

    key: str
    secret: str = field(repr=False)
    public_key: str = ""


async def of(connection: AsyncConnection, repository_id: str) -> list[RepositoryKey]:
    """Live ones, newest first."""
    return (await of_all(connection, [repository_id]))[repository_id]


async def of_all(connection: AsyncConnection, repository_ids: Collection[str]) -> dict[str, list[RepositoryKey]]:
    """Live ones of each of these repositories, newest first."""
    live = (repository_keys.c.repository_id.in_(repository_ids), repository_keys.c.deleted_at.is_(None))
    newest_first = (repository_keys.c.created_at.desc(), repository_keys.c.id.desc())
    found: dict[str, list[RepositoryKey]] = {one: [] for one in repository_ids}
    for row in await connection.execute(select(repository_keys).where(*live).order_by(*newest_first)):
        found[row.repository_id].append(made(RepositoryKey, row))
    return found


async def with_id(connection: AsyncConnection, repository_id: str, key_id: str) -> RepositoryKey | None:
    """A live one of this repository."""
    row = (await connection.execute(select(repository_keys).where(_is(repository_id, key_id)))).one_or_none()
    return made(RepositoryKey, row) if row else None


async def add(
    connection: AsyncConnection,
    vault: Vault,
    key_id: str,
    organisation_id: str,
    repository_id: str,
    pair: Pair,
    now: int,
    *,
    name: str,
    access: AccessType,
    buckets: Collection[str] | None = None,
    bucket_names: Collection[str] | None = None,
) -> None:
    """Keeps of `pair` what nodes need, and no more.

    With `bucket_names` the key opens no bucket by its id: a version that does not know of names would open all.
    """
    ids = buckets if bucket_names is None else ()
    kept = None if pair.public_key else vault.seal(pair.secret, _TABLE, key_id)
    await connection.execute(
        new(repository_keys).values(
            id=key_id,
            organisation_id=organisation_id,
            repository_id=repository_id,
            name=name,
            access=access,
            key=pair.key,
            secret_sealed=kept,
            public_key=pair.public_key,
            buckets=None if ids is None else sorted(ids),
            bucket_names=None if bucket_names is None else sorted(bucket_names),
            created_at=now,
        )
    )
    await revisions.repository_changed(connection, repository_id)


async def change(connection: AsyncConnection, repository_id: str, key_id: str, **values: Any) -> None:
    """New values of `name`, `access` or `buckets`."""
    await connection.execute(update(repository_keys).where(_is(repository_id, key_id)).values(values))
    await revisions.repository_changed(connection, repository_id)


async def used(connection: AsyncConnection, key_ids: Collection[str], at: int) -> None:
    """Remembers that keys were used at that time, in milliseconds, if nothing newer is known.

    Last in its transaction: many nodes tell of the same key in the same minute. One that somebody else holds is left to
    the next report, so that nobody waits for it.
    """
    older = or_(repository_keys.c.last_used_at.is_(None), repository_keys.c.last_used_at < at)
    free = select(repository_keys.c.id).where(repository_keys.c.id.in_(key_ids), older)
    told = update(repository_keys).where(repository_keys.c.id.in_(free.with_for_update(skip_locked=True)))
    await connection.execute(told.values(last_used_at=at))


async def remove(connection: AsyncConnection, repository_id: str, key_id: str, now: int) -> None:
    """Access ends at once; the secret is forgotten."""
    gone = update(repository_keys).where(_is(repository_id, key_id))
    await connection.execute(gone.values(deleted_at=now, secret_sealed=None))
    await revisions.repository_changed(connection, repository_id)


async def remove_all(connection: AsyncConnection, repository_id: str, now: int) -> None:
    """Those of a repository that goes."""
    live = (repository_keys.c.repository_id == repository_id, repository_keys.c.deleted_at.is_(None))
    gone = update(repository_keys).where(*live).values(deleted_at=now, secret_sealed=None)
    await connection.execute(gone)
    await revisions.repository_changed(connection, repository_id)


def _is(repository_id: str, key_id: str) -> ColumnElement[bool]:
    live = repository_keys.c.deleted_at.is_(None)
    return and_(repository_keys.c.repository_id == repository_id, repository_keys.c.id == key_id, live)
