"""A backend that keeps everything in this process: for tests, demonstrations and one-worker nodes.

All of it runs on the event loop without a wait between looking and changing, so conditions are atomic by construction.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from bridge_node.backends import paging
from bridge_node.backends.assembly import (
    Assembly,
    Digests,
    assemble,
    is_composite,
    multipart_etag,
    part_algorithm,
    put_algorithm,
)
from bridge_node.backends.base import Capabilities
from bridge_node.backends.bucketnames import check_bucket_name
from bridge_node.backends.selection import check_read, check_version, select
from bridge_node.body import ByteSource, BytesSource, aborting
from bridge_node.errors import (
    BridgeError,
    BucketNotEmpty,
    BucketOwnedByCaller,
    IncompleteBody,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NotModified,
    PreconditionFailed,
)
from bridge_node.objects import (
    BucketInfo,
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
    UploadInfo,
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
    UploadOperation,
)


@dataclass(frozen=True, slots=True)
class _Object:
    info: ObjectInfo
    data: bytes
    parts: tuple[Part, ...] = ()
    upload: str = ""
    """Handle of the upload that it came from."""


@dataclass(slots=True)
class _Upload:
    op: OpenUpload
    composite: bool
    started: float
    parts: dict[int, tuple[Part, bytes]] = field(default_factory=dict)


@dataclass(slots=True)
class _Bucket:
    created: float
    objects: dict[str, _Object] = field(default_factory=dict)
    uploads: dict[str, _Upload] = field(default_factory=dict)


class MemoryBackend:
    """One account in memory. Buckets named in `buckets` are there from the start."""

    def __init__(
        self,
        buckets: Sequence[str] = (),
        *,
        min_part_size: int = 5 * 1024 * 1024,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.capabilities = Capabilities(min_part_size=min_part_size, reports_displaced=True)
        self._clock = clock
        self._buckets = {name: _Bucket(clock()) for name in buckets}
        self._writes = 0

    # --- buckets ---

    async def list_buckets(self) -> Sequence[BucketInfo]:
        return [BucketInfo(name, bucket.created) for name, bucket in sorted(self._buckets.items())]

    async def head_bucket(self, bucket: str) -> BucketInfo:
        return BucketInfo(bucket, self._bucket(bucket).created)

    async def create_bucket(self, bucket: str) -> None:
        check_bucket_name(bucket)
        if bucket in self._buckets:
            raise BucketOwnedByCaller
        self._buckets[bucket] = _Bucket(self._clock())

    async def delete_bucket(self, bucket: str) -> None:
        if self._bucket(bucket).objects:
            raise BucketNotEmpty
        del self._buckets[bucket]

    async def list_objects(self, bucket: str, op: ListObjects) -> Listing:
        objects = self._bucket(bucket).objects
        return paging.object_page(_walk(objects), lambda key: objects[key.decode()].info, op)

    async def list_versions(self, bucket: str, op: ListVersions) -> Listing:
        objects = self._bucket(bucket).objects
        return paging.object_page(
            _walk(objects), lambda key: replace(objects[key.decode()].info, version_id="null"), op
        )

    # --- objects ---

    async def head_object(self, bucket: str, op: HeadObject) -> ObjectInfo:
        return self._read(bucket, op).info

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        found = self._read(bucket, op)
        start, stop, partial = select(op, found.info.size, [part.size for part in found.parts])
        return ObjectStream(found.info, BytesSource(found.data[start:stop]), start, stop, partial)

    async def head_part(self, bucket: str, op: HeadObject) -> ObjectStream:
        found = self._read(bucket, op)
        start, stop, partial = select(op, found.info.size, [part.size for part in found.parts])
        return ObjectStream(found.info, BytesSource(b""), start, stop, partial)

    async def get_attributes(self, bucket: str, op: GetAttributes) -> tuple[ObjectInfo, Sequence[Part]]:
        check_version(op.version_id)
        found = self._object(bucket, op.key)
        op.conditions.check_read(found.info)
        wanted = [part for part in found.parts if op.parts and part.number > op.after_part]
        return found.info, wanted[: op.part_limit]

    async def put_object(self, bucket: str, op: PutObject) -> Stored:
        with aborting(op.source):
            self._bucket(bucket)
            data, digests = await _taken(op.source, put_algorithm(op))
        digests.verify(op)
        info = self._info(op.key, data, digests, op.content, op.metadata)
        return self._store(bucket, _Object(info, data), op.conditions)

    async def delete_object(self, bucket: str, op: DeleteObject) -> Deleted:
        check_version(op.version_id)
        objects = self._bucket(bucket).objects
        found = objects.get(op.key)
        op.conditions.check_write(found.info if found else None)
        objects.pop(op.key, None)
        return Deleted(op.key, displaced=found.info.size if found else 0)

    async def delete_objects(self, bucket: str, op: DeleteObjects) -> Sequence[Deleted | DeleteFailure]:
        self._bucket(bucket)
        outcomes: list[Deleted | DeleteFailure] = []
        for item in op.items:
            try:
                outcomes.append(await self.delete_object(bucket, item))
            except BridgeError as error:
                outcomes.append(DeleteFailure(item.key, error, item.version_id))
        return outcomes

    async def copy_object(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        self._bucket(bucket)
        source = self._copied(source_bucket, op.source)
        kept = source.info.checksum
        data, digests = await _taken(
            BytesSource(source.data), op.checksum_algorithm or (kept.algorithm if kept else None)
        )
        content = source.info.content if op.content is None else op.content
        metadata = source.info.metadata if op.metadata is None else op.metadata
        return self._store(bucket, _Object(self._info(op.key, data, digests, content, metadata), data), op.conditions)

    # --- uploads in parts ---

    async def open_upload(self, bucket: str, op: OpenUpload) -> str:
        uploads = self._bucket(bucket).uploads
        composite = is_composite(op)
        handle = self._new_name()
        uploads[handle] = _Upload(op, composite, self._clock())
        return handle

    async def stage_part(self, bucket: str, op: StagePart) -> Receipt:
        with aborting(op.source):
            algorithm = part_algorithm(op, self._upload(bucket, op).op.checksum_algorithm)
            data, digests = await _taken(op.source, algorithm)
        digests.verify(op)
        return self._stage(bucket, op, data, digests)[0]

    async def stage_copy(self, bucket: str, op: StageCopy, source_bucket: str) -> tuple[Receipt, float]:
        algorithm = self._upload(bucket, op).op.checksum_algorithm
        source = self._copied(source_bucket, op.source)
        start, stop = op.range.resolve(source.info.size) if op.range else (0, source.info.size)
        if op.range:
            op.range.must_lie_within(source.info.size)
        data, digests = await _taken(BytesSource(source.data[start:stop]), algorithm)
        return self._stage(bucket, op, data, digests)

    async def commit_upload(self, bucket: str, op: CommitUpload) -> Stored:
        try:
            upload = self._upload(bucket, op)
        except NoSuchUpload:
            return self._committed_before(bucket, op)
        staged = {label: part for label, (part, _) in upload.parts.items()}
        algorithm, smallest = upload.op.checksum_algorithm, self.capabilities.min_part_size
        assembly = assemble(op, staged, algorithm, composite=upload.composite, min_part_size=smallest)
        data = b"".join(upload.parts[label][1] for label in assembly.labels)
        info = self._assembled(upload.op, assembly)
        stored = self._store(bucket, _Object(info, data, assembly.parts, op.upload), op.conditions)
        del self._bucket(bucket).uploads[op.upload]
        return stored

    async def abort_upload(self, bucket: str, op: AbortUpload) -> None:
        self._upload(bucket, op)
        del self._bucket(bucket).uploads[op.upload]

    async def list_parts(self, bucket: str, op: ListParts) -> PartListing:
        parts = self._upload(bucket, op).parts
        return paging.part_page([part for _, (part, _) in sorted(parts.items())], op)

    async def list_uploads(self, bucket: str, op: ListUploads) -> UploadListing:
        uploads = self._bucket(bucket).uploads.items()
        return paging.upload_page(
            [UploadInfo(upload.op.key, handle, upload.started, upload.op.content) for handle, upload in uploads], op
        )

    async def close(self) -> None:
        self._buckets.clear()

    # --- what the methods above share ---

    def _bucket(self, name: str) -> _Bucket:
        try:
            return self._buckets[name]
        except KeyError:
            raise NoSuchBucket(BucketName=name) from None

    def _object(self, bucket: str, key: str) -> _Object:
        try:
            return self._bucket(bucket).objects[key]
        except KeyError:
            raise NoSuchKey(Key=key) from None

    def _upload(self, bucket: str, op: UploadOperation) -> _Upload:
        upload = self._bucket(bucket).uploads.get(op.upload)
        if upload is None or upload.op.key != op.key:
            raise NoSuchUpload(UploadId=op.upload)
        return upload

    def _read(self, bucket: str, op: GetObject | HeadObject) -> _Object:
        check_version(op.version_id)
        found = self._object(bucket, op.key)
        check_read(op, found.info)
        return found

    def _copied(self, bucket: str, source: CopySource) -> _Object:
        check_version(source.version_id)
        found = self._object(bucket, source.key)
        try:
            source.conditions.check_read(found.info)
        except NotModified as error:
            raise PreconditionFailed(Condition="x-amz-copy-source-If-None-Match") from error
        return found

    def _info(
        self, key: str, data: bytes, digests: Digests, content: Mapping[str, str], metadata: Mapping[str, str]
    ) -> ObjectInfo:
        return ObjectInfo(
            key, len(data), digests.etag, self._clock(), self._new_name(), dict(content), dict(metadata),
            checksum=digests.checksum,
        )  # fmt: skip

    def _assembled(self, op: OpenUpload, assembly: Assembly) -> ObjectInfo:
        return ObjectInfo(
            op.key, assembly.size, assembly.etag, self._clock(), self._new_name(), dict(op.content),
            dict(op.metadata), checksum=assembly.checksum, part_count=len(assembly.parts),
        )  # fmt: skip

    def _store(self, bucket: str, new: _Object, conditions: Conditions) -> Stored:
        objects = self._bucket(bucket).objects
        old = objects.get(new.info.key)
        conditions.check_write(old.info if old else None)
        objects[new.info.key] = new
        return _stored(new.info, displaced=old.info.size if old else 0)

    def _committed_before(self, bucket: str, op: CommitUpload) -> Stored:
        found = self._bucket(bucket).objects.get(op.key)
        if found is None or found.upload != op.upload or found.info.etag != multipart_etag(op.receipts):
            raise NoSuchUpload(UploadId=op.upload)
        return _stored(found.info, displaced=found.info.size)

    def _stage(self, bucket: str, op: StagePart | StageCopy, data: bytes, digests: Digests) -> tuple[Receipt, float]:
        part = Part(op.label, len(data), digests.etag, self._clock(), digests.checksum)
        self._upload(bucket, op).parts[op.label] = (part, data)
        return Receipt(op.label, part.etag, part.checksum, part.size), part.last_modified

    def _new_name(self) -> str:
        """Different each time, and sorting by age: pins and handles."""
        self._writes += 1
        return f"{self._writes:016x}"


def _walk(objects: Mapping[str, _Object]) -> paging.Walk:
    keys = sorted(key.encode() for key in objects)
    return lambda start: (key for key in keys if key >= start)


async def _taken(source: ByteSource, algorithm: str | None) -> tuple[bytes, Digests]:
    """The whole of `source` and its digests; raises what it raises, and IncompleteBody where bytes are missing."""
    pieces: list[bytes] = []
    digests = Digests(algorithm)
    while data := await source.read():
        pieces.append(data)
        digests.update(data)
    if source.size is not None and digests.size != source.size:
        raise IncompleteBody
    return b"".join(pieces), digests


def _stored(info: ObjectInfo, displaced: int) -> Stored:
    return Stored(
        info.etag, info.pin, last_modified=info.last_modified, checksum=info.checksum, size=info.size,
        displaced=displaced,
    )  # fmt: skip
