"""Whether nodes reached buckets, day by day, up to the newest report. Read as `store/usage` reads what moved."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Select, literal, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import node_status_days, node_status_hours, node_status_minutes
from bridge_node.platform.store.rollups import DAY, begun, marked_hours, of_marked_hours, status_hours_now
from bridge_node.platform.store.sql import among, made

_SUMS = ("samples", "online", "timed", "latency_ms")
_BEFORE_ALL = -1


@dataclass(frozen=True, slots=True)
class NodeDay:
    """What one node saw of one bucket on one day: a sample is one minute's, `last_…` the newest."""

    bucket_id: str
    node_id: str
    day: int
    samples: int
    online: int
    timed: int
    latency_ms: float
    """The sum over the samples that were ONLINE and timed."""
    last_minute: int
    last_status: str
    last_latency_ms: float | None

    @property
    def average_ms(self) -> float:
        return self.latency_ms / self.timed if self.timed else 0.0

    def uptime(self, since: int, now: int) -> float:
        """Percent of the samples expected of a day that had begun at `since`, and lasts until `now`, in seconds."""
        expected = (min(now, self.day + DAY) - max(since, self.day)) // 60
        return 100 * self.online / max(expected, self.samples, 1)


async def days(connection: AsyncConnection, bucket_ids: Collection[str], start: int, end: int) -> list[NodeDay]:
    """Of some buckets, by bucket, day and node. What is not in `bucket_ids` is not asked for."""
    if not bucket_ids:
        return []
    found: dict[tuple[str, int, str], NodeDay] = {}
    for row in await connection.execute(_facts(connection, bucket_ids, start, end)):
        seen = made(NodeDay, row)
        key = seen.bucket_id, seen.day, seen.node_id
        found[key] = _joined(found[key], seen) if key in found else seen
    return [found[key] for key in sorted(found)]


def _facts(connection: AsyncConnection, bucket_ids: Collection[str], start: int, end: int) -> Any:
    stored, hours, minutes = node_status_days.c, node_status_hours.c, node_status_minutes.c
    of_days = _branch(stored, stored.day, 1).where(
        among(connection, stored.bucket_id, bucket_ids), stored.day >= start, stored.day < end
    )
    of_buckets = among(connection, minutes.bucket_id, bucket_ids)
    now = status_hours_now(of_buckets, *of_marked_hours(minutes, start, end)).subquery("now")
    added = _branch(now.c, begun(now.c.hour, DAY), 1)
    stale = _branch(hours, begun(hours.hour, DAY), -1)
    removed = stale.where(among(connection, hours.bucket_id, bucket_ids), *marked_hours(hours, start, end))
    return union_all(of_days, added, removed)


def _branch(columns: Any, day: Any, sign: int) -> Select[Any]:
    sums = ((columns[name] if sign > 0 else -columns[name]).label(name) for name in _SUMS)
    last = columns.last_minute if sign > 0 else literal(_BEFORE_ALL).label("last_minute")
    told = (last, columns.last_status, columns.last_latency_ms)
    return select(columns.bucket_id, columns.node_id, day.label("day"), *sums, *told)


def _joined(one: NodeDay, other: NodeDay) -> NodeDay:
    """`other` comes later, so that a sample that replaced another of its minute is told."""
    newest = other if other.last_minute >= one.last_minute else one
    sums: dict[str, Any] = {name: getattr(one, name) + getattr(other, name) for name in _SUMS}
    return replace(newest, **sums)
