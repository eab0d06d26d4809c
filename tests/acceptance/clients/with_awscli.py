"""The aws command line: `aws s3` where it has a command for it, `aws s3api` where not."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.acceptance.clients.target import Target

AWS = str(Path(sys.executable).with_name("aws"))

CANNOT = {"presigned_put": "`aws s3 presign` signs GET only"}


class Client:
    def __init__(self, target: Target) -> None:
        self.endpoint = target.endpoint
        self.bucket = target.bucket
        self.file = target.scratch / "object"
        config = target.scratch / "config"
        config.write_text("[default]\ns3 =\n  signature_version = s3v4\n")  # for `presign`, version 2 by default
        self.environment = {**os.environ, "AWS_CONFIG_FILE": str(config)}

    def _aws(self, *arguments: str) -> str:
        command = [sys.executable, AWS, "--endpoint-url", self.endpoint, *arguments]
        return subprocess.run(command, env=self.environment, check=True, stdout=subprocess.PIPE, text=True).stdout

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> None:
        self.file.write_bytes(data)
        self.upload(key, self.file)

    def get(self, key: str) -> bytes:
        self.download(key, self.file)
        return self.file.read_bytes()

    def get_range(self, key: str, start: int) -> bytes:
        where = ["--bucket", self.bucket, "--key", key, "--range", f"bytes={start}-"]
        self._aws("s3api", "get-object", *where, str(self.file))
        return self.file.read_bytes()

    def keys(self, bucket: str) -> list[str]:
        listing = json.loads(self._aws("s3api", "list-objects-v2", "--bucket", bucket, "--output", "json"))
        return [entry["Key"] for entry in listing["Contents"]]

    def upload(self, key: str, file: Path) -> None:
        self._aws("s3", "cp", "--only-show-errors", str(file), self._url(key))

    def download(self, key: str, file: Path) -> None:
        self._aws("s3", "cp", "--only-show-errors", self._url(key), str(file))

    def copy(self, source: str, target: str) -> None:
        self._aws("s3", "cp", "--only-show-errors", self._url(source), self._url(target))

    def delete(self, key: str) -> None:
        self._aws("s3", "rm", "--only-show-errors", self._url(key))

    def presigned_get(self, key: str) -> str:
        return self._aws("s3", "presign", self._url(key)).strip()
