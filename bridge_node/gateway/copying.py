"""Copies: by the backend itself where source and target share one, else through the node as a stream."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from bridge_node.body import ByteSource, ExactSource
from bridge_node.errors import (
    BackendMisbehaved,
    IncompleteBody,
    InvalidRequest,
    NotModified,
    PreconditionFailed,
)
from bridge_node.gateway.places import Place
from bridge_node.objects import ByteRange, ObjectStream, Receipt, Stored
from bridge_node.operations import CopyObject, CopySource, GetObject, PutObject, StageCopy, StagePart

_LARGEST = 5 * 1024**3


@dataclass(frozen=True, slots=True)
class CopiedPart:
    """The outcome of StageCopy; `last_modified` is in epoch seconds, 0 where it is not known."""

    receipt: Receipt
    last_modified: float = 0.0


async def copy_object(source: Place, target: Place, op: CopyObject) -> Stored:
    """Raises InvalidRequest for a copy onto itself that changes nothing, and for sources above 5 GiB."""
    if _changes_nothing(source, target, op):
        raise InvalidRequest(
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes.",
            reason="copy_onto_itself",
        )
    if _shares_backend(source, target):
        with _source_conditions():
            return await target.backend.copy_object(target.bucket, op, source.bucket)
    async with _opened(source, op.source) as stream:
        return await target.backend.put_object(target.bucket, _put(op, stream))


async def stage_copy(source: Place, target: Place, op: StageCopy) -> CopiedPart:
    """`op.upload` is the target's own handle. Raises InvalidArgument for a range that leaves the source."""
    if _shares_backend(source, target):
        with _source_conditions():
            return CopiedPart(*await target.backend.stage_copy(target.bucket, op, source.bucket))
    async with _opened(source, op.source, op.range) as stream:
        part = StagePart(op.bucket, op.key, upload=op.upload, label=op.label, source=_exactly(stream))
        return CopiedPart(await target.backend.stage_part(target.bucket, part))


def _shares_backend(source: Place, target: Place) -> bool:
    return source.backend is target.backend and target.backend.capabilities.native_copy


def _changes_nothing(source: Place, target: Place, op: CopyObject) -> bool:
    return (
        op.metadata is None
        and op.source.version_id is None
        and op.source.key == op.key
        and source.backend is target.backend
        and source.bucket == target.bucket
    )


@contextmanager
def _source_conditions() -> Iterator[None]:
    """A condition on the source that does not hold is 412 in both directions: the caller wanted no 304."""
    try:
        yield
    except NotModified as error:
        raise PreconditionFailed(reason="copy_source_condition") from error


@asynccontextmanager
async def _opened(place: Place, source: CopySource, part: ByteRange | None = None) -> AsyncIterator[ObjectStream]:
    """The source's bytes; whatever ends the copy frees what stands behind them."""
    read = GetObject(
        place.bucket,
        source.key,
        range=part,
        conditions=source.conditions,
        version_id=source.version_id,
        checksum=part is None,
    )
    with _source_conditions():
        stream = await place.backend.get_object(place.bucket, read)
    try:
        _check_size(stream, part)
        yield stream
    except IncompleteBody as error:
        stream.source.abort(error)
        raise BackendMisbehaved(reason="copy_source_ended_early") from error
    except BaseException as error:
        stream.source.abort(error)
        raise


def _check_size(stream: ObjectStream, part: ByteRange | None) -> None:
    if part is not None:
        part.must_lie_within(stream.info.size)
    if stream.stop - stream.start > _LARGEST:
        raise InvalidRequest(
            f"The specified copy source is larger than the maximum allowable size for a copy source: {_LARGEST}",
            reason="copy_source_too_large",
        )


def _exactly(stream: ObjectStream) -> ByteSource:
    return ExactSource(stream.source, stream.stop - stream.start)


def _put(op: CopyObject, stream: ObjectStream) -> PutObject:
    kept = stream.info.checksum
    algorithm = op.checksum_algorithm or (kept.algorithm if kept is not None and not kept.composite else None)
    return PutObject(
        op.bucket,
        op.key,
        source=_exactly(stream),
        content=stream.info.content if op.content is None else op.content,
        metadata=stream.info.metadata if op.metadata is None else op.metadata,
        conditions=op.conditions,
        checksum_algorithm=algorithm,
    )
