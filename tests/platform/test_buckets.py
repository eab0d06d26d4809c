"""Buckets over HTTP (contract §1): what is listed, made, changed and deleted, and what is refused."""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update

from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import (
    audit_events,
    buckets,
    members,
    repositories,
    repository_buckets,
    workspaces,
)
from bridge_node.platform.settings import PlatformLimits
from bridge_node.platform.store.buckets import Bucket
from tests.platform.test_status import report, seen
from tests.platform.world import OwnNode, PlatformUnderTest, running_platform
from tests.servers import S3Server, free_ports

READY = "ready"
"""A bucket that the server has from its start."""


@pytest.fixture
async def there(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """A platform that may reach servers on loopback."""
    terms: dict[str, Any] = {"allow_private_endpoints": True, "local_roots": ("edge",)}
    async with running_platform(database_url, tmp_path, limits=PlatformLimits(connections=5), **terms) as platform:
        yield platform


def body(server: S3Server, **changes: Any) -> dict[str, Any]:
    """A bucket that answers; what is None is left out."""
    fields = {
        "name": "Archive",
        "bucket": READY,
        "storageType": "S3",
        "workspaceId": "ws-1",
        "key": server.access_key,
        "secret": server.secret_key,
        "endpoint": server.endpoint,
        "region": server.region,
        **changes,
    }
    return {name: value for name, value in fields.items() if value is not None}


async def call(here: PlatformUnderTest, method: str, path: str, json: Any = None, code: int = 200, **who: Any) -> Any:
    here.clock.now += 1
    answer = await here.call(method, path, json=json, **who)
    assert answer.status_code == code, answer.text
    return answer.json()


async def create(here: PlatformUnderTest, server: S3Server, **changes: Any) -> str:
    made = await call(here, "POST", "/bucket", body(server, **changes))
    assert made == {"success": True, "bucketId": made["bucketId"], "unitId": made["bucketId"]}
    return str(made["bucketId"])


async def listed(here: PlatformUnderTest, query: str = "", **who: Any) -> dict[str, dict[str, Any]]:
    found = await call(here, "GET", f"/bucket{query}", **who)
    assert found["success"] is True
    return {one["name"]: one for one in found["buckets"]}


async def row(here: PlatformUnderTest, bucket_id: str) -> Bucket:
    (found,) = await here.rows(select(buckets).where(buckets.c.id == bucket_id))
    return Bucket(**found._mapping)


# making one


async def test_a_bucket_is_tried_stored_and_listed_without_its_secret(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs, walletAddress="0xabc")
    found = (await listed(there))["Archive"]
    assert found == {
        "id": bucket_id,
        "name": "Archive",
        "bucket": READY,
        "storageType": "S3",
        "key": seaweedfs.access_key,
        "endpoint": seaweedfs.endpoint,
        "region": "us-east-1",
        "status": "ONLINE",
        "lastStatusAt": "2026-02-02T02:40:01.000Z",
        "createdAt": "2026-02-02T02:40:01.000Z",
        "workspaceId": "ws-1",
        "walletAddress": "0xabc",
        "repos": [],
    }
    stored = await row(there, bucket_id)
    assert stored.secret(there.platform.vault) == seaweedfs.secret_key
    assert seaweedfs.secret_key.encode() not in (stored.secret_sealed or b"")


async def test_without_a_region_it_is_the_usual_one(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    await create(there, seaweedfs, region=None, storageType="s3")
    assert (await listed(there))["Archive"]["region"] == "us-east-1"


async def test_where_the_operator_says_so_nothing_is_tried_and_types_have_older_names(
    database_url: str, tmp_path: Path, seaweedfs: S3Server
) -> None:
    account = {"name": "Box", "storageType": "azure", "key": "account", "secret": "c2VjcmV0", "endpoint": None}
    async with running_platform(database_url, tmp_path, check_credentials=False) as here:
        await create(here, seaweedfs, **account)
        found = (await listed(here))["Box"]
        assert found["storageType"] == "BLOB"
        assert "status" not in found


async def test_a_provider_key_reaches_it_instead_of_credentials_of_its_own(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    key = {"workspaceId": "ws-1", "provider": "OTHER", "key": seaweedfs.access_key, "secret": seaweedfs.secret_key}
    made = await call(there, "POST", "/apikeys", {**key, "endpoint": seaweedfs.endpoint})
    fields = {"key": "", "secret": "", "endpoint": None, "apiKeyUuid": made["apiKeyId"]}
    bucket_id = await create(there, seaweedfs, **fields)
    found = (await listed(there))["Archive"]
    assert found["apiKeyId"] == made["apiKeyId"]
    assert "key" not in found
    assert (await row(there, bucket_id)).secret_sealed is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"secret": "wrong"}, "refuses these credentials"),
        ({"key": "WRONG"}, "refuses these credentials"),
        ({"bucket": "missing"}, "no such bucket"),
        ({"endpoint": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"endpoint": "http://no-such-host.invalid"}, "cannot be reached"),
    ],
)
async def test_credentials_that_do_not_do_are_refused_and_nothing_is_stored(
    there: PlatformUnderTest, seaweedfs: S3Server, changes: dict[str, str], reason: str
) -> None:
    answer = await call(there, "POST", "/bucket", body(seaweedfs, **changes), code=400)
    assert answer["success"] is False
    assert reason in answer["message"]
    assert "Archive" not in await listed(there)


