"""`bridge-node demo`, as a stranger meets it: started, used by pasting what it prints, stopped and started again."""

import contextlib
import json
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.node import COMMAND, ROOT, wait_until_ready
from tests.servers import S3Server, process


@dataclass(frozen=True, slots=True)
class Demo:
    facts: dict[str, str]
    log: Path
    child: subprocess.Popen[bytes]

    def client(self, prefix: str = "") -> Any:
        facts = self.facts
        return S3Server(facts["s3_endpoint"], facts[f"{prefix}access_key"], facts[f"{prefix}secret_key"]).client()

    def ask(self, path: str) -> Any:
        """What the platform answers its administrator."""
        return ask(self.facts, path)

    def told(self, pattern: str, within: float) -> re.Match[str]:
        """What it prints sooner or later."""
        deadline = time.monotonic() + within
        while not (found := re.search(pattern, self.log.read_text())):
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)
        return found


def ask(facts: dict[str, str], path: str) -> Any:
    headers = {"Authorization": f"Bearer {facts['admin_token']}"}
    with urllib.request.urlopen(urllib.request.Request(facts["platform_url"] + path, headers=headers)) as answer:
        return json.load(answer)["data"]


@contextlib.contextmanager
def running(state: Path, *options: str) -> Iterator[Demo]:
    log = state.with_suffix(f".{len(list(state.parent.glob(f'{state.name}.*.log')))}.log")
    command = [*COMMAND, "demo", "--state", str(state), *options]
    with process(command, log, env={"PYTHONPATH": str(ROOT)}, grace=15) as child:
        facts = _when_ready(state, child, log)
        yield Demo(facts, log, child)


