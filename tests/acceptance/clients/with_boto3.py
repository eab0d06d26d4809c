"""boto3, as most programs use it. Presigned URLs have version 4 only when asked for: the default is still version 2."""

from pathlib import Path

import boto3
from botocore.config import Config

from tests.acceptance.clients.target import Target


class Client:
    def __init__(self, target: Target) -> None:
        self.s3 = boto3.client("s3", endpoint_url=target.endpoint, config=Config(signature_version="s3v4"))
        self.bucket = target.bucket

    def put(self, key: str, data: bytes) -> None:
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=data)

    def get(self, key: str) -> bytes:
        data: bytes = self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return data

    def get_range(self, key: str, start: int) -> bytes:
        answer = self.s3.get_object(Bucket=self.bucket, Key=key, Range=f"bytes={start}-")
        assert answer["ResponseMetadata"]["HTTPStatusCode"] == 206
        data: bytes = answer["Body"].read()
        return data

    def keys(self, bucket: str) -> list[str]:
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def upload(self, key: str, file: Path) -> None:
        self.s3.upload_file(str(file), self.bucket, key)

    def download(self, key: str, file: Path) -> None:
        self.s3.download_file(self.bucket, key, str(file))

    def copy(self, source: str, target: str) -> None:
        self.s3.copy_object(Bucket=self.bucket, Key=target, CopySource={"Bucket": self.bucket, "Key": source})

    def delete(self, key: str) -> None:
        self.s3.delete_object(Bucket=self.bucket, Key=key)

    def presigned_get(self, key: str) -> str:
        return self._presigned("get_object", key)

    def presigned_put(self, key: str) -> str:
        return self._presigned("put_object", key)

    def _presigned(self, operation: str, key: str) -> str:
        url: str = self.s3.generate_presigned_url(operation, Params={"Bucket": self.bucket, "Key": key})
        return url
