"""A key of the storage API in the hands of boto3: through a real node, which a real platform tells of it."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from bridge_node.platform import auth
from bridge_node.platform.context import Platform
from bridge_node.platform.models import usage_minutes
from bridge_node.platform.store import providerkeys
from tests.agent.test_node_process import Running, running
from tests.agent.test_real_platform import serving
from tests.node import ROOT
from tests.servers import S3Server, free_ports

EVERYTHING = ("put", "put_in_parts", "get", "list", "copy", "delete")
READING = ("get", "list")
WRITING = ("put", "put_in_parts", "delete")


@dataclass
class Scene:
    """A platform with a cloud account at SeaweedFS, and a node of its organisation."""

    platform: Platform
    http: httpx.AsyncClient
    node: Running
    python: Path

    async def call(self, method: str, verb: str, **options: Any) -> httpx.Response:
        answer = await self.http.request(method, f"/api/v1/storage/{verb}", **options)
        assert answer.status_code == 200, answer.text
        return answer

    async def bucket(self, name: str) -> None:
        await self.call("POST", "create_bucket", json={"cloudAccountId": "cloud", "bucketName": name})

    async def key(self, permission: int, selected: list[str] | None = None) -> dict[str, Any]:
        wanted = {"name": "boto3", "region": "us-east-1", "storageDn": "node", "permission": permission}
        scope = {"allBuckets": selected is None, "selectedBuckets": selected}
        made = await self.call("POST", "create_storage_key", json={**wanted, **scope, "cloudAccountId": "cloud"})
        key: dict[str, Any] = made.json()
        return key

    async def tried(self, key: dict[str, Any], *buckets: str) -> dict[str, set[str]]:
        """What boto3 could do with each bucket."""
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "AWS_ACCESS_KEY_ID": key["accessKey"],
            "AWS_SECRET_ACCESS_KEY": key["secretKey"],
            "AWS_DEFAULT_REGION": "us-east-1",
            "TARGET_ENDPOINT": self.node.s3_url,
        }
        command = (str(self.python), "-m", "tests.acceptance.clients.storage_key", *buckets)
        child = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        output, errors = await child.communicate()
        assert child.returncode == 0, errors.decode()
        outcomes: dict[str, dict[str, str]] = json.loads(output)
        return {bucket: {step for step, how in steps.items() if how == "done"} for bucket, steps in outcomes.items()}

    async def known(self, key: dict[str, Any], *, within: float = 2.0) -> None:
        """Waits until the node knows the key: it is another one that it refuses then."""
        await self._answers(key, lambda code: code != "InvalidAccessKeyId", within)

    async def forgotten(self, key: dict[str, Any], *, within: float = 2.0) -> None:
        await self._answers(key, lambda code: code == "InvalidAccessKeyId", within)

    async def counted(self, key: dict[str, Any], *, within: float = 10.0) -> None:
        """Waits until the platform has been told what moved by this key."""
        wanted = select(func.sum(usage_minutes.c.upload_bytes)).where(usage_minutes.c.key_id == key["id"])
        deadline = time.monotonic() + within
        while True:
            async with self.platform.database.reading() as connection:
                if (await connection.execute(wanted)).scalar_one():
                    return
            assert time.monotonic() < deadline, "no usage was reported"
            await asyncio.sleep(0.1)

    async def _answers(self, key: dict[str, Any], met: Any, within: float) -> None:
        deadline = time.monotonic() + within
        while not met(await asyncio.to_thread(self._code, key)):
            assert time.monotonic() < deadline, "the node did not hear of it in time"
            await asyncio.sleep(0.02)

    def _code(self, key: dict[str, Any]) -> str:
        client = S3Server(self.node.s3_url, key["accessKey"], key["secretKey"]).client()
        try:
            client.list_buckets()
        except client.exceptions.ClientError as error:
            return str(error.response["Error"]["Code"])
        return ""


@pytest.fixture
async def scene(tmp_path: Path, seaweedfs: S3Server, client_environment: Path) -> AsyncIterator[Scene]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    async with serving(tmp_path, port, allow_private_endpoints=True) as platform:
        await _account(platform, seaweedfs)
        token = auth.issue(
            platform.issuers[0], user_id="owner-1", email="", organisation_id="org-1", now=time.time(), seconds=600
        )
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=30) as http:
            made = await http.post("/api/v1/cloudaccount/insert", json={"apiKeyUuid": "cloud", "name": "Main"})
            assert made.status_code == 200, made.text
            async with running(tmp_path / "node", url, more="allow_private_addresses = true") as node:
                yield Scene(platform, http, node, client_environment / "bin" / "python")


async def _account(platform: Platform, server: S3Server) -> None:
    async with platform.database.transaction() as connection:
        place = ("cloud", "org-1", "ws-1", platform.now_ms())
        values: dict[str, Any] = {"key": server.access_key, "secret": server.secret_key, "endpoint": server.endpoint}
        await providerkeys.add(connection, platform.vault, *place, provider="OTHER", **values)


@pytest.mark.timeout(300)
async def test_boto3_reads_and_writes_as_far_as_its_storage_key_goes(scene: Scene, seaweedfs: S3Server) -> None:
    mine, other, later = ("storage-api-mine", "storage-api-other", "storage-api-later")
    for name in (mine, other, later):
        await scene.bucket(name)
        await asyncio.to_thread(seaweedfs.client().put_object, Bucket=name, Key="there", Body=b"there")
    every = await scene.key(2)
    limited = await scene.key(2, [mine, later])
    reader, writer = await scene.key(0, [mine]), await scene.key(1)
    for key in (every, limited, reader, writer):
        await scene.known(key)
    assert await scene.tried(every, mine, other) == {mine: set(EVERYTHING), other: set(EVERYTHING)}
    assert await scene.tried(limited, mine, other) == {mine: set(EVERYTHING), other: set()}
    assert await scene.tried(reader, mine, other) == {mine: set(READING), other: set()}
    assert await scene.tried(writer, mine) == {mine: set(WRITING)}

    await scene.counted(every)
    await _made_again(scene, seaweedfs, later)
    assert (await scene.tried(limited, later))[later] >= {"put", "list"}

    await scene.call("DELETE", "delete_storage_key", params={"id": every["id"]})
    await scene.forgotten(every)


async def _made_again(scene: Scene, server: S3Server, bucket: str) -> None:
    """The name stays in the key's list while there is no such bucket."""
    await asyncio.to_thread(server.client().delete_object, Bucket=bucket, Key="there")
    await scene.call("DELETE", "delete_bucket", params={"cloudAccountId": "cloud", "bucketName": bucket})
    await scene.bucket(bucket)
