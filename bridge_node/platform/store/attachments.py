"""What repositories are made of: buckets, and whole accounts. What was detached stays for its statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repository_buckets
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
    known = await buckets.attached_to(connection, repository_id)
    keys = await providerkeys.reaching(connection, repository_id)
    rows = await connection.execute(
        select(_at.id, _at.bucket_id, _at.provider_key_id, _at.folder, _at.master, _at.position, _at.options)
        .where(_at.repository_id == repository_id, _at.deleted_at.is_(None))
        .order_by(_at.position, _at.id)
    )
    found = []
    for row in rows:
        target = known.get(row.bucket_id) or keys.get(row.provider_key_id)
        if target:
            credentials = (
                keys[target.provider_key_id] if isinstance(target, Bucket) and target.provider_key_id else target
            )
            found.append(Attachment(row.id, target, credentials, row.folder, row.master, row.position, row.options))
    return found


async def attach(
    connection: AsyncConnection, attachment_id: str, repository_id: str, *, position: int, **values: Any
) -> None:
    """`values` are the other columns: `bucket_id` or `provider_key_id`, `folder`, `master`, `options`."""
    row = dict(values, id=attachment_id, repository_id=repository_id, position=position)
    await connection.execute(new(repository_buckets).values(row))
    await revisions.repository_changed(connection, repository_id)


async def change(connection: AsyncConnection, repository_id: str, attachment_id: str, **values: Any) -> None:
    await connection.execute(update(repository_buckets).where(_is(repository_id, attachment_id)).values(values))
    await revisions.repository_changed(connection, repository_id)


async def detach(connection: AsyncConnection, repository_id: str, attachment_id: str, now: int) -> None:
    await connection.execute(update(repository_buckets).where(_is(repository_id, attachment_id)).values(deleted_at=now))
    await revisions.repository_changed(connection, repository_id)


def _is(repository_id: str, attachment_id: str) -> ColumnElement[bool]:
    return and_(_at.repository_id == repository_id, _at.id == attachment_id, _at.deleted_at.is_(None))
