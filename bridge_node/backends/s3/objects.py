"""Objects: read, written, removed."""

import base64
from collections.abc import Sequence
from dataclasses import replace
from hashlib import md5

from bridge_node import checksums
from bridge_node.backends.connection import UpstreamBody, UpstreamResponse
from bridge_node.backends.s3 import headers as wire
from bridge_node.backends.s3.bodies import ResumedSource
from bridge_node.backends.s3.buckets import Buckets
from bridge_node.backends.s3.client import query
from bridge_node.backends.s3.headers import Headers
from bridge_node.body import BytesSource, aborting
from bridge_node.errors import (
    BackendFailure,
    BackendMisbehaved,
    BridgeError,
    InvalidRequest,
    MalformedDocument,
    NoSuchKey,
    NoSuchVersion,
    NotSupported,
    OutcomeUnknown,
    StoredWrongly,
)
from bridge_node.objects import Deleted, DeleteFailure, ObjectInfo, ObjectStream, Part, Stored
from bridge_node.operations import DeleteObject, DeleteObjects, GetAttributes, GetObject, HeadObject, PutObject
from bridge_node.protocols.http import quoted
from bridge_node.protocols.s3 import documents
from bridge_node.protocols.s3.xml import is_legal


class Objects(Buckets):
    # --- reading ---

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        answer = await self._client.send("GetObject", "GET", bucket, op.key, _chosen(op), _wanted(op))
        body = answer.body
        try:
            start, stop, size, partial = _selected(op, answer, body.size)
            info = wire.object_info(op.key, answer.headers, size, checksum=op.checksum)
        except BridgeError as error:
            body.abort(error)
            raise
        if body.is_whole:
            return ObjectStream(info, body, start, stop, partial)
        source = ResumedSource(body, start, stop, lambda at, end: self._resume(bucket, op, info, at, end))
        return ObjectStream(info, source, start, stop, partial)

    async def _resume(self, bucket: str, op: GetObject, info: ObjectInfo, at: int, stop: int) -> UpstreamBody:
        """The bytes that an answer broke off before, of that very version."""
        if not self._client.transport.budget.spend():
            raise BackendFailure(reason="no_budget")
        self._observer.retried(self._spec.name, "broken_read")
        asked = [("range", f"bytes={at}-{stop - 1}"), ("if-match", quoted(info.pin))]
        version = query(("versionId", info.version_id or op.version_id))
        answer = await self._client.send("GetObject", "GET", bucket, op.key, version, asked)
        with aborting(answer.body):
            same = answer.status == 206 and wire.etag_of(answer.headers) == info.etag
            if not same or wire.content_range(answer.headers) != (at, stop, info.size) or answer.body.size != stop - at:
                raise BackendMisbehaved(reason="other_bytes_on_resume")
        return answer.body

    async def head_object(self, bucket: str, op: HeadObject) -> ObjectInfo:
        op = replace(op, range=None, part=None)
        answer = await self._head(bucket, op)
        size = wire.content_length(answer.headers)
        return wire.object_info(op.key, answer.headers, size, checksum=op.checksum)

    async def head_part(self, bucket: str, op: HeadObject) -> ObjectStream:
        answer = await self._head(bucket, op)
        start, stop, size, partial = _selected(op, answer, wire.content_length(answer.headers))
        if op.range is not None and not partial:  # a store that minds ranges of GET only
            start, stop = op.range.resolve(size)
        info = wire.object_info(op.key, answer.headers, size, checksum=op.checksum)
        return ObjectStream(info, BytesSource(b""), start, stop, partial=partial or op.range is not None)

    async def _head(self, bucket: str, op: HeadObject) -> UpstreamResponse:
        """A 404 of HEAD has no document that names what is missing, so the bucket is asked for (promise 10)."""
        absent = NoSuchKey if op.version_id in {None, "null"} else NoSuchVersion
        try:
            return await self._client.send(
                "HeadObject", "HEAD", bucket, op.key, _chosen(op), _wanted(op), absent=absent
            )
        except (NoSuchKey, NoSuchVersion) as missing:
            if not (isinstance(missing, NoSuchKey) and missing.delete_marker):
                await self._check_bucket(bucket)
            raise

    async def get_attributes(self, bucket: str, op: GetAttributes) -> tuple[ObjectInfo, Sequence[Part]]:
        """By HEAD, which every store knows; single parts by GetObjectAttributes, where the store knows that, too."""
        head = HeadObject(op.bucket, op.key, conditions=op.conditions, version_id=op.version_id, checksum=True)
        info = await self.head_object(bucket, head)
        _, dash, count = info.etag.rpartition("-")
        if not dash or not count.isdecimal():
            return info, ()
        info = replace(info, part_count=int(count))
        return info, await self._parts(bucket, op, info) if op.parts else ()

    async def _parts(self, bucket: str, op: GetAttributes, info: ObjectInfo) -> Sequence[Part]:
        asked = [
            ("x-amz-object-attributes", "ObjectParts"),
            ("x-amz-max-parts", str(op.part_limit)),
            ("x-amz-part-number-marker", str(op.after_part)),
        ]
        which = query(("attributes", ""), ("versionId", info.version_id or op.version_id))
        try:
            answer = await self._client.send("GetObjectAttributes", "GET", bucket, op.key, which, asked)
            return (await self._read(documents.read_attributes, answer))[1]
        except (BackendMisbehaved, NotSupported, InvalidRequest):
            return ()

    # --- writing ---

    async def put_object(self, bucket: str, op: PutObject) -> Stored:
        described = wire.described(op.content, op.metadata)
        answer, body = await self._upload(
            "PutObject", bucket, op, described, conditions=op.conditions, added=self._added
        )
        if body.differs(answer.headers):
            await self._remove(bucket, op.key, answer)
            raise StoredWrongly
        return self._stored(answer, body)

    async def _remove(self, bucket: str, key: str, answer: UpstreamResponse) -> None:
        """Removes what was just stored, and only that: by its version, or else while it still has that ETag."""
        etag = wire.etag_of(answer.headers)
        version_id = answer.headers.get("x-amz-version-id")
        if version_id is None or version_id == "null":
            version_id = None
            if (await self.head_object(bucket, HeadObject("", key))).etag != etag:
                return
        pinned: Headers = [("if-match", quoted(etag))] if version_id is None else []
        which = query(("versionId", version_id))
        await self._client.done("DeleteObject", "DELETE", bucket, key, query=which, headers=pinned)

    async def delete_object(self, bucket: str, op: DeleteObject) -> Deleted:
        if op.conditions and not self.capabilities.conditional_delete:
            raise NotSupported
        try:
            answer = await self._client.done(
                "DeleteObject", "DELETE", bucket, op.key,
                query=query(("versionId", op.version_id)), headers=wire.writing(op.conditions),
                repeatable=not op.conditions,
            )  # fmt: skip
        except NoSuchKey:
            if op.conditions:
                raise
            return Deleted(op.key, op.version_id)
        marker = answer.headers.get("x-amz-delete-marker") == "true"
        return Deleted(op.key, op.version_id, marker, answer.headers.get("x-amz-version-id") if marker else None)

    async def delete_objects(self, bucket: str, op: DeleteObjects) -> Sequence[Deleted | DeleteFailure]:
        """One request for all, but for keys that XML cannot carry and for conditions, which go one by one."""
        together = [item for item in op.items if is_legal(item.key) and not item.conditions]
        outcomes = dict(zip(map(id, together), await self._delete_together(bucket, together), strict=True))
        return [outcomes.get(id(item)) or await self._delete_alone(bucket, item) for item in op.items]

    async def _delete_together(self, bucket: str, items: list[DeleteObject]) -> Sequence[Deleted | DeleteFailure]:
        if not items:
            return ()
        document = documents.write_delete_request(items, quiet=False)
        digest = base64.b64encode(md5(document, usedforsecurity=False).digest()).decode()
        asked = [("content-md5", digest)]
        if self._trailers:
            hasher = checksums.new(self._spec.checksum)
            hasher.update(document)
            asked.append((f"x-amz-checksum-{self._spec.checksum}", checksums.encoded(hasher)))
        answer = await self._client.send("DeleteObjects", "POST", bucket, "", "delete=", asked, document)
        try:
            return documents.read_delete_result(await self._client.document(answer), items, quiet=False)
        except (BackendFailure, MalformedDocument) as error:
            raise OutcomeUnknown(reason="delete_result_lost") from error

    async def _delete_alone(self, bucket: str, item: DeleteObject) -> Deleted | DeleteFailure:
        try:
            return await self.delete_object(bucket, item)
        except BridgeError as error:
            return DeleteFailure(item.key, error, item.version_id)


