"""How well nodes reached buckets, day by day: contract §§1.5, 7 and 9.7."""

from typing import Any

import pytest
from sqlalchemy import update

from bridge_node.platform.models import buckets, nodes
from bridge_node.platform.rollup import roll_up
from bridge_node.platform.tolerance import iso
from tests.platform.test_status import MINUTE, report, seen
from tests.platform.world import NOW, OwnNode, PlatformUnderTest, VendorNode

DAILY = "/stats/nodes/daily"
DAY = MINUTE - MINUTE % 86400
YESTERDAY = DAY - 86400


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    """Known, as its bucket, for a week, and given repo-1."""
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    week_ago = {"created_at": here.clock.ms() - 7 * 86400 * 1000}
    await here.change(update(nodes).values(week_ago), update(buckets).values(week_ago))
    return node


def at(minute: int, **changes: Any) -> dict[str, Any]:
    return seen(createdAt=iso(minute * 1000), **changes)


async def daily(here: PlatformUnderTest, query: str = "", **who: str) -> list[dict[str, Any]]:
    answer = await here.call("GET", DAILY + query, **who)
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def of_day(here: PlatformUnderTest, day: str, path: str = "/bucket/bucket-1/stats") -> list[dict[str, Any]]:
    answer = await here.call("POST", path, json={"day": day})
    assert answer.status_code == 200, answer.text
    assert answer.json()["success"] is True
    rows: list[dict[str, Any]] = answer.json()["nodeStats"]
    return rows


async def test_a_day_is_told_in_the_contracts_words(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, buckets=[seen()])
    ((node_id,),) = await here.rows(nodes.select().with_only_columns(nodes.c.id))
    assert await daily(here) == [
        {
            "nodeId": node_id,
            "bucketId": "bucket-1",
            "unitId": "bucket-1",
            "day": DAY,
            "online": 0.625,
            "latency_ms": 18.5,
            "endpoint": "",
            "region": "eu-west-1",
            "storageType": "S3",
            "provider": "AWS",
            "status": "ONLINE",
            "version": "1",
        }
    ]


@pytest.mark.parametrize("rolled", [False, True])
async def test_uptime_is_online_samples_of_those_expected_and_latency_of_the_online_ones(
    here: PlatformUnderTest, node: OwnNode, rolled: bool
) -> None:
    up = [at(YESTERDAY + 60 * number, latencyMs=10 + number % 2) for number in range(720)]
    down = [at(YESTERDAY + 60 * number, status="DISCONNECTED", latencyMs=999) for number in range(720, 1080)]
    await report(node, buckets=up + down)
    if rolled:
        await roll_up(here.platform.database, here.clock.ms())
        await report(node, buckets=[at(YESTERDAY + 60 * 1000, status="DISCONNECTED", latencyMs=1)])
    (row,) = await daily(here)
    assert (row["day"], row["online"], row["latency_ms"]) == (YESTERDAY, 50, 10.5)
    assert row["status"] == "DISCONNECTED"


async def test_expected_is_what_there_was_time_for(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, buckets=[at(MINUTE - 60 * number) for number in range(5)])
    await here.change(update(nodes).values(created_at=(MINUTE - 10 * 60) * 1000))
    assert [row["online"] for row in await daily(here)] == [50]
    await here.change(update(buckets).values(created_at=MINUTE * 1000))
    assert [row["online"] for row in await daily(here)] == [100]


async def test_today_is_offline_once_nothing_was_heard_for_three_minutes(
    here: PlatformUnderTest, node: OwnNode
) -> None:
    await report(node, buckets=[seen()])
    here.clock.now += 179
    assert [row["status"] for row in await daily(here)] == ["ONLINE"]
    here.clock.now += 2
    assert [row["status"] for row in await daily(here)] == ["OFFLINE"]
    assert [row["node_status"] for row in await of_day(here, "2026-02-02")] == ["OFFLINE"]
    here.clock.now += 86400
    assert [row["status"] for row in await daily(here)] == ["ONLINE"]


@pytest.mark.parametrize("rolled", [False, True])
async def test_the_last_word_of_a_day_is_told_of_it(here: PlatformUnderTest, node: OwnNode, rolled: bool) -> None:
    late = at(YESTERDAY + 86340, status="DISCONNECTED", latencyMs=7)
    await report(node, buckets=[at(YESTERDAY + 3600), late, at(YESTERDAY + 7200)])
    if rolled:
        await roll_up(here.platform.database, here.clock.ms())
    (row,) = await of_day(here, "2026-02-01")
    assert (row["node_status"], row["last_latency_ms"]) == ("DISCONNECTED", 7)
    assert row["last_updated"] == "2026-02-01T23:59:00.000Z"
    await report(node, buckets=[{**late, "status": "ONLINE", "latencyMs": 8}])
    (row,) = await of_day(here, "2026-02-01")
    assert (row["node_status"], row["last_latency_ms"]) == ("ONLINE", 8)


