"""Clients that nobody here wrote, against the running product, over local disk and over another S3 server.

What each of them does is in `clients/scenario.py`, how it does it in `clients/with_NAME.py`.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.node import ROOT, Node

LISTED_KEYS = 1_005
LARGE = 100 * 1024 * 1024
CLIENTS = ("boto3", "aioboto3", "awscli", "minio", "pyarrow", "s3cmd", "rclone")


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    file = tmp_path_factory.mktemp("large") / "large"
    file.write_bytes(os.urandom(LARGE))
    yield file
    file.unlink()


@pytest.fixture(scope="module", params=["local", "seaweedfs"])
def node_with_a_long_listing(request: pytest.FixtureRequest) -> Node:
    """A node, and in it a bucket `listed` with more keys than one page of a listing holds."""
    node: Node = request.getfixturevalue(f"{request.param}_node")
    bucket = node.s3.create_bucket("listed")
    client = node.s3.client()
    with ThreadPoolExecutor(8, "fill") as pool:
        for _ in pool.map(
            lambda n: client.put_object(Bucket=bucket, Key=f"listed/{n:04}", Body=b""), range(LISTED_KEYS)
        ):
            pass
    return node


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.timeout(300)
def test_a_client_that_nobody_here_wrote_works(
    name: str, node_with_a_long_listing: Node, large_file: Path, client_environment: Path, tmp_path: Path
) -> None:
    if name == "rclone" and shutil.which("rclone") is None:
        pytest.skip("rclone is not installed (a package of most distributions), so nothing was tried with it")
    node = node_with_a_long_listing
    python = Path(sys.executable) if name == "aioboto3" else client_environment / "bin" / "python"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": node.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": node.s3.secret_key,
        "AWS_DEFAULT_REGION": node.s3.region,
        "TARGET_ENDPOINT": node.s3.endpoint,
        "TARGET_BUCKET": node.s3.create_bucket(f"client-{name}"),
        "TARGET_LISTED_BUCKET": "listed",
        "TARGET_LISTED_KEYS": str(LISTED_KEYS),
        "TARGET_LARGE_FILE": str(large_file),
        "TARGET_SCRATCH": str(tmp_path),
    }
    command = [str(python), "-m", "tests.acceptance.clients.scenario", name]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
