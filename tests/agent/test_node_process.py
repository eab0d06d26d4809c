"""A whole node as one of a platform's: what its clients notice, and what the platform learns."""

import asyncio
import contextlib
import json
import os
import signal
import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from typer.testing import CliRunner

from bridge_node.cli.main import app
from tests.agent.peer import NODE, ORGANISATION, ORGANISATION_PEM, Platform, repository, serving
from tests.node import COMMAND, ROOT, wait_until_ready
from tests.servers import S3Server, free_ports, process

SECRET = "0123456789-secret-of-the-key"


@dataclass
class Running:
    s3_url: str
    admin_url: str
    config: Path
    pid: int

    def client(self, key: str = "AKREPO1") -> Any:
        return S3Server(self.s3_url, key, SECRET).client()

    def status(self) -> Any:
        with urllib.request.urlopen(f"{self.admin_url}/status", timeout=5) as answer:
            return json.loads(answer.read())

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.admin_url}/metrics", timeout=5) as answer:
            return str(answer.read().decode())


def write_config(directory: Path, url: str, *, workers: int = 1, more: str = "") -> tuple[Path, int, int]:
    port, admin = free_ports(2)
    disk = directory / "disk"
    disk.mkdir(parents=True, exist_ok=True)
    pem = directory / "organisation.pem"
    if not pem.exists():
        pem.touch(mode=0o600)
        pem.write_text(ORGANISATION_PEM)
    file = directory / "node.toml"
    file.write_text(f"""
state_directory = "{directory}/state"
gateway = {{ workers = {workers}, drain_wait = 0.0, drain_limit = 5.0, listeners = [{{ port = {port} }}] }}
admin = {{ port = {admin}, probe_seconds = 1.0 }}
local_roots = {{ disk = "{disk}" }}
[platform]
url = "{url}"
organisation = "{ORGANISATION}"
organisation_key = {{ file = "organisation.pem" }}
node_id = "{NODE}"
local_roots = ["disk"]
report_seconds = 0.5
retry_limit = 0.5
unregister_on_drain = true
{more}
""")
    return file, port, admin


@contextlib.asynccontextmanager
async def running(directory: Path, url: str, *, workers: int = 1, more: str = "") -> AsyncIterator[Running]:
    config, port, admin = write_config(directory, url, workers=workers, more=more)
    log = directory / "node.log"
    context = process([*COMMAND, "run", "--config", str(config)], log, env={"PYTHONPATH": str(ROOT)}, grace=15)
    child = await asyncio.to_thread(context.__enter__)
    admin_url = f"http://127.0.0.1:{admin}"
    try:
        await asyncio.to_thread(wait_until_ready, admin_url, child, log)
        yield Running(f"http://127.0.0.1:{port}", admin_url, config, child.pid)
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def until(met: Callable[[], object], within: float = 10.0) -> None:
    """`met` may ask over the network: it runs in a thread, so that the platform can answer meanwhile."""
    deadline = time.monotonic() + within
    while not await asyncio.to_thread(met):
        assert time.monotonic() < deadline, "it did not happen"
        await asyncio.sleep(0.05)


def put(client: Any, name: str, size: int = 1000) -> None:
    client.put_object(Bucket="data", Key=name, Body=b"x" * size)


def size_of(client: Any, name: str) -> int:
    return len(client.get_object(Bucket="data", Key=name)["Body"].read())


def opens(client: Any) -> bool:
    try:
        client.list_objects_v2(Bucket="data")
    except (ClientError, BotoCoreError):
        return False
    return True


def totals(platform: Platform) -> dict[str, int]:
    rows = [row for batch in platform.batches.values() for row in batch.get("usage", ())]
    return {name: sum(row[name] for row in rows) for name in ("requests", "errors", "upl_bytes", "dwl_bytes")}


async def test_a_node_serves_what_its_platform_gives_and_reports_what_moved(tmp_path: Path) -> None:
    account = {"id": "account-1", "backend": {"kind": "local", "root": "disk"}, "account": True}
    admin_key = {"id": "key-1", "key": "AKADMIN", "secret": SECRET, "access": "ADMIN"}
    async with serving(Platform()) as platform:
        platform.give(repository("repo-0", attachments=[account], keys=[admin_key]))
        async with running(tmp_path, platform.url, workers=2) as node:
            client = node.client("AKADMIN")
            await asyncio.to_thread(lambda: client.create_bucket(Bucket="data"))
            platform.give(repository())
            await until(lambda: opens(node.client()), within=2)
            os.kill(node.pid, signal.SIGHUP)  # a reload leaves what the platform gave in force
            await until(lambda: 'bridge_node_reloads_total{result="ok"} 1.0' in node.metrics())
            for number in range(10):
                await asyncio.to_thread(put, node.client(), f"key-{number}")
            for worker in (await asyncio.to_thread(node.status))["workers"]:
                os.kill(worker["pid"], signal.SIGKILL)  # what they counted survives them
            assert await asyncio.to_thread(size_of, node.client(), "key-1") == 1000
            await until(lambda: totals(platform)["dwl_bytes"] >= 1000)
            await until(lambda: any(b["unitId"] == "bucket-of-repo-1" for r in platform.reports for b in r["buckets"]))
            text = await asyncio.to_thread(node.metrics)
            assert 'bridge_node_platform_registration{state="registered"} 1.0' in text
            assert "0123456789" not in text
            platform.take_away("repo-1")
            await until(lambda: not opens(node.client()), within=2)
        assert totals(platform)["upl_bytes"] == 10 * 1000
        rows = [row for batch in platform.batches.values() for row in batch["usage"]]
        assert {(row["repoId"], row["bucketId"], row["apiKeyId"]) for row in rows} >= {
            ("repo-1", "bucket-of-repo-1", "key-of-repo-1")
        }
        assert platform.calls[-1] == "/unregister"


