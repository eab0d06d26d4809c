"""What the README tells a stranger to do, done."""

import json
import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.node import COMMAND, ROOT, wait_until_ready
from tests.servers import S3Server, free_ports, process

README = (ROOT / "README.md").read_text()


def test_the_complete_configuration_serves_as_it_stands(seaweedfs: S3Server, tmp_path: Path) -> None:
    """Only places and credentials differ, and variables say which."""
    config = tmp_path / "bridge-node.toml"
    config.write_text(re.findall(r"```toml\n(.*?)```", README, re.DOTALL)[0])
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, secret in (("archive", seaweedfs.secret_key), ("media-uploads", "a-secret-for-the-uploader")):
        (secrets / name).write_text(secret)
        (secrets / name).chmod(0o600)
    seaweedfs.create_bucket("media-2026")
    port, admin_port = free_ports(2)
    environment = {
        "PYTHONPATH": str(ROOT),
        "BRIDGE_NODE__STATE_DIRECTORY": str(tmp_path / "state"),
        "BRIDGE_NODE__SECRETS_DIRECTORY": str(secrets),
        "BRIDGE_NODE__GATEWAY__LISTENERS": json.dumps([{"port": port}]),
        "BRIDGE_NODE__GATEWAY__DRAIN_WAIT": "0",
        "BRIDGE_NODE__ADMIN__PORT": str(admin_port),
        "BRIDGE_NODE__BACKENDS__ARCHIVE__ENDPOINT": seaweedfs.endpoint,
        "BRIDGE_NODE__BACKENDS__ARCHIVE__ACCESS_KEY": seaweedfs.access_key,
    }
    log = tmp_path / "node.log"
    command = [*COMMAND, "run", "--config", str(config)]
    with process(command, log, env=environment, grace=15) as node:
        wait_until_ready(f"http://127.0.0.1:{admin_port}", node, log)
        client = S3Server(f"http://127.0.0.1:{port}", "MEDIAUPLOADS00000001", "a-secret-for-the-uploader").client()
        client.put_object(Bucket="media", Key="a", Body=b"abc")
        assert client.get_object(Bucket="media-2026", Key="a")["Body"].read() == b"abc"
        with pytest.raises(ClientError, match="AccessDenied"):
            client.create_bucket(Bucket="more")
    assert seaweedfs.client().get_object(Bucket="media-2026", Key="a")["Body"].read() == b"abc"
