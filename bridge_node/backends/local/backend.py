"""Buckets in a directory of this machine (promise 6): what a gateway asks, done in threads or from the page cache."""

import asyncio
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

from bridge_node.backends import paging
from bridge_node.backends.assembly import Digests, is_composite, part_algorithm, put_algorithm
from bridge_node.backends.base import Capabilities
from bridge_node.backends.local import buckets
from bridge_node.backends.local.commit import Commits, stored
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.layout import DATA, OBJECTS
from bridge_node.backends.local.locks import share_root
from bridge_node.backends.local.reading import FileSource, WarmReader, open_bytes
from bridge_node.backends.local.receiving import Draft, copy_file, receive, receive_small
from bridge_node.backends.local.records import INLINE_LIMIT, DataFile, Record
from bridge_node.backends.local.store import Current, Store
from bridge_node.backends.local.sweep import Sweep
from bridge_node.backends.local.threads import Threads
from bridge_node.backends.local.uploads import Uploads
from bridge_node.backends.local.walk import SortedNames, Walk
from bridge_node.backends.selection import check_read, check_version, select
from bridge_node.body import ByteSource, BytesSource, aborting
from bridge_node.errors import (
    BackendBusy,
    BridgeError,
    NoSuchKey,
    NotModified,
    OutcomeUnknown,
    PreconditionFailed,
)
from bridge_node.objects import (
    BucketInfo,
    ByteRange,
    Checksum,
    Conditions,
    Deleted,
    DeleteFailure,
    Listing,
    ObjectInfo,
    ObjectStream,
    Part,
    PartListing,
    Receipt,
    Stored,
    UploadListing,
)
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    CopySource,
    DeleteObject,
    DeleteObjects,
    GetAttributes,
    GetObject,
    HeadObject,
    ListObjects,
    ListParts,
    ListUploads,
    ListVersions,
    OpenUpload,
    PutObject,
    StageCopy,
    StagePart,
)

T = TypeVar("T")

_ATTEMPTS = 20
"""How often an object may be replaced between a look at its record and one at its data."""


