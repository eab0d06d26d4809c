"""Platform processes share the database, and nothing else."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bridge_node.platform.models import unrolled_nodes, usage_days, usage_hours, usage_minutes
from bridge_node.platform.rollup import roll_up
from tests.platform.test_nodeconfig import REVISE, polling
from tests.platform.test_status import moved
from tests.platform.world import OwnNode, PlatformUnderTest, another_process


@pytest.fixture
async def there(here: PlatformUnderTest, database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    async with another_process(database_url, tmp_path) as platform:
        yield platform


@pytest.fixture
async def elsewhere(there: PlatformUnderTest, database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    async with another_process(database_url, tmp_path) as platform:
        yield platform


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    return node


async def test_a_node_that_enrolled_with_one_is_known_to_all(
    here: PlatformUnderTest, there: PlatformUnderTest, node: OwnNode
) -> None:
    first = await node.config()
    node.here = there
    second = await node.config(first.serves)
    assert (second.serves, second.documents) == (first.serves, ())
    assert second.version > first.version
    assert here.platform.keys.public == there.platform.keys.public


async def test_a_change_made_by_one_of_three_ends_the_waits_at_all(
    here: PlatformUnderTest, there: PlatformUnderTest, elsewhere: PlatformUnderTest, node: OwnNode
) -> None:
    others = [
        OwnNode(one, node.organisation_key, ip=f"node-{number}") for number, one in enumerate((there, elsewhere), 2)
    ]
    for one in others:
        await one.enrol()
    polls = [await polling(one, (await one.config()).serves) for one in (node, *others)]
    await elsewhere.change(REVISE)
    for answer in await asyncio.wait_for(asyncio.gather(*polls), 2):
        assert [one.id for one in answer.documents] == ["repo-1"]


async def test_a_node_deleted_with_one_is_revoked_at_another(
    here: PlatformUnderTest, there: PlatformUnderTest, node: OwnNode
) -> None:
    poll = await polling(node, (await node.config()).serves)
    await there.call("DELETE", "/organization/org-1/node/node-1")
    assert (await asyncio.wait_for(poll, 2)).revoked


async def test_what_was_used_with_one_is_used_for_all(
    here: PlatformUnderTest, there: PlatformUnderTest, node: OwnNode
) -> None:
    await node.config()
    report = {**node.identity(), "usage": [moved()], "batchId": "b-1"}
    nonce = "n" * 22
    assert (await node.post("/status", report, nonce=nonce)).status_code == 200
    node.here = there
    assert (await node.post("/status", report, nonce=nonce)).status_code == 401
    assert (await node.post("/status", report)).status_code == 200
    (usage,) = await here.rows(usage_minutes.select())
    assert usage.requests == 3


async def test_three_processes_roll_up_each_node_once_and_lose_none(
    here: PlatformUnderTest, there: PlatformUnderTest, elsewhere: PlatformUnderTest, node: OwnNode
) -> None:
    fleet = [node, *(OwnNode(here, node.organisation_key, ip=f"node-{number}") for number in range(2, 10))]
    processes = (here, there, elsewhere)
    for number, one in enumerate(fleet):
        if one is not node:
            await one.enrol()
        await one.config()
        one.here = processes[number % 3]

    async def reported(batch: int) -> None:
        for one in fleet:
            answer = await one.post("/status", {**one.identity(), "usage": [moved()], "batchId": f"b-{batch}"})
            assert answer.status_code == 200

    await reported(1)
    async with asyncio.TaskGroup() as group:
        for process in processes:
            group.create_task(roll_up(process.platform.database, process.clock.ms()), name="roll-up")
        group.create_task(reported(2), name="reports")
    done = [await roll_up(process.platform.database, process.clock.ms()) for process in processes]
    assert done[1:] == [0, 0]
    for table in (usage_hours, usage_days):
        assert [row.requests for row in await here.rows(table.select())] == [6] * len(fleet)
    assert await here.count(unrolled_nodes) == 0
