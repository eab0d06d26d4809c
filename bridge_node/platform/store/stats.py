"""Minutes of statistics: written by the thousand, read by bucket."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import (
    buckets,
    grants,
    members,
    node_buckets,
    node_status_minutes,
    nodes,
    repositories,
    repository_buckets,
    repository_keys,
    usage_minutes,
)
from bridge_node.platform.store.sql import Upsert, among

Condition = ColumnElement[bool]
StatusRow = tuple[str, int, str, str, float | None]
"""bucket, minute, node, status, latency"""
NewestRow = tuple[str, str, str, float | None, int]
"""bucket, node, status, latency, reported at"""
UsageKey = tuple[str, int, str, str, str, str, str]
"""repository, minute, bucket, key, node, protocol, host"""
UsageSums = tuple[int, int, int, int, int, int, bool]
"""requests, errors, uploaded, downloaded, size change, latency, estimated"""


@dataclass(frozen=True, slots=True)
class Given:
    """What a node was ever given, so what it may report about. What was deleted since still counts."""

    buckets: frozenset[str]
    attached: frozenset[tuple[str, str]]
    """Pairs of repository and bucket."""
    keys: frozenset[tuple[str, str]]
    """Pairs of repository and access key."""


async def given_to(connection: AsyncConnection, node_id: str) -> Given:
    """To an enrolled node: the repositories that were sealed for it."""
    mine = select(grants.c.repository_id).where(grants.c.node_id == node_id).scalar_subquery()
    return await _given(
        connection, repository_buckets.c.repository_id.in_(mine), repository_keys.c.repository_id.in_(mine)
    )


async def given_to_all_of(connection: AsyncConnection, organisation_id: str) -> Given:
    """To nodes that never enrolled, whose catalog is not ours: everything of their organisation."""
    theirs = select(repositories.c.id).where(repositories.c.organisation_id == organisation_id).scalar_subquery()
    found = await _given(
        connection, repository_buckets.c.repository_id.in_(theirs), repository_keys.c.organisation_id == organisation_id
    )
    rows = await connection.execute(select(buckets.c.id).where(buckets.c.organisation_id == organisation_id))
    return Given(found.buckets | set(rows.scalars()), found.attached, found.keys)


async def _given(connection: AsyncConnection, attached_when: Condition, keys_when: Condition) -> Given:
    attachment = repository_buckets.c
    attachments = await connection.execute(
        select(attachment.repository_id, attachment.bucket_id, attachment.provider_key_id).where(attached_when)
    )
    attached = frozenset((repository, bucket or account) for repository, bucket, account in attachments)
    keys = await connection.execute(select(repository_keys.c.repository_id, repository_keys.c.id).where(keys_when))
    return Given(frozenset(bucket for _, bucket in attached), attached, frozenset((row[0], row[1]) for row in keys))


_SUMS = ("requests", "errors", "upload_bytes", "download_bytes", "size_change", "latency_ms")
_SAMPLES = Upsert(node_status_minutes, lambda new: {"status": new.status, "latency_ms": new.latency_ms})
_NEWEST = Upsert(
    node_buckets,
    lambda new: {"status": new.status, "latency_ms": new.latency_ms, "reported_at": new.reported_at},
    only=lambda new: new.reported_at >= node_buckets.c.reported_at,
)
_USAGE = Upsert(
    usage_minutes,
    lambda new: {
        **{name: usage_minutes.c[name] + new[name] for name in _SUMS},
        "estimated": or_(usage_minutes.c.estimated, new.estimated),
    },
)


async def put_status(connection: AsyncConnection, rows: Sequence[StatusRow]) -> None:
    """One sample for each (bucket, minute, node): of several, the last one stays."""
    await _SAMPLES.put(connection, rows)


async def put_newest(connection: AsyncConnection, rows: Sequence[NewestRow]) -> None:
    """What each node said last about each bucket; what is older than what is known changes nothing."""
    await _NEWEST.put(connection, rows)


async def add_usage(connection: AsyncConnection, rows: Sequence[tuple[UsageKey, UsageSums]]) -> None:
    """Adds to what is there: late batches belong to the minute they tell of."""
    await _USAGE.put(connection, [(*key, *sums) for key, sums in rows])


@dataclass(frozen=True, slots=True)
class Newest:
    """What a node said last about a bucket."""

    node_id: str
    bucket_id: str
    status: str
    latency_ms: float | None
    reported_at: int
    registered: bool


async def newest(
    connection: AsyncConnection, organisation_id: str, user_id: str | None, bucket_ids: Collection[str] | None
) -> list[Newest]:
    """Of live buckets of an organisation, by its own and public nodes; with `user_id`, of that member's workspaces."""
    wanted = (
        select(node_buckets, nodes.c.unregistered_at)
        .join(buckets, buckets.c.id == node_buckets.c.bucket_id)
        .join(nodes, and_(nodes.c.id == node_buckets.c.node_id, nodes.c.deleted_at.is_(None)))
        .where(buckets.c.organisation_id == organisation_id, buckets.c.deleted_at.is_(None))
        .where(nodes.c.organisation_id.in_([organisation_id, ""]))
        .order_by(node_buckets.c.bucket_id, node_buckets.c.node_id)
    )
    if user_id is not None:
        theirs = select(members.c.workspace_id).where(members.c.user_id == user_id)
        wanted = wanted.where(buckets.c.workspace_id.in_(theirs))
    if bucket_ids is not None:
        wanted = wanted.where(among(connection, buckets.c.id, bucket_ids))
    return [
        Newest(row.node_id, row.bucket_id, row.status, row.latency_ms, row.reported_at, row.unregistered_at is None)
        for row in await connection.execute(wanted)
    ]
