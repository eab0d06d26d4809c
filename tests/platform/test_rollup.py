"""Hours and days: what they hold, who makes them, and how long they stay."""

import asyncio

import pytest
from sqlalchemy import Table, insert, select, update

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
from bridge_node.platform.rollup import forget, roll_up
from bridge_node.platform.settings import Statistics
from bridge_node.platform.store import rollups
from tests.platform.test_status import MINUTE, moved, report, seen
from tests.platform.world import OwnNode, PlatformUnderTest

HOUR = MINUTE - MINUTE % 3600
DAY = MINUTE - MINUTE % 86400


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    return node


async def requests(here: PlatformUnderTest, table: Table, time: str) -> dict[int, int]:
    return {row._mapping[time]: row.requests for row in await here.rows(select(table))}


async def rolled_up(here: PlatformUnderTest, waited: float = 0.0) -> int:
    return await roll_up(here.platform.database, here.clock.ms(), waited)


async def test_minutes_become_hours_and_hours_days(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(minute=HOUR), moved(minute=HOUR + 60), moved(minute=HOUR - 60, estimated=True)])
    assert await rolled_up(here) == 1
    assert await requests(here, usage_hours, "hour") == {HOUR: 6, HOUR - 3600: 3}
    (day,) = await here.rows(select(usage_days))
    assert (day.day, day.requests, day.errors, day.upload_bytes, day.size_change) == (DAY, 9, 3, 300, -15)
    assert (day.latency_ms, day.estimated, day.host, day.protocol) == (120, True, "s3.example.net", "s3")


async def test_samples_become_hours_and_days_with_their_last_word(here: PlatformUnderTest, node: OwnNode) -> None:
    when = ("2026-02-02T02:38:00Z", "2026-02-02T02:39:00Z", "2026-02-02T02:37:00Z")
    first, last, other = (seen(createdAt=text) for text in when)
    await report(node, buckets=[first, {**last, "status": "OFFLINE", "latencyMs": None}, {**other, "latencyMs": None}])
    await rolled_up(here)
    for table in (node_status_hours, node_status_days):
        (row,) = await here.rows(select(table))
        assert (row.samples, row.online, row.timed, row.latency_ms) == (3, 2, 1, 18.5)
        assert (row.last_minute, row.last_status, row.last_latency_ms) == (MINUTE - 60, "OFFLINE", None)


async def test_rolling_up_again_changes_nothing(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()], buckets=[seen()])
    await rolled_up(here)
    before = [await here.rows(select(table)) for table in (usage_hours, usage_days, node_status_days)]
    assert await rolled_up(here) == 0
    ((node_id, hour),) = await here.rows(select(usage_hours.c.node_id, usage_hours.c.hour))
    await here.change(
        insert(unrolled_nodes).values(node_id=node_id, since=0),
        insert(unrolled_hours).values(node_id=node_id, hour=hour),
    )
    assert await rolled_up(here) == 1
    assert [await here.rows(select(table)) for table in (usage_hours, usage_days, node_status_days)] == before


async def test_late_batches_are_rolled_up_once_and_repeated_ones_never(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()], batchId="b-1")
    await rolled_up(here)
    late = {"usage": [moved(minute=HOUR - 3600 * 50)], "batchId": "b-2"}
    for _ in range(3):
        await report(node, **late)
        await report(node, usage=[moved()], batchId="b-1")
    assert await rolled_up(here) == 1
    assert sorted((await requests(here, usage_hours, "hour")).values()) == [3, 3]
    await report(node, **late)
    assert await rolled_up(here) == 0


async def test_what_waits_is_rolled_up_when_it_has_waited_long_enough(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    here.clock.now += 899
    await report(node, usage=[moved()])
    assert await rolled_up(here, 900) == 0
    here.clock.now += 1
    assert await rolled_up(here, 900) == 1
    assert await here.count(unrolled_hours) == await here.count(unrolled_nodes) == 0


async def test_a_long_backlog_is_rolled_up_in_steps(here: PlatformUnderTest, node: OwnNode) -> None:
    hours = rollups.HOURS_AT_ONCE * 2 + 2
    await report(node, usage=[moved(minute=HOUR - 3600 * number) for number in range(hours)])
    assert await rolled_up(here) == 3
    assert len(await requests(here, usage_hours, "hour")) == hours
    assert sum((await requests(here, usage_days, "day")).values()) == 3 * hours


async def test_a_report_that_comes_during_a_roll_up_is_not_lost(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    database = here.platform.database
    async with database.transaction() as connection:
        claimed = await rollups.claim(connection, here.clock.ms())
        assert claimed is not None
        if database.postgres:
            coming = asyncio.create_task(report(node, usage=[moved()]))
            await asyncio.sleep(0.2)
            assert not coming.done()
        await rollups.roll_up(connection, claimed)
    if not database.postgres:
        coming = asyncio.create_task(report(node, usage=[moved()]))
    assert (await coming)[0] == 200
    assert await rolled_up(here) == 1
    assert await requests(here, usage_hours, "hour") == {HOUR: 6}


async def test_a_node_that_cannot_be_rolled_up_keeps_no_other_waiting(here: PlatformUnderTest, node: OwnNode) -> None:
    other = OwnNode(here, node.organisation_key, ip="node-2")
    await other.enrol()
    await other.config()
    await report(node, usage=[moved(minute=MINUTE - 60 * number) for number in range(9)])
    here.clock.now += 1
    await report(other, usage=[moved()])
    await here.change(update(usage_minutes).where(usage_minutes.c.minute < MINUTE).values(requests=2**62))
    here.clock.now += 1
    assert await rolled_up(here) == 1
    assert await requests(here, usage_hours, "hour") == {HOUR: 3}
    assert await here.count(unrolled_nodes) == 1


async def test_statistics_are_forgotten_after_their_time(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(), moved(minute=MINUTE - 86400)], buckets=[seen()])
    await rolled_up(here)
    kept = Statistics(minutes_kept_days=32, hours_kept_days=40, days_kept_days=50)
    for days, left in [(31, [2, 1, 2, 1, 2, 1]), (33, [0, 0, 2, 1, 2, 1]), (42, [0, 0, 0, 0, 2, 1]), (52, [0] * 6)]:
        await forget(here.platform.database, kept, here.clock.ms() + days * 86_400_000)
        assert [await here.count(table) for table in _tables()] == left


async def test_days_stay_for_ever_unless_said_otherwise(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()], buckets=[seen()])
    await rolled_up(here)
    await forget(here.platform.database, Statistics(), here.clock.ms() + 9999 * 86_400_000)
    assert [await here.count(table) for table in _tables()] == [0, 0, 0, 0, 1, 1]


def _tables() -> list[Table]:
    return [usage_minutes, node_status_minutes, usage_hours, node_status_hours, usage_days, node_status_days]
