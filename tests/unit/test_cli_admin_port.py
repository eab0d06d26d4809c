"""`status` and `healthcheck` against a real admin port."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest
from typer.testing import CliRunner, Result

from bridge_node.admin import Admin, Check
from bridge_node.cli.main import app
from bridge_node.telemetry.exposition import Sums
from tests.peers import Peer, peer

STATUS = {
    "version": "1.2.3",
    "pid": 17,
    "uptime_seconds": 93_784.0,
    "listeners": ["http://127.0.0.1:9000"],
    "workers": [{"slot": 0, "pid": 18, "state": "ready", "uptime_seconds": 65.0}],
    "backends": {
        "disk": {"reachable": True, "seconds": 0.0042, "reason": ""},
        "cloud": {"reachable": False, "seconds": 5.0, "reason": "connect_failed"},
    },
    "platform": {"node": "edge-7", "registration": "registered", "configuration": "current", "spool_batches": 1},
    "certificates": {"/etc/tls.crt": 41.6},
}


class Told:
    """A reporter that says what it was told to say."""

    def __init__(self, *missing: str) -> None:
        self._checks = [Check("configuration", True, "version 1"), *(Check(name, False, "0 of 2") for name in missing)]

    def readiness(self) -> Sequence[Check]:
        return self._checks

    def status(self) -> Mapping[str, object]:
        return STATUS | {"ready": len(self._checks) == 1}

    def metrics(self) -> Sums:
        return {}


@contextlib.asynccontextmanager
async def admin_port(*missing: str) -> AsyncIterator[int]:
    admin = Admin(Told(*missing))
    try:
        yield await admin.open("127.0.0.1", 0)
    finally:
        await admin.close()


async def bridge_node(*arguments: object, **environment: str) -> Result:
    return await asyncio.to_thread(CliRunner().invoke, app, list(map(str, arguments)), env=environment)


async def test_a_healthy_node_is_silence_and_code_0() -> None:
    async with admin_port("workers") as port:
        result = await bridge_node("healthcheck", "--port", port)
    assert (result.exit_code, result.output) == (0, "")


async def test_a_node_that_is_not_ready_says_what_is_missing() -> None:
    async with admin_port("workers", "backends") as port:
        result = await bridge_node("healthcheck", "--ready", "--port", port)
    assert result.exit_code == 1
    assert result.stderr == "bridge-node: workers: 0 of 2; backends: 0 of 2\n"


async def test_the_admin_port_is_found_by_the_nodes_own_variables() -> None:
    async with admin_port() as port:
        settings = {"BRIDGE_NODE__ADMIN__PORT": str(port), "BRIDGE_NODE__ADMIN__HOST": "0.0.0.0"}  # noqa: S104  # a container's
        assert (await bridge_node("healthcheck", "--ready", **settings)).exit_code == 0


@pytest.mark.parametrize("command", ["healthcheck", "status"])
async def test_a_node_that_does_not_answer_in_time_is_unreachable(command: str) -> None:
    async def silent(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(silent) as server:
        result = await bridge_node(command, "--port", server.port, "--timeout", "0.2")
    assert result.exit_code == 3
    assert result.stderr.startswith(f"bridge-node: no node answers at 127.0.0.1:{server.port}: timed out (--host")


async def test_status_is_a_few_lines_and_tables() -> None:
    async with admin_port() as port:
        result = await bridge_node("status", "--port", port)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "bridge-node 1.2.3, process 17, up 1 d 2 h",
        "ready",
        "serving http://127.0.0.1:9000",
        "platform: registered as edge-7, configuration current, 1 report to be sent",
        "",
        "worker  process  state  up",
        "0       18       ready  1 min",
        "",
        "backend  state        latency  reason",
        "disk     reachable    4 ms",
        "cloud    unreachable  5000 ms  connect failed",
        "",
        "certificate   expires",
        "/etc/tls.crt  in 42 days",
    ]


async def test_status_of_a_node_that_is_not_ready_names_what_is_missing() -> None:
    async with admin_port("workers") as port:
        result = await bridge_node("status", "--port", port)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1] == "not ready: workers: 0 of 2"


async def test_status_can_be_had_as_json() -> None:
    async with admin_port() as port:
        result = await bridge_node("status", "--json", "--port", port)
    assert json.loads(result.stdout)["uptime_seconds"] == STATUS["uptime_seconds"]


@pytest.mark.parametrize(
    "answer", ["200 OK\r\nContent-Length: 5\r\n\r\nhello", "404 Not Found\r\nContent-Length: 0\r\n\r\n"]
)
async def test_something_else_at_the_port_is_named(answer: str) -> None:
    async def other(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        writer.write(f"HTTP/1.1 {answer}".encode())

    async with peer(other) as server:
        result = await bridge_node("status", "--port", server.port)
    assert result.exit_code == 1
    assert result.stderr == f"bridge-node: what answers at 127.0.0.1:{server.port} is no bridge node's admin port\n"
