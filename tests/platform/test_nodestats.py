"""What nodes see of buckets, and who may know: contract §§7 and 9.7."""

from typing import Any

import pytest
from sqlalchemy import update

from bridge_node.platform.models import buckets
from tests.platform.test_status import report, seen
from tests.platform.world import OwnNode, PlatformUnderTest

ROUTE = "/stats/nodes/minute"


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    await report(node, buckets=[seen()])
    return node


async def rows(here: PlatformUnderTest, query: str = "", **who: str) -> list[dict[str, Any]]:
    answer = await here.call("GET", ROUTE + query, **who)
    assert answer.status_code == 200
    assert answer.json()["success"] is True
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


async def test_the_newest_report_of_each_bucket_is_told(here: PlatformUnderTest, node: OwnNode) -> None:
    (info,) = (await here.call("GET", "/node")).json()["data"]
    assert await rows(here) == [
        {
            "nodeId": info["id"],
            "bucketId": "bucket-1",
            "unitId": "bucket-1",
            "nodeStatus": "ONLINE",
            "lastUpdated": "2026-02-02T02:40:00.000Z",
            "latency_ms": 18.5,
            "latencyMs": 18.5,
        }
    ]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?bucketId=bucket-1", 1),
        ("?unitId=bucket-1,bucket-9", 1),
        ("?bucketId=bucket-9&bucketId=bucket-1", 1),
        ("?bucketId=undefined&unitId=null", 1),
        ("?", 1),
        ("?bucketId=", 1),
        ("?bucketId=bucket-2", 0),
        ("?bucketId=%00", 0),
    ],
)
async def test_ids_are_read_as_clients_write_them(
    here: PlatformUnderTest, node: OwnNode, query: str, found: int
) -> None:
    if query.endswith("%00"):
        assert (await here.call("GET", ROUTE + query)).status_code in {200, 400}
        return
    assert len(await rows(here, query)) == found


async def test_a_list_without_end_is_refused(here: PlatformUnderTest) -> None:
    answer = await here.call("GET", f"{ROUTE}?bucketId={'x,' * 1001}")
    assert (answer.status_code, answer.json()["message"]) == (400, "A list holds at most 1000 values")


async def test_what_was_not_heard_of_for_three_minutes_is_offline(here: PlatformUnderTest, node: OwnNode) -> None:
    here.clock.now += 179
    assert (await rows(here))[0]["nodeStatus"] == "ONLINE"
    here.clock.now += 2
    assert (await rows(here))[0]["nodeStatus"] == "OFFLINE"


async def test_what_a_node_said_is_told_verbatim(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, buckets=[seen(status="DISCONNECTED", latencyMs=None, createdAt="2026-02-02T02:40:10Z")])
    (row,) = await rows(here)
    assert (row["nodeStatus"], row["latency_ms"]) == ("DISCONNECTED", 0)


async def test_a_node_that_left_is_offline_and_a_deleted_one_is_gone(here: PlatformUnderTest, node: OwnNode) -> None:
    await node.post("/unregister", node.identity())
    assert (await rows(here))[0]["nodeStatus"] == "OFFLINE"
    await here.call("DELETE", "/organization/org-1/node/node-1")
    assert await rows(here) == []


async def test_others_see_nothing_of_it(here: PlatformUnderTest, node: OwnNode) -> None:
    for query in ("", "?bucketId=bucket-1"):
        assert await rows(here, query, user="owner-2", organisation="org-2") == []
    assert len(await rows(here, user="user-1")) == 1
    await here.change(update(buckets).where(buckets.c.id == "bucket-1").values(workspace_id="ws-2"))
    assert await rows(here, user="user-1") == []
    assert len(await rows(here, user="admin-1")) == 1
    await here.change(update(buckets).where(buckets.c.id == "bucket-1").values(deleted_at=1))
    assert await rows(here, user="admin-1") == []


@pytest.mark.parametrize(
    ("mask", "found"), [("", 1), ("?nodeServices=0", 1), ("?nodeServices=1", 1), ("?nodeServices=6", 0)]
)
async def test_nodes_are_listed_by_their_services(
    here: PlatformUnderTest, node: OwnNode, mask: str, found: int
) -> None:
    answer = (await here.call("GET", f"/node{mask}", user="user-1")).json()
    assert (answer["success"], len(answer["data"]), answer["total"]) == (True, found, found)


async def test_a_nodes_last_word_and_the_time_of_the_call_are_told_apart(
    here: PlatformUnderTest, node: OwnNode
) -> None:
    here.clock.now += 60
    (heard,) = (await here.call("GET", "/node")).json()["data"]
    (listed,) = (await here.call("GET", "/organization/org-1/nodes")).json()["data"]
    assert heard["lastUpdated"] == "2026-02-02T02:40:00.000Z"
    assert listed == {**heard, "lastUpdated": "2026-02-02T02:41:00.000Z"}


async def test_a_mask_that_is_none_is_refused(here: PlatformUnderTest) -> None:
    for mask in ("x", "-1", "256", "1.5", "²"):
        assert (await here.call("GET", "/node", params={"nodeServices": mask})).status_code == 400


async def test_listing_the_organisations_nodes_takes_membership_only(here: PlatformUnderTest, node: OwnNode) -> None:
    path = "/organization/org-1/nodes"
    assert (await here.call("GET", path, user="user-1")).json()["total"] == 1
    answer = await here.call("GET", path, user="owner-2", organisation="org-2")
    assert (answer.status_code, answer.json()["success"]) == (403, False)
    assert (await here.client.get(path)).status_code == 401