REFUSED: list[dict[str, Any]] = [
    {"name": None},
    {"name": ""},
    {"name": "n" * 256},
    {"name": "nul\0"},
    {"name": 7},
    {"bucket": None},
    {"bucket": ""},
    {"bucket": ".."},
    {"bucket": "a/b"},
    {"bucket": "b" * 2000},
    {"storageType": None},
    {"storageType": "TAPE"},
    {"workspaceId": None},
    {"key": None},
    {"secret": None},
    {"secret": ""},
    {"secret": "s" * 20_000},
    {"key": "k" * 2000},
    {"key": "line\nbreak"},
    {"endpoint": "ftp://files.example.com"},
    {"endpoint": "https://user:password@s3.example.com"},
    {"endpoint": "https://s3.example.com/path"},
    {"endpoint": "https://s3.example.com:99999"},
    {"endpoint": "e" * 2000},
]


@pytest.mark.parametrize("changes", REFUSED, ids=str)
async def test_a_bucket_that_cannot_be_is_refused(
    there: PlatformUnderTest, seaweedfs: S3Server, changes: dict[str, Any]
) -> None:
    answer = await call(there, "POST", "/bucket", body(seaweedfs, **changes), code=400)
    assert answer["success"] is False
    assert answer["message"]
    assert await there.count(buckets) == 2


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:9000",
        "localhost",
        "https://10.1.2.3",
        "http://169.254.169.254",
        "http://[::1]:9000",
        "http://[fd00::1]",
        "http://2130706433",
        "http://0x7f.1",
        "http://[::ffff:192.168.1.1]",
    ],
)
async def test_an_endpoint_that_the_public_network_does_not_reach_is_refused(
    here: PlatformUnderTest, seaweedfs: S3Server, endpoint: str
) -> None:
    answer = await call(here, "POST", "/bucket", body(seaweedfs, endpoint=endpoint), code=400)
    assert "private address" in answer["message"]
    changed = await call(here, "PUT", "/bucket/bucket-1", {"endpoint": endpoint}, code=400)
    assert "private address" in changed["message"]


async def test_a_name_that_leads_to_a_private_address_is_not_connected_to(
    here: PlatformUnderTest, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(seaweedfs.endpoint.rpartition(":")[2])
    here_it_is = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: here_it_is)
    answer = await call(here, "POST", "/bucket", body(seaweedfs, endpoint=f"http://s3.example.com:{port}"), code=400)
    assert "leads to an address that may not be used" in answer["message"]


