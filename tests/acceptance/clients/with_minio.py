"""The minio package: signs payloads in signed chunks, finds the bucket's region by itself."""

from datetime import timedelta
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio
from minio.commonconfig import CopySource

from tests.acceptance.clients.target import Target

SOON = timedelta(minutes=5)


class Client:
    def __init__(self, target: Target) -> None:
        host = urlsplit(target.endpoint).netloc
        self.minio = Minio(host, access_key=target.access_key, secret_key=target.secret_key, secure=False)
        self.bucket = target.bucket

    def put(self, key: str, data: bytes) -> None:
        self.minio.put_object(bucket_name=self.bucket, object_name=key, data=BytesIO(data), length=len(data))

    def get(self, key: str) -> bytes:
        return self.get_range(key, 0)

    def get_range(self, key: str, start: int) -> bytes:
        answer = self.minio.get_object(bucket_name=self.bucket, object_name=key, offset=start)
        try:
            data: bytes = answer.read()
            return data
        finally:
            answer.close()
            answer.release_conn()

    def keys(self, bucket: str) -> list[str]:
        return [entry.object_name for entry in self.minio.list_objects(bucket_name=bucket, recursive=True)]

    def upload(self, key: str, file: Path) -> None:
        self.minio.fput_object(
            bucket_name=self.bucket, object_name=key, file_path=str(file), part_size=16 * 1024 * 1024
        )

    def download(self, key: str, file: Path) -> None:
        self.minio.fget_object(bucket_name=self.bucket, object_name=key, file_path=str(file))

    def copy(self, source: str, target: str) -> None:
        origin = CopySource(bucket_name=self.bucket, object_name=source)
        self.minio.copy_object(bucket_name=self.bucket, object_name=target, source=origin)

    def delete(self, key: str) -> None:
        self.minio.remove_object(bucket_name=self.bucket, object_name=key)

    def presigned_get(self, key: str) -> str:
        return str(self.minio.presigned_get_object(bucket_name=self.bucket, object_name=key, expires=SOON))

    def presigned_put(self, key: str) -> str:
        return str(self.minio.presigned_put_object(bucket_name=self.bucket, object_name=key, expires=SOON))
