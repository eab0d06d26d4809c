"""`POST /bucket/{id}/validate`: it really reaches the bucket, by a node or by the platform (contract §1.9)."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, literal, select, update

from bridge_node.crypto import sealing
from bridge_node.crypto.sealing import Address
from bridge_node.messages import PlaceDocument, Task
from bridge_node.platform.clouds import Account, Flags, administration
from bridge_node.platform.models import assignments, buckets, members, nodes, organisations
from bridge_node.platform.models import tasks as task_rows
from bridge_node.platform.settings import PlatformLimits
from tests.cloud_servers import AzureServer
from tests.gcs_policies import Policies
from tests.platform.clouds import azurite_subject, gcs_subject
from tests.platform.test_buckets import READY, body, call, create, listed
from tests.platform.world import OwnNode, PlatformUnderTest, running_platform
from tests.servers import S3Server


@pytest.fixture
async def there(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """A platform that may reach servers on loopback, and waits no long time for nodes."""
    limits = PlatformLimits(connections=5, validation_seconds=2.0)
    terms: dict[str, Any] = {"allow_private_endpoints": True, "local_roots": ("edge",), "limits": limits}
    async with running_platform(database_url, tmp_path, **terms) as platform:
        yield platform


async def validate(here: PlatformUnderTest, bucket_id: str, said: Any = None, code: int = 200, **who: Any) -> Any:
    return await call(here, "POST", f"/bucket/{bucket_id}/validate", said, code, **who)


def own(server: S3Server, **changes: Any) -> dict[str, Any]:
    """What the vendor's client sends for a bucket that is not saved yet."""
    said = {"bucket": READY, "key": server.access_key, "secret": server.secret_key, "endpoint": server.endpoint}
    return {**said, **changes}


# by the platform


async def test_a_stored_bucket_is_reached_and_remembered(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    bucket_id = await create(there, seaweedfs)
    for said in (None, {}, {"bucket": READY}, {"bucket": READY, "key": seaweedfs.access_key, "secret": ""}):
        answer = await validate(there, bucket_id, said)
        assert isinstance(answer["latency_ms"], int)
        assert answer == {
            "success": True,
            "message": "reachable",
            "latency_ms": answer["latency_ms"],
            "latencyMs": answer["latency_ms"],
            "status": "ONLINE",
        }
    assert (await listed(there))["Archive"]["lastStatusAt"] == "2026-02-02T02:40:05.000Z"


async def test_a_bucket_that_does_not_answer_is_told_and_remembered(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs)
    await there.change(update(buckets).where(buckets.c.id == bucket_id).values(bucket="gone-meanwhile"))
    answer = await validate(there, bucket_id, None, 400)
    assert answer == {"success": False, "message": "there is no such bucket", "status": "DISCONNECTED"}
    assert (await listed(there))["Archive"]["status"] == "DISCONNECTED"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "wrong"}, "refuses"),
        ({"bucket": "missing"}, "no such bucket"),
        ({"endpoint": "http://127.0.0.1:1"}, "reach"),
    ],
)
async def test_what_the_body_says_is_tried_in_place_of_what_is_stored(
    there: PlatformUnderTest, seaweedfs: S3Server, changes: dict[str, str], reason: str
) -> None:
    bucket_id = await create(there, seaweedfs)
    assert reason in (await validate(there, bucket_id, own(seaweedfs, **changes), 400))["message"]
    assert (await listed(there))["Archive"]["status"] == "ONLINE"
    await validate(there, bucket_id)


@pytest.mark.parametrize("bucket_id", ["new", "undefined", "00000000-0000-0000-0000-000000000000", "bucket-2"])
async def test_a_bucket_that_is_not_stored_yet_is_tried_under_any_id(
    there: PlatformUnderTest, seaweedfs: S3Server, bucket_id: str
) -> None:
    assert (await validate(there, bucket_id, own(seaweedfs)))["status"] == "ONLINE"
    key = {"workspaceId": "ws-1", "provider": "OTHER", "key": seaweedfs.access_key, "secret": seaweedfs.secret_key}
    made = await call(there, "POST", "/apikeys", {**key, "endpoint": seaweedfs.endpoint})
    assert (await validate(there, bucket_id, {"bucket": READY, "apiKeyUuid": made["apiKeyId"]}))["success"] is True
    await validate(there, bucket_id, own(seaweedfs, bucket=None), 400)
    await validate(there, bucket_id, {"bucket": READY}, 404)
    await validate(there, bucket_id, own(seaweedfs), 404, user="user-1")
    await there.change(insert(members).values(workspace_id="ws-2", user_id="user-1", access="READ"))
    await there.change(update(members).where(members.c.workspace_id == "ws-1").values(access="WRITE"))
    await validate(there, bucket_id, own(seaweedfs), user="user-1")


