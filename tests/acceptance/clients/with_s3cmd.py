"""s3cmd: its own HTTP and signatures, path style, MD5 everywhere."""

import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

from tests.acceptance.clients.target import Target

S3CMD = str(Path(sys.executable).with_name("s3cmd"))

CANNOT = {
    "presigned_get": "`s3cmd signurl` signs with Signature Version 2",
    "presigned_put": "`s3cmd signurl` signs with Signature Version 2",
}


class Client:
    def __init__(self, target: Target) -> None:
        host = urlsplit(target.endpoint).netloc
        self.bucket = target.bucket
        self.file = target.scratch / "object"
        config = target.scratch / "s3cfg"
        config.write_text(
            f"[default]\naccess_key = {target.access_key}\nsecret_key = {target.secret_key}\n"
            f"host_base = {host}\nhost_bucket = {host}\nuse_https = False\nbucket_location = {target.region}\n"
        )
        self.command = [sys.executable, S3CMD, "--config", str(config), "--no-progress"]

    def _s3cmd(self, *arguments: str) -> str:
        return subprocess.run([*self.command, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout

    def _url(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def put(self, key: str, data: bytes) -> None:
        self.file.write_bytes(data)
        self.upload(key, self.file)

    def get(self, key: str) -> bytes:
        self.download(key, self.file)
        return self.file.read_bytes()

    def get_range(self, key: str, start: int) -> bytes:
        """s3cmd asks for a range when it goes on with a download that was cut off."""
        self.file.write_bytes(b"." * start)
        self._s3cmd("get", "--continue", self._url(key), str(self.file))
        return self.file.read_bytes()[start:]

    def keys(self, bucket: str) -> list[str]:
        listing = self._s3cmd("ls", "--recursive", f"s3://{bucket}")
        return [line.partition(f"s3://{bucket}/")[2] for line in listing.splitlines()]

    def upload(self, key: str, file: Path) -> None:
        self._s3cmd("put", str(file), self._url(key))

    def download(self, key: str, file: Path) -> None:
        self._s3cmd("get", "--force", self._url(key), str(file))

    def copy(self, source: str, target: str) -> None:
        self._s3cmd("cp", self._url(source), self._url(target))

    def delete(self, key: str) -> None:
        self._s3cmd("del", self._url(key))
