"""rclone, a program of its own in Go."""

import json
import subprocess
from pathlib import Path

from tests.acceptance.clients.target import Target

CANNOT = {"presigned_put": "`rclone link` signs GET only"}


class Client:
    def __init__(self, target: Target) -> None:
        self.bucket = target.bucket
        self.file = target.scratch / "object"
        config = target.scratch / "rclone.conf"
        config.write_text(
            f"[node]\ntype = s3\nprovider = Other\nenv_auth = true\nendpoint = {target.endpoint}\n"
            f"region = {target.region}\n"
        )
        self.command = ["rclone", "--config", str(config)]

    def _rclone(self, *arguments: str) -> bytes:
        return subprocess.run([*self.command, *arguments], check=True, stdout=subprocess.PIPE).stdout

    def _path(self, key: str) -> str:
        return f"node:{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> None:
        self.file.write_bytes(data)
        self.upload(key, self.file)

    def get(self, key: str) -> bytes:
        return self._rclone("cat", self._path(key))

    def get_range(self, key: str, start: int) -> bytes:
        return self._rclone("cat", "--offset", str(start), self._path(key))

    def keys(self, bucket: str) -> list[str]:
        entries = json.loads(self._rclone("lsjson", "--recursive", "--files-only", f"node:{bucket}"))
        return sorted(entry["Path"] for entry in entries)

    def upload(self, key: str, file: Path) -> None:
        self._rclone("copyto", "--s3-upload-cutoff", "5M", str(file), self._path(key))

    def download(self, key: str, file: Path) -> None:
        self._rclone("copyto", self._path(key), str(file))

    def copy(self, source: str, target: str) -> None:
        self._rclone("copyto", self._path(source), self._path(target))

    def delete(self, key: str) -> None:
        self._rclone("deletefile", self._path(key))

    def presigned_get(self, key: str) -> str:
        return self._rclone("link", self._path(key)).decode().strip()