async def test_what_may_not_be_declared_is_not_tried_either(here: PlatformUnderTest, seaweedfs: S3Server) -> None:
    assert "private address" in (await validate(here, "new", own(seaweedfs), 400))["message"]
    assert "private address" in (await validate(here, "bucket-1", own(seaweedfs), 400))["message"]
    role = own(seaweedfs, key="arn:aws:iam::123456789012:role/storage", endpoint="")
    assert "delegated" in (await validate(here, "new", role, 400))["message"]


async def made(account: Account, storage_type: str) -> dict[str, Any]:
    """A new bucket at a cloud, as clients describe it."""
    bucket = f"validated-{uuid.uuid4()}"
    await administration.create(account, bucket, Flags())
    where = {"storageType": storage_type, "bucket": bucket, "endpoint": account.endpoint}
    return {**where, "key": account.key, "secret": account.secret}


async def test_a_gcs_bucket_is_reached_by_the_clouds_own_sdk(
    there: PlatformUnderTest, gcs_policies: Policies, seaweedfs: S3Server
) -> None:
    said = await made(gcs_subject(gcs_policies).account, "GCS")
    bucket_id = await create(there, seaweedfs, **said)
    assert (await validate(there, bucket_id))["status"] == "ONLINE"
    assert "no such bucket" in (await validate(there, bucket_id, {"bucket": "nowhere"}, 400))["message"]
    refused = await validate(there, "new", {**said, "secret": "-----BEGIN PRIVATE KEY-----"}, 400)
    assert "cannot be read" in refused["message"]


async def test_a_container_is_reached_by_the_clouds_own_sdk(
    there: PlatformUnderTest, azurite: AzureServer, seaweedfs: S3Server
) -> None:
    said = await made(azurite_subject(azurite).account, "BLOB")
    bucket_id = await create(there, seaweedfs, **said)
    assert (await validate(there, bucket_id))["status"] == "ONLINE"
    assert "no such bucket" in (await validate(there, bucket_id, {"bucket": "nowhere"}, 400))["message"]
    assert "refuses" in (await validate(there, bucket_id, {"secret": "d3Jvbmc="}, 400))["message"]


