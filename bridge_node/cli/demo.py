"""`bridge-node demo`: an ordinary node on loopback, with its configuration, keys and data made up for you.

Everything lies in one directory. Starting again finds the keys, ports and data of the last time there.
"""

import asyncio
import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from bridge_node.cli.outcomes import Exit, complain
from bridge_node.crypto.credentials import new_pair
from bridge_node.errors import BucketOwnedByCaller

HOST = "127.0.0.1"
REGION = "us-east-1"
BUCKET = "demo"
USUAL_PORT, USUAL_ADMIN_PORT = 9000, 9090
DEFAULT_STATE = Path("bridge-node-demo")

CONFIGURATION = """\
# Written by `bridge-node demo`, anew at each start.
state_directory = {state}

[local_roots]
demo = {demo_root}
sandbox = {sandbox_root}

[gateway]
workers = 2
listeners = [{{ host = "{host}", port = {port} }}]
drain_wait = 0.0  # no load balancer has to notice first

[admin]
port = {admin_port}

[log]
level = "warning"

[backends.demo]
kind = "local"
root = "demo"

[backends.sandbox]
kind = "local"
root = "sandbox"

# One bucket, and a key that may read and write it.
[repositories.demo]
buckets = [{{ backend = "demo", bucket = "{bucket}" }}]

[[repositories.demo.keys]]
access_key = "{access_key}"
secret_key = "{secret_key}"
access = "WRITE"

# A whole account, and a key that may make and drop buckets there.
[repositories.sandbox]
accounts = ["sandbox"]

[[repositories.sandbox.keys]]
access_key = "{admin_access_key}"
secret_key = "{admin_secret_key}"
access = "ADMIN"
"""

WELCOME = """\
A node is running, for this machine only; Ctrl-C drains and ends it.

  S3 endpoint    {s3_endpoint}   region {region}
  bucket         {bucket}   (files in {state}/demo)
  sandbox        make your own buckets (files in {state}/sandbox)
  operator       {node_admin_url}/readyz?verbose and /metrics
  all of this    {state}/demo.json

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


def demo(
    state: Annotated[
        Path,
        typer.Option("--state", metavar="DIR", file_okay=False, help="Where keys, configuration and data are kept."),
    ] = DEFAULT_STATE,
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="Port for S3 clients, by default that of the last time."),
    ] = None,
) -> None:
    """Run a node on this machine to try things out: a bucket, a sandbox, and lines to paste.

    What runs where is also in DIR/demo.json. Starting again continues with the same data and keys.
    """
    from bridge_node.daemon import CannotStart, run

    environment = {name: value for name, value in os.environ.items() if not name.startswith("BRIDGE_NODE__")}
    try:
        with _alone_in(state):
            config, welcome = prepare(state, port)
            code = run(config, environment, on_ready=lambda urls, admin_url: typer.echo(welcome))
    except (CannotPrepare, CannotStart) as refusal:
        raise complain(refusal, Exit.FAILED) from None
    raise typer.Exit(code)


class CannotPrepare(Exception):
    """The demo cannot be set up; the message says in one line why."""


@dataclass(frozen=True, slots=True)
class Demo:
    """What `demo.json` says: where things are and how to use them."""

    s3_endpoint: str
    access_key: str
    secret_key: str
    bucket: str
    region: str
    admin_access_key: str
    admin_secret_key: str
    node_admin_url: str


@contextlib.contextmanager
def _alone_in(state: Path) -> Iterator[None]:
    """Raises CannotPrepare when the directory cannot be had, or another demo runs there."""
    try:
        state.mkdir(parents=True, exist_ok=True)
        lock = (state / "lock").open("w")
    except OSError as error:
        raise CannotPrepare(f"{error.filename}: {error.strerror}") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotPrepare(f"another demo is running in {state}") from None
        yield


def prepare(state: Path, port: int | None) -> tuple[Path, str]:
    """Makes everything that the demo needs in `state`; returns the configuration file and what to tell the user.

    `port` None means the port of the last time or the usual one, or any when that is taken. Raises CannotPrepare.
    """
    state = state.absolute()
    try:
        demo = _with_ports(_remembered(state) or _new(), port)
        for account in ("demo", "sandbox"):
            (state / account).mkdir(exist_ok=True)
        asyncio.run(_make_bucket(state / "demo"))
        _write_private(state / "demo.json", json.dumps(asdict(demo), indent=2) + "\n")
        _write_private(state / "node.toml", _configuration(state, demo))
    except OSError as error:
        raise CannotPrepare(f"{error.filename or state}: {error.strerror or error}") from error
    return state / "node.toml", WELCOME.format(state=state, **asdict(demo))


def _new() -> Demo:
    (access_key, secret_key), (admin_access_key, admin_secret_key) = new_pair(), new_pair()
    return Demo(
        s3_endpoint=_url(USUAL_PORT),
        access_key=access_key,
        secret_key=secret_key,
        bucket=BUCKET,
        region=REGION,
        admin_access_key=admin_access_key,
        admin_secret_key=admin_secret_key,
        node_admin_url=_url(USUAL_ADMIN_PORT),
    )


def _remembered(state: Path) -> Demo | None:
    try:
        known = json.loads((state / "demo.json").read_text())
        return Demo(**{name: str(known[name]) for name in Demo.__dataclass_fields__})
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise CannotPrepare(f"{state / 'demo.json'} cannot be read; remove it to start with new keys") from error


def _with_ports(demo: Demo, port: int | None) -> Demo:
    if port is not None and not _is_free(port):
        raise CannotPrepare(f"port {port} is in use")
    chosen = port if port is not None else _free(_port(demo.s3_endpoint), but=0)
    admin_port = _free(_port(demo.node_admin_url), but=chosen)
    return replace(demo, s3_endpoint=_url(chosen), node_admin_url=_url(admin_port))


def _free(wanted: int, *, but: int) -> int:
    """`wanted`, or another port that nobody listens on."""
    if wanted != but and _is_free(wanted):
        return wanted
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections of the last run do not count
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


async def _make_bucket(root: Path) -> None:
    from bridge_node.backends.local import LocalBackend, RootUnusable

    try:
        backend = LocalBackend(root)
    except RootUnusable as error:
        raise CannotPrepare(str(error)) from error
    with contextlib.suppress(BucketOwnedByCaller):  # made by an earlier start
        await backend.create_bucket(BUCKET)
    await backend.close()


def _configuration(state: Path, demo: Demo) -> str:
    return CONFIGURATION.format(
        state=json.dumps(str(state / "state")),  # JSON's strings are TOML's, too
        demo_root=json.dumps(str(state / "demo")),
        sandbox_root=json.dumps(str(state / "sandbox")),
        host=HOST,
        port=_port(demo.s3_endpoint),
        admin_port=_port(demo.node_admin_url),
        **{name: value for name, value in asdict(demo).items() if "key" in name or name == "bucket"},
    )


def _write_private(file: Path, text: str) -> None:
    """Replaces `file` whole; only its owner may read it."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as output:
        output.write(text)
    new.replace(file)
