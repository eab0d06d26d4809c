"""Whose documents a change shows. Their revisions grow by one, and whoever waits for them is woken.

Every function belongs to the transaction of the change itself. Repositories are locked in the order of their ids, so
that two changes that touch the same ones never wait for each other.
"""

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import assignments, buckets, repositories, repository_buckets
from bridge_node.platform.wakeups import changed

_attached = repository_buckets.c


async def repository_changed(connection: AsyncConnection, repository_id: str) -> None:
    await _touch(connection, repositories.c.id == repository_id)


async def bucket_changed(connection: AsyncConnection, bucket_id: str) -> None:
    """Touches every repository that the bucket is attached to."""
    await _touch(connection, _with_attachment(_attached.bucket_id == bucket_id))


async def provider_key_changed(connection: AsyncConnection, provider_key_id: str) -> None:
    """Touches every repository with the whole account, or with a bucket that is reached by this key."""
    through_it = select(buckets.c.id).where(buckets.c.provider_key_id == provider_key_id)
    attachment = or_(_attached.provider_key_id == provider_key_id, _attached.bucket_id.in_(through_it))
    await _touch(connection, _with_attachment(attachment))


async def organisation_changed(connection: AsyncConnection, organisation_id: str) -> None:
    await _touch(connection, repositories.c.organisation_id == organisation_id)


def _with_attachment(condition: ColumnElement[bool]) -> ColumnElement[bool]:
    return repositories.c.id.in_(select(_attached.repository_id).where(condition, _attached.deleted_at.is_(None)))


async def _touch(connection: AsyncConnection, which: ColumnElement[bool]) -> None:
    in_order = select(repositories.c.organisation_id).where(which).order_by(repositories.c.id).with_for_update()
    organisations = set((await connection.execute(in_order)).scalars())
    if not organisations:
        return
    grown = update(repositories).where(which).values(revision=repositories.c.revision + 1)
    await connection.execute(grown)
    to_nodes = select(assignments.c.node_id).join(repositories, repositories.c.id == assignments.c.repository_id)
    assigned = (await connection.execute(to_nodes.where(which))).scalars()
    await changed(connection, *organisations, *assigned)
