"""Reports: contract §5.3 and node-protocol §5."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import select, update

from bridge_node.platform.models import (
    audit_events,
    batches,
    node_buckets,
    node_status_minutes,
    repository_buckets,
    repository_keys,
    usage_minutes,
)
from bridge_node.platform.sweeps import sweep
from tests.platform.world import NOW, OwnNode, PlatformUnderTest, VendorNode

MINUTE = int(NOW) // 60 * 60
SEEN = "2026-02-02T02:40:00.000Z"


@pytest.fixture
async def node(here: PlatformUnderTest) -> OwnNode:
    """Enrolled, and given repo-1."""
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    return node


def seen(**changes: Any) -> dict[str, Any]:
    return {"unitId": "bucket-1", "status": "ONLINE", "latencyMs": 18.5, "createdAt": SEEN, **changes}


def moved(**changes: Any) -> dict[str, Any]:
    row = {"minute": MINUTE, "repoId": "repo-1", "bucketId": "bucket-1", "apiKeyId": "key-1", "protocol": "s3"}
    sums = {"requests": 3, "errors": 1, "upl_bytes": 100, "dwl_bytes": 7, "size_change": -5, "latency_ms": 40}
    return {**row, **sums, "host": "s3.example.net", **changes}


async def report(node: OwnNode, **fields: Any) -> tuple[int, dict[str, Any]]:
    answer = await node.post("/status", {**node.identity(), **fields})
    return answer.status_code, answer.json()


OK = (200, {"success": True, "message": "ok"})


async def test_a_report_is_written(here: PlatformUnderTest, node: OwnNode) -> None:
    assert await report(node, buckets=[seen()], usage=[moved()], batchId="b-1") == OK
    (minute,) = await here.rows(select(node_status_minutes))
    assert (minute.bucket_id, minute.minute, minute.status, minute.latency_ms) == ("bucket-1", MINUTE, "ONLINE", 18.5)
    (usage,) = await here.rows(select(usage_minutes))
    assert (usage.requests, usage.errors, usage.upload_bytes, usage.download_bytes) == (3, 1, 100, 7)
    assert (usage.size_change, usage.latency_ms, usage.estimated, usage.host) == (-5, 40, False, "s3.example.net")


async def test_a_batch_counts_once_however_often_it_comes(here: PlatformUnderTest, node: OwnNode) -> None:
    batch = {"usage": [moved()], "batchId": "b-1"}
    answers = await asyncio.gather(*(report(node, **batch) for _ in range(5)))
    assert answers == [OK] * 5
    (usage,) = await here.rows(select(usage_minutes))
    assert usage.requests == 3


async def test_batch_ids_are_each_nodes_own(here: PlatformUnderTest, node: OwnNode) -> None:
    other = OwnNode(here, node.organisation_key, ip="node-2")
    await other.enrol()
    await other.config()
    for one in (node, other):
        assert await report(one, usage=[moved()], batchId="b-1") == OK
    assert [row.requests for row in await here.rows(select(usage_minutes))] == [3, 3]


async def test_batch_ids_are_remembered_for_thirty_days(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, batchId="b-1")
    here.clock.now += 29 * 24 * 3600
    await sweep(here.platform.database, here.clock.ms())
    assert await here.count(batches) == 1
    here.clock.now += 2 * 24 * 3600
    await sweep(here.platform.database, here.clock.ms())
    assert await here.count(batches) == 0


async def test_late_batches_add_to_their_minute(here: PlatformUnderTest, node: OwnNode) -> None:
    await report(node, usage=[moved(), moved(requests=4, estimated=True)], batchId="b-1")
    await report(node, usage=[moved(requests=5, size_change=1)], batchId="b-2")
    (usage,) = await here.rows(select(usage_minutes))
    assert (usage.requests, usage.upload_bytes, usage.size_change, usage.estimated) == (12, 300, -9, True)


async def test_a_key_was_last_used_in_the_newest_minute_that_tells_of_it(
    here: PlatformUnderTest, node: OwnNode
) -> None:
    async def last_used() -> str | None:
        (key,) = (await here.call("GET", "/repo/repo-1/apikey")).json()["keys"]
        told: str | None = key.get("lastUsedAt")
        return told

    assert await last_used() is None
    await report(node, usage=[moved(), moved(minute=MINUTE - 60)])
    assert await last_used() == SEEN
    await report(node, usage=[moved(minute=MINUTE - 3600)])
    assert await last_used() == SEEN


async def test_a_key_that_is_being_changed_keeps_no_report_waiting(here: PlatformUnderTest, node: OwnNode) -> None:
    if here.platform.database.postgres:  # SQLite has one writer at a time anyway
        async with here.platform.database.transaction() as connection:
            await connection.execute(update(repository_keys).values(name="held"))
            assert await report(node, usage=[moved()]) == OK
    await report(node, usage=[moved(minute=MINUTE + 60)])
    (row,) = await here.rows(select(repository_keys).where(repository_keys.c.id == "key-1"))
    assert row.last_used_at == (MINUTE + 60) * 1000


async def test_what_a_node_calls_its_host_is_kept_as_it_was_written(here: PlatformUnderTest, node: OwnNode) -> None:
    hosts = ['"', "\\", '","', "{}", "NULL", "", "a\nb", '\\","', "ü,\u2028"]
    await report(node, usage=[moved(host=host) for host in hosts])
    assert {row.host for row in await here.rows(select(usage_minutes))} == set(hosts)


async def test_the_last_sample_of_a_minute_stays(here: PlatformUnderTest, node: OwnNode) -> None:
    later = seen(status="DISCONNECTED", latencyMs=None, createdAt="2026-02-02T02:40:30Z")
    await report(node, buckets=[later, seen()])
    (minute,) = await here.rows(select(node_status_minutes))
    assert (minute.status, minute.latency_ms) == ("DISCONNECTED", None)
    await report(node, buckets=[seen(createdAt="2026-02-02T02:35:00Z")])
    (newest,) = await here.rows(select(node_buckets))
    assert (newest.status, newest.reported_at) == ("DISCONNECTED", (MINUTE + 30) * 1000)


async def test_either_name_of_a_field_is_read(here: PlatformUnderTest, node: OwnNode) -> None:
    row = {"bucketId": "bucket-1", "status": "OFFLINE", "latency_ms": 3, "createdAt": SEEN}
    assert await report(node, buckets=[row]) == OK
    (minute,) = await here.rows(select(node_status_minutes))
    assert (minute.status, minute.latency_ms) == ("OFFLINE", 3)


@pytest.mark.parametrize(
    "rows",
    [
        {"buckets": [seen(unitId="bucket-2")]},
        {"buckets": [seen(unitId="nothing")]},
        {"usage": [moved(bucketId="bucket-2")]},
        {"usage": [moved(repoId="repo-2", bucketId="bucket-2", apiKeyId="key-2")]},
        {"usage": [moved(apiKeyId="key-2")]},
        {"usage": [moved(minute=MINUTE - 31 * 24 * 3600)]},
        {"usage": [moved(minute=MINUTE + 3600)]},
        {"buckets": [seen(createdAt="2036-02-02T02:40:00Z")]},
    ],
    ids=str,
)
async def test_rows_of_what_a_node_was_never_given_are_dropped_and_recorded(
    here: PlatformUnderTest, node: OwnNode, rows: dict[str, Any]
) -> None:
    good = {"buckets": [seen()], "usage": [moved()]}
    both = {name: good[name] + rows.get(name, []) for name in good}
    assert await report(node, **both, batchId="b-1") == OK
    assert (await here.count(node_status_minutes), await here.count(usage_minutes)) == (1, 1)
    *_, event = await here.rows(select(audit_events).order_by(audit_events.c.id))
    dropped = {name: len(rows.get(name, [])) for name in good}
    assert event.data == {"dropped": dropped, "batchId": "b-1"}


async def test_a_node_that_was_given_nothing_reports_nothing(here: PlatformUnderTest) -> None:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    assert await report(node, buckets=[seen()], usage=[moved()]) == OK
    assert (await here.count(node_status_minutes), await here.count(usage_minutes)) == (0, 0)


async def test_the_last_minutes_of_what_was_deleted_still_count(here: PlatformUnderTest, node: OwnNode) -> None:
    gone = {"deleted_at": here.clock.ms()}
    await here.change(update(repository_keys).values(gone), update(repository_buckets).values(gone))
    await report(node, usage=[moved()], buckets=[seen()], batchId="b-1")
    assert (await here.count(node_status_minutes), await here.count(usage_minutes)) == (1, 1)


async def test_a_vendors_node_reports_its_organisations_buckets(here: PlatformUnderTest) -> None:
    node = VendorNode(here, await here.new_key())
    here.clock.now += 1
    unknown = await node.post("/status", buckets=[seen()])
    assert (unknown.status_code, unknown.json()) == (404, {"success": False, "message": "Unknown node"})
    await node.register()
    here.clock.now += 1
    assert (await node.post("/status", buckets=[seen(), seen(unitId="bucket-2")])).status_code == 200
    assert [row.bucket_id for row in await here.rows(select(node_status_minutes))] == ["bucket-1"]


@pytest.mark.parametrize(
    "fields",
    [
        {"buckets": [seen(status="FINE")]},
        {"buckets": [seen(createdAt="now")]},
        {"buckets": [seen(latencyMs=-1)]},
        {"buckets": "none"},
        {"usage": [moved(requests=-1)]},
        {"usage": [moved(upl_bytes=2**63)]},
        {"usage": [moved(upl_bytes=2**60)]},
        {"usage": [moved(minute="soon")]},
        {"batchId": ""},
        {"batchId": "x" * 129},
        {"buckets": [seen()] * 10_001},
    ],
    ids=lambda fields: str(fields)[:60],
)
async def test_a_malformed_report_is_refused_whole(
    here: PlatformUnderTest, node: OwnNode, fields: dict[str, Any]
) -> None:
    status, body = await report(node, **{"usage": [moved()], "batchId": "b-1", **fields})
    assert (status, body["success"]) == (400, False)
    assert (await here.count(usage_minutes), await here.count(batches)) == (0, 0)


async def test_a_report_may_be_compressed(here: PlatformUnderTest, node: OwnNode) -> None:
    answer = await node.post("/status", {**node.identity(), "usage": [moved()]}, zipped=True)
    assert answer.status_code == 200
    assert await here.count(usage_minutes) == 1


async def test_a_report_is_bounded_packed_and_unpacked(here: PlatformUnderTest, node: OwnNode) -> None:
    bomb = {**node.identity(), "padding": "x" * (8 * 1024 * 1024)}
    assert (await node.post("/status", bomb, zipped=True)).status_code == 413
    assert (await node.post("/status", bomb)).status_code == 413
    large = {**node.identity(), "padding": "x" * (7 * 1024 * 1024)}
    assert (await node.post("/status", large)).status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "br"])
async def test_what_cannot_be_unpacked_is_refused(here: PlatformUnderTest, encoding: str) -> None:
    answer = await here.client.post("/status", content=b"\x1f\x8b\x08broken", headers={"Content-Encoding": encoding})
    assert answer.status_code == 400


async def test_three_thousand_rows_are_one_report(here: PlatformUnderTest, node: OwnNode) -> None:
    rows = [moved(minute=MINUTE - 60 * number) for number in range(3000)]
    samples = [seen() for _ in range(3000)]
    assert await report(node, usage=rows, buckets=samples, batchId="b-1") == OK
    assert await here.count(usage_minutes) == 3000
