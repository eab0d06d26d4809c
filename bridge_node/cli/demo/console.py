"""What the demo tells: where everything is, lines to paste, and once a minute how the platform sees the node."""

import asyncio
import shlex
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import typer

from bridge_node.cli.demo.directory import Directory, Facts
from bridge_node.cli.demo.node import NODE

LOOKS_EVERY = 0.05
"""How soon it is told that the node is ready."""
LOOKS_AGAIN = 0.5
MINUTE = 60.0
CALL_SECONDS = 10.0

_ALONE = "A node is running, for this machine only; Ctrl-C drains and ends it.\n"
_TOGETHER = """\
A node is running, and the platform that it belongs to, for this machine only.
Ctrl-C drains the node, takes it off the platform's list, and ends both.
"""

_PLACES = """
  S3 endpoint    {s3_endpoint}   region {region}
  bucket         {bucket}   (files in {directory}/demo)
  sandbox        make your own buckets (files in {directory}/sandbox)
  operator       {node_admin_url}/readyz?verbose and /metrics
"""
_PLATFORM_PLACE = "  platform       {platform_url}   (its calls are described at /docs)\n"
_FACTS_PLACE = "  all of this    {directory}/demo.json\n"

_LINES = """
aws, with the key that reads and writes the bucket:

  export AWS_ACCESS_KEY_ID={access_key} AWS_SECRET_ACCESS_KEY={secret_key} AWS_DEFAULT_REGION={region}
  echo hello | aws --endpoint-url {s3_endpoint} s3 cp - s3://{bucket}/hello.txt
  aws --endpoint-url {s3_endpoint} s3 ls s3://{bucket}/

aws, with the key that may make and drop buckets in the sandbox:

  AWS_ACCESS_KEY_ID={admin_access_key} AWS_SECRET_ACCESS_KEY={admin_secret_key} \\
    aws --endpoint-url {s3_endpoint} --region {region} s3 mb s3://my-bucket

boto3:

  import boto3
  s3 = boto3.client("s3", endpoint_url="{s3_endpoint}", region_name="{region}",
                    aws_access_key_id="{access_key}", aws_secret_access_key="{secret_key}")
  s3.put_object(Bucket="{bucket}", Key="hello.txt", Body=b"hello")

curl:

  curl --aws-sigv4 aws:amz:{region}:s3 --user {access_key}:{secret_key} \\
    -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD' {s3_endpoint}/{bucket}/hello.txt
"""

_PLATFORM_LINES = """
the platform, as its administrator: the nodes, and a new key that the node takes within two seconds:

  TOKEN=$({command} platform token --config {config})
  curl -H "Authorization: Bearer $TOKEN" {platform_url}/organization/{org_id}/nodes
  curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \\
    -d '{{"name": "reader", "accessType": "READ"}}' {platform_url}/repo/{repo_id}/apikey

What the platform knows, once a minute:
"""


@asynccontextmanager
async def telling(directory: Directory, facts: Facts, bucket_id: str = "") -> AsyncIterator[None]:
    """Beside what runs in the block. The facts are written down, and told, once the node is ready.

    With a `bucket_id`, the platform is asked about that bucket every minute.
    """
    async with asyncio.TaskGroup() as group:
        told = group.create_task(_tell(directory, facts, bucket_id), name="console")
        yield
        told.cancel()


async def _tell(directory: Directory, facts: Facts, bucket_id: str) -> None:
    begun = time.time()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=CALL_SECONDS)) as session:
        await _ready(session, facts.node_admin_url)
        directory.remember(facts)
        typer.echo(_welcome(directory, facts))
        if bucket_id:
            await _every_minute(View(session, facts, bucket_id, begun))


async def _ready(session: aiohttp.ClientSession, admin_url: str) -> None:
    while True:
        with suppress(aiohttp.ClientError, TimeoutError):
            async with session.get(f"{admin_url}/readyz") as answer:
                if answer.status == 200:
                    return
        await asyncio.sleep(LOOKS_EVERY)


def _welcome(directory: Directory, facts: Facts) -> str:
    text = f"{_TOGETHER}{_PLACES}{_PLATFORM_PLACE}{_FACTS_PLACE}{_LINES}{_PLATFORM_LINES}"
    if not facts.platform_url:
        text = f"{_ALONE}{_PLACES}{_FACTS_PLACE}{_LINES}"
    config = shlex.quote(str(directory.platform_config))
    return text.format(directory=directory.path, command=_own_command(), config=config, **asdict(facts))


def _own_command() -> str:
    """As the user called it."""
    called = Path(sys.argv[0])
    return shlex.quote(sys.argv[0]) if called.name == "bridge-node" else "bridge-node"


async def _every_minute(view: "View") -> None:
    """The first time as soon as the node has reported."""
    while True:
        seen = await view.seen()
        if seen:
            typer.echo(_line(seen))
        await asyncio.sleep(MINUTE if seen else LOOKS_AGAIN)


@dataclass(frozen=True, slots=True)
class Seen:
    """How a bucket is reached by the node, and what moved there since the start."""

    bucket: str
    status: str
    latency_ms: float
    uploaded: int
    downloaded: int


def _line(seen: Seen) -> str:
    return (
        f"  {time.strftime('%H:%M:%S')}  {NODE} reaches bucket {seen.bucket}: {seen.status}, "
        f"{seen.latency_ms:.1f} ms, {_size(seen.uploaded)} uploaded, {_size(seen.downloaded)} downloaded"
    )


def _size(count: float) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


class View:
    """The platform as its administrator sees it, over HTTP; `since` is when the demo started, in epoch seconds."""

    def __init__(self, session: aiohttp.ClientSession, facts: Facts, bucket_id: str, since: float) -> None:
        self._session = session
        self._facts = facts
        self._bucket_id = bucket_id
        self._since = since

    async def seen(self) -> Seen | None:
        """None until the node has reported since the start, and while the platform does not answer."""
        with suppress(aiohttp.ClientError, TimeoutError):
            nodes = await self._get(f"/organization/{self._facts.org_id}/nodes")
            ids = {node["id"] for node in nodes if node["ip"] == NODE}
            for row in await self._get("/stats/nodes/minute", bucketId=self._bucket_id):
                if row["nodeId"] in ids and _moment(row["lastUpdated"]) >= self._since:
                    return await self._with_traffic(row)
        return None

    async def _with_traffic(self, row: Any) -> Seen:
        begun = datetime.fromtimestamp(self._since // MINUTE * MINUTE, UTC).isoformat()
        minutes = await self._get("/stats/minute", bucketId=self._bucket_id, startDate=begun)
        return Seen(
            bucket=self._facts.bucket,
            status=row["nodeStatus"],
            latency_ms=row["latency_ms"],
            uploaded=sum(int(minute["upl_bytes"]) for minute in minutes),
            downloaded=sum(int(minute["dwl_bytes"]) for minute in minutes),
        )

    async def _get(self, path: str, **query: str) -> Any:
        headers = {"Authorization": f"Bearer {self._facts.admin_token}"}
        async with self._session.get(self._facts.platform_url + path, headers=headers, params=query) as answer:
            answer.raise_for_status()
            return (await answer.json())["data"]


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()