# --- what a read asks for, and whether it got that -------------------------------------------------------------------


def _chosen(op: GetObject | HeadObject) -> str:
    """The query that chooses a version and a part."""
    if op.version_id is None and op.part is None:
        return ""
    return query(("partNumber", None if op.part is None else str(op.part)), ("versionId", op.version_id))


def _wanted(op: GetObject | HeadObject) -> Headers:
    headers = wire.reading(op.conditions, pin=op.pin if isinstance(op, GetObject) else None)
    if op.range is not None:
        headers.append(("range", op.range.header()))
    elif op.checksum:  # a range has no checksum of its own (checklist 13)
        headers.append(("x-amz-checksum-mode", "ENABLED"))
    return headers


def _selected(op: GetObject | HeadObject, answer: UpstreamResponse, length: int | None) -> tuple[int, int, int, bool]:
    """Start, stop (exclusive), the object's size, and whether it is a part of it that comes.

    `length` is the body's, or would be of the one that HEAD leaves out. A store that ignores a range sends the whole
    object, and that is what it is then (RFC 9110 §14.2). Raises BackendMisbehaved for bytes that nobody asked for.
    """
    if answer.status == 206 and (op.range is not None or op.part is not None):
        start, stop, size = wire.content_range(answer.headers)
        if length != stop - start or (op.range is not None and (start, stop) != op.range.resolve(size)):
            raise BackendMisbehaved(reason="other_range")
        return start, stop, size, True
    if answer.status != 200 or length is None or (op.part or 1) > 1:
        raise BackendMisbehaved(reason="other_answer")
    if op.range is not None:
        return 0, length, length, op.range.resolve(length) == (0, length)
    return 0, length, length, op.part is not None and length > 0
