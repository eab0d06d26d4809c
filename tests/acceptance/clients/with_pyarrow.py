"""pyarrow's S3 file system: the AWS SDK for C++, as data frames and Parquet readers use it."""

from pathlib import Path
from urllib.parse import urlsplit

from pyarrow import fs

from tests.acceptance.clients.target import Target

BLOCK = 4 * 1024 * 1024

CANNOT = {
    "presigned_get": "pyarrow has no presigned URLs",
    "presigned_put": "pyarrow has no presigned URLs",
}


class Client:
    def __init__(self, target: Target) -> None:
        address = urlsplit(target.endpoint)
        self.fs = fs.S3FileSystem(
            access_key=target.access_key,
            secret_key=target.secret_key,
            region=target.region,
            endpoint_override=address.netloc,
            scheme=address.scheme,
        )
        self.bucket = target.bucket

    def put(self, key: str, data: bytes) -> None:
        with self.fs.open_output_stream(f"{self.bucket}/{key}") as stream:
            stream.write(data)

    def get(self, key: str) -> bytes:
        return self.get_range(key, 0)

    def get_range(self, key: str, start: int) -> bytes:
        with self.fs.open_input_file(f"{self.bucket}/{key}") as file:
            data: bytes = file.read_at(file.size() - start, start)
            return data

    def keys(self, bucket: str) -> list[str]:
        found = self.fs.get_file_info(fs.FileSelector(bucket, recursive=True))
        return sorted(info.path.removeprefix(f"{bucket}/") for info in found if info.type is fs.FileType.File)

    def upload(self, key: str, file: Path) -> None:
        with file.open("rb") as source, self.fs.open_output_stream(f"{self.bucket}/{key}") as target:
            while block := source.read(BLOCK):
                target.write(block)

    def download(self, key: str, file: Path) -> None:
        with self.fs.open_input_stream(f"{self.bucket}/{key}") as source, file.open("wb") as target:
            while block := source.read(BLOCK):
                target.write(block)

    def copy(self, source: str, target: str) -> None:
        self.fs.copy_file(f"{self.bucket}/{source}", f"{self.bucket}/{target}")

    def delete(self, key: str) -> None:
        self.fs.delete_file(f"{self.bucket}/{key}")
