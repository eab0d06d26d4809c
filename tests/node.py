"""The product itself as a child process, started as an operator starts it: `bridge-node run --config FILE`."""

import contextlib
import sys
import time
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

from tests.servers import START_SECONDS, S3Server, failure, free_ports, process

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-c", "from bridge_node.cli.main import run; run()"]
"""`bridge-node` of this very source tree, whether it is installed or not."""

ACCESS_KEY = "TESTSADMINKEY0000001"
SECRET_KEY = "tests-secret-0123456789-0123456789"


@dataclass(frozen=True, slots=True)
class Node:
    """A running node and what a test may want of it."""

    s3: S3Server
    admin_url: str
    supervisor: Popen[bytes]
    config: Path
    log: Path


def over_local(directory: Path) -> str:
    """The part of a configuration that names a backend `store` on local disk."""
    directory.mkdir(parents=True, exist_ok=True)
    return f"""
[local_roots]
store = "{directory}"

[backends.store]
kind = "local"
root = "store"
"""


def over_s3(server: S3Server) -> str:
    """The part of a configuration that names a backend `store` at another S3 server."""
    return f"""
[backends.store]
kind = "s3"
endpoint = "{server.endpoint}"
region = "{server.region}"
access_key = "{server.access_key}"
secret_key = "{server.secret_key}"
"""


def configuration(directory: Path, backend: str, *, workers: int = 1, more: str = "") -> str:
    """A whole configuration: the account `store` of `backend` for one ADMIN key, on two free ports.

    `more` is appended as it is: further tables.
    """
    port, admin_port = free_ports(2)
    return f"""
state_directory = "{directory}"

[gateway]
workers = {workers}
listeners = [{{ port = {port} }}]
drain_wait = 0.0

[admin]
port = {admin_port}
{backend}
[repositories.tests]
accounts = ["store"]

[[repositories.tests.keys]]
access_key = "{ACCESS_KEY}"
secret_key = "{SECRET_KEY}"
access = "ADMIN"
{more}
"""


@contextlib.contextmanager
def node(directory: Path, config: str, *, env: dict[str, str] | None = None) -> Iterator[Node]:
    """Runs a node with `config` until the block ends; inside the block it is ready."""
    directory.mkdir(parents=True, exist_ok=True)
    file, log = directory / "node.toml", directory / "node.log"
    file.touch(mode=0o600)  # it holds secrets
    file.write_text(config)
    settings = tomllib.loads(config)
    admin_url = f"http://127.0.0.1:{settings['admin']['port']}"
    s3 = S3Server(f"http://127.0.0.1:{settings['gateway']['listeners'][0]['port']}", ACCESS_KEY, SECRET_KEY)
    command = [*COMMAND, "run", "--config", str(file)]
    with process(command, log, env={"PYTHONPATH": str(ROOT), **(env or {})}, grace=15) as supervisor:
        wait_until_ready(admin_url, supervisor, log)
        yield Node(s3, admin_url, supervisor, file, log)


def wait_until_ready(admin_url: str, supervisor: Popen[bytes], log: Path) -> None:
    """Returns when `/readyz` says yes; raises ServerDidNotStart with the node's log when it does not."""
    deadline = time.monotonic() + START_SECONDS
    while supervisor.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{admin_url}/readyz", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (OSError, urllib.error.URLError):
            time.sleep(0.05)
    raise failure("the node", supervisor, log)
