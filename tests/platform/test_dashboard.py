"""`/v2/stats/storage`: contract §8, shapes as the vendor's client types them."""

from typing import Any

import pytest
from sqlalchemy import insert, update

from bridge_node.platform.models import buckets, nodes, repositories, repository_buckets, workspaces
from bridge_node.platform.rollup import roll_up
from tests.platform.test_status import MINUTE, moved, report
from tests.platform.world import OwnNode, PlatformUnderTest

ROUTE = "/v2/stats/storage"
STEPS = {"24h": 600, "7d": 3600, "30d": 21600, "90d": 43200, "180d": 86400, "365d": 86400}
METRICS = {"uplBytes": 100, "dwlBytes": 7, "sizeChange": -5, "latencyMs": 13.333, "requests": 3}
NOTHING = dict.fromkeys(METRICS, 0)


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    return node


async def ask(here: PlatformUnderTest, path: str = "", **query: Any) -> dict[str, Any]:
    answer = await here.call("GET", ROUTE + path, params={"window": "24h", **query})
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    assert told["success"] is True
    return told


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize(("window", "size"), [*zip(STEPS, ["10m", "1h", "6h", "12h", "1d", "1d"], strict=True)])
async def test_a_series_has_every_step_of_its_window(
    here: PlatformUnderTest, node: OwnNode, window: str, size: str, rolled: bool
) -> None:
    await report(node, usage=[moved()])
    if rolled:
        await roll_up(here.platform.database, here.clock.ms())
    told = await ask(here, window=window, scope="org")
    step = STEPS[window]
    length = int(window.rstrip("hd")) * (3600 if window.endswith("h") else 86400)
    end = MINUTE - MINUTE % step + step
    meta = {"start": end - length, "end": end, "scope": "org", "window": window, "timeBucketSize": size}
    assert told["meta"] == meta
    assert [point["ts"] for point in told["series"]] == list(range(end - length, end, step))
    assert told["series"][-1] == {"ts": end - step, **METRICS}
    assert told["series"][0] == {"ts": end - length, **NOTHING}


async def test_a_summary_is_of_the_bytes_moved_in_each_step(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(minute=MINUTE - 600 * number, dwl_bytes=0) for number in range(144)])
    summary = (await ask(here))["summary"]
    same = dict.fromkeys(("avg", "min", "max", "p10", "p50", "p90"), 100)
    assert summary == {"total": 14_400, "stdDev": 0, **same}


@pytest.mark.parametrize(
    ("query", "requests"),
    [
        ({}, 3),
        ({"scope": "org", "id": "org-1"}, 3),
        ({"scope": "workspace", "id": "ws-1"}, 3),
        ({"scope": "repo", "id": "repo-1"}, 3),
        ({"scope": "undefined", "id": "null", "bucketId": "undefined"}, 3),
        ({"bucketId": "bucket-1"}, 3),
        ({"bucketId": "bucket-2"}, 0),
        ({"apiKeyId": "key-1"}, 3),
        ({"apiKeyId": "key-9"}, 0),
    ],
    ids=str,
)
async def test_a_series_is_of_what_was_asked_for(
    here: PlatformUnderTest, node: OwnNode, query: dict[str, str], requests: int
) -> None:
    await report(node, usage=[moved()])
    told = await ask(here, **query)
    assert sum(point["requests"] for point in told["series"]) == requests
    given = query.get("id") if query.get("id") != "null" else None
    assert told["meta"].get("scopeId") == given


async def test_a_filter_is_told(here: PlatformUnderTest) -> None:
    assert (await ask(here, bucketId="b"))["meta"]["resourceFilter"] == {"type": "bucket", "id": "b"}
    assert (await ask(here, apiKeyId="k"))["meta"]["resourceFilter"] == {"type": "apiKey", "id": "k"}


@pytest.mark.parametrize("path", ["", "/breakdown/repos"])
@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"window": "25h"}, 400),
        ({"scope": "planet"}, 400),
        ({"scope": "workspace"}, 400),
        ({"scope": "repo"}, 400),
        ({"scope": "org", "id": "org-2"}, 404),
        ({"scope": "workspace", "id": "ws-2"}, 404),
        ({"scope": "repo", "id": "repo-2"}, 404),
        ({"scope": "repo", "id": "repo-9"}, 404),
    ],
    ids=str,
)
async def test_what_is_not_there_or_not_the_callers_is_refused(
    here: PlatformUnderTest, path: str, query: dict[str, str], status: int
) -> None:
    answer = await here.call("GET", ROUTE + path, params={"window": "24h", **query})
    assert (answer.status_code, answer.json()["success"]) == (status, False)


