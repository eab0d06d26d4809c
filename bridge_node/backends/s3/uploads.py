"""Uploads in parts, and copies, which become such uploads when they are large."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import md5
from typing import NamedTuple

from bridge_node import checksums
from bridge_node.backends.s3 import headers as wire
from bridge_node.backends.s3.client import query
from bridge_node.backends.s3.headers import Headers
from bridge_node.backends.s3.objects import Objects
from bridge_node.errors import (
    BackendMisbehaved,
    BadDigest,
    BridgeError,
    InvalidPart,
    InvalidPartOrder,
    InvalidRequest,
    NoSuchUpload,
    NotSupported,
    OutcomeUnknown,
    StoredWrongly,
    TooLarge,
)
from bridge_node.objects import ObjectInfo, PartListing, Receipt, Stored, UploadListing
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    HeadObject,
    ListParts,
    ListUploads,
    OpenUpload,
    StageCopy,
    StagePart,
)
from bridge_node.protocols.http import quoted
from bridge_node.protocols.s3 import documents, listings

LARGEST_COPY = 5 * 1024**3
"""Bytes that CopyObject takes at most (checklist 47)."""
COPIED_PART = 1024**3
PARALLEL_COPIES = 4


_ADDED = checksums.ALGORITHMS | {"", "md5", "none"}


class Handle(NamedTuple):
    """The store's own upload id and, where the client chose one, the checksum that the upload was opened with.

    The node that stages a part may not be the one that opened the upload (promise 7).
    """

    upload: str
    algorithm: str | None = None

    @classmethod
    def parse(cls, text: str) -> "Handle":
        algorithm, colon, upload = text.partition(":")
        return cls(upload, algorithm) if colon and algorithm in checksums.ALGORITHMS else cls(text)

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.upload}" if self.algorithm else self.upload

    def query(self, *fields: tuple[str, str | None]) -> str:
        return query(("uploadId", self.upload), *fields)


class Uploads(Objects):
    async def open_upload(self, bucket: str, op: OpenUpload) -> str:
        """Where the client wants no checksum of its own, parts and object get the node's (promise 1)."""
        asked = wire.described(op.content, op.metadata)
        chosen = op.checksum_algorithm if self._trailers else None
        if self._trailers:
            composite = op.checksum_composite if chosen else False
            asked.append(("x-amz-checksum-algorithm", (chosen or self._spec.checksum).upper()))
            if composite is not None:
                asked.append(("x-amz-checksum-type", "COMPOSITE" if composite else "FULL_OBJECT"))
        answer = await self._client.send("OpenUpload", "POST", bucket, op.key, "uploads=", asked)
        return str(Handle(await self._read(documents.read_initiate_result, answer), chosen))

    async def stage_part(self, bucket: str, op: StagePart) -> Receipt:
        """A part's own checksum yields where the node chose another for its upload: the source verifies it anyway.

        aioboto3 and the AWS SDK for C++ open uploads without one and then name one for each part.
        """
        handle = Handle.parse(op.upload)
        algorithm = handle.algorithm or self._added
        if self._trailers and handle.algorithm is None and op.checksum_algorithm != algorithm:
            op = replace(op, checksum=None, checksum_algorithm=None)
        which = handle.query(("partNumber", str(op.label)))
        answer, body = await self._upload(
            "StagePart", bucket, op, [], added=algorithm, query=which, absent=NoSuchUpload
        )
        if body.differs(answer.headers):
            raise StoredWrongly
        stored = self._stored(answer, body)
        return Receipt(op.label, stored.etag, stored.checksum, stored.size)

    async def commit_upload(self, bucket: str, op: CommitUpload) -> Stored:
        """A lost answer, and an upload that is gone, are success where HEAD shows the very ETag (promise 3)."""
        labels = [receipt.label for receipt in op.receipts]
        if labels != sorted(set(labels)):
            raise InvalidPartOrder
        try:
            return await self._commit(bucket, op)
        except (NoSuchUpload, OutcomeUnknown):
            proven = await self._proof(bucket, op)
            if proven is None:
                raise
            return proven

    async def _commit(self, bucket: str, op: CommitUpload) -> Stored:
        handle = Handle.parse(op.upload)
        algorithm = (handle.algorithm or self._added) if self._trailers else None
        asked = wire.writing(op.conditions)
        if op.checksum is not None and op.checksum.algorithm == algorithm:
            asked.append((f"x-amz-checksum-{algorithm}", op.checksum.value))
            asked.append(("x-amz-checksum-type", "COMPOSITE" if op.checksum.composite else "FULL_OBJECT"))
        elif op.checksum is not None and self._trailers:  # nobody could verify it; other stores know no such thing
            raise InvalidRequest(reason="checksum_of_another_kind")
        if op.size is not None:
            asked.append(("x-amz-mp-object-size", str(op.size)))
        receipts = [
            one if one.checksum is None or one.checksum.algorithm == algorithm else replace(one, checksum=None)
            for one in op.receipts
        ]
        try:
            answer = await self._client.send(
                "CommitUpload", "POST", bucket, op.key, handle.query(), asked,
                documents.write_complete_request(receipts), repeatable=False, absent=NoSuchUpload,
            )  # fmt: skip
        except BackendMisbehaved as error:
            if error.reason != "backend_400_BadDigest":
                raise
            if op.checksum is not None:
                raise BadDigest(reason="checksum_differs") from error  # the client's own word about the whole
            raise InvalidPart(reason="checksum_differs") from error  # and about a part
        stored = await self._result(documents.read_complete_result, answer)
        sizes = [receipt.size for receipt in receipts if receipt.size is not None]
        size = sum(sizes) if len(sizes) == len(receipts) else op.size or 0
        return replace(stored, last_modified=self._clock(), size=size)

    async def _proof(self, bucket: str, op: CommitUpload) -> Stored | None:
        """The object, if it is the one that these receipts make."""
        expected = expected_etag(op.receipts)
        if expected is None:
            return None
        try:
            info = await self.head_object(bucket, HeadObject("", op.key, checksum=True))
        except BridgeError:
            return None
        if info.etag != expected:
            return None
        return Stored(info.etag, info.pin, info.version_id, info.last_modified, info.checksum, info.size)

    async def abort_upload(self, bucket: str, op: AbortUpload) -> None:
        upload = Handle.parse(op.upload).query()
        await self._client.done("AbortUpload", "DELETE", bucket, op.key, query=upload, absent=NoSuchUpload)

    async def list_parts(self, bucket: str, op: ListParts) -> PartListing:
        after = str(op.after) if op.after else None
        wanted = Handle.parse(op.upload).query(("max-parts", str(op.limit)), ("part-number-marker", after))
        answer = await self._client.send("ListParts", "GET", bucket, op.key, wanted, absent=NoSuchUpload)
        return await self._read(listings.read_parts, answer)

    async def list_uploads(self, bucket: str, op: ListUploads) -> UploadListing:
        after = Handle.parse(op.after_upload).upload if op.after_upload else ""
        return await self._listed(
            "ListUploads", bucket, listings.read_uploads,
            ("delimiter", op.delimiter), ("key-marker", op.after), ("max-uploads", str(op.limit)),
            ("prefix", op.prefix), ("upload-id-marker", after), also="uploads=",
        )  # fmt: skip

    # --- copies ---

    async def copy_object(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        """Sources above 5 GiB, which CopyObject refuses, are copied by parts."""
        if op.conditions:
            raise NotSupported  # many stores ignore them here, which would break promise 4
        try:
            return await self._copy_whole(bucket, op, source_bucket)
        except (InvalidRequest, TooLarge):
            source = await self._source(op, source_bucket)
            if source.size <= LARGEST_COPY:
                raise
        return await self._copy_by_parts(bucket, op, source_bucket, source)

    async def _copy_whole(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        asked = _copied(op, source_bucket)
        if op.content is not None or op.metadata is not None:
            content, metadata = op.content, op.metadata
            if content is None or metadata is None:
                source = await self._source(op, source_bucket)
                content, metadata = _replaced(op, source)
            asked += [("x-amz-metadata-directive", "REPLACE"), *wire.described(content, metadata)]
        if op.checksum_algorithm and self._trailers:
            asked.append(("x-amz-checksum-algorithm", op.checksum_algorithm.upper()))
        answer = await self._client.send("CopyObject", "PUT", bucket, op.key, "", asked)
        return await self._result(documents.read_copy_result, answer)

    async def _source(self, op: CopyObject, source_bucket: str) -> ObjectInfo:
        return await self.head_object(source_bucket, HeadObject("", op.source.key, version_id=op.source.version_id))

    async def _copy_by_parts(self, bucket: str, op: CopyObject, source_bucket: str, source: ObjectInfo) -> Stored:
        upload = await self.open_upload(bucket, OpenUpload("", op.key, *_replaced(op, source), op.checksum_algorithm))
        asked = [one for one in _copied(op, source_bucket) if one[0] != "x-amz-copy-source-if-match"]
        asked.append(("x-amz-copy-source-if-match", quoted(source.pin)))
        try:
            receipts = await self._copy_ranges(bucket, op.key, upload, source.size, asked)
            return await self.commit_upload(bucket, CommitUpload("", op.key, upload, receipts))
        except BaseException:
            with contextlib.suppress(BridgeError):
                await self.abort_upload(bucket, AbortUpload("", op.key, upload))
            raise

    async def _copy_ranges(self, bucket: str, key: str, upload: str, size: int, asked: Headers) -> tuple[Receipt, ...]:
        step = max(COPIED_PART, -(-size // self.capabilities.max_parts))
        slots = asyncio.Semaphore(PARALLEL_COPIES)

        async def copied(label: int, start: int) -> Receipt:
            part = ("x-amz-copy-source-range", f"bytes={start}-{min(start + step, size) - 1}")
            async with slots:
                return (await self._stage_copied(bucket, key, upload, label, [*asked, part]))[0]

        try:
            async with asyncio.TaskGroup() as group:
                copies = [
                    group.create_task(copied(label, start), name=f"copy part {label}")
                    for label, start in enumerate(range(0, size, step), start=1)
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from errors
        return tuple(copy.result() for copy in copies)

    async def stage_copy(self, bucket: str, op: StageCopy, source_bucket: str) -> tuple[Receipt, float]:
        asked = _copied(op, source_bucket)
        if op.range is not None:
            asked.append(("x-amz-copy-source-range", op.range.header()))
        return await self._stage_copied(bucket, op.key, op.upload, op.label, asked)

    async def _stage_copied(
        self, bucket: str, key: str, upload: str, label: int, asked: Headers
    ) -> tuple[Receipt, float]:
        part = Handle.parse(upload).query(("partNumber", str(label)))
        answer = await self._client.send("StageCopy", "PUT", bucket, key, part, asked)
        stored = await self._result(documents.read_copy_result, answer)
        return Receipt(label, stored.etag, stored.checksum), stored.last_modified


def _copied(op: CopyObject | StageCopy, source_bucket: str) -> Headers:
    source = op.source
    return [
        wire.copy_source(source_bucket, source.key, source.version_id),
        *wire.reading(source.conditions, prefix="x-amz-copy-source-"),
    ]


def _replaced(op: CopyObject, source: ObjectInfo) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Content headers and metadata of the copy."""
    return (
        source.content if op.content is None else op.content,
        source.metadata if op.metadata is None else op.metadata,
    )


def expected_etag(receipts: Sequence[Receipt]) -> str | None:
    """The ETag that S3 gives to an object of these parts; None where theirs are no MD5."""
    try:
        digests = b"".join([bytes.fromhex(receipt.etag) for receipt in receipts])
    except ValueError:
        return None
    if len(digests) != 16 * len(receipts):
        return None
    return f"{md5(digests, usedforsecurity=False).hexdigest()}-{len(receipts)}"
