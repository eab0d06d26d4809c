"""What moved, as it is asked for: contract §§1.6, 2 and 8."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from bridge_node.platform.api import usagestats
from bridge_node.platform.models import buckets, repositories, unrolled_hours, unrolled_nodes, usage_minutes
from bridge_node.platform.rollup import roll_up
from tests.platform.test_status import MINUTE, moved, report
from tests.platform.world import OwnNode, PlatformUnderTest

DAY = MINUTE - MINUTE % 86400
TODAY = "2026-02-02"
ROUTES = ["/stats/minute", "/stats/daily"]


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    return node


async def data(here: PlatformUnderTest, path: str, **options: Any) -> list[dict[str, Any]]:
    answer = await here.call("GET", path, **options)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json"), answer.text
    assert answer.json()["success"] is True
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


def stored(**values: Any) -> Any:
    """A minute's row as if a node had reported it."""
    row = {"repository_id": "repo-1", "minute": MINUTE, "bucket_id": "bucket-1", "key_id": "key-1", "node_id": "n"}
    return insert(usage_minutes).values({**row, "protocol": "s3", "host": "h", "requests": 1, **values})


@pytest.mark.parametrize(("path", "began"), [("/stats/minute", MINUTE), ("/stats/daily", DAY)])
async def test_a_row_is_told_in_the_contracts_words(
    here: PlatformUnderTest, node: OwnNode, path: str, began: int
) -> None:
    await report(node, usage=[moved(upl_bytes=2**53 + 1)])
    assert await data(here, path) == [
        {
            "timestamp": began,
            "repoId": "repo-1",
            "bucketId": "bucket-1",
            "unitId": "bucket-1",
            "upl_bytes": "9007199254740993",
            "dwl_bytes": "7",
            "size_change": "-5",
            "latency_ms": 13.333,
            "host": "s3.example.net",
        }
    ]


async def test_keys_and_nodes_of_one_bucket_and_host_are_one_row(here: PlatformUnderTest, node: OwnNode) -> None:
    other = OwnNode(here, node.organisation_key, ip="node-2")
    await other.enrol()
    await other.config()
    await report(node, usage=[moved(), moved(protocol="gcs"), moved(host="other")])
    await report(other, usage=[moved()])
    for path in ROUTES:
        rows = await data(here, path)
        assert [(row["host"], row["upl_bytes"]) for row in rows] == [("other", "100"), ("s3.example.net", "300")]


async def test_days_are_the_same_before_and_after_a_roll_up(here: PlatformUnderTest, node: OwnNode) -> None:
    minutes = [MINUTE - 60 * number for number in (0, 1, 59, 60, 61, 1440, 3000)]
    await report(node, usage=[moved(minute=minute) for minute in minutes])
    before = await data(here, "/stats/daily")
    assert [(row["timestamp"] - DAY, row["upl_bytes"]) for row in before] == [
        (-2 * 86400, "100"),
        (-86400, "100"),
        (0, "500"),
    ]
    assert await roll_up(here.platform.database, here.clock.ms()) == 1
    assert await data(here, "/stats/daily") == before
    await report(node, usage=[moved(minute=MINUTE - 60, upl_bytes=11)])
    assert [row["upl_bytes"] for row in await data(here, "/stats/daily")] == ["100", "100", "511"]


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, 2),
        ({"repoId": "repo-1"}, 2),
        ({"repoId": "undefined", "bucketId": "null", "unitId": "", "hosts": "undefined"}, 2),
        ({"bucketId": "bucket-1"}, 1),
        ({"unitId": "bucket-1,bucket-9"}, 1),
        ({"bucketId": "bucket-9"}, 0),
        ({"repoId": "repo-9", "bucketId": "bucket-1"}, 1),
        ({"repoId": "repo-1", "unitId": "bucket-1"}, 2),
        ({"hosts": "h"}, 1),
        ({"hosts": "h,other"}, 2),
        ({"bucketId": "bucket-1", "hosts": "other"}, 0),
        ({"repoId": "repo-2"}, 0),
        ({"startDate": TODAY, "endDate": TODAY}, 2),
        ({"startDate": TODAY}, 2),
        ({"endDate": f"{TODAY}T02:40:00.000Z"}, 2),
        ({"endDate": f"{TODAY}T02:40:00+00:00"}, 2),
        ({"startDate": f"{TODAY}T02:40:59"}, 2),
        ({"startDate": str(MINUTE), "endDate": str(MINUTE * 1000)}, 2),
        ({"startDate": "2026-02-03"}, 0),
        ({"endDate": "2026-02-01"}, 0),
    ],
    ids=str,
)
async def test_ids_are_either_and_hosts_and_times_are_both(
    here: PlatformUnderTest, path: str, query: dict[str, str], found: int
) -> None:
    await here.change(stored(host="h"), stored(bucket_id="account-1", host="other", key_id="key-9"))
    await _settled(here)
    assert len(await data(here, path, params=query)) == found


