"""Buckets, and what is in them."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from bridge_node.backends.bucketnames import check_bucket_name
from bridge_node.backends.s3.account import Account
from bridge_node.backends.s3.client import query
from bridge_node.errors import BackendRefused, NoSuchBucket
from bridge_node.objects import BucketInfo, Listing
from bridge_node.operations import ListObjects, ListVersions
from bridge_node.protocols.s3 import documents, listings

REACHED_SECONDS = 30.0
"""How long a bucket that was there is believed to be there, when a bare 404 needs an explanation."""
MOST_REACHED = 4096

_T = TypeVar("_T")


class Buckets(Account):
    async def list_buckets(self) -> Sequence[BucketInfo]:
        found: list[BucketInfo] = []
        token: str | None = None
        while True:
            answer = await self._client.send("ListBuckets", "GET", "", query=query(("continuation-token", token)))
            page, token = await self._read(listings.read_buckets, answer)
            found += page
            if not token:
                return sorted(found, key=lambda bucket: bucket.name)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        await self._client.done("HeadBucket", "HEAD", bucket, absent=NoSuchBucket)
        return BucketInfo(bucket, region=self._client.region_of(bucket))

    async def create_bucket(self, bucket: str) -> None:
        check_bucket_name(bucket)
        self._client.forget(bucket)
        document = documents.write_create_bucket(self._spec.region)
        await self._client.done("CreateBucket", "PUT", bucket, body=document or None, repeatable=False)

    async def delete_bucket(self, bucket: str) -> None:
        await self._client.done("DeleteBucket", "DELETE", bucket, absent=NoSuchBucket)
        self._client.forget(bucket)

    async def list_objects(self, bucket: str, op: ListObjects) -> Listing:
        """V2, but for a page that begins behind a common prefix: only V1's marker skips that."""
        version, _, native = (op.token or "").partition(":")
        if version == "1" or (op.token is None and _is_common_prefix(op)):
            version, start = "1", [("marker", native or op.after)]
        else:
            version, start = "2", [("list-type", "2"), ("continuation-token", native), ("start-after", op.after)]
            if native:
                start.pop()
        page = await self._listed(
            "ListObjects", bucket, listings.read_objects,
            *start, ("delimiter", op.delimiter), ("max-keys", str(op.limit)), ("prefix", op.prefix),
        )  # fmt: skip
        return replace(page, token=None if page.token is None else f"{version}:{page.token}")

    async def list_versions(self, bucket: str, op: ListVersions) -> Listing:
        return await self._listed(
            "ListVersions", bucket, listings.read_versions,
            ("delimiter", op.delimiter), ("key-marker", op.after), ("max-keys", str(op.limit)),
            ("prefix", op.prefix), ("version-id-marker", op.after_version or ""), also="versions=",
        )  # fmt: skip

    async def _listed(
        self, operation: str, bucket: str, reader: Callable[[bytes], _T], *wanted: tuple[str, str], also: str = ""
    ) -> _T:
        """A page of a bucket; what is empty is not asked for, keys come percent-encoded (checklist 35)."""
        asked = query(("encoding-type", "url"), *((name, value or None) for name, value in wanted))
        answer = await self._client.send(operation, "GET", bucket, query=f"{asked}&{also}" if also else asked)
        return await self._read(reader, answer)

    async def _check_bucket(self, bucket: str) -> None:
        """Raises unless the bucket is there; one whose HEAD is forbidden is: S3 would have refused the key as well."""
        now = self._clock()
        if self._client.reached.get(bucket, 0.0) >= now:
            return
        with contextlib.suppress(BackendRefused):
            await self.head_bucket(bucket)
        if len(self._client.reached) >= MOST_REACHED:
            self._client.reached.clear()
        self._client.reached[bucket] = now + REACHED_SECONDS


def _is_common_prefix(op: ListObjects) -> bool:
    """Whether a listing with this prefix and delimiter would roll keys up into `op.after`."""
    if not op.delimiter or not op.after.startswith(op.prefix):
        return False
    return op.after.find(op.delimiter, len(op.prefix)) == len(op.after) - len(op.delimiter)
