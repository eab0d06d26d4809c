"""The demo's node: places for its objects, and a configuration as an operator would write it."""

import asyncio
import contextlib
import json
from dataclasses import replace

from bridge_node.backends.local import LocalBackend, RootUnusable
from bridge_node.cli.demo.directory import ROOTS, CannotPrepare, Directory, Facts
from bridge_node.cli.demo.ports import HOST, WORKERS, OpenPorts
from bridge_node.crypto.credentials import new_pair
from bridge_node.errors import BucketOwnedByCaller

REGION = "us-east-1"
BUCKET = "demo"
NODE = "demo-node"
REPORT_SECONDS = 10.0
"""So that there soon is something to see; usually it is a minute."""

_COMMON = """\
# Written by `bridge-node demo`, anew at each start.
state_directory = {state}

[local_roots]
demo = {demo_root}
sandbox = {sandbox_root}

[gateway]
workers = {workers}
listeners = [{{ host = "{host}", port = {port} }}]
drain_wait = 0.0  # no load balancer has to notice first

[admin]
port = {admin_port}

[log]
level = "warning"
"""

_ALONE = """
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

_IN_A_FLEET = """
# Everything else comes from here: which repositories there are, and which keys open them.
[platform]
url = "{platform_url}"
organisation = "{org_id}"
organisation_key = {{ file = {organisation_key} }}
node_id = "{node}"
external_url = "{s3_endpoint}"
local_roots = {roots}
allow_private_addresses = true
report_seconds = {report_seconds}
unregister_on_drain = true
"""


def make_places(directory: Directory) -> None:
    """The directories of objects, and the bucket in one of them. Raises CannotPrepare."""
    try:
        for root in ROOTS:
            (directory.path / root).mkdir(exist_ok=True)
        asyncio.run(_make_bucket(LocalBackend(directory.path / BUCKET)))
    except (RootUnusable, OSError) as error:
        raise CannotPrepare(str(error)) from error


async def _make_bucket(backend: LocalBackend) -> None:
    with contextlib.suppress(BucketOwnedByCaller):  # made by an earlier start
        await backend.create_bucket(BUCKET)
    await backend.close()


def keys_of(before: Facts | None, opened: OpenPorts) -> Facts:
    """Of a node alone: the keys of the last time, or new ones."""
    urls = {"s3_endpoint": opened.s3_url, "node_admin_url": opened.admin_url}
    if before:
        return replace(before, **urls, platform_url="", admin_token="", org_id="", workspace_id="", repo_id="")
    (access_key, secret_key), (admin_access_key, admin_secret_key) = new_pair(), new_pair()
    return Facts(
        access_key=access_key,
        secret_key=secret_key,
        admin_access_key=admin_access_key,
        admin_secret_key=admin_secret_key,
        bucket=BUCKET,
        region=REGION,
        **urls,
    )


def standalone_configuration(directory: Directory, facts: Facts) -> str:
    """Its repositories and keys are in the file."""
    return _common(directory, facts) + _ALONE.format(
        bucket=facts.bucket,
        access_key=facts.access_key,
        secret_key=facts.secret_key,
        admin_access_key=facts.admin_access_key,
        admin_secret_key=facts.admin_secret_key,
    )


def fleet_configuration(directory: Directory, facts: Facts) -> str:
    """They come from the platform."""
    return _common(directory, facts) + _IN_A_FLEET.format(
        platform_url=facts.platform_url,
        org_id=facts.org_id,
        organisation_key=_text(directory.organisation_key),
        node=NODE,
        s3_endpoint=facts.s3_endpoint,
        roots=json.dumps(ROOTS),
        report_seconds=REPORT_SECONDS,
    )


def _common(directory: Directory, facts: Facts) -> str:
    return _COMMON.format(
        state=_text(directory.node_state),
        demo_root=_text(directory.path / "demo"),
        sandbox_root=_text(directory.path / "sandbox"),
        workers=WORKERS,
        host=HOST,
        port=facts.s3_endpoint.rpartition(":")[2],
        admin_port=facts.node_admin_url.rpartition(":")[2],
    )


def _text(value: object) -> str:
    """JSON's strings are TOML's, too."""
    return json.dumps(str(value))
