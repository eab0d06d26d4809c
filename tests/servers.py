"""Real servers for the tests, each a child process of its own on loopback.

A server that cannot start fails the run; nothing is ever skipped for it. With pytest-xdist every worker has its own
servers: they start in about two seconds, and no lock or shared state between workers is needed.
"""

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sysconfig
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

REGION = "us-east-1"
START_SECONDS = 60.0


class ServerDidNotStart(RuntimeError):
    """A server that the tests need is not there; the message ends with what it printed."""


@dataclass(frozen=True, slots=True)
class S3Server:
    """An S3 endpoint and a credential that may do everything there."""

    endpoint: str
    access_key: str
    secret_key: str
    region: str = REGION

    def client(self) -> Any:
        """A boto3 client, as an opinion on the server that is independent of this package."""
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            region_name=self.region,
            config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 1}),
        )

    def create_bucket(self, bucket: str) -> str:
        self.client().create_bucket(Bucket=bucket)
        return bucket


def free_ports(count: int, *, also_offset: int = 0) -> list[int]:
    """Ports that nobody listens on now, below the range from which the system takes ports for outgoing connections.

    With `also_offset`, the port that much higher is free too.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.randint(10_000, 21_999)  # noqa: S311  # a collision is found by binding
        if port not in found and all(_is_free(p) for p in {port, port + also_offset}):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


@contextlib.contextmanager
def process(
    command: Sequence[str | Path],
    log: Path,
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = 0.0,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` in its own process group, its output in `log`, and ends the whole group in the end.

    With `grace`, SIGTERM first and that many seconds to follow it.
    """
    with log.open("ab") as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield child
    finally:
        if grace and child.poll() is None:
            child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(grace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def failure(what: str, child: subprocess.Popen[bytes], log: Path) -> ServerDidNotStart:
    """The error for a server that did not become ready, with the end of its output."""
    state = "is still running" if child.poll() is None else f"exited with {child.returncode}"
    return ServerDidNotStart(f"{what} did not become ready and {state}:\n{log.read_text(errors='replace')[-4000:]}")


def listening(port: int, child: subprocess.Popen[bytes], log: Path) -> None:
    """Returns when something accepts connections on the port; raises ServerDidNotStart when nothing does."""
    deadline = time.monotonic() + START_SECONDS
    while child.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise failure(f"the server on port {port}", child, log)


@contextlib.contextmanager
def seaweedfs(directory: Path) -> Iterator[S3Server]:
    """SeaweedFS, a real S3 server that checks signatures; its data lies in `directory`."""
    directory.mkdir(parents=True, exist_ok=True)
    server = S3Server("http://127.0.0.1:0", "seaweed-admin", "seaweed-secret-0123456789")
    master, volume, filer, s3 = free_ports(4, also_offset=10_000)  # each also serves gRPC 10,000 higher
    identities = directory / "s3.json"
    identities.write_text(json.dumps({"identities": [_identity(server)]}))
    command: list[str | Path] = [
        Path(sysconfig.get_path("scripts")) / "weed",
        "server",
        f"-dir={directory}",
        "-ip=127.0.0.1",
        f"-master.port={master}",
        f"-volume.port={volume}",
        f"-filer.port={filer}",
        "-s3",
        f"-s3.port={s3}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        f"-s3.config={identities}",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=400",
        "-s3.allowDeleteBucketNotEmpty=false",  # as S3 does
    ]
    # By default each new bucket takes seven volumes at its first write, which exhausts 400 after 57 buckets.
    env = {"WEED_MASTER_VOLUME_GROWTH_COPY_1": "1"}
    log = directory / "weed.log"
    server = S3Server(f"http://127.0.0.1:{s3}", server.access_key, server.secret_key)
    with process(command, log, env=env, cwd=directory) as child:
        if not _accepts_writes(server, child):
            raise failure("SeaweedFS", child, log)
        yield server


def _identity(server: S3Server) -> dict[str, Any]:
    return {
        "name": "admin",
        "credentials": [{"accessKey": server.access_key, "secretKey": server.secret_key}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }


def _accepts_writes(server: S3Server, child: subprocess.Popen[bytes]) -> bool:
    """Waits until a signed PUT succeeds: the server's own health check answers about a second too early."""
    deadline = time.monotonic() + START_SECONDS
    client = server.client()
    while child.poll() is None and time.monotonic() < deadline:
        try:
            client.create_bucket(Bucket="ready")
            client.put_object(Bucket="ready", Key="ready", Body=b"ready")
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
        else:
            return True
    return False
