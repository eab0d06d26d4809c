"""How S3 answers: one function per kind of outcome, in the order of `requests`."""

import asyncio
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from bridge_node.body import BytesSource, ExactSource
from bridge_node.errors import InvalidArgument, InvalidRange, NoSuchKey, NotModified, UnknownMethod, WrongRegion
from bridge_node.gateway.copying import CopiedPart
from bridge_node.gateway.http import Clock, HttpFault, Request, Response
from bridge_node.gateway.routing import Attributes, BucketPage
from bridge_node.gateway.s3.fields import DEFAULT_CONTENT_TYPE, OVERRIDES
from bridge_node.gateway.s3.hoisting import with_hoisted
from bridge_node.gateway.s3.requests import PostObject, wanted_attributes
from bridge_node.gateway.s3.waiting import WaitingDocument
from bridge_node.objects import (
    CONTENT_HEADERS,
    Checksum,
    Deleted,
    Listing,
    ObjectInfo,
    ObjectStream,
    PartListing,
    Receipt,
    Stored,
    UploadListing,
)
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
)
from bridge_node.protocols.http import http_date, is_field_value, parse_query, percent_decoded, percent_encoded
from bridge_node.protocols.s3 import documents, listings
from bridge_node.protocols.s3.errors import WireError, fault_to_wire, to_wire
from bridge_node.protocols.s3.xml import checksum_text, document

Headers = list[tuple[str, str]]

OWNER = listings.Owner(sha256(b"bridge-node").hexdigest(), "bridge-node")
"""Everything belongs to one owner: whose it really is, the backend knows."""

KEEP_WARM_SECONDS = 5.0
"""Between two spaces of an answer that is still being made; clients give up after a minute of silence."""

_XML = ("Content-Type", "application/xml")
_ACCEPT_RANGES = ("Accept-Ranges", "bytes")
_NAMES = {name: "-".join(word.capitalize() for word in name.split("-")) for name in CONTENT_HEADERS}
_EMPTY_TAGGING = document("Tagging", "<TagSet></TagSet>")
_ALLOW = ("Allow", "GET, HEAD, PUT, POST, DELETE")