async def test_members_see_their_workspaces_only(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    asked = {"window": "24h"}
    own = await here.call("GET", ROUTE, user="user-1", params=asked)
    assert own.json()["summary"]["total"] == 107
    await here.change(update(repositories).where(repositories.c.id == "repo-1").values(workspace_id="ws-2"))
    for path in ("", "/breakdown/nodes"):
        other = await here.call("GET", ROUTE + path, user="user-1", params=asked)
        assert other.json()["summary"]["total"] == 0
    refused = await here.call("GET", ROUTE, user="user-1", params={**asked, "scope": "repo", "id": "repo-1"})
    assert refused.status_code == 403
    assert (await here.client.get(ROUTE)).status_code == 401
    assert (await here.client.get(f"{ROUTE}/breakdown/repos")).status_code == 401


async def _two_of_each(here: PlatformUnderTest, node: OwnNode) -> str:
    """A second bucket with traffic ten times as large; the node's id."""
    mine = {"organisation_id": "org-1", "workspace_id": "ws-1", "created_at": 1}
    big = {"id": "bucket-3", "name": "Big", "bucket": "big", "storage_type": "GCS", "endpoint": "https://gcs.example"}
    attached = {"id": "rb-3", "repository_id": "repo-1", "bucket_id": "bucket-3"}
    await here.change(insert(buckets).values(**mine, **big), insert(repository_buckets).values(attached))
    await report(node, usage=[moved(), moved(bucketId="bucket-3", upl_bytes=1000)])
    ((node_id,),) = await here.rows(nodes.select().with_only_columns(nodes.c.id))
    return str(node_id)


@pytest.mark.parametrize("rolled", [False, True])
@pytest.mark.parametrize("window", ["24h", "7d", "365d"])
async def test_a_breakdown_names_its_parts_the_largest_first(
    here: PlatformUnderTest, node: OwnNode, window: str, rolled: bool
) -> None:
    node_id = await _two_of_each(here, node)
    if rolled:
        await roll_up(here.platform.database, here.clock.ms())
    whole = {"totals": {"uplBytes": 1100, "dwlBytes": 14, "sizeChange": -10, "latencyMs": 13.333, "requests": 6}}
    large = {"totals": {**METRICS, "uplBytes": 1000}}
    gcs = {"protocol": "GCS", "provider": "OTHER", "endpoint": "https://gcs.example"}
    aws = {"protocol": "S3", "provider": "AWS"}
    expected = {
        "workspaces": [{"entityId": "ws-1", "entityName": "Main", **whole}],
        "repos": [{"entityId": "repo-1", "entityName": "Photos", **whole}],
        "buckets": [
            {"entityId": "bucket-3", "entityName": "Big", **large},
            {"entityId": "bucket-1", "entityName": "Media", "totals": METRICS},
        ],
        "nodes": [{"entityId": node_id, "entityName": "node-1", **whole}],
        "providers": [
            {"entityId": "GCS|OTHER|https://gcs.example", "entityName": "OTHER", **gcs, **large},
            {"entityId": "S3|AWS|", "entityName": "AWS", **aws, "totals": METRICS},
        ],
    }
    for by, entities in expected.items():
        told = await ask(here, f"/breakdown/{by}", window=window)
        assert told["entities"] == entities
        assert told["summary"] == {"total": 1114}
        paging = {"limit": 100, "offset": 0, "totalEntities": len(entities)}
        assert told["meta"].items() >= {"breakdownBy": by, "includesSeries": False, **paging}.items()


async def test_a_breakdown_comes_in_pages_and_with_series(here: PlatformUnderTest, node: OwnNode) -> None:
    await _two_of_each(here, node)
    told = await ask(here, "/breakdown/buckets", includeSeries="true", limit=1, offset=1)
    (entity,) = told["entities"]
    assert entity["entityId"] == "bucket-1"
    assert len(entity["series"]) == 144
    assert entity["series"][-1] == {"ts": told["meta"]["end"] - 600, **METRICS}
    assert told["meta"]["totalEntities"] == 2


async def test_what_was_deleted_is_told_by_its_id(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved()])
    await here.change(update(buckets).values(deleted_at=1), update(workspaces).values(deleted_at=1))
    for by, one in (("buckets", "bucket-1"), ("workspaces", "ws-1"), ("providers", "bucket-1")):
        (entity,) = (await ask(here, f"/breakdown/{by}"))["entities"]
        assert (entity["entityId"], entity.get("entityName")) == (one, None)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/breakdown/planets", 404), ("/breakdown/repos?limit=-1", 400), ("/breakdown/repos?offset=x", 400)],
)
async def test_a_breakdown_that_is_none_is_refused(here: PlatformUnderTest, path: str, status: int) -> None:
    answer = await here.call("GET", ROUTE + path)
    assert (answer.status_code, answer.json()["success"]) == (status, False)