AMBIENT: list[dict[str, Any]] = [
    {"key": "arn:aws:iam::123456789012:role/storage", "secret": "external-id", "endpoint": ""},
    {"storageType": "GCS", "key": "svc@project.iam.gserviceaccount.com", "secret": ""},
    {"storageType": "GCS", "key": "svc@project.iam.gserviceaccount.com", "secret": '{"token_uri": "http://evil"}'},
    {"storageType": "GCS", "key": "svc@p.iam", "secret": ' {"credential_source": {"file": "/etc/passwd"}}'},
    {"storageType": "GCS", "key": '{"type": "service_account"}', "secret": "-----BEGIN PRIVATE KEY-----"},
    {"storageType": "BLOB", "key": "account", "secret": ""},
    {"storageType": "BLOB", "key": "evil.example.com/", "secret": "c2VjcmV0"},
]


@pytest.mark.parametrize("changes", AMBIENT, ids=str)
async def test_no_bucket_borrows_an_identity_or_names_a_file(
    there: PlatformUnderTest, seaweedfs: S3Server, changes: dict[str, Any]
) -> None:
    answer = await call(there, "POST", "/bucket", body(seaweedfs, **changes), code=400)
    assert answer["success"] is False
    assert await there.count(buckets) == 2


async def test_a_local_bucket_names_one_of_the_operators_roots(there: PlatformUnderTest) -> None:
    local = {"name": "Disk", "bucket": "photos", "storageType": "LOCAL", "workspaceId": "ws-1"}
    await call(there, "POST", "/bucket", {**local, "endpoint": "edge"})
    assert (await listed(there))["Disk"]["endpoint"] == "edge"
    for wrong in (
        {"endpoint": "etc"},
        {"endpoint": "/etc"},
        {"endpoint": ""},
        {"endpoint": "edge", "bucket": "../up"},
        {"endpoint": "edge", "key": "AK", "secret": "s"},
    ):
        await call(there, "POST", "/bucket", {**local, "name": "Other", **wrong}, code=400)


async def test_a_name_is_used_once_in_an_organisation_and_free_again_when_its_bucket_is_deleted(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs)
    answer = await call(there, "POST", "/bucket", body(seaweedfs), code=400)
    assert "name" in answer["message"]
    await call(there, "PUT", f"/bucket/{bucket_id}", {"name": "Media"}, code=400)
    await call(there, "POST", "/bucket", body(seaweedfs, workspaceId="ws-2"), user="owner-2", organisation="org-2")
    await call(there, "DELETE", f"/bucket/{bucket_id}")
    await create(there, seaweedfs)