class Renderer:
    """Answers in the name of `region`. `clock` gives epoch seconds where a backend does not say when it stored."""

    def __init__(self, region: str, clock: Clock, *, keep_warm: float = KEEP_WARM_SECONDS) -> None:
        self._region = ("x-amz-bucket-region", region)
        self._clock = clock
        self._keep_warm = keep_warm
        # What belongs together is known to the table, not to the type checker: hence Any.
        self._writers: Mapping[type[Operation], Callable[[Request, Any, Any], Response]] = {
            GetObject: _get_object,
            HeadObject: _head_object,
            PutObject: _put_object,
            PostObject: _post_object,
            DeleteObject: _delete_object,
            GetAttributes: _get_attributes,
            DescribeObject: _describe_object,
            CopyObject: self._copy_object,
            OpenUpload: _open_upload,
            StagePart: _stage_part,
            StageCopy: self._stage_copy,
            CommitUpload: _commit_upload,
            AbortUpload: _no_content,
            ListParts: _list_parts,
            ListBuckets: _list_buckets,
            HeadBucket: self._head_bucket,
            DescribeBucket: self._describe_bucket,
            CreateBucket: _create_bucket,
            DeleteBucket: _no_content,
            ListObjects: self._list_objects,
            ListVersions: _list_versions,
            ListUploads: _list_uploads,
            DeleteObjects: _delete_objects,
        }

    def render(self, request: Request, operation: Operation, outcome: object) -> Response:
        """The answer to an operation; to one whose outcome is still a Future, a beginning of it."""
        writer = self._writers[type(operation)]
        if isinstance(outcome, asyncio.Future):
            return self._waiting(request, operation, outcome, writer)
        return writer(request, operation, outcome)

    def error(self, request: Request, error: BaseException, operation: Operation | None) -> Response:
        """S3's form of an error: a document, or headers alone where the answer has no body."""
        wire = _wire(error, operation)
        headers = [("x-amz-request-id", request.id), *_error_headers(error, wire)]
        if isinstance(error, WrongRegion) or isinstance(operation, HeadBucket):
            headers.append(self._region)
        if request.method == "HEAD" or wire.status == 304:
            return Response(wire.status, headers, error=wire.code)
        return _error_document(request, wire, headers)

    def fault(self, fault: HttpFault, request_id: str) -> Response:
        wire = fault_to_wire(fault.status, fault.reason, str(fault))
        body = documents.write_error(wire, "", request_id)
        return Response(wire.status, [("x-amz-request-id", request_id), _XML], BytesSource(body), error=wire.code)

    def _waiting(
        self,
        request: Request,
        operation: Operation,
        work: "asyncio.Future[object]",
        writer: Callable[[Request, Any, Any], Response],
    ) -> Response:
        def write(outcome: object) -> bytes:
            if isinstance(outcome, BaseException):
                return documents.write_error(_wire(outcome, operation), _resource(request), request.id)
            body = writer(request, operation, outcome).body
            return (body.read_nowait() if body is not None else None) or b""

        return Response(200, [("x-amz-request-id", request.id), _XML], WaitingDocument(work, write, self._keep_warm))

    # What needs to know the region or the time

    def _head_bucket(self, request: Request, op: HeadBucket, outcome: object) -> Response:
        return Response(200, [("x-amz-request-id", request.id), self._region, _XML])

    def _describe_bucket(self, request: Request, op: DescribeBucket, outcome: object) -> Response:
        if op.aspect == "location":
            return _document(request, documents.write_location(self._region[1]))
        if op.aspect == "acl":
            return _document(request, documents.write_acl(OWNER))
        missing = documents.bare_bucket_error(op.aspect, op.bucket)
        if missing is not None:
            return _error_document(request, missing, [("x-amz-request-id", request.id), _XML])
        return _document(request, documents.bare_bucket(op.aspect) or b"")

    def _list_objects(self, request: Request, op: ListObjects, page: Listing) -> Response:
        values = parse_query(request.query)
        encode = "encoding-type" in values
        if "list-type" not in values:
            body = listings.write_objects_v1(op, page, encode=encode, owner=OWNER)
        else:
            owner = OWNER if values.get("fetch-owner", "").lower() == "true" else None
            body = listings.write_objects_v2(op, page, next_token=page.token, encode=encode, owner=owner)
        return _document(request, body, self._region)

    def _copy_object(self, request: Request, op: CopyObject, stored: Stored) -> Response:
        headers = _version(stored.version_id)
        if op.source.version_id is not None:
            headers.append(("x-amz-copy-source-version-id", op.source.version_id))
        modified = stored.last_modified or self._clock()
        return _document(request, documents.write_copy_result(stored.etag, modified, stored.checksum), *headers)

    def _stage_copy(self, request: Request, op: StageCopy, part: CopiedPart) -> Response:
        headers: Headers = []
        if op.source.version_id is not None:
            headers.append(("x-amz-copy-source-version-id", op.source.version_id))
        modified = part.last_modified or self._clock()
        body = documents.write_copy_part_result(part.receipt.etag, modified, part.receipt.checksum)
        return _document(request, body, *headers)


# --- objects -------------------------------------------------------------------------------------------------------


def _get_object(request: Request, op: GetObject, stream: ObjectStream) -> Response:
    status, headers = _read_headers(request, op, stream)
    source = stream.source
    if source.size is None:
        source = ExactSource(source, stream.stop - stream.start)
    return Response(status, headers, source)


def _head_object(request: Request, op: HeadObject, outcome: ObjectInfo | ObjectStream) -> Response:
    stream = outcome
    if isinstance(stream, ObjectInfo):
        stream = ObjectStream(stream, BytesSource(b""), 0, stream.size)
    status, headers = _read_headers(request, op, stream)
    return Response(status, headers, length=stream.stop - stream.start)


def _read_headers(request: Request, op: GetObject | HeadObject, stream: ObjectStream) -> tuple[int, Headers]:
    info = stream.info
    headers = _describe(request, info)
    status = 200
    if stream.partial and stream.stop > stream.start:
        status = 206
        headers.append(("Content-Range", f"bytes {stream.start}-{stream.stop - 1}/{info.size}"))
    elif op.checksum and info.checksum is not None:
        headers += _checksum(info.checksum, info.part_count)
    if op.part is not None and info.part_count:
        headers.append(("x-amz-mp-parts-count", str(info.part_count)))
    if request.query:
        headers = _overridden(headers, parse_query(request.query))
    return status, headers


