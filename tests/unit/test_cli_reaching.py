"""`check --connect`: everything that a configuration names is reached, and says how it stands."""

import asyncio
import json
import ssl
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme
from typer.testing import CliRunner

from bridge_node.catalog import BackendSpec
from bridge_node.cli.main import app
from bridge_node.cli.reaching import Place, Reached, reach
from bridge_node.protocols.http import http_date
from tests.peers import Peer, Script, peer
from tests.servers import free_ports

TIMEOUT = 5.0


def cloud(endpoint: str, **more: str) -> BackendSpec:
    return BackendSpec("cloud", "s3", endpoint, access_key="A", **more)  # type: ignore[arg-type]  # text only


def answering(status: str = "200 OK", *, clock: float = 0.0) -> Script:
    """A server that answers everything alike; its clock is `clock` seconds ahead."""

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await one.read_request(reader)
            date = http_date(time.time() + clock)
            writer.write(f"HTTP/1.1 {status}\r\nDate: {date}\r\nContent-Length: 0\r\n\r\n".encode())

    return script


async def reached(spec: BackendSpec, *buckets: str | None, timeout: float = TIMEOUT) -> Sequence[Reached]:
    return await reach([Place("media", spec, bucket) for bucket in buckets], timeout)


async def test_a_bucket_that_answers_is_ok_with_its_latency() -> None:
    async with peer(answering()) as server:
        (one,) = await reached(cloud(f"http://127.0.0.1:{server.port}"), "photos")
    assert (one.state, one.detail, one.server.clock_seconds) == ("ok", "", 0.0)
    assert 0 < one.seconds < TIMEOUT
    assert one.server.certificate_days is None


async def test_places_come_back_in_the_order_that_they_were_asked_in() -> None:
    async with peer(answering()) as server:
        found = await reached(cloud(f"http://127.0.0.1:{server.port}"), "c", "a", "b")
    assert [one.place.bucket for one in found] == ["c", "a", "b"]


async def test_a_clock_too_far_away_fails_whatever_else_answers() -> None:
    async with peer(answering(clock=3600)) as server:
        (one,) = await reached(cloud(f"http://127.0.0.1:{server.port}"), "photos")
    assert one.state == "failed"
    assert one.server.clock_seconds == pytest.approx(3600, abs=5)
    assert one.detail.startswith("the clocks are too far apart for signatures")


async def test_a_small_difference_of_clocks_is_told_and_harmless() -> None:
    async with peer(answering(clock=-60)) as server:
        (one,) = await reached(cloud(f"http://127.0.0.1:{server.port}"), "photos")
    assert one.state == "ok"
    assert one.server.clock_seconds == pytest.approx(-60, abs=5)


async def test_a_certificate_tells_how_many_days_it_lasts(tmp_path: Path) -> None:
    authority, tls = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(tls)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    async with peer(answering(), tls=tls) as server:
        endpoint = f"https://127.0.0.1:{server.port}"
        (trusting,) = await reached(cloud(endpoint, ca_file=str(tmp_path / "ca.pem")), "photos")
        (doubting,) = await reached(cloud(endpoint), "photos")
    assert trusting.state == "ok"
    assert trusting.server.certificate_days is not None
    assert trusting.server.certificate_days > 1
    assert doubting.state == "unreachable"
    assert "certificate verify failed" in doubting.detail


async def test_nobody_at_the_port_is_unreachable() -> None:
    (port,) = free_ports(1)
    (one,) = await reached(cloud(f"http://127.0.0.1:{port}"), "photos")
    assert one.state == "unreachable"
    assert one.detail.startswith("connect failed: ")


async def test_silence_is_unreachable() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with peer(script) as server:
        (one,) = await reached(cloud(f"http://127.0.0.1:{server.port}"), "photos", timeout=0.2)
    assert (one.state, one.detail) == ("unreachable", "no answer within 0.2 s")


async def test_refused_credentials_are_told_apart_from_a_missing_bucket() -> None:
    async with peer(answering("403 Forbidden")) as refusing, peer(answering("404 Not Found")) as missing:
        (refused,) = await reached(cloud(f"http://127.0.0.1:{refusing.port}"), "photos")
        (absent,) = await reached(cloud(f"http://127.0.0.1:{missing.port}"), "photos")
    assert refused.state == "refused"
    assert (absent.state, absent.detail) == ("failed", "no such bucket")


async def test_directories_are_only_looked_at(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "NOT_A_BUCKET").mkdir()
    present, absent, account = await reached(BackendSpec("disk", "local", root=str(tmp_path)), "photos", "films", None)
    assert (present.state, present.detail) == ("ok", "")
    assert absent.state == "failed"
    assert absent.detail.startswith("no such bucket: [Errno 2] No such file or directory: ")
    assert (account.state, account.detail) == ("ok", "1 bucket")


CONFIGURATION = """
[local_roots]
disk = "data"
[backends.disk]
kind = "local"
root = "disk"
[backends.cloud]
kind = "s3"
endpoint = "http://127.0.0.1:{port}"
access_key = "A"
secret_key = "{secret}"
[repositories.media]
buckets = [{{ backend = "disk", bucket = "photos" }}, {{ backend = "cloud", bucket = "films" }}]
accounts = ["disk"]
keys = [{{ access_key = "B", secret_key = "{secret}" }}]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """One bucket on disk, and one at a port where nobody listens."""
    (tmp_path / "data" / "photos").mkdir(parents=True)
    path = tmp_path / "node.toml"
    path.touch(mode=0o600)
    path.write_text(CONFIGURATION.format(port=free_ports(1)[0], secret="correct-horse-battery-staple"))
    return path


def test_the_command_prints_a_plain_table_and_says_3_for_unreachable(config: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--connect", "--config", str(config)])
    table = [line.split() for line in result.stdout.splitlines()[2:]]
    assert table[0] == ["repository", "bucket", "backend", "state", "latency", "detail"]
    assert table[1][:4] == ["media", "photos", "disk", "ok"]
    assert table[2][:4] == ["media", "films", "cloud", "unreachable"]
    assert table[3][:5] == ["media", "(whole", "account)", "disk", "ok"]
    assert result.stdout.endswith("\n2 of 3 answer as they should.\n")
    assert result.exit_code == 3


def test_the_command_prints_json_for_programs(config: Path) -> None:
    answer = json.loads(CliRunner().invoke(app, ["check", "--connect", "--json", "--config", str(config)]).stdout)
    assert answer["ok"] is False
    assert [place["state"] for place in answer["places"]] == ["ok", "unreachable", "ok"]
    assert answer["places"][2]["bucket"] is None