class LocalBackend:
    """The buckets below `root`. Several processes of one node may each have one.

    Raises RootUnusable when the directory cannot serve, or another node holds it. `abandoned_after`, in seconds, ends
    uploads that were never committed; S3 keeps them, so None does.
    """

    def __init__(
        self,
        root: Path,
        *,
        min_part_size: int = 5 * 1024 * 1024,
        threads: int = 32,
        sweep_interval: float = 300.0,
        abandoned_after: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(min_part_size=min_part_size, reports_displaced=True)
        self._held = share_root(root)
        self._clock = clock
        self._threads = Threads(threads)
        self._files = Files(root)
        self._uploads = Uploads(self._files, clock)
        self._store = Store(self._files, self._uploads)
        self._commits = Commits(self._files, self._uploads, self._store, min_part_size=min_part_size, clock=clock)
        self._names = SortedNames()
        self._warm = WarmReader()
        self._sweep = Sweep(
            self._files,
            self._uploads,
            self._store,
            interval=sweep_interval,
            abandoned_after=abandoned_after,
            clock=clock,
        )
        self._sweep.start()

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return await self._threads.run(buckets.all_buckets, self._files)

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return await self._threads.run(buckets.reach, self._files, bucket)

    async def create_bucket(self, bucket: str) -> None:
        await self._threads.run(buckets.create, self._files, bucket)

    async def delete_bucket(self, bucket: str) -> None:
        await self._threads.run(buckets.delete, self._files, bucket)

    async def list_objects(self, bucket: str, op: ListObjects) -> Listing:
        return await self._threads.run(self._listed, bucket, op, None)

    async def list_versions(self, bucket: str, op: ListVersions) -> Listing:
        return await self._threads.run(self._listed, bucket, op, "null")

    def _listed(self, bucket: str, op: ListObjects | ListVersions, version_id: str | None) -> Listing:
        path = self._files.bucket_path(bucket) + b"/"
        if not os.path.isdir(path):
            buckets.reach(self._files, bucket)
        walk = Walk(path + OBJECTS + b"/", self._names, op.prefix.encode(), collapse=op.delimiter == "/")

        def load(key: bytes) -> ObjectInfo | None:
            head = self._store.load_head(bucket, key.decode())
            return replace(head.info(key.decode()), version_id=version_id) if head else None

        return paging.object_page(walk, load, op)

    # --- reading objects ---

    async def head_object(self, bucket: str, op: HeadObject) -> ObjectInfo:
        check_version(op.version_id)
        head = self._warm.head(self._store.record_path(bucket, op.key))
        if head is None:
            head = await self._threads.run(self._store.load_head, bucket, op.key)
        if head is None:
            raise NoSuchKey(Key=op.key)
        info = head.info(op.key)
        check_read(op, info)
        return info

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        check_version(op.version_id)
        for _ in range(_ATTEMPTS):
            record = await self._record(bucket, op.key)
            info = record.info
            check_read(op, info)
            start, stop, partial = select(op, info.size, record.part_sizes)
            source = self._open(bucket, record, start, stop)
            if source is not None:
                return ObjectStream(info, source, start, stop, partial)
        raise BackendBusy(reason="object_keeps_changing")

    async def head_part(self, bucket: str, op: HeadObject) -> ObjectStream:
        check_version(op.version_id)
        record = await self._record(bucket, op.key)
        check_read(op, record.info)
        start, stop, partial = select(op, record.info.size, record.part_sizes)
        return ObjectStream(record.info, BytesSource(b""), start, stop, partial)

    async def get_attributes(self, bucket: str, op: GetAttributes) -> tuple[ObjectInfo, Sequence[Part]]:
        check_version(op.version_id)
        record = await self._record(bucket, op.key)
        op.conditions.check_read(record.info)
        if not op.parts or not record.info.part_count:
            return record.info, ()
        # An object's parts count from 1 without gaps, whatever numbers they were uploaded with.
        parts = [file.part for file in record.files if file.part.number > op.after_part]
        return record.info, parts[: op.part_limit]

    async def _record(self, bucket: str, key: str) -> Record:
        record = self._warm.record(self._store.record_path(bucket, key), key)
        if record is None:
            record = await self._threads.run(self._store.load, bucket, key)
        if record is None:
            raise NoSuchKey(Key=key)
        return record

    def _open(self, bucket: str, record: Record, start: int, stop: int) -> ByteSource | None:
        return open_bytes(self._threads, b"%s/%s/" % (self._files.bucket_path(bucket), DATA), record, start, stop)

    # --- writing objects ---

    async def put_object(self, bucket: str, op: PutObject) -> Stored:
        digests = Digests(put_algorithm(op))
        with aborting(op.source):
            if op.conditions:
                await self._threads.run(self._store.check, bucket, op.key, op.conditions)
            inline, draft = await self._received(bucket, op.source, digests, lambda: digests.verify(op))
        info = self._info(
            op.key, op.content, op.metadata, size=digests.size, etag=digests.etag, checksum=digests.checksum
        )
        return await self._publish(bucket, info, op.conditions, inline, draft)

    async def copy_object(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        source, stream = await self._source(source_bucket, op.source, None)
        content = source.content if op.content is None else op.content
        metadata = source.metadata if op.metadata is None else op.metadata
        algorithm = op.checksum_algorithm or (source.checksum.algorithm if source.checksum else None)
        if isinstance(stream, FileSource) and _keeps_digests(source, algorithm):
            draft = await self._copied_by_kernel(bucket, source, stream)
            if draft is not None:
                info = self._info(
                    op.key, content, metadata, size=source.size, etag=source.etag, checksum=source.checksum
                )
                return await self._publish(bucket, info, op.conditions, b"", draft)
        digests = Digests(algorithm)
        with aborting(stream):
            inline, draft = await self._received(bucket, stream, digests)
        info = self._info(op.key, content, metadata, size=digests.size, etag=digests.etag, checksum=digests.checksum)
        return await self._publish(bucket, info, op.conditions, inline, draft)

    async def _received(
        self, bucket: str, source: ByteSource, digests: Digests, verify: Callable[[], None] = lambda: None
    ) -> tuple[bytes, Draft | None]:
        """The bytes of a small body, or a draft of a large one."""
        if source.size is None or source.size > INLINE_LIMIT:
            return b"", await receive(self._files, self._threads, bucket, source, digests, verify=verify)
        inline = await receive_small(source, digests)
        verify()
        return inline, None

    async def _copied_by_kernel(self, bucket: str, source: ObjectInfo, stream: FileSource) -> Draft | None:
        """None where the kernel cannot; the stream then is as it was, and otherwise at its end."""
        with aborting(stream):
            draft = await copy_file(self._files, self._threads, bucket, stream.fd, source.size)
        if draft is not None:
            stream.abort(EOFError())
        return draft

    async def _source(self, bucket: str, source: CopySource, range: ByteRange | None) -> tuple[ObjectInfo, ByteSource]:
        """What is to be copied; raises PreconditionFailed, where a read would be NotModified too."""
        try:
            stream = await self.get_object(
                bucket,
                GetObject(source.bucket, source.key, range, conditions=source.conditions, version_id=source.version_id),
            )
        except NotModified as error:
            raise PreconditionFailed(Condition="x-amz-copy-source-If-None-Match") from error
        return stream.info, stream.source

    def _info(
        self,
        key: str,
        content: Mapping[str, str],
        metadata: Mapping[str, str],
        *,
        size: int,
        etag: str,
        checksum: Checksum | None,
    ) -> ObjectInfo:
        pin = self._files.writer.new_name()
        return ObjectInfo(key, size, etag, self._clock(), pin, content, metadata, checksum=checksum)

    async def _publish(
        self, bucket: str, info: ObjectInfo, conditions: Conditions, inline: bytes, draft: Draft | None
    ) -> Stored:
        files = (_data_file(draft, 1, info),) if draft else ()
        work = partial(self._store.publish, bucket, Record(info, inline, files), conditions)
        return stored(info, await self._threads.run_through(_named, draft, work))

    async def delete_object(self, bucket: str, op: DeleteObject) -> Deleted:
        (outcome,) = await self._threads.run_through(self._delete, bucket, (op,))
        if isinstance(outcome, DeleteFailure):
            raise outcome.error
        return outcome

    async def delete_objects(self, bucket: str, op: DeleteObjects) -> Sequence[Deleted | DeleteFailure]:
        await self._threads.run(buckets.reach, self._files, bucket)
        return await self._threads.run_through(self._delete, bucket, op.items)

    def _delete(self, bucket: str, items: Sequence[DeleteObject]) -> Sequence[Deleted | DeleteFailure]:
        """All of them with one sync for each directory."""
        outcomes: list[Deleted | DeleteFailure] = []
        removed: list[tuple[str, Current]] = []
        for item in items:
            try:
                check_version(item.version_id)
                current = self._store.unlink(bucket, item.key, item.conditions)
            except BridgeError as error:
                outcomes.append(DeleteFailure(item.key, error, item.version_id))
            else:
                removed.append((item.key, current))
                outcomes.append(Deleted(item.key, displaced=current.size))
        try:
            self._store.settle_unlinked(bucket, removed)
        except BridgeError as error:
            return [
                outcome if isinstance(outcome, DeleteFailure) else DeleteFailure(outcome.key, error)
                for outcome in outcomes
            ]
        return outcomes

    # --- uploads in parts ---

    async def open_upload(self, bucket: str, op: OpenUpload) -> str:
        composite = is_composite(op)
        return await self._threads.run(partial(self._uploads.open, bucket, op, composite=composite))

    async def stage_part(self, bucket: str, op: StagePart) -> Receipt:
        with aborting(op.source):
            upload = await self._threads.run(self._uploads.load, bucket, op.upload, op.key)
            digests = Digests(part_algorithm(op, upload.algorithm))
            part = await self._stage(bucket, op, op.source, digests, lambda: digests.verify(op))
        return Receipt(op.label, part.etag, part.checksum, part.size)

    async def stage_copy(self, bucket: str, op: StageCopy, source_bucket: str) -> tuple[Receipt, float]:
        upload = await self._threads.run(self._uploads.load, bucket, op.upload, op.key)
        info, stream = await self._source(source_bucket, op.source, op.range)
        with aborting(stream):
            if op.range is not None:
                op.range.must_lie_within(info.size)
            part = await self._stage(bucket, op, stream, Digests(upload.algorithm))
        return Receipt(op.label, part.etag, part.checksum, part.size), part.last_modified

    async def _stage(
        self,
        bucket: str,
        op: StagePart | StageCopy,
        source: ByteSource,
        digests: Digests,
        verify: Callable[[], None] = lambda: None,
    ) -> Part:
        draft = await receive(self._files, self._threads, bucket, source, digests, verify=verify)
        part = Part(op.label, digests.size, digests.etag, self._clock(), digests.checksum)
        work = partial(self._uploads.stage, bucket, op.upload, op.key, DataFile(draft.name, part))
        await self._threads.run_through(_named, draft, work)
        return part

    async def commit_upload(self, bucket: str, op: CommitUpload) -> Stored:
        return await self._threads.run_through(self._commits.commit, bucket, op)

    async def abort_upload(self, bucket: str, op: AbortUpload) -> None:
        await self._threads.run_through(self._commits.abort, bucket, op)

    async def list_parts(self, bucket: str, op: ListParts) -> PartListing:
        return await self._threads.run(self._commits.staged, bucket, op)

    async def list_uploads(self, bucket: str, op: ListUploads) -> UploadListing:
        return paging.upload_page(await self._threads.run(self._commits.open_uploads, bucket), op)

    def sweep(self) -> None:
        """Removes now what crashed writers left behind, as happens by itself every `sweep_interval`. Blocks."""
        self._sweep.once()

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._sweep.stop()
        self._threads.close()
        self._files.close()
        self._held.close()


def _keeps_digests(source: ObjectInfo, algorithm: str | None) -> bool:
    """Whether a copy of all bytes has the source's ETag and checksum: those of its bytes as a whole."""
    kept = source.checksum
    return source.part_count is None and algorithm == (kept.algorithm if kept else None)


def _data_file(draft: Draft, number: int, info: ObjectInfo) -> DataFile:
    return DataFile(draft.name, Part(number, info.size, info.etag, info.last_modified, info.checksum))


def _named(draft: Draft | None, work: Callable[[], T]) -> T:
    """The result of `work`, which gives the draft a place in something; when it fails, the draft goes.

    Where nobody knows whether it failed, the draft stays.
    """
    try:
        return work()
    except OutcomeUnknown:
        raise
    except BaseException:
        if draft is not None:
            draft.discard()
        raise
