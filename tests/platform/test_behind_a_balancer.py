"""Three platform processes behind a load balancer, a node and boto3: to everybody it is one platform."""

import asyncio
import contextlib
import itertools
import os
import subprocess
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bridge_node.platform import auth
from bridge_node.platform.context import assemble
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import buckets
from tests.agent.peer import ORGANISATION
from tests.agent.test_node_process import opens, put, running, until
from tests.agent.test_real_platform import stock
from tests.node import COMMAND, ROOT
from tests.platform.world import MASTER
from tests.servers import S3Server, free_ports, listening, process

PLATFORM = [*COMMAND, "platform"]
SIZE = 1000


@dataclass
class Fleet:
    """Processes that share a database, and whoever spreads calls over them."""

    url: str
    processes: list[subprocess.Popen[bytes]]
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, **body: Any) -> dict[str, Any]:
        answer = await self.http.request(method, path, json=body or None)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


@pytest.fixture
async def fleet(database_url: str, tmp_path: Path) -> AsyncIterator[Fleet]:
    balancer, *ports = free_ports(4)
    url = f"http://127.0.0.1:{balancer}"
    environment = {
        "PYTHONPATH": str(ROOT),
        "BRIDGE_NODE_PLATFORM__DATABASE": database_url,
        "BRIDGE_NODE_PLATFORM__MASTER_KEY": MASTER,
        "BRIDGE_NODE_PLATFORM__EXTERNAL_URLS": f'["{url}"]',
    }
    await asyncio.to_thread(_migrate, environment)
    token = await _stocked(database_url, tmp_path)
    async with contextlib.AsyncExitStack() as stack:
        processes = []
        for port in ports:
            command = [*PLATFORM, "serve", "--config", "/dev/null"]
            env = {**environment, "BRIDGE_NODE_PLATFORM__PORT": str(port)}
            log = tmp_path / f"platform-{port}.log"
            child = await asyncio.to_thread(stack.enter_context, process(command, log, env=env))
            await asyncio.to_thread(listening, port, child, log)
            processes.append(child)
        await stack.enter_async_context(_spread(balancer, ports))
        headers = {"Authorization": f"Bearer {token}", "Connection": "close"}  # the next call comes to the next process
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=20) as http:
            yield Fleet(url, processes, http)


def _migrate(environment: Mapping[str, str]) -> None:
    command = [*PLATFORM, "migrate", "--config", "/dev/null"]
    subprocess.run(command, env={**os.environ, **environment}, check=True, timeout=60, capture_output=True)


async def _stocked(database_url: str, directory: Path) -> str:
    """Makes an organisation with a bucket on the nodes' disks; returns a token of its owner."""
    settings = PlatformSettings(
        state_directory=directory, database=SecretStr(database_url), master_key=SecretStr(MASTER)
    )
    platform = await asyncio.to_thread(assemble, settings)
    await stock(platform)
    async with platform.database.transaction() as connection:
        values = {"name": "Data", "bucket": "data", "storage_type": "LOCAL", "endpoint": "disk"}
        await buckets.add(connection, platform.vault, "b-data", ORGANISATION, "ws-1", platform.now_ms(), **values)
    await platform.database.close()
    return auth.issue(
        platform.issuers[0], user_id="owner-1", email="", organisation_id=ORGANISATION, now=time.time(), seconds=600
    )


@contextlib.asynccontextmanager
async def _spread(port: int, ports: Sequence[int]) -> AsyncIterator[None]:
    """Connections to `port` go to `ports` in turn, past those where nobody answers."""
    turns = itertools.cycle(ports)
    carrying: set[asyncio.Task[None]] = set()

    async def carried(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for one in itertools.islice(turns, len(ports)):
            with contextlib.suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", one)
                await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer))
                return
        writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(carried(reader, writer), name="a balanced connection")
        carrying.add(task)
        task.add_done_callback(carrying.discard)

    server = await asyncio.start_server(accept, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for task in carrying:
            task.cancel()
        await asyncio.gather(*carrying, return_exceptions=True)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_one_of_three_may_die_and_nobody_notices(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "disk" / "data").mkdir(parents=True)
    await fleet.call("DELETE", "/repo/repo-1")  # its bucket is nowhere
    body = {"name": "Kept", "storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1"}
    made = await fleet.call("POST", "/repo", **body, repoBuckets=[{"bucketId": "b-data"}])
    repository = f"/repo/{made['repoId']}"
    async with running(tmp_path, fleet.url) as node:
        clients = []
        for number in range(3):
            key = await fleet.call("POST", f"{repository}/apikey", name=f"k{number}", accessType="WRITE")
            client = S3Server(node.s3_url, key["key"], key["secret"]).client()
            await until(partial(opens, client), within=2)
            await asyncio.to_thread(put, client, f"object-{number}", SIZE)
            clients.append((client, key["id"]))
            if number == 0:
                fleet.processes[0].kill()
        for client, key_id in clients:
            await fleet.call("DELETE", f"{repository}/apikey/{key_id}")
            await until(partial(closed, client), within=2)
        await _counted(fleet, str(3 * SIZE))


def closed(client: Any) -> bool:
    return not opens(client)


async def _counted(fleet: Fleet, wanted: str) -> None:
    """Every byte once, whichever process the reports came to."""
    deadline = time.monotonic() + 20
    while True:
        (found,) = (await fleet.call("GET", "/repo/stats"))["stats"]
        if found["totalUploadBytes"] == wanted:
            return
        assert int(found["totalUploadBytes"]) < int(wanted), "something was counted twice"
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