def _describe(request: Request, info: ObjectInfo) -> Headers:
    headers = [
        ("x-amz-request-id", request.id),
        ("ETag", f'"{info.etag}"'),
        ("Last-Modified", http_date(info.last_modified)),
        _ACCEPT_RANGES,
    ]
    content = info.content
    headers += [(_NAMES[name], content[name]) for name in content]
    if "content-type" not in content:
        headers.append(("Content-Type", DEFAULT_CONTENT_TYPE))
    if info.metadata:
        headers += _metadata(info.metadata)
    if info.version_id is not None:
        headers.append(("x-amz-version-id", info.version_id))
    if info.storage_class != "STANDARD":
        headers.append(("x-amz-storage-class", info.storage_class))
    return headers


def _metadata(metadata: Mapping[str, str]) -> Headers:
    """User metadata; S3 counts in x-amz-missing-meta what other protocols stored and headers cannot carry."""
    headers = [(f"x-amz-meta-{name}", value) for name, value in metadata.items() if is_field_value(value)]
    missing = len(metadata) - len(headers)
    if missing:
        headers.append(("x-amz-missing-meta", str(missing)))
    return headers


def _overridden(headers: Headers, values: Mapping[str, str]) -> Headers:
    replaced = {header: values[name] for name, header in OVERRIDES.items() if name in values}
    return [header for header in headers if header[0] not in replaced] + list(replaced.items()) if replaced else headers


def _checksum(checksum: Checksum | None, parts: int | None = None, *, typed: bool = True) -> Headers:
    if checksum is None:
        return []
    headers = [(f"x-amz-checksum-{checksum.algorithm}", checksum_text(checksum, parts))]
    if typed:
        headers.append(("x-amz-checksum-type", "COMPOSITE" if checksum.composite else "FULL_OBJECT"))
    return headers


def _version(version_id: str | None) -> Headers:
    return [] if version_id is None else [("x-amz-version-id", version_id)]


def _put_object(request: Request, op: PutObject, stored: Stored) -> Response:
    return Response(200, _stored_headers(request, stored))


def _stored_headers(request: Request, stored: Stored) -> Headers:
    headers = [("x-amz-request-id", request.id), ("ETag", f'"{stored.etag}"')]
    return headers + _version(stored.version_id) + _checksum(stored.checksum)


def _post_object(request: Request, op: PostObject, stored: Stored) -> Response:
    location = f"{_base(request)}{request.path.rstrip('/')}/{percent_encoded(op.key)}"
    headers = [*_stored_headers(request, stored), ("Location", location)]
    if op.redirect.startswith(("http://", "https://")) and is_field_value(op.redirect):
        headers[-1] = ("Location", _redirect(op, stored))
        return Response(303, headers)
    if op.status != 201:
        return Response(op.status, headers)
    body = documents.write_post_result(location, op.bucket, op.key, stored.etag)
    return Response(201, [*headers, _XML], BytesSource(body))


def _redirect(op: PostObject, stored: Stored) -> str:
    said = {"bucket": op.bucket, "key": op.key, "etag": f'"{stored.etag}"'}
    added = "&".join(f"{name}={percent_encoded(value, safe='')}" for name, value in said.items())
    return f"{op.redirect}{'&' if '?' in op.redirect else '?'}{added}"


def _base(request: Request) -> str:
    return f"{'https' if request.tls else 'http'}://{request.headers.get('host', '')}"


def _delete_object(request: Request, op: DeleteObject, deleted: Deleted) -> Response:
    headers = [("x-amz-request-id", request.id)]
    if deleted.delete_marker:
        headers.append(("x-amz-delete-marker", "true"))
    return Response(204, headers + _version(deleted.delete_marker_version_id or deleted.version_id))


def _get_attributes(request: Request, op: GetAttributes, outcome: Attributes) -> Response:
    info = outcome.info
    body = documents.write_attributes(
        info,
        wanted_attributes(with_hoisted(request.headers, parse_query(request.query))),
        outcome.parts,
        after_part=op.after_part,
        part_limit=op.part_limit,
    )
    return _document(request, body, ("Last-Modified", http_date(info.last_modified)), *_version(info.version_id))