async def test_a_local_bucket_needs_a_node_to_be_tried(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    nothing = {"key": None, "secret": None, "region": None}
    bucket_id = await create(there, seaweedfs, storageType="LOCAL", endpoint="edge", bucket="photos", **nothing)
    answer = await validate(there, bucket_id, None, 400)
    assert "only a node" in answer["message"]


# by nodes


@pytest.fixture
async def node(there: PlatformUnderTest) -> AsyncIterator[OwnNode]:
    node = OwnNode(there, await there.new_key())
    await node.enrol()
    yield node
    there.platform.polls.close()


async def asked(node: OwnNode) -> tuple[Task, PlaceDocument]:
    """The task that a node's poll brings, and the place in it."""
    answer = await node.config()
    while not answer.tasks:
        answer = await node.config(answer.serves, wait=20)
    (task,) = answer.tasks
    assert task.sealed is not None
    opened = sealing.unseal(task.sealed, Address("org-1", node.ip, task.id), node.seal)
    return task, PlaceDocument.decode(opened)


async def answered(node: OwnNode, status: str, message: str = "", latency_ms: float = 12.4) -> PlaceDocument:
    task, place = await asked(node)
    result = {"id": task.id, "status": status, "message": message, "latencyMs": latency_ms}
    assert (await node.post("/node/result", result)).status_code == 200
    return place


async def test_a_node_that_is_online_is_asked_and_believed(there: PlatformUnderTest, node: OwnNode) -> None:
    asking = asyncio.create_task(validate(there, "bucket-1"), name="validate")
    place = await answered(node, "ONLINE")
    answer = await asking
    assert (answer["message"], answer["status"], answer["latency_ms"]) == ("reachable", "ONLINE", 12)
    backend = place.backend
    assert (place.bucket, backend.kind, backend.key, backend.secret) == ("media", "s3", "AK", "backend-secret-1")
    (row,) = await there.rows(select(task_rows))
    assert row.place_sealed is None
    assert (await node.config()).tasks == ()


@pytest.mark.parametrize(
    ("reason", "told"),
    [
        ("backend_403", "refuses these credentials"),
        ("backend_404", "no such bucket"),
        ("probe_timeout", "no answer in time"),
        ("address_refused", "address that may not be used"),
        ("something_else", "something_else"),
    ],
)
async def test_what_a_node_cannot_reach_is_said_in_words(
    there: PlatformUnderTest, node: OwnNode, reason: str, told: str
) -> None:
    asking = asyncio.create_task(validate(there, "bucket-1", None, 400), name="validate")
    await answered(node, "DISCONNECTED", reason)
    assert told in (await asking)["message"]


async def test_new_credentials_are_tried_by_a_node_before_they_are_stored(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server
) -> None:
    beyond = body(seaweedfs, endpoint="https://only-nodes-reach.example.com", secret="new-secret")
    creating = asyncio.create_task(call(there, "POST", "/bucket", beyond), name="create")
    place = await answered(node, "ONLINE")
    assert (await creating)["success"] is True
    assert (place.backend.endpoint, place.backend.secret) == ("https://only-nodes-reach.example.com", "new-secret")


async def test_the_stored_task_shows_no_secret(there: PlatformUnderTest, node: OwnNode) -> None:
    asking = asyncio.create_task(validate(there, "bucket-1"), name="validate")
    task, _ = await asked(node)
    (row,) = await there.rows(select(task_rows))
    assert row.place_sealed
    assert b"backend-secret-1" not in row.place_sealed
    await node.post("/node/result", {"id": task.id, "status": "ONLINE"})
    await asking


async def test_a_node_that_cannot_tell_leaves_it_to_the_platform(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server
) -> None:
    asking = asyncio.create_task(validate(there, "new", own(seaweedfs)), name="validate")
    await answered(node, "unsupported")
    assert (await asking)["status"] == "ONLINE"


async def test_a_node_that_says_nothing_is_not_waited_for_for_ever(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server
) -> None:
    assert (await validate(there, "new", own(seaweedfs)))["status"] == "ONLINE"
    assert (await node.config()).tasks == ()
    (row,) = await there.rows(select(task_rows))
    assert row.place_sealed is None


@pytest.mark.parametrize("state", ["unregistered_at", "deleted_at", "seen_at"])
async def test_nodes_that_are_not_online_are_not_asked(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server, state: str
) -> None:
    await there.change(update(nodes).values({state: 1}))
    assert (await validate(there, "new", own(seaweedfs)))["status"] == "ONLINE"
    assert await there.count(task_rows) == 0


async def test_the_nodes_of_another_organisation_are_not_asked(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server
) -> None:
    await validate(there, "new", own(seaweedfs), user="owner-2", organisation="org-2")
    assert await there.count(task_rows) == 0


@pytest.mark.parametrize("assigned", [True, False])
async def test_where_repositories_are_assigned_only_the_nodes_that_serve_the_bucket_learn_what_reaches_it(
    there: PlatformUnderTest, node: OwnNode, seaweedfs: S3Server, assigned: bool
) -> None:
    await there.change(update(organisations).values(assigns_repositories=True))
    if assigned:
        mine = select(nodes.c.id, literal("repo-1"))
        await there.change(insert(assignments).from_select(["node_id", "repository_id"], mine))
    await validate(there, "new", own(seaweedfs))
    assert await there.count(task_rows) == 0
    await validate(there, "bucket-1", own(seaweedfs))
    assert await there.count(task_rows) == assigned


# limits


async def test_ten_validations_a_minute_and_failed_declarations_count_as_such(
    here: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bad = body(seaweedfs, endpoint="https://no-such-host.invalid")
    for _ in range(4):
        await call(here, "POST", "/bucket", bad, 400)
    for _ in range(6):
        await validate(here, "nowhere", None, 404)
    refused = await here.call("POST", "/bucket/bucket-1/validate")
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) > 0
    assert refused.json()["success"] is False
    await call(here, "POST", "/bucket", bad, 429)
    assert (await here.call("POST", "/bucket/bucket-1/validate", user="admin-1")).status_code != 429


@pytest.mark.parametrize("said", ["[]", '"x"', "7", "{", '{"bucket": 7}', '{"secret": ["x"]}', "\0"])
async def test_a_body_that_says_nothing_that_can_be_read_is_refused(here: PlatformUnderTest, said: str) -> None:
    answer = await here.call(
        "POST", "/bucket/bucket-1/validate", content=said, headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    assert json.loads(answer.text)["success"] is False
