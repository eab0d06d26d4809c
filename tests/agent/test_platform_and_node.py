"""The platform and a node, each as they run: what is made over HTTP is what clients of the node find."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from botocore.exceptions import ClientError

from bridge_node.platform import auth
from bridge_node.platform.context import Platform
from bridge_node.platform.store import buckets
from tests.agent.peer import ORGANISATION
from tests.agent.test_node_process import Running, running, until
from tests.agent.test_real_platform import serving
from tests.servers import S3Server, free_ports


@dataclass
class Operator:
    """An owner of the organisation, at the platform's API."""

    client: httpx.AsyncClient
    token: str

    async def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = await self.client.request(method, path, json=body or None, headers=headers)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@asynccontextmanager
async def both(directory: Path) -> AsyncIterator[tuple[Operator, Running]]:
    """A platform with a bucket `b-data` and a repository `kept` of it, and a node that has enrolled there."""
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    (directory / "disk" / "data").mkdir(parents=True)
    async with serving(directory, int(url.rpartition(":")[2])) as platform:
        await _add_bucket(platform)
        token = auth.issue(
            platform.issuers[0],
            user_id="owner-1",
            email="",
            organisation_id=ORGANISATION,
            now=platform.now_ms() / 1000,
            seconds=600,
        )
        async with httpx.AsyncClient(base_url=url) as client:
            operator = Operator(client, token)
            await operator.call("DELETE", "/repo/repo-1")  # its bucket is nowhere
            body = {"name": "Kept", "storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1"}
            await operator.call("POST", "/repo", **body, repoBuckets=[{"bucketId": "b-data"}])
            async with running(directory, url) as node:
                yield operator, node


async def _add_bucket(platform: Platform) -> None:
    async with platform.database.transaction() as connection:
        values = {"name": "Data", "bucket": "data", "storage_type": "LOCAL", "endpoint": "disk"}
        await buckets.add(connection, platform.vault, "b-data", ORGANISATION, "ws-1", platform.now_ms(), **values)


def _client(node: Running, key: dict[str, Any]) -> Any:
    return S3Server(node.s3_url, key["key"], key["secret"]).client()


def _refusal(call: Callable[[], object]) -> tuple[str, str, int]:
    """Code, message and status that S3 answers with."""
    with pytest.raises(ClientError) as caught:
        call()
    answer = caught.value.response
    return answer["Error"]["Code"], answer["Error"]["Message"], answer["ResponseMetadata"]["HTTPStatusCode"]


def _writes(client: Any) -> bool:
    try:
        client.put_object(Bucket="data", Key="probe", Body=b"x")
    except ClientError:
        return False
    return True


async def test_a_key_made_over_http_reads_and_writes_until_its_repository_is_disabled(tmp_path: Path) -> None:
    async with both(tmp_path) as (operator, node):
        body = {"name": "Archive", "storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1"}
        made = await operator.call("POST", "/repo", **body, repoBuckets=[{"bucketId": "b-data", "folder": "/alias"}])
        repo = f"/repo/{made['repoId']}"
        writer = _client(node, await operator.call("POST", f"{repo}/apikey", name="w", accessType="WRITE"))
        reader = _client(node, await operator.call("POST", f"{repo}/apikey", name="r", accessType="READ"))
        await until(lambda: _writes(writer), within=2)
        await asyncio.to_thread(lambda: writer.put_object(Bucket="alias", Key="kept", Body=b"by another name"))
        assert await asyncio.to_thread(_content, reader) == b"by another name"
        assert (await asyncio.to_thread(_refusal, lambda: reader.delete_object(Bucket="data", Key="kept")))[2] == 403

        for off, on in (
            ((repo, {"disabled": True}), (repo, {"disabled": False})),
            (
                (f"/organization/{ORGANISATION}", {"reposDisabled": True}),
                (f"/organization/{ORGANISATION}", {"reposDisabled": False}),
            ),
        ):
            await operator.call("PUT", off[0], **off[1])
            await until(lambda: not _writes(writer), within=2)
            for change in (
                lambda: writer.put_object(Bucket="data", Key="new", Body=b"x"),
                lambda: writer.delete_object(Bucket="data", Key="kept"),
                lambda: writer.copy_object(Bucket="data", Key="copy", CopySource="data/kept"),
                lambda: writer.create_multipart_upload(Bucket="data", Key="large"),
            ):
                code, message, status = await asyncio.to_thread(_refusal, change)
                assert (code, status) == ("AccessDenied", 403)
                assert message == "This repository is disabled: it can be read, and not changed."
            assert await asyncio.to_thread(_content, reader) == b"by another name"
            await operator.call("PUT", on[0], **on[1])
            await until(lambda: _writes(writer), within=2)

        await operator.call("DELETE", repo)
        await until(lambda: _unknown(writer), within=2)


def _content(client: Any) -> bytes:
    return bytes(client.get_object(Bucket="data", Key="kept")["Body"].read())


def _unknown(client: Any) -> bool:
    try:
        client.list_objects_v2(Bucket="data")
    except ClientError as error:
        return bool(error.response["Error"]["Code"] == "InvalidAccessKeyId")
    return False