def _describe_object(request: Request, op: DescribeObject, info: ObjectInfo) -> Response:
    body = documents.write_acl(OWNER) if op.aspect == "acl" else _EMPTY_TAGGING
    return _document(request, body, *_version(info.version_id))


# --- uploads in parts ----------------------------------------------------------------------------------------------


def _open_upload(request: Request, op: OpenUpload, upload: str) -> Response:
    headers: Headers = []
    if op.checksum_algorithm is not None:
        headers.append(("x-amz-checksum-algorithm", op.checksum_algorithm.upper()))
    if op.checksum_composite is not None:
        headers.append(("x-amz-checksum-type", "COMPOSITE" if op.checksum_composite else "FULL_OBJECT"))
    return _document(request, documents.write_initiate_result(op.bucket, op.key, upload), *headers)


def _stage_part(request: Request, op: StagePart, receipt: Receipt) -> Response:
    headers = [("x-amz-request-id", request.id), ("ETag", f'"{receipt.etag}"')]
    return Response(200, headers + _checksum(receipt.checksum, typed=False))


def _commit_upload(request: Request, op: CommitUpload, stored: Stored) -> Response:
    location = f"{_base(request)}{request.path}"
    body = documents.write_complete_result(location, op.bucket, op.key, stored, len(op.receipts))
    return _document(request, body, *_version(stored.version_id))


def _list_parts(request: Request, op: ListParts, page: PartListing) -> Response:
    body = listings.write_parts(op.bucket, op.key, op.upload, page, after=op.after, limit=op.limit, owner=OWNER)
    return _document(request, body)


# --- buckets -------------------------------------------------------------------------------------------------------


def _list_buckets(request: Request, op: ListBuckets, page: BucketPage) -> Response:
    return _document(request, listings.write_buckets(page.buckets, OWNER, prefix=op.prefix, token=page.token))


def _create_bucket(request: Request, op: CreateBucket, outcome: object) -> Response:
    return Response(200, [("x-amz-request-id", request.id), ("Location", f"/{percent_encoded(op.bucket)}")])


def _list_versions(request: Request, op: ListVersions, page: Listing) -> Response:
    encode = "encoding-type" in parse_query(request.query)
    return _document(request, listings.write_versions(op, page, encode=encode, owner=OWNER))


def _list_uploads(request: Request, op: ListUploads, page: UploadListing) -> Response:
    encode = "encoding-type" in parse_query(request.query)
    return _document(request, listings.write_uploads(op, page, encode=encode, owner=OWNER))


def _delete_objects(request: Request, op: DeleteObjects, outcomes: Any) -> Response:
    return _document(request, documents.write_delete_result(outcomes, op.quiet))


# --- all -----------------------------------------------------------------------------------------------------------


def _document(request: Request, data: bytes, *headers: tuple[str, str]) -> Response:
    return Response(200, [("x-amz-request-id", request.id), _XML, *headers], BytesSource(data))


def _no_content(request: Request, op: Operation, outcome: object) -> Response:
    return Response(204, [("x-amz-request-id", request.id)])


def _wire(error: BaseException, operation: Operation | None) -> WireError:
    if not isinstance(operation, BucketOperation):
        return to_wire(error)
    key, upload = getattr(operation, "key", ""), getattr(operation, "upload", "")
    return to_wire(error, bucket=operation.bucket, key=key, upload=upload)


def _error_headers(error: BaseException, wire: WireError) -> Headers:
    match error:
        case NotModified():
            headers = [("ETag", f'"{error.etag}"')] if error.etag else []
            if error.last_modified:
                headers.append(("Last-Modified", http_date(error.last_modified)))
            return headers + _version(error.version_id)
        case InvalidRange(size=int(size)):
            return [_XML, ("Content-Range", f"bytes */{size}")]
        case NoSuchKey(delete_marker=str(marker)):
            return [_XML, ("x-amz-delete-marker", "true"), ("x-amz-version-id", marker)]
        case UnknownMethod():
            return [_XML, _ALLOW]
    return [_XML, ("Retry-After", "1")] if wire.status == 503 else [_XML]


def _error_document(request: Request, wire: WireError, headers: Headers) -> Response:
    body = documents.write_error(wire, _resource(request), request.id)
    return Response(wire.status, headers, BytesSource(body), error=wire.code)


def _resource(request: Request) -> str:
    try:
        return percent_decoded(request.path)
    except InvalidArgument:
        return request.path
