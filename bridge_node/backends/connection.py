"""One HTTP/1.1 connection to a backend: one exchange at a time, every byte accounted for.

A connection that is in doubt is never used again: an answer that came before the request was whole, a wrong length,
an unread body, a silence, a byte that nobody asked for, all of them close it (RFC 9112 §9.3, §9.6).
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from bridge_node.backends.heads import lower_case, read_ordinary
from bridge_node.body import ByteSource
from bridge_node.errors import BackendMisbehaved, BackendTimeout, BackendUnreachable, IncompleteBody

HIGH_WATER = 256 * 1024
"""Bytes buffered for a slow reader before the backend is no longer listened to, and the same the other way."""
MAX_BARREN = 64 * 1024
"""Bytes in a row that are no body: heads, interim answers, chunk extensions and trailers all end here."""


class UpstreamBody:
    """An answer's body: pushed by the connection, pulled by whoever reads (a `ByteSource`).

    Ends only after exactly the announced bytes; anything else raises BackendMisbehaved, BackendTimeout or
    BackendUnreachable once what arrived before has been read.
    """

    __slots__ = ("_buffered", "_chunks", "_connection", "_ended", "_error", "_reader", "size", "started")

    def __init__(self, size: int | None, connection: "Connection", first: bytes) -> None:
        self.size = size
        self.started = False
        self._connection: Connection | None = connection
        self._chunks = deque((first,)) if first else deque[bytes]()
        self._buffered = len(first)
        self._ended = False
        self._error: BaseException | None = None
        self._reader: asyncio.Future[None] | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it has arrived, so that reading it cannot fail any more."""
        return self._ended and self._error is None

    def read_nowait(self) -> bytes | None:
        if self._chunks:
            data = self._chunks.popleft()
            self._buffered -= len(data)
            self.started = True
            if not self._chunks and self._connection is not None:
                self._connection.resume()
            return data
        if self._error is not None:
            raise self._error
        return b"" if self._ended else None

    async def read(self) -> bytes:
        while (data := self.read_nowait()) is None:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return data

    def abort(self, error: BaseException) -> None:
        self._chunks.clear()
        self._error = self._error or error
        if self._connection is not None:
            self._connection.discard()
        if self._reader is not None:
            self._wake(self._reader)

    # the connection's side

    def push(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > HIGH_WATER and self._connection is not None:
            self._connection.pause()
        if self._reader is not None:
            self._wake(self._reader)

    def end(self, error: BaseException | None = None) -> None:
        """No more will come; the connection is no longer this body's."""
        self._connection = None
        self._error = self._error or error
        self._ended = True
        if self._reader is not None:
            self._wake(self._reader)

    def _wake(self, reader: "asyncio.Future[None]") -> None:
        self._reader = None
        if not reader.done():
            reader.set_result(None)


class UpstreamResponse:
    """A backend's answer: headers by lower-case name (bytes above 0x7F as Latin-1), repeated ones joined by `, `.

    Whoever gets it reads the body to its end or aborts it; until then it holds a connection.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: dict[str, str], body: UpstreamBody) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Owner(Protocol):
    """The pool that a connection belongs to."""

    def freed(self, connection: "Connection") -> None:
        """An exchange ended; `connection.closed` says whether another one can follow."""

    def lost(self, connection: "Connection") -> None:
        """A connection ended while it was idle."""


class Connection(asyncio.Protocol):
    """See the module. `begin` starts an exchange, `pump` sends the rest of its body, `discard` ends it early."""

    def __init__(self, address: str, owner: Owner, clock: Callable[[], float]) -> None:
        self.address = address
        self.owner = owner
        self.closed = False
        self.exchanges = 0
        self.touched = clock()
        """When the backend last gave a sign of life, or was asked for one."""
        self.answered = False
        """Whether a byte of the current answer has arrived."""
        self.unsent = 0
        """Body bytes of the current request that have not been written."""
        self.early = False
        """Whether the answer came before the request was whole."""
        self.source_failed = False
        """Whether it was the request's body, not the backend, that ended the exchange."""
        self.died = False
        """Whether the other end closed or reset the connection in mid-exchange."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._answer: asyncio.Future[UpstreamResponse] | None = None
        self._body: UpstreamBody | None = None
        self._parser: httptools.HttpResponseParser | None = None
        """There from the first byte of an answer on that is not an ordinary one."""
        self._headers: dict[str, str] = {}
        self._left = 0
        self._until_eof = False
        self._barren = 0
        self._reusable = True
        self._paused = False
        self._sourcing = False
        self._drained: asyncio.Future[None] | None = None

    # the pool's side

    def begin(self, method: str, head: bytes, first: bytes, unsent: int) -> "asyncio.Future[UpstreamResponse]":
        """Writes a request's head and what is there of its body; `unsent` body bytes are to follow by `pump`."""
        self._answer = answer = self._loop.create_future()
        self._parser = None
        self._bodiless = method == "HEAD"
        self._complete = False
        self.answered = False
        self.early = False
        self.unsent = unsent
        self.exchanges += 1
        self.touched = self._clock()
        if first:
            self._transport.writelines((head, first))
        else:
            self._transport.write(head)
        return answer

    async def pump(self, source: ByteSource) -> None:
        """Sends the rest of the body. When the source fails, the exchange fails with that very error."""
        try:
            while self.unsent and not (self.early or self.closed):
                if self._drained is not None:
                    await self._drained
                self._write(source.read_nowait() or await self._pull(source))
        except Exception as error:
            self.source_failed = True
            self._break(error)

    def discard(self) -> None:
        """Nobody wants the rest of this exchange: what was not sent never will be, what was not read is dropped."""
        self._break(BackendUnreachable(reason="abandoned"))

    def abandon(self, answer: "asyncio.Future[UpstreamResponse]") -> None:
        """Like `discard`, for one who was cancelled while waiting for `answer`, which may have come meanwhile."""
        if answer.done() and not answer.cancelled() and answer.exception() is None:
            answer.result().body.abort(asyncio.CancelledError())
        elif self._answer is answer:
            self.discard()

    def retire(self) -> None:
        """No further exchange; one that runs may end."""
        self._reusable = False
        if self._answer is None:
            self.close()

    def close(self) -> None:
        """Ends an idle connection."""
        if not self.closed:
            self.closed = True
            self._transport.close()
            self.owner.lost(self)

    @property
    def idle(self) -> bool:
        return self._answer is None

    @property
    def was_stale(self) -> bool:
        """Whether a kept connection turned out to be dead: the other end had closed it before it saw the request."""
        return self.died and not self.answered and self.exchanges > 1

    def check_silence(self, longest: float) -> None:
        """Breaks the exchange when the backend owes something and has been silent for `longest` seconds.

        It owes nothing while we do not listen (a slow client) or have nothing to say (a slow upload).
        """
        if self.idle or self._paused or self._sourcing:
            return
        if self._clock() - self.touched > longest:
            self._break(BackendTimeout(reason="backend_silent"))

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self.closed:
            self._paused = False
            self.touched = self._clock()
            self._transport.resume_reading()

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=HIGH_WATER)
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        self.touched = self._clock()
        if self._left >= len(data):
            self._deliver(data)
        elif self._answer is None or self._left:
            self._break(BackendMisbehaved(reason="unasked_bytes" if self._answer is None else "too_many_bytes"))
        else:
            self._read(data)
        if self._complete and self._answer is not None:
            self._finish()

    def eof_received(self) -> None:
        """The transport then closes itself; an idle connection must not be taken in between."""
        if self._answer is None:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is None:
            self.close()
        elif exc is None and self._body is not None and self._until_eof:
            self._reusable = False
            self._finish()
        else:
            self.died = True
            self._break(
                BackendMisbehaved(reason="truncated_answer")
                if self.answered
                else BackendUnreachable(reason="connection_lost")
            )
        self.resume_writing()

    def pause_writing(self) -> None:
        self._drained = self._loop.create_future()

    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        self.touched = self._clock()
        if drained is not None and not drained.done():
            drained.set_result(None)

    # an answer's head

    def _read(self, data: bytes) -> None:
        ordinary = None if self.answered else read_ordinary(data, bodiless=self._bodiless)
        self.answered = True
        if ordinary is None:
            self._parse(data)
            return
        self._open(*ordinary)

    def _open(self, status: int, headers: dict[str, str], size: int | None, first: bytes) -> None:
        """The head is whole: whoever waits gets it with the `first` of `size` bytes, or of as many as come (None)."""
        if self.unsent:
            self.early = True
            self._reusable = False
        if "connection" in headers and "close" in headers["connection"].lower():
            self._reusable = False
        self._body = UpstreamBody(size, self, first)
        self._left = (size or 0) - len(first)
        self._complete = size is not None and not self._left
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(UpstreamResponse(status, headers, self._body))

    def _parse(self, data: bytes) -> None:
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
            self._headers = {}
            self._until_eof = False
            self._barren = 0
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            failure = BackendMisbehaved(reason="malformed_answer")
            failure.__cause__ = error
            self._break(failure)
            return
        if self._barren > MAX_BARREN and not self._complete:
            self._break(BackendMisbehaved(reason="endless_answer"))

    # the parser's side

    def on_message_begin(self) -> None:
        if self._complete:
            raise _Malformed

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body is not None:
            return  # a trailer
        known = lower_case(name.decode("latin-1"))
        text = value.decode("latin-1").rstrip(" \t")  # which llhttp leaves
        self._headers[known] = f"{self._headers[known]}, {text}" if known in self._headers else text

    def on_headers_complete(self) -> None:
        assert self._parser is not None  # noqa: S101 - for the type checker
        status, version = self._parser.get_status_code(), self._parser.get_http_version()
        if status < 200 and status != 101:
            self._headers = {}
            return
        if version not in ("1.1", "1.0") or not 200 <= status < 600:
            raise _Malformed
        if version == "1.0":
            self._reusable = False
        self._open(status, self._headers, self._framing(status), b"")

    def _framing(self, status: int) -> int | None:
        """The body's size; None when it ends by itself (chunked) or with the connection. RFC 9112 §6.3."""
        if self._bodiless or status in (204, 304):
            return 0
        coding = self._headers.get("transfer-encoding")
        if coding is not None:
            if coding.lower() != "chunked":
                raise _Malformed
            return None
        length = self._headers.get("content-length")
        if length is not None:
            return int(length)
        self._until_eof = True
        return None

    def on_body(self, data: bytes) -> None:
        if self._complete:
            raise _Malformed
        self._barren = 0
        self._deliver(data)

    def on_message_complete(self) -> None:
        if self._body is not None and not self._until_eof:
            self._complete = True

    # endings

    def _deliver(self, data: bytes) -> None:
        assert self._body is not None  # noqa: S101 - for the type checker
        self._body.push(data)
        if self._left:
            self._left -= len(data)
            self._complete = self._left == 0

    def _finish(self) -> None:
        """The answer is whole. Only a request that is whole too leaves a connection to use again."""
        body, self._body, self._answer = self._body, None, None
        if self._paused:
            self.resume()
        if not self._reusable or self.unsent:
            self._shut()
        if body is not None:
            body.end()
        self.owner.freed(self)

    def _break(self, error: BaseException) -> None:
        """The exchange, or an idle connection, ends here and now."""
        answer, self._answer = self._answer, None
        body, self._body = self._body, None
        self._left = 0
        if answer is None:
            self.close()
            return
        self._shut()
        if body is not None:
            body.end(error)
        if not answer.done():
            answer.set_exception(error)
        self.owner.freed(self)

    def _shut(self) -> None:
        """Resets rather than closes, so that half a request can never look whole."""
        self.closed = True
        self._transport.abort()

    async def _pull(self, source: ByteSource) -> bytes:
        self._sourcing = True
        try:
            return await source.read()
        finally:
            self._sourcing = False

    def _write(self, data: bytes) -> None:
        if not data or len(data) > self.unsent:
            raise IncompleteBody
        self.touched = self._clock()
        if not (self.early or self.closed):
            self._transport.write(data)
            self.unsent -= len(data)


class _Malformed(Exception):
    """Raised within the parser to stop it: the answer is not one that HTTP/1.1 allows here."""
