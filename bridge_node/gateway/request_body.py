"""The body of a request, as the connection receives it and the handler pulls it."""

import asyncio
import re
from typing import Protocol

from bridge_node.errors import MalformedFraming


class Inlet(Protocol):
    """The connection, as its body needs it."""

    def held(self, change: int, total: int) -> None:
        """The bytes that wait to be pulled changed by `change` to `total`: the place for backpressure."""

    def invite(self) -> None:
        """The client holds its body back until it is asked for (`Expect: 100-continue`)."""

    def await_client(self, waiting: bool) -> None:
        """Somebody waits, or no longer waits, for the client to send: the place for the idle time-out."""


class RequestBody:
    """A `ByteSource` fed by a connection.

    `length` is the announced size, None for chunked framing. `complete` turns true when the whole body has arrived,
    pulled or not. A body that fails is dropped as a whole: what waits to be pulled is no use to anybody.
    """

    __slots__ = ("_chunked", "_expects", "_held", "_inlet", "_left", "_pieces", "_waiter", "complete", "error", "size",
                 "started")  # fmt: skip

    def __init__(self, inlet: Inlet, length: int | None, *, expects_continue: bool) -> None:
        self.size = length
        self.started = False
        self.complete = False
        self.error: BaseException | None = None
        self._inlet = inlet
        self._chunked = ChunkedFraming() if length is None else None
        self._left = length or 0
        self._expects = expects_continue
        self._pieces: list[bytes] = []
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        return self._waiter is not None

    @property
    def spent(self) -> bool:
        """Whether the whole body has arrived and been pulled."""
        return self.complete and not self._pieces

    def feed(self, data: bytes) -> bytes:
        """Takes what has arrived; returns what lies beyond the end of this body."""
        if self._chunked is not None:
            return self._feed_chunked(self._chunked, data)
        beyond = b""
        if len(data) > self._left:
            data, beyond = data[: self._left], data[self._left :]
        self._left -= len(data)
        self.complete = not self._left
        if data:
            self._store(data)
        return beyond

    def _feed_chunked(self, framing: "ChunkedFraming", data: bytes) -> bytes:
        if framing.broken:  # nobody can tell any more where this body ends
            return b""
        try:
            pieces, beyond = framing.feed(data)
        except MalformedFraming as error:
            framing.broken = True
            self.fail(error)
            return b""
        self.complete = framing.complete
        if pieces:
            self._store(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        elif self.complete:
            self._wake()
        return beyond

    def _store(self, data: bytes) -> None:
        if self.error is not None:
            return
        self._pieces.append(data)
        self._hold(len(data))
        self._wake()

    def fail(self, error: BaseException) -> None:
        """Pulls raise `error` from now on, unless the body failed before."""
        self.error = self.error or error
        self._drop()
        self._wake()

    def abort(self, error: BaseException) -> None:
        if self.error is None:
            self.error = error
        self._drop()

    def read_nowait(self) -> bytes | None:
        if self.error is not None:
            raise self.error
        if self._pieces:
            return self._take()
        if self.complete:
            return b""
        if self._expects:
            self._expects = False
            self._inlet.invite()
        return None

    async def read(self) -> bytes:
        while (data := self.read_nowait()) is None:
            self._waiter = asyncio.get_running_loop().create_future()
            self._inlet.await_client(True)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if self.error is None:
                    self._inlet.await_client(False)
        return data

    def _take(self) -> bytes:
        pieces = self._pieces
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self.started = True
        self._drop()
        return data

    def _drop(self) -> None:
        self._pieces = []
        if self._held:
            self._hold(-self._held)

    def _hold(self, change: int) -> None:
        self._held += change
        self._inlet.held(change, self._held)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ChunkedFraming:
    """Takes the chunked coding of RFC 9112 §7.1 off a body, strictly; extensions and trailers are read and dropped.

    llhttp cannot say where in its input a message ended, and what follows may be the next request: so this is ours.
    """

    __slots__ = ("_expected", "_left", "_overhead", "_partial", "broken", "complete")

    def __init__(self) -> None:
        self.complete = False
        self.broken = False
        """The framing could not be read, and what follows cannot either."""
        self._expected = self._size_line
        self._left = 0
        self._partial = b""
        self._overhead = 0

    def feed(self, data: bytes) -> tuple[list[bytes], bytes]:
        """The pieces of the body in `data`, and what lies beyond its end. Raises MalformedFraming."""
        data = self._partial + data
        self._partial = b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.complete:
            if self._left:
                pieces.append(data[at : at + self._left])
                self._left -= len(pieces[-1])
                at += len(pieces[-1])
                continue
            end = data.find(b"\r\n", at)
            if end < 0:
                self._keep_partial(data[at:])
                return pieces, b""
            self._expected(data[at:end])
            at = end + 2
        return pieces, data[at:]

    def _keep_partial(self, data: bytes) -> None:
        if len(data) > _LINE_BYTES:
            raise MalformedFraming(reason="chunk_line_too_long")
        self._partial = data

    def _size_line(self, line: bytes) -> None:
        matched = _SIZE_LINE.fullmatch(line)
        if matched is None:
            raise MalformedFraming(reason="malformed_chunk_size")
        self._spend(len(matched[2]))
        self._left = int(matched[1], 16)
        self._expected = self._end_of_chunk if self._left else self._trailer_line

    def _end_of_chunk(self, line: bytes) -> None:
        if line:
            raise MalformedFraming(reason="chunk_longer_than_announced")
        self._expected = self._size_line

    def _trailer_line(self, line: bytes) -> None:
        if not line:
            self.complete = True
        elif _TRAILER_LINE.fullmatch(line) is None:
            raise MalformedFraming(reason="malformed_trailer")
        self._spend(len(line))

    def _spend(self, count: int) -> None:
        """Extensions and trailers carry nothing for us: a client that sends many of them only wants us to work."""
        self._overhead += count
        if self._overhead > _OVERHEAD_BYTES:
            raise MalformedFraming(reason="too_many_chunk_extensions")


_LINE_BYTES = 4 * 1024
_OVERHEAD_BYTES = 16 * 1024
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t -~]*)?)")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~\x80-\xff]*")
