"""What repositories are made of: buckets, and whole accounts. What was detached stays for its statistics."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repositories, repository_buckets
from bridge_node.platform.store import buckets, providerkeys, revisions
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.providerkeys import ProviderKey

_at = repository_buckets.c


@dataclass(frozen=True, slots=True)
class Attachment:
    """`target` is a bucket, or the provider key of a whole account; `credentials` is who knows how to reach it."""

    id: str
    target: Bucket | ProviderKey
    credentials: Bucket | ProviderKey
    folder: str
    master: bool
    position: int
    options: Mapping[str, Any]


async def of(connection: AsyncConnection, repository_id: str) -> list[Attachment]:
    """What is attached now, in its order."""
    return (await of_all(connection, [repository_id]))[repository_id]


async def of_all(connection: AsyncConnection, repository_ids: Collection[str]) -> dict[str, list[Attachment]]:
    """What is attached to each of these repositories now, in its order."""
    found: dict[str, list[Attachment]] = {one: [] for one in repository_ids}
    known = await buckets.attached_to(connection, repository_ids)
    keys = await providerkeys.reaching(connection, repository_ids)
    rows = await connection.execute(
        select(repository_buckets)
        .where(_at.repository_id.in_(repository_ids), _at.deleted_at.is_(None))
        .order_by(_at.position, _at.id)
    )
    for row in rows:
        target = known.get(row.bucket_id) or keys.get(row.provider_key_id)
        if target:
            credentials = credentials_of(target, keys)
            one = Attachment(row.id, target, credentials, row.folder, row.master, row.position, row.options)
            found[row.repository_id].append(one)
    return found


def credentials_of(target: Bucket | ProviderKey, keys: Mapping[str, ProviderKey]) -> Bucket | ProviderKey:
    """Who knows how to reach a target: the bucket itself unless it names one of `keys`."""
    return keys[target.provider_key_id] if isinstance(target, Bucket) and target.provider_key_id else target


async def attach(connection: AsyncConnection, attachment_id: str, repository_id: str, **values: Any) -> None:
    """`values` are the other columns: `bucket_id` or `provider_key_id`, `position`, `folder`, `master`, `options`."""
    await attach_all(connection, repository_id, [{"id": attachment_id, **values}])


async def attach_all(connection: AsyncConnection, repository_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Rows of the same columns, as `attach` takes them one by one, each with its `id`."""
    if rows:
        made = [dict(row, repository_id=repository_id) for row in rows]
        await connection.execute(new(repository_buckets), made)
        await revisions.repository_changed(connection, repository_id)


async def change(connection: AsyncConnection, repository_id: str, attachment_id: str, **values: Any) -> None:
    await connection.execute(update(repository_buckets).where(_is(repository_id, attachment_id)).values(values))
    await revisions.repository_changed(connection, repository_id)


async def detach(connection: AsyncConnection, repository_id: str, attachment_id: str, now: int) -> None:
    await connection.execute(update(repository_buckets).where(_is(repository_id, attachment_id)).values(deleted_at=now))
    await revisions.repository_changed(connection, repository_id)


async def modes_elsewhere(
    connection: AsyncConnection, bucket_ids: Collection[str], repository_id: str | None
) -> dict[str, set[str]]:
    """The modes of the other live repositories that each of these buckets is in."""
    wanted = (
        select(_at.bucket_id, repositories.c.mode)
        .join(repositories, repositories.c.id == _at.repository_id)
        .where(_at.bucket_id.in_(bucket_ids), _at.deleted_at.is_(None), repositories.c.deleted_at.is_(None))
    )
    if repository_id is not None:
        wanted = wanted.where(_at.repository_id != repository_id)
    found: dict[str, set[str]] = {}
    for row in await connection.execute(wanted.distinct()):
        found.setdefault(row.bucket_id, set()).add(row.mode)
    return found


def _is(repository_id: str, attachment_id: str) -> ColumnElement[bool]:
    return and_(_at.repository_id == repository_id, _at.id == attachment_id, _at.deleted_at.is_(None))
