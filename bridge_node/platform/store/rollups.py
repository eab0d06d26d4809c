"""Minutes of statistics summed up to hours, and hours to days.

A report marks its hours as unrolled in the transaction that writes its minutes (`mark`). `roll_up` takes up one node at
a time, with all that is marked for it: its hours are computed anew from all their minutes, their days from all their
hours, and written over what was there. So it may run again, late minutes count, and nothing counts twice. The row in
`unrolled_nodes` is the lock: whoever holds it has the node's minutes to itself, and nobody waits for one that is held
but the node's own next report.

Between two roll-ups, hours and days lack what is marked. `now` says what an hour should be: who reads adds that and
takes off what is stored (see `store/usage`, `store/uptime`).
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    Table,
    and_,
    case,
    cast,
    delete,
    func,
    literal_column,
    select,
    true,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import (
    node_status_days,
    node_status_hours,
    node_status_minutes,
    unrolled_hours,
    unrolled_nodes,
    usage_days,
    usage_hours,
    usage_minutes,
)
from bridge_node.platform.store.sql import insert

Condition = ColumnElement[bool]

HOUR = 3600
DAY = 24 * HOUR
HOURS_AT_ONCE = 24
"""Of one node, in one transaction: so long its next report waits at most."""

SUMS = ("requests", "errors", "upload_bytes", "download_bytes", "size_change", "latency_ms")
_USAGE_KEY = ("repository_id", "bucket_id", "key_id", "node_id", "protocol", "host")


def begun(time: Any, seconds: int) -> ColumnElement[int]:
    """When the hour or day of a time began."""
    began: ColumnElement[int] = time - time % literal_column(str(seconds), BigInteger)
    return began


def summed(column: Any) -> ColumnElement[int]:
    return cast(func.sum(column), BigInteger)


def usage_hours_now(*which: Condition) -> Select[Any]:
    """Rows of `usage_hours` as they should be, from minutes."""
    return _usage(usage_minutes, "minute", usage_hours, "hour", HOUR, which)


def _usage_days(*which: Condition) -> Select[Any]:
    return _usage(usage_hours, "hour", usage_days, "day", DAY, which)


def _usage(source: Table, time: str, target: Table, span: str, seconds: int, which: Iterable[Condition]) -> Select[Any]:
    values = {
        **{name: source.c[name] for name in _USAGE_KEY},
        span: begun(source.c[time], seconds),
        **{name: summed(source.c[name]) for name in SUMS},
        "estimated": func.max(case((source.c.estimated, 1), else_=0)) == 1,
    }
    keys = [values[name] for name in (*_USAGE_KEY, span)]
    return select(*(values[column.name].label(column.name) for column in target.c)).where(*which).group_by(*keys)


def status_hours_now(*which: Condition) -> Select[Any]:
    """Rows of `node_status_hours` as they should be, from minutes."""
    minutes = node_status_minutes.c
    online = minutes.status == "ONLINE"
    sums = {
        "samples": func.count(),
        "online": func.count(case((online, 1))),
        "timed": func.count(case((online, minutes.latency_ms))),
        "latency_ms": func.coalesce(func.sum(case((online, minutes.latency_ms))), cast(0, Double)),
        "last_minute": func.max(minutes.minute),
    }
    grouped = _grouped(node_status_minutes, "minute", "hour", HOUR, sums, which)
    last = node_status_minutes.alias("last")
    latest = and_(
        last.c.bucket_id == grouped.c.bucket_id,
        last.c.minute == grouped.c.last_minute,
        last.c.node_id == grouped.c.node_id,
    )
    told = {"last_status": last.c.status, "last_latency_ms": last.c.latency_ms}
    return select(*_with_last(node_status_hours, grouped, told)).join_from(grouped, last, latest)


def _status_days(*which: Condition) -> Select[Any]:
    hours = node_status_hours.c
    sums = {name: summed(hours[name]) for name in ("samples", "online", "timed")} | {
        "latency_ms": func.sum(hours.latency_ms),
        "last_minute": func.max(hours.last_minute),
    }
    grouped = _grouped(node_status_hours, "hour", "day", DAY, sums, which)
    last = node_status_hours.alias("last")
    latest = and_(
        last.c.bucket_id == grouped.c.bucket_id,
        last.c.hour == begun(grouped.c.last_minute, HOUR),
        last.c.node_id == grouped.c.node_id,
    )
    told = {"last_status": last.c.last_status, "last_latency_ms": last.c.last_latency_ms}
    return select(*_with_last(node_status_days, grouped, told)).join_from(grouped, last, latest)


def _grouped(
    source: Table, time: str, span: str, seconds: int, sums: dict[str, Any], which: Iterable[Condition]
) -> Any:
    keys = [source.c.bucket_id, begun(source.c[time], seconds).label(span), source.c.node_id]
    columns = (value.label(name) for name, value in sums.items())
    return (
        select(*keys, *columns)
        .where(*which)
        .group_by(source.c.bucket_id, begun(source.c[time], seconds), source.c.node_id)
        .subquery("grouped")
    )


def _with_last(target: Table, grouped: Any, told: dict[str, Any]) -> list[Any]:
    return [told.get(column.name, grouped.c.get(column.name)).label(column.name) for column in target.c]


def of_marked_hours(minutes: Any, start: int, end: int) -> list[Condition]:
    """Joins columns of a table of minutes to the hours that are marked from `start` until before `end`.

    When the first and the last of these began is nothing new, but it lets PostgreSQL find few minutes among millions.
    """
    marked = unrolled_hours.alias("marked")
    during = (marked.c.hour >= start, marked.c.hour < end)
    first = select(func.min(marked.c.hour)).where(*during).scalar_subquery()
    after = select(func.max(marked.c.hour) + HOUR).where(*during).scalar_subquery()
    return [
        unrolled_hours.c.node_id == minutes.node_id,
        minutes.minute >= unrolled_hours.c.hour,
        minutes.minute < unrolled_hours.c.hour + HOUR,
        minutes.minute >= first,
        minutes.minute < after,
    ]


def marked_hours(hours: Any, start: int, end: int) -> list[Condition]:
    """The same for a table of hours."""
    return [
        unrolled_hours.c.node_id == hours.node_id,
        unrolled_hours.c.hour == hours.hour,
        hours.hour >= start,
        hours.hour < end,
    ]


async def mark(connection: AsyncConnection, node_id: str, hours: Iterable[int], now: int) -> None:
    """In the transaction that writes minutes of these hours; waits while the node is being rolled up."""
    rows = [{"node_id": node_id, "hour": hour} for hour in sorted(hours)]
    if not rows:
        return
    node = insert(connection, unrolled_nodes).values(node_id=node_id, since=now)
    held = node.on_conflict_do_update(index_elements=["node_id"], set_={"node_id": node.excluded.node_id})
    await connection.execute(held)
    await connection.execute(insert(connection, unrolled_hours).on_conflict_do_nothing(), rows)


async def claim(connection: AsyncConnection, marked_before: int) -> str | None:
    """The node that has waited longest since a time before `marked_before`, in milliseconds; None when none has.

    Nobody else claims it, and nobody marks hours of it, before this transaction ends.
    """
    due = (
        select(unrolled_nodes.c.node_id)
        .where(unrolled_nodes.c.since <= marked_before)
        .order_by(unrolled_nodes.c.since)
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    node_id: str | None = (await connection.execute(due)).scalar_one_or_none()
    return node_id


async def roll_up(connection: AsyncConnection, node_id: str) -> None:
    """Brings a claimed node's marked hours, and their days, up to date; what is too much for once stays marked."""
    marked = unrolled_hours.c.node_id == node_id
    wanted = select(unrolled_hours.c.hour).where(marked).order_by(unrolled_hours.c.hour).limit(HOURS_AT_ONCE + 1)
    hours = list((await connection.execute(wanted)).scalars())
    rolled, more = hours[:HOURS_AT_ONCE], hours[HOURS_AT_ONCE:]
    for hour in rolled:
        of_usage = _within(usage_minutes, "minute", node_id, hour, HOUR)
        of_status = _within(node_status_minutes, "minute", node_id, hour, HOUR)
        await _replace(connection, usage_hours, usage_hours_now(*of_usage))
        await _replace(connection, node_status_hours, status_hours_now(*of_status))
    for day in sorted({hour - hour % DAY for hour in rolled}):
        await _replace(connection, usage_days, _usage_days(*_within(usage_hours, "hour", node_id, day, DAY)))
        await _replace(
            connection, node_status_days, _status_days(*_within(node_status_hours, "hour", node_id, day, DAY))
        )
    await connection.execute(delete(unrolled_hours).where(marked, unrolled_hours.c.hour.in_(rolled)))
    if not more:
        await connection.execute(delete(unrolled_nodes).where(unrolled_nodes.c.node_id == node_id))


def _within(table: Table, time: str, node_id: str, begin: int, seconds: int) -> Sequence[Condition]:
    return table.c.node_id == node_id, table.c[time] >= begin, table.c[time] < begin + seconds


async def _replace(connection: AsyncConnection, target: Table, rows: Select[Any]) -> None:
    names = [column.name for column in target.c]
    keys = [column.name for column in target.primary_key]
    row = insert(connection, target).from_select(names, rows.where(true()))  # SQLite wants a WHERE before ON CONFLICT
    values = {name: row.excluded[name] for name in names if name not in keys}
    await connection.execute(row.on_conflict_do_update(index_elements=keys, set_=values))


async def postpone(connection: AsyncConnection, node_id: str, now: int) -> None:
    """Puts a node that could not be rolled up behind all others."""
    await connection.execute(update(unrolled_nodes).where(unrolled_nodes.c.node_id == node_id).values(since=now))
