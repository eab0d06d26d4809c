"""What the suite asks of every backend in the same words, with the places that stand behind it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from bridge_node.backends.base import Backend
from bridge_node.body import ByteSource, BytesSource, read_all
from bridge_node.objects import (
    NO_CONDITIONS,
    Conditions,
    Listing,
    ObjectInfo,
    ObjectStream,
    Receipt,
    Stored,
)
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    CopySource,
    DeleteObject,
    GetObject,
    HeadObject,
    ListObjects,
    OpenUpload,
    PutObject,
    StagePart,
)

WIRE = "name-on-the-wire"
"""`op.bucket`, which no backend looks at."""


@dataclass(frozen=True)
class Subject:
    """A backend under test, with an empty bucket of it."""

    backend: Backend
    bucket: str

    async def put(self, key: str, data: bytes = b"", **options: Any) -> Stored:
        return await self.put_source(key, BytesSource(data), **options)

    async def put_source(self, key: str, source: ByteSource, **options: Any) -> Stored:
        return await self.backend.put_object(self.bucket, PutObject(WIRE, key, source, **options))

    async def stream(self, key: str, **options: Any) -> ObjectStream:
        return await self.backend.get_object(self.bucket, GetObject(WIRE, key, **options))

    async def get(self, key: str, **options: Any) -> bytes:
        return await everything((await self.stream(key, **options)).source)

    async def head(self, key: str, **options: Any) -> ObjectInfo:
        return await self.backend.head_object(self.bucket, HeadObject(WIRE, key, **options))

    async def delete(self, key: str, **options: Any) -> Any:
        return await self.backend.delete_object(self.bucket, DeleteObject(WIRE, key, **options))

    async def copy(self, source: str, target: str, *, of: Conditions = NO_CONDITIONS, **options: Any) -> Stored:
        op = CopyObject(WIRE, target, CopySource(WIRE, source, conditions=of), **options)
        return await self.backend.copy_object(self.bucket, op, self.bucket)

    async def list(self, **options: Any) -> Listing:
        return await self.backend.list_objects(self.bucket, ListObjects(WIRE, **options))

    async def keys(self, **options: Any) -> Sequence[str]:
        return [info.key for info in (await self.list(**options)).objects]

    async def pages(self, **options: Any) -> AsyncIterator[Listing]:
        """Every page of a listing, each resumed by the token of the one before."""
        page = await self.list(**options)
        yield page
        while page.token is not None:
            before, page = page.token, await self.list(**options, token=page.token)
            assert page.token != before, "the listing goes round in circles"
            yield page

    # --- uploads in parts ---

    async def open(self, key: str, **options: Any) -> str:
        return await self.backend.open_upload(self.bucket, OpenUpload(WIRE, key, **options))

    async def stage(self, key: str, upload: str, label: int, data: bytes, **options: Any) -> Receipt:
        op = StagePart(WIRE, key, upload, label, BytesSource(data), **options)
        return await self.backend.stage_part(self.bucket, op)

    async def commit(self, key: str, upload: str, receipts: Sequence[Receipt], **options: Any) -> Stored:
        op = CommitUpload(WIRE, key, upload, tuple(receipts), **options)
        return await self.backend.commit_upload(self.bucket, op)

    async def abort(self, key: str, upload: str) -> None:
        await self.backend.abort_upload(self.bucket, AbortUpload(WIRE, key, upload))

    async def put_in_parts(self, key: str, *parts: bytes, **options: Any) -> Stored:
        upload = await self.open(key, **options)
        receipts = [await self.stage(key, upload, label, data) for label, data in enumerate(parts, start=1)]
        return await self.commit(key, upload, receipts)

    def part(self, letter: bytes) -> bytes:
        """A part of the smallest size that is not the last's."""
        return letter * self.backend.capabilities.min_part_size


async def everything(source: ByteSource) -> bytes:
    """What a source yields, no more than fits into a test."""
    return await read_all(source, 256 * 1024 * 1024, AssertionError("more than a test expects"))


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def etag_of_parts(*parts: bytes) -> str:
    digests = b"".join(bytes.fromhex(md5(part)) for part in parts)
    return f"{md5(digests)}-{len(parts)}"


class BrokenSource:
    """A body that fails after `good` bytes of `size`, as one whose signature is wrong does."""

    def __init__(self, size: int, good: bytes, error: Exception) -> None:
        self.size: int = size
        self.started = False
        self.aborted: BaseException | None = None
        self._good = good
        self._error = error

    def read_nowait(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self._good:
            data, self._good = self._good, b""
            self.started = True
            return data
        raise self._error

    def abort(self, error: BaseException) -> None:
        self.aborted = error


class StalledSource(BrokenSource):
    """A body that stops coming after `good`. `stalled` is set once nothing more will come."""

    def __init__(self, size: int, good: bytes) -> None:
        super().__init__(size, good, AssertionError("never raised"))
        self.stalled = asyncio.Event()

    async def read(self) -> bytes:
        if self._good:
            return await super().read()
        self.stalled.set()
        await asyncio.Event().wait()
        raise AssertionError("waits for ever")


class TrickledSource:
    """A body in pieces that must each be waited for."""

    def __init__(self, data: bytes, piece: int) -> None:
        self.size: int = len(data)
        self.started = False
        self._pieces = [data[start : start + piece] for start in range(0, len(data), piece)]

    def read_nowait(self) -> bytes | None:
        return None if self._pieces else b""

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        self.started = self.started or bool(self._pieces)
        return self._pieces.pop(0) if self._pieces else b""

    def abort(self, error: BaseException) -> None:
        self._pieces.clear()
