"""One way for bytes to move, in both directions.

A request body, an object stream, a chunk decoder and a checksum verifier are all a `ByteSource`; a socket on either
side is a `ByteSink`. `copy` is the only loop that moves bytes between them.
"""

import contextlib
from collections.abc import Iterator
from typing import Protocol

from bridge_node.errors import IncompleteBody


class ByteSource(Protocol):
    """Bytes of one body, pulled by whoever needs them.

    Whoever takes a source either reads it to its end or calls `abort`; both free what stands behind it.
    """

    @property
    def size(self) -> int | None:
        """Total bytes that a complete read yields, or None where nobody can know."""

    @property
    def started(self) -> bool:
        """True once a byte was handed out: from then on a request that carries this body cannot be repeated."""

    def read_nowait(self) -> bytes | None:
        """What is here now: at least one byte, `b""` at the end (and ever after), or None when one must wait.

        Raises what `read` raises.
        """

    async def read(self) -> bytes:
        """At least one byte, or `b""` at the end (and ever after).

        Raises a BridgeError when the body turns out to be unusable: the bytes handed out so far must then not become
        visible to anybody.
        """

    def abort(self, error: BaseException) -> None:
        """Nobody will read on. Frees the connection, file or buffer behind; safe to call twice and after the end."""


class ByteSink(Protocol):
    """Where bytes go. `write` never blocks; `drain` waits until the peer has taken enough for more to be welcome."""

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None: ...


async def copy(source: ByteSource, sink: ByteSink) -> int:
    """Moves everything from `source` to `sink`; returns the bytes moved. An error leaves the source aborted."""
    moved = 0
    try:
        while True:
            data = source.read_nowait()
            if data is None:
                data = await source.read()
            if not data:
                return moved
            sink.write(data)
            moved += len(data)
            await sink.drain()
    except BaseException as error:
        source.abort(error)
        raise


@contextlib.contextmanager
def aborting(source: ByteSource) -> Iterator[None]:
    """For whoever took `source`: aborts it when the block fails, whatever the reason."""
    try:
        yield
    except BaseException as error:
        source.abort(error)
        raise


async def read_all(source: ByteSource, limit: int, too_large: Exception) -> bytes:
    """The whole body, for documents; raises `too_large` as soon as more than `limit` bytes are announced or arrive."""
    if source.size is not None and source.size > limit:
        source.abort(too_large)
        raise too_large
    pieces: list[bytes] = []
    total = 0
    while data := await source.read():
        total += len(data)
        if total > limit:
            source.abort(too_large)
            raise too_large
        pieces.append(data)
    return b"".join(pieces)


class BytesSource:
    """A body that is already here."""

    __slots__ = ("_data", "size", "started")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size: int = len(data)
        self.started = False

    def read_nowait(self) -> bytes:
        data, self._data = self._data, b""
        self.started = self.started or bool(data)
        return data

    async def read(self) -> bytes:
        return self.read_nowait()

    def abort(self, error: BaseException) -> None:
        self._data = b""


class ExactSource:
    """Passes a source on and insists on its announced size: fewer or more bytes raise `IncompleteBody`."""

    __slots__ = ("_left", "_source", "size")

    def __init__(self, source: ByteSource, size: int) -> None:
        self._source = source
        self._left = size
        self.size: int = size

    @property
    def started(self) -> bool:
        return self._source.started

    def read_nowait(self) -> bytes | None:
        data = self._source.read_nowait()
        return None if data is None else self._counted(data)

    async def read(self) -> bytes:
        return self._counted(await self._source.read())

    def abort(self, error: BaseException) -> None:
        self._source.abort(error)

    def _counted(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0 or (not data and self._left > 0):
            error = IncompleteBody()
            self._source.abort(error)
            raise error
        return data