async def _settled(here: PlatformUnderTest) -> None:
    """What was stored by hand is taken up as what came before there were hours and days."""
    hour = MINUTE - MINUTE % 3600
    await here.change(
        insert(unrolled_nodes).values(node_id="n", since=0), insert(unrolled_hours).values(node_id="n", hour=hour)
    )
    assert await roll_up(here.platform.database, here.clock.ms()) == 1


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"startDate": "2026-02-02", "endDate": "2026-02-01"}, "startDate is after endDate"),
        ({"startDate": "soon"}, "startDate: not a date"),
        ({"endDate": "2026-02-30"}, "endDate: not a date"),
        ({"startDate": "0000-01-01T00:00:00Z"}, "startDate: not a date"),
        ({"repoId": "x," * 1001}, "A list holds at most 1000 values"),
    ],
    ids=str,
)
async def test_what_cannot_be_meant_is_refused(
    here: PlatformUnderTest, path: str, query: dict[str, str], message: str
) -> None:
    answer = await here.call("GET", path, params=query)
    assert (answer.status_code, answer.json()) == (400, {"success": False, "message": message})


async def test_the_usual_span_of_minutes_is_a_day_and_of_days_a_month(here: PlatformUnderTest, node: OwnNode) -> None:
    ages = (0, 23 * 60, 25 * 60, 29 * 1440)
    await report(node, usage=[moved(minute=MINUTE - 60 * age) for age in ages])
    assert len(await data(here, "/stats/minute")) == 2
    assert len(await data(here, "/stats/daily")) == 3


@pytest.mark.parametrize("path", ROUTES)
async def test_more_rows_than_may_be_are_refused_with_the_reason(
    here: PlatformUnderTest, node: OwnNode, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usagestats, "MOST_ROWS", 2)
    hosts = [moved(host=f"host-{number}") for number in range(3)]
    await report(node, usage=hosts[:2])
    assert len(await data(here, path)) == 2
    await report(node, usage=hosts)
    answer = await here.call("GET", path)
    assert answer.status_code == 400
    assert answer.json()["message"] == "More than 2 rows: ask for a shorter time, or for fewer buckets"


async def test_three_thousand_rows_are_one_answer(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(host=f"host-{number}") for number in range(3000)])
    assert len(await data(here, "/stats/minute")) == 3000


async def test_totals_of_repositories_are_strings(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(), moved(minute=MINUTE - 86400, upl_bytes=2**53)])
    told = {"repoId": "repo-1", "totalUploadBytes": str(2**53 + 100), "totalDownloadBytes": "14"}
    expected = {"success": True, "stats": [{**told, "totalSizeChange": "-10"}]}
    assert (await here.call("GET", "/repo/stats")).json() == expected
    await roll_up(here.platform.database, here.clock.ms())
    assert (await here.call("GET", "/repo/stats?repoId=repo-1,repo-2")).json() == expected
    assert (await here.call("GET", "/repo/stats?repoId=repo-2")).json() == {"success": True, "stats": []}


@pytest.mark.parametrize("path", ["/bucket/stats", "/unit/stats"])
async def test_totals_of_buckets_name_both_ids_and_count_requests(
    here: PlatformUnderTest, node: OwnNode, path: str
) -> None:
    zeros = {"totalCount": "0", "totalUploadBytes": "0", "totalDownloadBytes": "0", "totalSizeChange": "0"}
    ids = {"bucketId": "bucket-1", "unitId": "bucket-1"}
    assert (await here.call("GET", path)).json() == {"success": True, "stats": [{**ids, **zeros}]}
    await report(node, usage=[moved()])
    (totals,) = (await here.call("GET", path + "?unitId=bucket-1")).json()["stats"]
    moved_since = {"totalUploadBytes": "100", "totalDownloadBytes": "7", "totalSizeChange": "-5"}
    assert totals == {**ids, "totalCount": "3", **moved_since}
    assert (await here.call("GET", path + "?bucketId=bucket-2")).json()["stats"] == []


async def test_nobody_sees_what_moved_elsewhere(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    for query in ("", "?repoId=repo-1", "?bucketId=bucket-1"):
        for path in ROUTES:
            assert await data(here, path + query, user="owner-2", organisation="org-2") == []
            assert len(await data(here, path + query, user="user-1")) == 1
    hidden = {"workspace_id": "ws-2"}
    await here.change(update(repositories).values(hidden), update(buckets).values(hidden))
    for path in ROUTES:
        assert await data(here, path, user="user-1") == []
        assert len(await data(here, path, user="admin-1")) == 1
    for path in ("/repo/stats", "/bucket/stats"):
        assert (await here.call("GET", path, user="user-1")).json()["stats"] == []
        assert len((await here.call("GET", path)).json()["stats"]) == 1


async def test_what_was_deleted_keeps_its_rows_and_loses_its_totals(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    gone = {"deleted_at": here.clock.ms()}
    await here.change(update(repositories).values(gone), update(buckets).values(gone))
    assert len(await data(here, "/stats/daily?repoId=repo-1")) == 1
    for path in ("/repo/stats", "/bucket/stats"):
        assert (await here.call("GET", path)).json()["stats"] == []


@pytest.mark.parametrize("path", [*ROUTES, "/repo/stats", "/bucket/stats", "/unit/stats"])
async def test_nothing_is_told_without_a_token(here: PlatformUnderTest, path: str) -> None:
    assert (await here.client.get(path)).status_code == 401