async def test_a_killed_node_comes_back_without_its_platform_and_loses_no_closed_minute(tmp_path: Path) -> None:
    async with serving(Platform()) as platform:
        account = {"id": "account-1", "backend": {"kind": "local", "root": "disk"}, "account": True}
        platform.give(
            repository(attachments=[account], keys=[{"id": "k", "key": "AKREPO1", "secret": SECRET, "access": "ADMIN"}])
        )
        platform.hooks["/status"] = lambda request, body: (503, b"")
        async with running(tmp_path, platform.url) as node:
            await until(lambda: opens_account(node.client()))
            await asyncio.to_thread(lambda: node.client().create_bucket(Bucket="data"))
            for number in range(5):
                await asyncio.to_thread(put, node.client(), f"key-{number}")
            spooled = totals_of_requests(node)
            await until(lambda: spooled() >= 1)
            await asyncio.sleep(1.1)  # two periods: everything is closed
            os.kill(node.pid, signal.SIGKILL)
            await asyncio.sleep(0.5)
    port = int(platform.url.rpartition(":")[2])
    async with running(tmp_path, platform.url) as node:  # nobody answers there now
        assert (await asyncio.to_thread(node.status))["platform"]["configuration"] in ("restored", "away")
        await asyncio.to_thread(put, node.client(), "while-away")
        platform.hooks.clear()
        async with serving(platform, port):
            await until(lambda: totals(platform)["upl_bytes"] == 6 * 1000)
    assert totals(platform)["upl_bytes"] == 6 * 1000


def opens_account(client: Any) -> bool:
    try:
        client.list_buckets()
    except (ClientError, BotoCoreError):
        return False
    return True


def totals_of_requests(node: Running) -> Callable[[], int]:
    return lambda: int(node.status()["platform"]["spool_batches"])


async def test_a_node_enrols_by_command_and_forgets_the_organisations_key(tmp_path: Path) -> None:
    runner = CliRunner()
    async with serving(Platform()) as platform:
        config, _, _ = await asyncio.to_thread(write_config, tmp_path, platform.url)

        async def command(*words: str) -> Any:
            return await asyncio.to_thread(runner.invoke, app, ["node", *words, "--config", str(config)])

        refused = await command("forget-org-key")
        assert (refused.exit_code, (tmp_path / "organisation.pem").exists()) == (4, True)
        enrolled = await command("enrol")
        assert enrolled.exit_code == 0, enrolled.output
        assert f"enrolled as {NODE} of {ORGANISATION}" in enrolled.output
        forgotten = await command("forget-org-key")
        assert (forgotten.exit_code, (tmp_path / "organisation.pem").exists()) == (0, False)
        again = await command("enrol")  # by its own key now
        assert again.exit_code == 0, again.output
        platform.sign_key = None
        nobody = await command("enrol", "--anew")
        assert nobody.exit_code == 4
    away = await asyncio.to_thread(runner.invoke, app, ["node", "enrol", "--config", str(config)])
    assert away.exit_code == 3


@pytest.mark.parametrize("name", ["a|b", "a\tb"])
def test_names_that_would_blur_a_signed_text_are_refused(tmp_path: Path, name: str) -> None:
    config, _, _ = write_config(tmp_path, "http://127.0.0.1:9")
    config.write_text(config.read_text().replace(f'node_id = "{NODE}"', f"node_id = {json.dumps(name)}"))
    answer = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert answer.exit_code == 2
    assert "platform.node_id" in answer.output


def test_plain_http_is_for_loopback_only(tmp_path: Path) -> None:
    config, _, _ = write_config(tmp_path, "http://platform.example.com")
    answer = CliRunner().invoke(app, ["check", "--config", str(config)])
    assert answer.exit_code == 2
    assert "plain HTTP is for loopback only" in answer.output