@pytest.mark.parametrize("path", ["/bucket/bucket-1/stats", "/unit/bucket-1/stats"])
async def test_a_buckets_day_is_told_by_node(here: PlatformUnderTest, node: OwnNode, path: str) -> None:
    await report(node, buckets=[seen()])
    told = {
        "ip": "node-1",
        "host": "*-eu-west-1.nodes.local",
        "perc_uptime": 0.625,
        "avg_latency_ms": 18.5,
        "version": "1",
        "node_status": "ONLINE",
        "last_updated": "2026-02-02T02:40:00.000Z",
        "last_latency_ms": 18.5,
    }
    for day in ("2026-02-02", "2026-02-02T00:00:00.000Z", "2026-02-02T13:00:00+02:00", str(int(NOW))):
        assert await of_day(here, day, path) == [told]
    assert await of_day(here, "2026-02-01", path) == []


async def test_a_host_is_told_by_its_pattern(here: PlatformUnderTest) -> None:
    vendor = VendorNode(here, await here.new_key())
    await vendor.register(url="https://gcs-eu-west-1-aws.example.net:8443/")
    status = [{"unitId": "bucket-1", "status": "ONLINE", "createdAt": "2026-02-02T02:40:00Z"}]
    assert (await vendor.post("/status", buckets=status, timestamp=int(here.clock.now) + 1)).status_code == 200
    assert [row["host"] for row in await of_day(here, "2026-02-02")] == ["*-eu-west-1-aws.example.net"]
    assert [row["last_latency_ms"] for row in await of_day(here, "2026-02-02")] == [0]


@pytest.mark.parametrize("body", [{}, {"day": ""}, {"day": "soon"}, {"day": None}, {"day": 5}, None], ids=str)
async def test_a_day_that_is_none_is_refused(here: PlatformUnderTest, body: Any) -> None:
    answer = await here.call("POST", "/bucket/bucket-1/stats", json=body)
    assert (answer.status_code, answer.json()["success"]) == (400, False)


async def test_a_bucket_that_one_may_not_know_has_no_days(here: PlatformUnderTest) -> None:
    day = {"day": "2026-02-02"}
    for bucket, user, status in [
        ("bucket-9", "owner-1", 404),
        ("bucket-2", "owner-1", 404),
        ("bucket-1", "user-1", 200),
    ]:
        assert (await here.call("POST", f"/bucket/{bucket}/stats", user=user, json=day)).status_code == status
    await here.change(update(buckets).where(buckets.c.id == "bucket-1").values(workspace_id="ws-2"))
    assert (await here.call("POST", "/bucket/bucket-1/stats", user="user-1", json=day)).status_code == 403
    assert (await here.client.post("/bucket/bucket-1/stats", json=day)).status_code == 401


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", 3),
        ("?bucketId=bucket-1&startDate=undefined&endDate=null", 3),
        ("?unitId=bucket-1,bucket-9", 3),
        ("?bucketId=bucket-2", 0),
        ("?startDate=1022026", 2),
        ("?startDate=01022026&endDate=1022026", 1),
        ("?startDate=31012026&endDate=31012026", 1),
        (f"?startDate={DAY}", 1),
        (f"?endDate={DAY * 1000}", 3),
        ("?startDate=2026-02-01&endDate=2026-02-01T12:00:00Z", 1),
        ("?startDate=3022026", 0),
    ],
)
async def test_days_are_numbers_epochs_or_dates(here: PlatformUnderTest, node: OwnNode, query: str, found: int) -> None:
    await report(node, buckets=[at(DAY - 2 * 86400), at(YESTERDAY), at(DAY)])
    assert len(await daily(here, query)) == found


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("?startDate=2022026&endDate=1022026", "startDate is after endDate"),
        ("?startDate=30022026", "startDate: not a date"),
        ("?endDate=123", "endDate: not a date"),
        ("?endDate=1e9", "endDate: not a date"),
        (f"?bucketId={'x,' * 1001}", "A list holds at most 1000 values"),
    ],
)
async def test_days_that_are_none_are_refused(here: PlatformUnderTest, query: str, message: str) -> None:
    answer = await here.call("GET", DAILY + query)
    assert (answer.status_code, answer.json()) == (400, {"success": False, "message": message})


async def test_others_and_deleted_nodes_are_left_out(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, buckets=[seen()])
    assert await daily(here, "?bucketId=bucket-1", user="owner-2", organisation="org-2") == []
    assert len(await daily(here, user="user-1")) == 1
    await here.change(update(buckets).where(buckets.c.id == "bucket-1").values(workspace_id="ws-2"))
    assert await daily(here, user="user-1") == []
    await here.call("DELETE", "/organization/org-1/node/node-1")
    assert await daily(here) == []
    assert (await here.client.get(DAILY)).status_code == 401
