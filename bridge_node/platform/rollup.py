"""Hours and days of statistics, kept up to date by whichever process comes first, and forgotten after their time."""

import asyncio
from collections.abc import Callable, Iterator

import structlog
from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError

from bridge_node.platform.database import Database, DatabaseUnavailable
from bridge_node.platform.models import (
    node_status_days,
    node_status_hours,
    node_status_minutes,
    usage_days,
    usage_hours,
    usage_minutes,
)
from bridge_node.platform.settings import Statistics
from bridge_node.platform.store import retention, rollups

log = structlog.get_logger()

LOOKS_EVERY_SECONDS = 60.0


async def roll_up(database: Database, now_ms: int, waited_seconds: float = 0.0) -> int:
    """Rolls up every node whose reports have waited that long; how many times it did.

    Processes share the work: a node that one has taken up is left out by the others. A node that cannot be rolled up
    is logged, and tried again when it has waited as long once more.
    """
    done = 0
    while True:
        node_id = None
        try:
            async with database.transaction() as connection:
                node_id = await rollups.claim(connection, now_ms - int(waited_seconds * 1000))
                if node_id is None:
                    return done
                await rollups.roll_up(connection, node_id)
                done += 1
        except (DBAPIError, DatabaseUnavailable) as error:
            if node_id is None:
                raise
            log.error("rollup_failed", node=node_id, error=str(error))
            async with database.transaction() as connection:
                await rollups.postpone(connection, node_id, now_ms + 1)


async def forget(database: Database, statistics: Statistics, now_ms: int) -> None:
    """Deletes what is older than the settings say."""
    for table, time, days in _kept(statistics):
        before = now_ms // 1000 - days * rollups.DAY
        more = days > 0
        while more:
            async with database.transaction() as connection:
                more = await retention.forget(connection, table, time, before)


def _kept(statistics: Statistics) -> Iterator[tuple[Table, str, int]]:
    for minutes in usage_minutes, node_status_minutes:
        yield minutes, "minute", statistics.minutes_kept_days
    for hours in usage_hours, node_status_hours:
        yield hours, "hour", statistics.hours_kept_days
    for days in usage_days, node_status_days:
        yield days, "day", statistics.days_kept_days


async def roll_up_for_ever(database: Database, statistics: Statistics, now_ms: Callable[[], int]) -> None:
    while True:
        await asyncio.sleep(LOOKS_EVERY_SECONDS)
        try:
            await roll_up(database, now_ms(), statistics.rollup_seconds)
            await forget(database, statistics, now_ms())
        except DatabaseUnavailable as error:
            log.warning("rollup_postponed", error=str(error))
