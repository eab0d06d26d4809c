"""Runs authorised operations where their bucket lies.

Backends know nothing of the wire: names, upload ids and continuation tokens are put right here, on the way in and on
the way out.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from bridge_node.catalog import AccessKey, Repository
from bridge_node.errors import (
    InvalidArgument,
    InvalidRange,
    NoSuchBucket,
    NoSuchUpload,
    NotSupported,
    PreconditionFailed,
    TooLarge,
)
from bridge_node.gateway import seals
from bridge_node.gateway.copying import CopiedPart, copy_object, stage_copy
from bridge_node.gateway.places import Place, Places
from bridge_node.objects import BucketInfo, Listing, ObjectInfo, ObjectStream, Part, Receipt, Stored, UploadListing
from bridge_node.operations import (
    AbortUpload,
    BucketOperation,
    CommitUpload,
    CopyObject,
    CreateBucket,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    DescribeBucket,
    DescribeObject,
    GetAttributes,
    GetObject,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListObjects,
    ListParts,
    ListUploads,
    ListVersions,
    OpenUpload,
    Operation,
    PutObject,
    StageCopy,
    StagePart,
    UploadOperation,
)

_Upload = TypeVar("_Upload", bound=UploadOperation)


@dataclass(frozen=True, slots=True)
class BucketPage:
    """The outcome of ListBuckets; `token` resumes behind the last of `buckets` (None: there is no more)."""

    buckets: tuple[BucketInfo, ...]
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Attributes:
    """The outcome of GetAttributes."""

    info: ObjectInfo
    parts: Sequence[Part]


class Router:
    """Outcomes are what the `Backend` methods return, or `BucketPage`, `Attributes`, `CopiedPart`."""

    def __init__(self, places: Places) -> None:
        self._places = places

    async def run(self, key: AccessKey, repository: Repository, operation: Operation) -> object:
        """Raises what the backend raises, and NotSupported or TooLarge for what the backend cannot do."""
        if isinstance(operation, ListBuckets):
            return await self._list_buckets(key, repository, operation)
        if not isinstance(operation, BucketOperation):
            raise NotSupported
        if isinstance(operation, CreateBucket):
            await self._places.create(repository, operation.bucket)
            return None
        place = self._places.at_hand(repository, operation.bucket)
        if place is None:
            return await self._run_where_found(repository, operation)
        return await self._work(repository, place, operation)

    async def _run_where_found(self, repository: Repository, operation: BucketOperation) -> object:
        place = await self._places.search(repository, operation.bucket)
        try:
            return await self._work(repository, place, operation)
        except NoSuchBucket:
            self._places.forget(repository, operation.bucket)
            raise

    def _work(  # noqa: C901, PLR0911, PLR0912 - one line an operation
        self, repository: Repository, place: Place, op: BucketOperation
    ) -> Awaitable[object]:
        backend, bucket = place.backend, place.bucket
        match op:
            case GetObject(if_range=None):
                return backend.get_object(bucket, op)
            case GetObject():
                return _get_object_if_range(place, op)
            case HeadObject(range=None, part=None):
                return backend.head_object(bucket, op)
            case HeadObject():
                return backend.head_part(bucket, op)
            case PutObject():
                return _put_object(place, op)
            case DeleteObject():
                _need(backend.capabilities.conditional_delete or not op.conditions)
                return backend.delete_object(bucket, op)
            case CopyObject():
                return self._copy_object(repository, place, op)
            case GetAttributes():
                return _get_attributes(place, op)
            case DescribeObject():
                return backend.head_object(bucket, HeadObject(op.bucket, op.key, version_id=op.version_id))
            case OpenUpload():
                return _open_upload(repository, place, op)
            case StagePart():
                return _stage_part(place, _unsealed(repository, place, op))
            case StageCopy():
                return self._stage_copy(repository, place, _unsealed(repository, place, op))
            case CommitUpload():
                _need(backend.capabilities.conditional_put or not op.conditions)
                return backend.commit_upload(bucket, _unsealed(repository, place, op))
            case AbortUpload():
                return backend.abort_upload(bucket, _unsealed(repository, place, op))
            case ListParts():
                return backend.list_parts(bucket, _unsealed(repository, place, op))
            case ListObjects():
                return _list_objects(repository, place, op)
            case ListVersions():
                return backend.list_versions(bucket, op) if op.limit else _empty(place)
            case ListUploads():
                return _list_uploads(repository, place, op)
            case DeleteObjects():
                _need(backend.capabilities.conditional_delete or not any(item.conditions for item in op.items))
                return backend.delete_objects(bucket, op)
            case HeadBucket() | DescribeBucket():
                return backend.head_bucket(bucket)
            case DeleteBucket():
                return backend.delete_bucket(bucket)
        raise NotSupported

    async def _list_buckets(self, key: AccessKey, repository: Repository, op: ListBuckets) -> BucketPage:
        after = op.after
        if op.token is not None:
            _, after = seals.open_position(repository, ("buckets", op.prefix), "", op.token)
        visible = [
            bucket
            for bucket in await self._places.all(key, repository)
            if bucket.name.startswith(op.prefix) and bucket.name > after
        ]
        page = tuple(visible[: op.limit])
        if len(visible) == len(page):
            return BucketPage(page)
        return BucketPage(page, seals.seal_position(repository, ("buckets", op.prefix), "", "", page[-1].name))

    async def _copy_object(self, repository: Repository, place: Place, op: CopyObject) -> Stored:
        _need(place.backend.capabilities.conditional_put or not op.conditions)
        return await copy_object(await self._places.of_source(repository, op.source.bucket, place), place, op)

    async def _stage_copy(self, repository: Repository, place: Place, op: StageCopy) -> CopiedPart:
        return await stage_copy(await self._places.of_source(repository, op.source.bucket, place), place, op)


async def _get_object_if_range(place: Place, op: GetObject) -> ObjectStream:
    """The range if the object is still the version that the client has a part of, else the whole (RFC 9110 §13.1.5)."""
    part, whole = replace(op, if_range=None), replace(op, if_range=None, range=None)
    try:
        stream = await place.backend.get_object(place.bucket, part)
    except InvalidRange as error:
        stream = await place.backend.get_object(place.bucket, whole)
        if _is_version(stream.info, op.if_range):
            stream.source.abort(error)
            raise
        return stream
    if _is_version(stream.info, op.if_range):
        return stream
    stream.source.abort(PreconditionFailed(Condition="If-Range"))
    return await place.backend.get_object(place.bucket, whole)


def _is_version(info: ObjectInfo, named: str | float | None) -> bool:
    return info.etag == named if isinstance(named, str) else int(info.last_modified) == named


async def _put_object(place: Place, op: PutObject) -> Stored:
    capabilities = place.backend.capabilities
    _need(capabilities.conditional_put or not op.conditions)
    await _check_body(op, capabilities.max_put_size)
    return await place.backend.put_object(place.bucket, op)


async def _get_attributes(place: Place, op: GetAttributes) -> Attributes:
    return Attributes(*await place.backend.get_attributes(place.bucket, op))


async def _open_upload(repository: Repository, place: Place, op: OpenUpload) -> str:
    handle = await place.backend.open_upload(place.bucket, op)
    return seals.seal_upload(repository, place.name, place.bucket, op.key, handle)


async def _stage_part(place: Place, op: StagePart) -> Receipt:
    await _check_body(op, place.backend.capabilities.max_part_size)
    return await place.backend.stage_part(place.bucket, op)


async def _list_objects(repository: Repository, place: Place, op: ListObjects) -> Listing:
    if not op.limit:
        return await _empty(place)
    purpose = ("objects", op.bucket, op.prefix, op.delimiter)
    if op.token is not None:
        token, last = seals.open_position(repository, purpose, place.name, op.token)
        op = replace(op, token=token, after=last)
    page = await place.backend.list_objects(place.bucket, op)
    if page.token is None:
        return page
    last = max(page.objects[-1].key if page.objects else "", page.prefixes[-1] if page.prefixes else "")
    return replace(page, token=seals.seal_position(repository, purpose, place.name, page.token, last))


async def _empty(place: Place) -> Listing:
    """A page of no entries is asked for: it holds nothing and is complete, if the bucket is there (checklist 36)."""
    await place.backend.head_bucket(place.bucket)
    return Listing()


async def _list_uploads(repository: Repository, place: Place, op: ListUploads) -> UploadListing:
    if op.after_upload:
        op = replace(op, after_upload=_upload_marker(repository, place, op))
    page = await place.backend.list_uploads(place.bucket, op)
    uploads = [
        replace(upload, handle=seals.seal_upload(repository, place.name, place.bucket, upload.key, upload.handle))
        for upload in page.uploads
    ]
    return replace(page, uploads=tuple(uploads))


def _upload_marker(repository: Repository, place: Place, op: ListUploads) -> str:
    try:
        return seals.open_upload(repository, place.name, place.bucket, op.after, op.after_upload or "")
    except NoSuchUpload as error:
        raise InvalidArgument("Invalid uploadId marker", ArgumentName="upload-id-marker") from error


def _unsealed(repository: Repository, place: Place, op: _Upload) -> _Upload:
    return replace(op, upload=seals.open_upload(repository, place.name, place.bucket, op.key, op.upload))


async def _check_body(op: PutObject | StagePart, largest: int) -> None:
    """Refuses what is too large before anything is sent, and verifies an empty body, which nobody can hold back."""
    size = op.source.size or 0
    if size > largest:
        raise TooLarge(ProposedSize=str(size), MaxSizeAllowed=str(largest))
    if size == 0:
        await op.source.read()


def _need(capable: bool) -> None:
    if not capable:
        raise NotSupported("This bucket's storage cannot decide conditions atomically.", reason="backend_capability")