def _when_ready(state: Path, child: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    """The facts of this start: before it is ready, `demo.json` is that of the last one."""
    while child.poll() is None and "this machine only" not in log.read_text():
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(0.05)
    facts: dict[str, str] = json.loads((state / "demo.json").read_text()) if child.poll() is None else {}
    wait_until_ready(facts.get("node_admin_url", ""), child, log)
    return facts


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    with running(tmp_path_factory.mktemp("demo") / "state") as started:
        yield started


def test_the_facts_are_in_a_file_that_only_its_owner_reads(demo: Demo) -> None:
    file = next(demo.log.parent.glob("state/demo.json"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert set(json.loads(file.read_text())) >= {
        "s3_endpoint", "access_key", "secret_key", "bucket", "region",
        "admin_access_key", "admin_secret_key", "node_admin_url",
        "platform_url", "admin_token", "org_id", "workspace_id", "repo_id",
    }  # fmt: skip


def test_the_first_key_writes_to_the_bucket_and_makes_none(demo: Demo) -> None:
    client, bucket = demo.client(), demo.facts["bucket"]
    client.put_object(Bucket=bucket, Key="a", Body=b"abc")
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == b"abc"
    with pytest.raises(ClientError, match="AccessDenied"):
        client.create_bucket(Bucket="another")


def test_the_admin_key_makes_and_drops_buckets_in_the_sandbox(demo: Demo) -> None:
    admin = demo.client("admin_")
    admin.create_bucket(Bucket="my-bucket")
    assert [bucket["Name"] for bucket in admin.list_buckets()["Buckets"]] == ["my-bucket"]
    admin.delete_bucket(Bucket="my-bucket")
    assert admin.list_buckets()["Buckets"] == []


def test_the_lines_for_boto3_work_as_they_are_printed(demo: Demo) -> None:
    lines = _block(demo, "boto3:")
    subprocess.run([sys.executable, "-c", textwrap.dedent(lines)], check=True, timeout=60)
    assert _body(demo, "hello.txt") == b"hello"


def test_the_line_for_curl_works_as_it_is_printed(demo: Demo) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    demo.client().put_object(Bucket=demo.facts["bucket"], Key="hello.txt", Body=b"hello, curl")
    done = subprocess.run(["sh", "-c", f"{_block(demo, 'curl:').strip()} -sS"], check=True, capture_output=True)
    assert done.stdout == b"hello, curl"


def test_the_lines_for_aws_work_as_they_are_printed(demo: Demo, client_environment: Path) -> None:
    lines = re.sub(r"\baws --", f"{client_environment}/bin/aws --", _block(demo, "aws, with the key that reads"))
    done = subprocess.run(["sh", "-ec", lines], check=True, capture_output=True, text=True, timeout=60)
    assert "hello.txt" in done.stdout
    assert _body(demo, "hello.txt") == b"hello\n"


def test_the_lines_for_the_platform_work_as_they_are_printed(demo: Demo) -> None:
    lines = _block(demo, "the platform, as its administrator").replace("$(bridge-node ", f"$({shlex.join(COMMAND)} ")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    done = subprocess.run(["sh", "-ec", lines], check=True, capture_output=True, text=True, timeout=60, cwd=ROOT)
    listed, made = map(json.loads, re.findall(r"{.*?}(?=$|{)", done.stdout))
    assert listed["data"][0]["ip"] == "demo-node"
    reader = S3Server(demo.facts["s3_endpoint"], made["key"], made["secret"]).client()
    demo.client().put_object(Bucket=demo.facts["bucket"], Key="read", Body=b"me")
    deadline = time.monotonic() + 2
    while not _opens(reader, demo.facts["bucket"]):
        assert time.monotonic() < deadline


def test_the_platform_learns_how_the_node_reaches_the_bucket(demo: Demo) -> None:
    (node,) = demo.ask(f"/organization/{demo.facts['org_id']}/nodes")
    assert (node["ip"], node["status"], node["url"]) == ("demo-node", "running", demo.facts["s3_endpoint"])
    demo.told(r"demo-node reaches bucket demo: ONLINE, [\d.]+ ms, .* uploaded, .* downloaded\n", within=40)
    (row,) = demo.ask("/stats/nodes/minute")
    assert (row["nodeId"], row["nodeStatus"]) == (node["id"], "ONLINE")
    assert 0 < row["latency_ms"] < 10_000


def test_it_is_quiet_otherwise(demo: Demo) -> None:
    """Nothing of a log stands between the lines."""
    assert not re.search(r'"event"|Traceback|Warning', demo.log.read_text())


def test_ctrl_c_takes_the_node_off_the_list_and_starting_again_continues(tmp_path: Path) -> None:
    with running(tmp_path / "state") as first:
        first.client().put_object(Bucket=first.facts["bucket"], Key="kept", Body=b"kept")
        first.client("admin_").create_bucket(Bucket="kept-too")
        first.told("4 bytes uploaded, 0 bytes downloaded", within=80)  # in the first line or, at the latest, the second
        first.child.send_signal(signal.SIGINT)  # Ctrl-C
        assert first.child.wait(30) == 0
    assert first.log.read_text().endswith("continues with the same data, keys and ports.\n")
    database = sqlite3.connect(tmp_path / "state" / "platform" / "platform.sqlite")
    assert database.execute("SELECT COUNT(*) FROM nodes WHERE unregistered_at IS NOT NULL").fetchone() == (1,)
    (uploaded,) = database.execute("SELECT SUM(upload_bytes) FROM usage_minutes").fetchone()
    assert uploaded == len(b"kept")
    database.close()
    with running(tmp_path / "state") as second:
        assert {**second.facts, "admin_token": ""} == {**first.facts, "admin_token": ""}
        assert _body(second, "kept") == b"kept"
        assert [bucket["Name"] for bucket in second.client("admin_").list_buckets()["Buckets"]] == ["kept-too"]
        assert len(second.ask(f"/organization/{second.facts['org_id']}/nodes")) == 1


def test_what_was_added_to_the_platform_meanwhile_is_in_nobodys_way(tmp_path: Path) -> None:
    with running(tmp_path / "state") as first:
        config = str(tmp_path / "state" / "platform.toml")
        other = [*COMMAND, "platform", "bootstrap", "--organisation", "Other", "--email", "o@example.com"]
        subprocess.run([*other, "--config", config], cwd=ROOT, check=True, capture_output=True, timeout=60)
    with running(tmp_path / "state") as second:
        assert second.facts["org_id"] == first.facts["org_id"]
        assert second.client().list_buckets()["Buckets"][0]["Name"] == "demo"


def test_two_that_start_at_the_same_moment_share_no_port(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as together, contextlib.ExitStack() as held:
        first, second = together.map(lambda name: held.enter_context(running(tmp_path / name)), ("one", "two"))
        urls = [
            one.facts[name] for one in (first, second) for name in ("s3_endpoint", "node_admin_url", "platform_url")
        ]
        assert len(set(urls)) == 6
        for one in (first, second):
            for _ in range(8):  # on connections of their own, so that a shared port would show
                assert one.client().list_buckets()["Buckets"][0]["Name"] == "demo"


def test_a_node_alone_keeps_its_keys_in_its_file_and_needs_no_platform(tmp_path: Path) -> None:
    with running(tmp_path / "state", "--standalone") as first:
        assert "platform_url" not in first.facts
        first.client().put_object(Bucket=first.facts["bucket"], Key="kept", Body=b"kept")
        first.client("admin_").create_bucket(Bucket="my-bucket")
    with running(tmp_path / "state", "--standalone") as second:
        assert second.facts == first.facts
        assert _body(second, "kept") == b"kept"
    assert not (tmp_path / "state" / "platform").exists()


def test_a_port_that_is_taken_is_another_the_next_time(tmp_path: Path) -> None:
    with running(tmp_path / "state") as first:
        pass
    port = int(first.facts["s3_endpoint"].rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)), running(tmp_path / "state") as second:
        assert second.facts["s3_endpoint"] != first.facts["s3_endpoint"]
        assert second.facts["secret_key"] == first.facts["secret_key"]


def test_a_port_that_was_asked_for_and_is_taken_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [*COMMAND, "demo", "--state", str(tmp_path / "state"), "--port", port]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    said = f"bridge-node: port {port} is in use by another process\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_second_demo_in_the_same_directory_is_refused_in_one_line(demo: Demo) -> None:
    state = demo.log.parent / "state"
    before = (state / "demo.json").read_text()
    done = subprocess.run(
        [*COMMAND, "demo", "--state", str(state)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "another demo is running" in done.stderr
    assert (state / "demo.json").read_text() == before


def _opens(client: Any, bucket: str) -> bool:
    try:
        client.get_object(Bucket=bucket, Key="read")
    except ClientError:
        return False
    return True


def _block(demo: Demo, heading: str) -> str:
    """The indented lines that the demo printed under a heading."""
    _, _, after = demo.log.read_text().partition(heading)
    found = re.search(r"\n\n((?:  .*\n)+)", after)
    assert found
    return found[1]


def _body(demo: Demo, key: str) -> bytes:
    body: bytes = demo.client().get_object(Bucket=demo.facts["bucket"], Key=key)["Body"].read()
    return body
