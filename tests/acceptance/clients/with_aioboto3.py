"""aioboto3. It pins an older boto3 than the other clients use, and runs in the tests' own environment."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import aioboto3
from aiobotocore.config import AioConfig

from tests.acceptance.clients.target import Target

T = TypeVar("T")
VERSION_4 = AioConfig(signature_version="s3v4")
"""For presigned URLs, which are of version 2 by default."""


class Client:
    def __init__(self, target: Target) -> None:
        self.session = aioboto3.Session()
        self.endpoint = target.endpoint
        self.bucket = target.bucket

    def _run(self, use: Callable[[Any], Awaitable[T]]) -> T:
        async def with_client() -> T:
            async with self.session.client("s3", endpoint_url=self.endpoint, config=VERSION_4) as s3:
                return await use(s3)

        return asyncio.run(with_client())

    def put(self, key: str, data: bytes) -> None:
        self._run(lambda s3: s3.put_object(Bucket=self.bucket, Key=key, Body=data))

    def get(self, key: str) -> bytes:
        return self._get(Key=key)

    def get_range(self, key: str, start: int) -> bytes:
        return self._get(Key=key, Range=f"bytes={start}-")

    def _get(self, **request: str) -> bytes:
        async def read(s3: Any) -> bytes:
            answer = await s3.get_object(Bucket=self.bucket, **request)
            data: bytes = await answer["Body"].read()
            return data

        return self._run(read)

    def keys(self, bucket: str) -> list[str]:
        async def collect(s3: Any) -> list[str]:
            pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
            return [entry["Key"] async for page in pages for entry in page.get("Contents", [])]

        return self._run(collect)

    def upload(self, key: str, file: Path) -> None:
        self._run(lambda s3: s3.upload_file(str(file), self.bucket, key))

    def download(self, key: str, file: Path) -> None:
        self._run(lambda s3: s3.download_file(self.bucket, key, str(file)))

    def copy(self, source: str, target: str) -> None:
        origin = {"Bucket": self.bucket, "Key": source}
        self._run(lambda s3: s3.copy_object(Bucket=self.bucket, Key=target, CopySource=origin))

    def delete(self, key: str) -> None:
        self._run(lambda s3: s3.delete_object(Bucket=self.bucket, Key=key))

    def presigned_get(self, key: str) -> str:
        return self._presigned("get_object", key)

    def presigned_put(self, key: str) -> str:
        return self._presigned("put_object", key)

    def _presigned(self, operation: str, key: str) -> str:
        what = {"Bucket": self.bucket, "Key": key}
        return str(self._run(lambda s3: s3.generate_presigned_url(operation, Params=what)))
