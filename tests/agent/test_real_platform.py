"""Agent and platform of this very project, over HTTP: what each takes the other's messages for."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from pydantic import SecretStr
from sqlalchemy import func, select, update

from bridge_node.catalog import Catalog
from bridge_node.crypto import orgkey
from bridge_node.health import BackendHealth, HealthView
from bridge_node.messages import Task
from bridge_node.platform import auth
from bridge_node.platform.app import create_app
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.models import enrolments, metadata, node_status_minutes, nodes, repositories, usage_minutes
from bridge_node.platform.models import tasks as task_rows
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import grants, orgkeys, repokeys
from bridge_node.platform.store.orgkeys import OrganisationKey
from bridge_node.platform.store.repokeys import Pair
from bridge_node.platform.wakeups import changed
from bridge_node.usage import Usage
from tests.agent.peer import ORGANISATION, ORGANISATION_PUBLIC
from tests.agent.test_fleet_agent import Node, kept, living, made, restored, until
from tests.platform.world import MASTER, populate
from tests.servers import S3Server, free_ports


@contextlib.asynccontextmanager
async def serving(directory: Path, port: int, **more: Any) -> AsyncIterator[Platform]:
    """The platform, with one organisation, `repo-1` and a key of it; the state is in `directory`."""
    url = f"http://127.0.0.1:{port}"
    settings = PlatformSettings(
        state_directory=directory,
        database=SecretStr(f"sqlite:///{directory}/platform.sqlite"),
        master_key=SecretStr(MASTER),
        external_urls=(url,),
        **more,
    )
    fresh = not (directory / "platform.sqlite").exists()
    platform = await asyncio.to_thread(assemble, settings)
    if fresh:
        await stock(platform)
    app = await asyncio.to_thread(create_app, platform)
    config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve(), name="platform")  # without its handlers for the tests' signals
    await until(lambda: server.started)
    try:
        yield platform
    finally:
        platform.polls.close()
        server.should_exit = True
        await task


async def stock(platform: Platform) -> None:
    key = orgkey.load_public(ORGANISATION_PUBLIC)
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        await populate(connection, platform.vault, now)
        row = OrganisationKey("ok-1", ORGANISATION, ORGANISATION_PUBLIC, orgkey.thumbprint(key), now)
        await orgkeys.add(connection, row)


async def counted(platform: Platform, column: Any) -> int:
    async with platform.database.reading() as connection:
        return int((await connection.execute(select(func.coalesce(func.sum(column), 0)))).scalar_one())


async def becomes(platform: Platform, column: Any, wanted: int) -> None:
    for _ in range(2000):  # a machine may be busy
        if await counted(platform, column) == wanted:
            return
        await asyncio.sleep(0.01)
    assert await counted(platform, column) == wanted


async def add_key(platform: Platform, key: str) -> None:
    async with platform.database.transaction() as connection:
        pair = Pair(key, "a-secret-of-some-length")
        now = platform.now_ms()
        await repokeys.add(
            connection, platform.vault, f"id-{key}", ORGANISATION, "repo-1", pair, now, name=key, access="READ"
        )


async def remove_key(platform: Platform, key: str) -> None:
    async with platform.database.transaction() as connection:
        await repokeys.remove(connection, "repo-1", f"id-{key}", platform.now_ms())


def moves(node: Node, count: int) -> None:
    for _ in range(count):
        node.worker.record(
            Usage(
                "s3", repository="repo-1", bucket_id="bucket-1", key_id="key-1", status=200, received=10, size_change=-1
            )
        )


@pytest.fixture
def url() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


def port_of(url: str) -> int:
    return int(url.rpartition(":")[2])


async def test_a_node_enrols_serves_reports_and_leaves(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)) as platform:
        node = await made(tmp_path, url, unregister_on_drain=True)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            spec = node.applied[-1].repositories["repo-1"].buckets[0].backend
            assert (spec.access_key, spec.secret_key.get_secret_value()) == ("AK", "backend-secret-1")
            node.prober.view = HealthView(attachments={"bucket-1": BackendHealth(True, 0.018, time.time())})
            moves(node, 7)
            await becomes(platform, usage_minutes.c.requests, 7)
            await becomes(platform, usage_minutes.c.size_change, -7)
            async with platform.database.reading() as connection:
                assert (await connection.execute(select(node_status_minutes))).first() is not None
        moves(node, 2)
        await node.agent.leave()
        await node.agent.close()
        assert await counted(platform, usage_minutes.c.requests) == 9
        async with platform.database.reading() as connection:
            assert (await connection.execute(select(nodes.c.unregistered_at))).scalar_one() is not None


async def test_keys_come_and_go_on_two_nodes_within_two_seconds(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)) as platform:
        both = []
        for name in ("node-1", "node-2"):
            (tmp_path / name).mkdir()
            both.append(await made(tmp_path / name, url, node_id=name))
        async with living(both[0]), living(both[1]):
            await until(lambda: all(node.keys == {"FBAK1"} for node in both))
            await add_key(platform, "FBNEW")
            await until(lambda: all(node.keys == {"FBAK1", "FBNEW"} for node in both), within=2)
            await remove_key(platform, "FBNEW")
            await until(lambda: all(node.keys == {"FBAK1"} for node in both), within=2)


async def test_every_minute_counts_once_through_outages_of_both(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)):
        node = await made(tmp_path, url)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            moves(node, 3)
            await until(lambda: node.counted("reports") >= 1 and kept(tmp_path))
    again = await made(tmp_path, url, organisation_key=None)
    assert set((await restored(again)).keys) == {"FBAK1"}
    async with living(again):
        moves(again, 4)
        await until(lambda: again.agent.collector.depth.batches >= 1)
    last = await made(tmp_path, url, organisation_key=None)
    async with serving(tmp_path, port_of(url)) as platform, living(last):
        moves(last, 5)
        await becomes(platform, usage_minutes.c.requests, 12)


async def test_a_deleted_node_stops_serving_and_stays_away(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)) as platform:
        node = await made(tmp_path, url)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            async with platform.database.transaction() as connection:
                await connection.execute(update(nodes).values(deleted_at=platform.now_ms()))
                await connection.execute(update(enrolments).values(revoked_at=platform.now_ms()))
                await changed(connection, *await connection.scalars(select(nodes.c.id)))  # as deleting a node does
            await until(lambda: node.agent.sync.revoked)
            assert node.applied[-1] == Catalog()


async def test_a_restored_platform_is_believed_because_versions_follow_the_clock(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)) as platform:
        node = await made(tmp_path, url)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            async with platform.database.transaction() as connection:
                await connection.execute(update(nodes).values(config_version=0))
                await connection.execute(update(repositories).values(name="Restored", revision=1000))
                await changed(connection, ORGANISATION)
            await until(lambda: node.applied[-1].repositories["repo-1"].name == "Restored")


async def test_a_probe_that_the_platform_asks_for_is_answered(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url)) as platform:
        node = await made(tmp_path, url)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            async with platform.database.transaction() as connection:
                node_id = (await connection.execute(select(nodes.c.id))).scalar_one()
                task = Task(id="task-1", kind="probe", repository="repo-1", bucket="elsewhere")
                await grants.add_task(connection, node_id, task, platform.now_ms(), platform.now_ms() + 60_000)
                await changed(connection, node_id)
            for _ in range(500):
                async with platform.database.reading() as connection:
                    found = (await connection.execute(select(task_rows.c.status, task_rows.c.message))).one()
                if found.status:
                    break
                await asyncio.sleep(0.01)
            assert tuple(found) == ("DISCONNECTED", "this node does not serve the bucket")


async def call(platform: Platform, url: str, path: str, body: dict[str, Any], method: str = "POST") -> dict[str, Any]:
    """A call of the organisation's owner."""
    terms: dict[str, Any] = {"email": "", "organisation_id": ORGANISATION, "now": time.time(), "seconds": 60.0}
    token = auth.issue(next(iter(platform.issuers)), user_id="owner-1", **terms)
    async with httpx.AsyncClient(base_url=url, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:
        answer = (await client.request(method, path, json=body)).json()
    return dict(answer)


async def test_buckets_are_tried_by_a_node_while_they_are_in_no_repository(
    tmp_path: Path, url: str, seaweedfs: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform itself may not connect to loopback, and has no root of its own: what answers is the node."""
    resolve = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: resolve("127.0.0.1" if host == "node.test" else host, *a, **k)
    )
    away = {"endpoint": seaweedfs.endpoint.replace("127.0.0.1", "node.test"), "region": seaweedfs.region}
    own = {"bucket": "ready", "key": seaweedfs.access_key, "secret": seaweedfs.secret_key, **away}
    local = {"name": "Disk", "storageType": "LOCAL", "endpoint": "disk", "workspaceId": "ws-1", "bucket": "data"}
    async with serving(tmp_path, port_of(url), local_roots=("disk",)) as platform:
        node = await made(tmp_path, url, allow_private_addresses=True)
        async with living(node):
            await until(lambda: node.keys == {"FBAK1"})
            found = await call(platform, url, "/bucket/new/validate", own)
            assert (found.get("status"), found["message"]) == ("ONLINE", "reachable"), found
            found = await call(platform, url, "/bucket/new/validate", {**own, "secret": "wrong"})
            assert (found["success"], found["message"]) == (False, "the bucket refuses these credentials")
            disk = (await call(platform, url, "/bucket", local))["bucketId"]
            found = await call(platform, url, f"/bucket/{disk}/validate", {})
            assert (found["success"], found["message"]) == (False, "there is no such bucket")
            (tmp_path / "disk" / "data").mkdir()
            found = await call(platform, url, f"/bucket/{disk}/validate", {})
            assert (found.get("status"), found["message"]) == ("ONLINE", "reachable"), found


async def test_a_rotated_provider_key_is_in_force_on_a_node_within_two_seconds(tmp_path: Path, url: str) -> None:
    async with serving(tmp_path, port_of(url), check_credentials=False) as platform:
        key = {"workspaceId": "ws-1", "provider": "AWS", "key": "AKOLD", "secret": "old-secret"}
        key_id = (await call(platform, url, "/apikeys", key))["apiKeyId"]
        bucket = {"name": "Through", "bucket": "through", "storageType": "S3", "workspaceId": "ws-1"}
        bucket_id = (await call(platform, url, "/bucket", {**bucket, "apiKeyUuid": key_id}))["bucketId"]
        parts = [{"bucketId": "bucket-1"}, {"bucketId": bucket_id}]
        await call(platform, url, "/repo/repo-1", {"repoBuckets": parts}, "PUT")
        node = await made(tmp_path, url)

        def credentials() -> tuple[str, str]:
            served = node.applied[-1].repositories["repo-1"].attached("through") if node.applied else None
            return (served.backend.access_key, served.backend.secret_key.get_secret_value()) if served else ("", "")

        async with living(node):
            await until(lambda: credentials() == ("AKOLD", "old-secret"))
            await call(platform, url, f"/apikeys/{key_id}", {"key": "AKNEW", "secret": "new-secret"}, "PUT")
            await until(lambda: credentials() == ("AKNEW", "new-secret"), within=2)
            own = {"key": "AKOWN", "secret": "own-secret"}
            await call(platform, url, f"/bucket/{bucket_id}", own, "PUT")
            await until(lambda: credentials() == ("AKOWN", "own-secret"), within=2)