async def test_of_buckets_made_at_once_under_one_name_one_is_made(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    answers = await asyncio.gather(*(there.call("POST", "/bucket", json=body(seaweedfs)) for _ in range(6)))
    assert sorted(answer.status_code for answer in answers) == [200, 400, 400, 400, 400, 400]


async def test_the_quota_holds_however_many_come_at_once(
    database_url: str, tmp_path: Path, seaweedfs: S3Server
) -> None:
    limits = PlatformLimits(buckets=3, connections=5)
    async with running_platform(database_url, tmp_path, allow_private_endpoints=True, limits=limits) as here:
        answers = await asyncio.gather(
            *(here.call("POST", "/bucket", json=body(seaweedfs, name=f"b{number}")) for number in range(5))
        )
        assert sorted(answer.status_code for answer in answers) == [200, 200, 429, 429, 429]
        refused = await call(here, "POST", "/bucket", body(seaweedfs), code=429)
        assert (refused["success"], refused["bucketId"]) == (False, "")
        assert refused["message"]
        ((number,),) = await here.rows(select(func.count()).where(buckets.c.organisation_id == "org-1"))
        assert number == 3
        await call(here, "DELETE", f"/bucket/{answers_ids(answers)[0]}")
        await create(here, seaweedfs, name="again")


def answers_ids(answers: list[Any]) -> list[str]:
    return [answer.json()["bucketId"] for answer in answers if answer.status_code == 200]


# who may


CALLS: list[tuple[str, str, Any]] = [
    ("GET", "/bucket/bucket-1/status", None),
    ("PUT", "/bucket/bucket-1", {"name": "x"}),
    ("DELETE", "/bucket/bucket-1", None),
    ("POST", "/bucket/bucket-1/validate", {"bucket": "media"}),
]


@pytest.mark.parametrize(("method", "path", "json"), CALLS)
async def test_another_organisation_finds_nothing(here: PlatformUnderTest, method: str, path: str, json: Any) -> None:
    other = {"user": "owner-2", "organisation": "org-2"}
    foreign = await call(here, method, path, json, 404, **other)
    assert foreign == await call(here, method, path.replace("bucket-1", "nowhere"), json, 404, **other)
    assert foreign["success"] is False


async def test_nothing_can_be_put_into_another_organisation(here: PlatformUnderTest, seaweedfs: S3Server) -> None:
    await call(here, "POST", "/bucket", body(seaweedfs, workspaceId="ws-2"), 404)
    await call(here, "GET", "/bucket?workspaceId=ws-2", None, 404)
    await call(here, "GET", "/bucket/available?workspaceId=ws-2", None, 404)
    key = {"workspaceId": "ws-2", "provider": "AWS", "key": "AK", "secret": "s"}
    made = await call(here, "POST", "/apikeys", key, user="owner-2", organisation="org-2")
    foreign = body(seaweedfs, key=None, secret=None, apiKeyUuid=made["apiKeyId"])
    await call(here, "POST", "/bucket", foreign, 404)


@pytest.mark.parametrize(("method", "path", "json"), [*CALLS, ("GET", "/bucket", None), ("POST", "/bucket", {})])
async def test_nobody_gets_anything_without_a_token(here: PlatformUnderTest, method: str, path: str, json: Any) -> None:
    assert (await here.client.request(method, path, json=json)).status_code == 401


@pytest.mark.parametrize(
    ("access", "read", "write"), [(None, 403, 403), ("READ", 200, 403), ("WRITE", 200, 200), ("ADMIN", 200, 200)]
)
async def test_members_read_with_read_and_change_with_write(
    there: PlatformUnderTest, seaweedfs: S3Server, access: str | None, read: int, write: int
) -> None:
    bucket_id = await create(there, seaweedfs)
    await there.change(members.delete())
    if access:
        await there.change(insert(members).values(workspace_id="ws-1", user_id="user-1", access=access))
    member = {"user": "user-1"}
    await call(there, "GET", f"/bucket/{bucket_id}/status", None, read, **member)
    await call(there, "POST", f"/bucket/{bucket_id}/validate", None, read, **member)
    await call(there, "GET", "/bucket?workspaceId=ws-1", None, read, **member)
    assert len(await listed(there, **member)) == (2 if access else 0)
    await call(there, "POST", "/bucket", body(seaweedfs, name="Mine"), write, **member)
    await call(there, "PUT", f"/bucket/{bucket_id}", {"name": "Renamed"}, write, **member)
    other = {"bucket": READY, "key": seaweedfs.access_key, "secret": seaweedfs.secret_key, "region": "eu-west-1"}
    await call(there, "POST", f"/bucket/{bucket_id}/validate", other, write, **member)
    await call(there, "DELETE", f"/bucket/{bucket_id}", None, write, **member)


async def test_repositories_of_workspaces_that_a_member_does_not_see_are_not_shown(here: PlatformUnderTest) -> None:
    made = {"organisation_id": "org-1", "created_at": 1}
    await here.change(
        insert(workspaces).values(id="ws-9", name="Hidden", **made),
        insert(repositories).values(
            id="repo-9",
            name="Hidden",
            workspace_id="ws-9",
            storage_type="S3",
            token_key_sealed=b"",
            mode="NORMAL",
            **made,
        ),
        insert(repository_buckets).values(id="rb-9", repository_id="repo-9", bucket_id="bucket-1"),
    )
    assert [one["name"] for one in (await listed(here))["Media"]["repos"]] == ["Hidden", "Photos"]
    assert [one["name"] for one in (await listed(here, user="user-1"))["Media"]["repos"]] == ["Photos"]


# reading


async def test_a_list_is_of_one_workspace_or_of_one_wallet(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    await create(there, seaweedfs, walletAddress="0xabc")
    assert set(await listed(there, "?workspaceId=undefined&walletAddress=undefined")) == {"Archive", "Media"}
    assert set(await listed(there, "?workspaceId=ws-1")) == {"Archive", "Media"}
    assert set(await listed(there, "?walletAddress=0xabc")) == {"Archive"}
    assert set(await listed(there, "?walletAddress=0xdef")) == set()


async def test_buckets_of_mirrors_are_not_available_to_others(here: PlatformUnderTest) -> None:
    found = await call(here, "GET", "/bucket/available?")
    assert [(one["id"], one["name"]) for one in found] == [("bucket-1", "Media")]
    await here.change(update(repositories).where(repositories.c.id == "repo-1").values(mode="MIRROR"))
    assert await call(here, "GET", "/bucket/available?workspaceId=ws-1") == []
    await here.change(update(repositories).where(repositories.c.id == "repo-1").values(deleted_at=1))
    assert len(await call(here, "GET", "/bucket/available")) == 1


@pytest.fixture
async def reported(here: PlatformUnderTest) -> OwnNode:
    """A node that has just reported the bucket."""
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    await node.config()
    await report(node, buckets=[seen()])
    return node


async def test_the_status_is_what_each_node_said_last(here: PlatformUnderTest, reported: OwnNode) -> None:
    told = {
        "ip": "node-1",
        "region": "eu-west-1",
        "version": "1",
        "status": "ONLINE",
        "latencyMs": 18,
        "latency_ms": 18,
        "lastUpdated": "2026-02-02T02:40:00.000Z",
    }
    answer = await call(here, "GET", "/bucket/bucket-1/status")
    assert answer == {"bucketId": "bucket-1", "unitId": "bucket-1", "nodeStatus": [told]}
    found = (await listed(here))["Media"]
    assert (found["status"], found["lastStatusAt"]) == ("ONLINE", "2026-02-02T02:40:00.000Z")
    here.clock.now += 200
    answer = await call(here, "GET", "/bucket/bucket-1/status")
    assert answer["nodeStatus"] == [{**told, "status": "OFFLINE"}]
    assert (await listed(here))["Media"]["status"] == "OFFLINE"


# changing


async def test_only_what_is_given_changes_and_an_empty_secret_keeps_the_stored_one(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs)
    before = await row(there, bucket_id)
    answer = await call(there, "PUT", f"/bucket/{bucket_id}", {"name": "Renamed", "secret": "", "key": None})
    assert answer == {
        "success": True,
        "bucketId": bucket_id,
        "unitId": bucket_id,
        "status": "ONLINE",
        "latency_ms": answer["latency_ms"],
        "latencyMs": answer["latency_ms"],
    }
    after = await row(there, bucket_id)
    assert after.name == "Renamed"
    assert (after.secret_sealed, after.key, after.endpoint) == (before.secret_sealed, before.key, before.endpoint)


async def test_a_change_that_does_not_reach_the_bucket_changes_nothing(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs)
    before = await row(there, bucket_id)
    port = free_ports(1)[0]
    for change in ({"secret": "wrong"}, {"bucket": "missing"}, {"endpoint": f"http://127.0.0.1:{port}"}):
        await call(there, "PUT", f"/bucket/{bucket_id}", change, 400)
    assert await row(there, bucket_id) == before


async def test_a_bucket_goes_over_to_a_provider_key_and_back(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    bucket_id = await create(there, seaweedfs)
    key = {"workspaceId": "ws-1", "provider": "OTHER", "key": seaweedfs.access_key, "secret": seaweedfs.secret_key}
    made = await call(there, "POST", "/apikeys", key)
    await call(there, "PUT", f"/bucket/{bucket_id}", {"apiKeyUuid": made["apiKeyId"]})
    stored = await row(there, bucket_id)
    assert (stored.provider_key_id, stored.key, stored.secret_sealed) == (made["apiKeyId"], "", None)
    own = {"key": seaweedfs.access_key, "secret": seaweedfs.secret_key}
    await call(there, "PUT", f"/bucket/{bucket_id}", {"apiKeyUuid": made["apiKeyId"], **own}, 400)
    await call(there, "PUT", f"/bucket/{bucket_id}", own)
    stored = await row(there, bucket_id)
    assert (stored.provider_key_id, stored.key) == (None, seaweedfs.access_key)


TOKENS = {"storageType": "GCS", "key": "svc@project.iam.gserviceaccount.com", "secret": "-----BEGIN PRIVATE KEY-----"}


async def test_what_opens_an_account_is_sent_nowhere_else_by_who_does_not_know_the_secret(
    database_url: str, tmp_path: Path, seaweedfs: S3Server
) -> None:
    """A token, or a signature that names no host, could be used by whoever is at the new endpoint."""
    stranger = {"endpoint": "https://stranger.example.com"}
    async with running_platform(database_url, tmp_path, check_credentials=False) as here:
        bucket_id = await create(here, seaweedfs, **TOKENS, endpoint="")
        await call(here, "PUT", f"/bucket/{bucket_id}", stranger, 400)
        await call(here, "POST", f"/bucket/{bucket_id}/validate", stranger, 400)
        await call(here, "PUT", f"/bucket/{bucket_id}", {**stranger, "storageType": "S3"})
        await call(here, "PUT", f"/bucket/{bucket_id}", {"storageType": "GCS"}, 400)
        await call(here, "PUT", f"/bucket/{bucket_id}", {**TOKENS, **stranger})
        key = {"workspaceId": "ws-1", "provider": "GCP", "key": TOKENS["key"], "secret": TOKENS["secret"]}
        key_id = (await call(here, "POST", "/apikeys", key))["apiKeyId"]
        await call(here, "PUT", f"/apikeys/{key_id}", stranger, 400)
        through = {"name": "Through", "storageType": "GCS", "key": None, "secret": None, "apiKeyUuid": key_id}
        await call(here, "POST", "/bucket", body(seaweedfs, **through, **stranger), 400)
        await create(here, seaweedfs, **through, endpoint=None)


async def test_a_bucket_stays_in_its_workspace(here: PlatformUnderTest) -> None:
    await here.change(insert(workspaces).values(id="ws-9", organisation_id="org-1", name="Other", created_at=1))
    await call(here, "PUT", "/bucket/bucket-1", {"workspaceId": "ws-9"}, 400)
    await call(here, "PUT", "/bucket/bucket-1", {"workspaceId": "ws-1", "name": "Same"})


async def test_an_attached_bucket_cannot_become_what_its_repository_may_not_have(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket = seaweedfs.create_bucket(f"second-{uuid.uuid4()}")
    first = await create(there, seaweedfs)
    second = await create(there, seaweedfs, name="Second", bucket=bucket)
    parts = [{"bucketId": first, "folder": ""}, {"bucketId": second, "folder": ""}]
    repository = {"name": "Both", "storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1", "repoBuckets": parts}
    await call(there, "POST", "/repo", repository)
    refused = await call(there, "PUT", f"/bucket/{second}", {"bucket": READY}, 400)
    assert '"Both"' in refused["message"]
    assert (await row(there, second)).bucket == bucket


async def test_a_change_reaches_every_repository_that_has_the_bucket(
    there: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    bucket_id = await create(there, seaweedfs)
    await there.change(insert(repository_buckets).values(id="rb-9", repository_id="repo-1", bucket_id=bucket_id))
    await there.platform.waker.listening.wait()
    async with there.platform.waker.waiting(["org-1"]) as bell:
        await call(there, "PUT", f"/bucket/{bucket_id}", {"region": "eu-west-2"})
        await bell.wait()
    ((revision,),) = await there.rows(select(repositories.c.revision).where(repositories.c.id == "repo-1"))
    assert revision == 1


# deleting


async def test_a_bucket_that_a_repository_has_is_not_deleted(here: PlatformUnderTest) -> None:
    refused = await call(here, "DELETE", "/bucket/bucket-1", None, 403)
    assert refused == {"success": False, "message": "Bucket is attached to 1 repository"}
    await call(here, "DELETE", "/repo/repo-1")
    assert await call(here, "DELETE", "/bucket/bucket-1") == {"success": True}
    stored = await row(here, "bucket-1")
    assert stored.deleted_at is not None
    assert stored.secret_sealed is None
    assert await listed(here) == {}
    await call(here, "DELETE", "/bucket/bucket-1", None, 404)
    await call(here, "PUT", "/bucket/bucket-1", {"name": "back"}, 404)


async def test_a_bucket_is_deleted_or_attached_but_never_both(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    bucket_id = await create(there, seaweedfs)
    repository = {"name": "Raced", "mode": "NORMAL", "storageType": "S3", "workspaceId": "ws-1"}
    attached, deleted = await asyncio.gather(
        there.call("POST", "/repo", json={**repository, "repoBuckets": [{"bucketId": bucket_id}]}),
        there.call("DELETE", f"/bucket/{bucket_id}"),
    )
    assert (attached.status_code, deleted.status_code) in {(200, 403), (404, 200)}


async def test_of_changes_made_at_once_each_is_whole(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    """A change that was tried with what another one has replaced meanwhile is refused."""
    bucket_id = await create(there, seaweedfs)
    regions = [f"eu-west-{number}" for number in range(4)]
    changes = [{"name": region, "region": region} for region in regions]
    answers = await asyncio.gather(*(there.call("PUT", f"/bucket/{bucket_id}", json=change) for change in changes))
    assert {answer.status_code for answer in answers} <= {200, 400}
    assert any(answer.status_code == 200 for answer in answers)
    stored = await row(there, bucket_id)
    assert stored.name == stored.region in regions


async def test_every_change_is_an_event_without_a_secret(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    bucket_id = await create(there, seaweedfs)
    await call(there, "PUT", f"/bucket/{bucket_id}", {"name": "Renamed", "secret": seaweedfs.secret_key})
    await call(there, "DELETE", f"/bucket/{bucket_id}")
    rows = await there.rows(select(audit_events).where(audit_events.c.context == Context.BUCKET))
    assert [(one.event, one.context_id) for one in rows] == [
        (event, bucket_id) for event in (Event.CREATED, Event.UPDATED, Event.DELETED)
    ]
    assert all(seaweedfs.secret_key not in str(one) for one in rows)
    assert rows[0].data == {"name": "Archive", "bucket": READY, "storageType": "S3"}
    assert rows[1].data["changed"] == ["name"]
    assert (rows[0].workspace_id, rows[0].user_id) == ("ws-1", "owner-1")


# older names


async def test_units_are_buckets(there: PlatformUnderTest, seaweedfs: S3Server) -> None:
    made = await call(there, "POST", "/unit", body(seaweedfs))
    unit = made["unitId"]
    assert {one["id"] for one in (await call(there, "GET", "/unit"))["buckets"]} == {unit, "bucket-1"}
    assert len(await call(there, "GET", "/unit/available")) == 2
    assert (await call(there, "GET", f"/unit/{unit}/status"))["unitId"] == unit
    assert (await call(there, "POST", f"/unit/{unit}/validate"))["status"] == "ONLINE"
    await call(there, "PUT", f"/unit/{unit}", {"name": "Renamed"})
    await call(there, "DELETE", f"/unit/{unit}")
    paths = (await there.client.get("/openapi.json")).json()["paths"]
    assert "/bucket/{bucket_id}/validate" in paths
    assert not any(path.startswith("/unit") for path in paths)
