"""The operator's commands on a real node and a real S3 server."""

import json
import subprocess
from pathlib import Path

from tests.node import COMMAND, ROOT, Node
from tests.servers import S3Server


def bridge_node(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_a_running_node_is_healthy_and_tells_its_status(local_node: Node) -> None:
    port = local_node.admin_url.rpartition(":")[2]
    assert bridge_node("healthcheck", "--ready", "--port", port).returncode == 0
    status = bridge_node("status", "--port", port)
    assert status.returncode == 0
    assert status.stdout.splitlines()[1] == "ready"
    assert "store" in status.stdout
    answer = json.loads(bridge_node("status", "--json", "--port", port).stdout)
    assert [worker["state"] for worker in answer["workers"]] == ["ready"]


def test_a_configuration_can_be_checked_while_its_node_runs(local_node: Node) -> None:
    result = bridge_node("check", "--connect", "--config", local_node.config)
    assert result.returncode == 0, result.stderr
    assert "(whole account)" in result.stdout


CLOUD = """
[backends.store]
kind = "s3"
endpoint = "{endpoint}"
access_key = "{access_key}"
secret_key = "{secret_key}"
[repositories.r]
buckets = [{{ backend = "store", bucket = "{bucket}" }}]
"""


def checked(directory: Path, server: S3Server, bucket: str, **other: str) -> subprocess.CompletedProcess[str]:
    config = directory / "node.toml"
    config.touch(mode=0o600)
    credentials = {"access_key": server.access_key, "secret_key": server.secret_key} | other
    config.write_text(CLOUD.format(endpoint=server.endpoint, bucket=bucket, **credentials))
    return bridge_node("check", "--connect", "--json", "--config", config)


def test_a_bucket_on_a_real_server_is_reached(tmp_path: Path, seaweedfs: S3Server) -> None:
    result = checked(tmp_path, seaweedfs, seaweedfs.create_bucket("check-is-there"))
    (place,) = json.loads(result.stdout)["places"]
    assert (result.returncode, place["state"]) == (0, "ok")
    assert abs(place["clock_seconds"]) < 2


def test_wrong_credentials_are_4_and_a_missing_bucket_is_1(tmp_path: Path, seaweedfs: S3Server) -> None:
    bucket = seaweedfs.create_bucket("check-credentials")
    assert checked(tmp_path, seaweedfs, bucket, secret_key="not-the-secret-of-this-key").returncode == 4
    assert checked(tmp_path, seaweedfs, "check-is-not-there").returncode == 1
