"""What moved, as it is asked for: by minutes, hours or days, up to the newest report.

Hours and days are read as they were rolled up; for hours that are marked as unrolled, what is stored is taken off and
what it should be is added, all in one statement and so of one moment.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, Table, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import (
    buckets,
    repositories,
    usage_days,
    usage_hours,
    usage_minutes,
)
from bridge_node.platform.store.rollups import DAY, HOUR, begun, marked_hours, of_marked_hours, summed, usage_hours_now
from bridge_node.platform.store.sql import among

Condition = ColumnElement[bool]
Which = Callable[[Any], Sequence[Condition]]
"""Conditions on the columns of whichever table is asked."""

_KEYS = ("repository_id", "bucket_id", "key_id", "node_id", "host")
_END_OF_TIME = 2**40
_SUMS = ("requests", "upload_bytes", "download_bytes", "size_change", "latency_ms")


@dataclass(frozen=True, slots=True)
class Grain:
    """A table of usage and how much time one row of it tells of."""

    table: Table
    time: str
    seconds: int


MINUTES = Grain(usage_minutes, "minute", 60)
HOURS = Grain(usage_hours, "hour", HOUR)
DAYS = Grain(usage_days, "day", DAY)


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody may see: an organisation, or some workspaces of it."""

    organisation_id: str
    workspace_ids: Collection[str] | None = None

    def of(self, table: Table) -> Select[Any]:
        """The ids of all repositories or buckets that there are and were."""
        wanted = select(table.c.id).where(table.c.organisation_id == self.organisation_id)
        return wanted if self.workspace_ids is None else wanted.where(table.c.workspace_id.in_(self.workspace_ids))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows: from `start` (which begins a row's time) until before `end`, of one of the ids and of the hosts."""

    scope: Scope
    start: int
    end: int
    repository_ids: Collection[str] | None = None
    bucket_ids: Collection[str] | None = None
    hosts: Collection[str] | None = None

    def conditions(self, connection: AsyncConnection, columns: Any) -> list[Condition]:
        found = [columns.repository_id.in_(self.scope.of(repositories))]
        ids = [
            among(connection, column, wanted)
            for column, wanted in (
                (columns.repository_id, self.repository_ids),
                (columns.bucket_id, self.bucket_ids),
            )
            if wanted is not None
        ]
        if ids:
            found.append(or_(*ids))
        if self.hosts is not None:
            found.append(among(connection, columns.host, self.hosts))
        return found


@dataclass(frozen=True, slots=True)
class Moved:
    """What moved of one bucket, through one repository and host; `latency_ms` is a sum over the requests."""

    time: int
    repository_id: str
    bucket_id: str
    host: str
    requests: int
    upload_bytes: int
    download_bytes: int
    size_change: int
    latency_ms: int


async def moved(connection: AsyncConnection, grain: Grain, wanted: Wanted, most: int) -> list[Moved]:
    """At most `most` rows, oldest first."""
    rows = facts(grain, wanted.start, wanted.end, partial(wanted.conditions, connection)).c
    keys = (rows.time, rows.repository_id, rows.bucket_id, rows.host)
    found = select(*keys, *(summed(rows[name]).label(name) for name in _SUMS)).group_by(*keys)
    return [Moved(*row) for row in await connection.execute(found.order_by(*keys).limit(most))]


def facts(grain: Grain, start: int, end: int, which: Which) -> Subquery:
    """Rows that add up to the truth of `start` to before `end`; `time` is when a row's minute, hour or day began."""
    table = grain.table
    stored = _branch(table, table.c[grain.time], 1).where(*_during(table.c[grain.time], start, end), *which(table.c))
    if grain is MINUTES:
        return stored.subquery("facts")
    minutes, hours = usage_minutes.c, usage_hours.c
    is_now = usage_hours_now(*which(minutes), *of_marked_hours(minutes, start, end)).subquery("now")
    added = _branch(is_now, begun(is_now.c.hour, grain.seconds), 1)
    stale = _branch(usage_hours, begun(hours.hour, grain.seconds), -1)
    removed = stale.where(*which(hours), *marked_hours(hours, start, end))
    return union_all(stored, added, removed).subquery("facts")


def _branch(source: Any, time: Any, sign: int) -> Select[Any]:
    sums = ((source.c[name] if sign > 0 else -source.c[name]).label(name) for name in _SUMS)
    return select(time.label("time"), *(source.c[name] for name in _KEYS), *sums)


def _during(time: Any, start: int, end: int) -> tuple[Condition, Condition]:
    return time >= start, time < end


@dataclass(frozen=True, slots=True)
class Totals:
    """Since there are statistics."""

    requests: int = 0
    upload_bytes: int = 0
    download_bytes: int = 0
    size_change: int = 0


async def totals_of_repositories(
    connection: AsyncConnection, scope: Scope, ids: Collection[str] | None
) -> dict[str, Totals]:
    """Of live ones that are in scope, by id; those that nothing moved through as well."""
    return await _totals(connection, "repository_id", repositories, scope, ids)


async def totals_of_buckets(
    connection: AsyncConnection, scope: Scope, ids: Collection[str] | None
) -> dict[str, Totals]:
    return await _totals(connection, "bucket_id", buckets, scope, ids)


async def _totals(
    connection: AsyncConnection, name: str, table: Table, scope: Scope, ids: Collection[str] | None
) -> dict[str, Totals]:
    wanted = scope.of(table).where(table.c.deleted_at.is_(None))
    if ids is not None:
        wanted = wanted.where(among(connection, table.c.id, ids))
    rows = facts(DAYS, 0, _END_OF_TIME, lambda columns: [columns[name].in_(wanted)]).c
    sums = (summed(rows[column]) for column in ("requests", "upload_bytes", "download_bytes", "size_change"))
    found = await connection.execute(select(rows[name], *sums).group_by(rows[name]))
    known = {row[0]: Totals(*row[1:]) for row in found}
    every = await connection.execute(wanted.order_by(table.c.id.desc()))
    return {one: known.get(one, Totals()) for one in every.scalars()}
