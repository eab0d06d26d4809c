"""Backend buckets with what reaches them: credentials of their own, or a provider key."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import buckets, repositories, repository_buckets
from bridge_node.platform.store import revisions
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.store.sql import made
from bridge_node.platform.vault import Vault

_TABLE = buckets.name


@dataclass(frozen=True, slots=True)
class Bucket:
    id: str
    organisation_id: str
    workspace_id: str
    name: str
    bucket: str
    storage_type: str
    provider_key_id: str | None
    key: str
    secret_sealed: bytes | None = field(repr=False)
    endpoint: str
    region: str
    project_id: str
    wallet_address: str
    created_at: int
    deleted_at: int | None
    checked_status: str = ""
    checked_latency_ms: float | None = None
    checked_at: int | None = None

    def secret(self, vault: Vault) -> str:
        """Its own, in clear; empty where there is none. Raises VaultError."""
        return vault.open(self.secret_sealed, _TABLE, self.id) if self.secret_sealed else ""


async def with_id(
    connection: AsyncConnection, organisation_id: str, bucket_id: str, *, lock: bool = False
) -> Bucket | None:
    """A live one of this organisation; with `lock`, nobody else changes it before this transaction ends."""
    wanted = select(buckets).where(_is(organisation_id, bucket_id))
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return made(Bucket, row) if row else None


async def of(
    connection: AsyncConnection,
    organisation_id: str,
    workspace_ids: Collection[str] | None = None,
    *,
    wallet_address: str | None = None,
) -> list[Bucket]:
    """Live ones of an organisation, or of some of its workspaces; newest first."""
    wanted = select(buckets).where(*_live_of(organisation_id))
    if workspace_ids is not None:
        wanted = wanted.where(buckets.c.workspace_id.in_(workspace_ids))
    if wallet_address is not None:
        wanted = wanted.where(buckets.c.wallet_address == wallet_address)
    return [made(Bucket, row) for row in await connection.execute(wanted.order_by(buckets.c.id.desc()))]


async def with_ids(
    connection: AsyncConnection, organisation_id: str, ids: Collection[str], *, lock: bool = False
) -> dict[str, Bucket]:
    """Live ones of this organisation, by id; with `lock`, none is changed or deleted before this transaction ends."""
    live = (buckets.c.organisation_id == organisation_id, buckets.c.deleted_at.is_(None))
    wanted = select(buckets).where(buckets.c.id.in_(ids), *live).order_by(buckets.c.id)
    rows = await connection.execute(wanted.with_for_update(read=True) if lock else wanted)
    return {row.id: made(Bucket, row) for row in rows}


async def is_named(connection: AsyncConnection, organisation_id: str, name: str) -> bool:
    """Whether a live one of this organisation has that name."""
    found = await connection.execute(select(buckets.c.id).where(buckets.c.name == name, *_live_of(organisation_id)))
    return found.first() is not None


async def count(connection: AsyncConnection, organisation_id: str) -> int:
    """How many live ones an organisation has."""
    return (await connection.execute(select(func.count()).where(*_live_of(organisation_id)))).scalar_one()


async def repositories_with(connection: AsyncConnection, bucket_ids: Collection[str]) -> dict[str, list[Repository]]:
    """The live repositories that each of these buckets is attached to, newest first."""
    attached = repository_buckets.c
    wanted = (
        select(attached.bucket_id.label("attached_bucket"), repositories)
        .join(repositories, repositories.c.id == attached.repository_id)
        .where(attached.bucket_id.in_(bucket_ids))
        .where(attached.deleted_at.is_(None), repositories.c.deleted_at.is_(None))
        .order_by(repositories.c.id.desc())
    )
    found: dict[str, list[Repository]] = {}
    for row in await connection.execute(wanted):
        values = dict(row._mapping)  # noqa: SLF001 - as in `made`
        bucket_id = values.pop("attached_bucket")
        found.setdefault(bucket_id, []).append(Repository(**values))
    return found


async def attached_to(connection: AsyncConnection, repository_ids: Collection[str]) -> dict[str, Bucket]:
    """The live ones of these repositories, by id."""
    attached = select(repository_buckets.c.bucket_id).where(
        repository_buckets.c.repository_id.in_(repository_ids), repository_buckets.c.deleted_at.is_(None)
    )
    wanted = select(buckets).where(buckets.c.id.in_(attached), buckets.c.deleted_at.is_(None))
    return {row.id: made(Bucket, row) for row in await connection.execute(wanted)}


async def add(
    connection: AsyncConnection,
    vault: Vault,
    bucket_id: str,
    organisation_id: str,
    workspace_id: str,
    now: int,
    *,
    secret: str = "",
    **values: Any,
) -> None:
    """A new one; `values` are its other columns. Raises IntegrityError for a name that is taken."""
    row = dict(values, id=bucket_id, organisation_id=organisation_id, workspace_id=workspace_id, created_at=now)
    await connection.execute(new(buckets).values(row | _sealed(vault, bucket_id, secret)))


async def change(
    connection: AsyncConnection,
    vault: Vault,
    organisation_id: str,
    bucket_id: str,
    *,
    secret: str | None = None,
    **values: Any,
) -> None:
    """New values of some columns, and a new secret if one is given. Raises IntegrityError for a name that is taken."""
    row: dict[str, Any] = dict(values)
    if secret is not None:
        row |= _sealed(vault, bucket_id, secret)
    if row:
        await connection.execute(update(buckets).where(_is(organisation_id, bucket_id)).values(row))
        await revisions.bucket_changed(connection, bucket_id)


async def checked(
    connection: AsyncConnection, organisation_id: str, bucket_id: str, status: str, latency_ms: float, now: int
) -> None:
    """Remembers what came of trying it. That is no change of it: nodes do not hear of it."""
    tried = update(buckets).where(_is(organisation_id, bucket_id))
    await connection.execute(tried.values(checked_status=status, checked_latency_ms=latency_ms, checked_at=now))


async def uses(connection: AsyncConnection, bucket_id: str) -> int:
    """How many live repositories it is attached to."""
    attached = repository_buckets.c
    counted = (
        select(func.count(attached.repository_id.distinct()))
        .join(repositories, repositories.c.id == attached.repository_id)
        .where(attached.bucket_id == bucket_id, attached.deleted_at.is_(None), repositories.c.deleted_at.is_(None))
    )
    return (await connection.execute(counted)).scalar_one()


async def remove(connection: AsyncConnection, organisation_id: str, bucket_id: str, now: int) -> None:
    """Hides one that no repository uses, and forgets its secret."""
    gone = update(buckets).where(_is(organisation_id, bucket_id))
    await connection.execute(gone.values(deleted_at=now, secret_sealed=None))


def _live_of(organisation_id: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return buckets.c.organisation_id == organisation_id, buckets.c.deleted_at.is_(None)


def _is(organisation_id: str, bucket_id: str) -> ColumnElement[bool]:
    return and_(buckets.c.id == bucket_id, *_live_of(organisation_id))


def _sealed(vault: Vault, bucket_id: str, secret: str) -> dict[str, bytes | None]:
    return {"secret_sealed": vault.seal(secret, _TABLE, bucket_id) if secret else None}
