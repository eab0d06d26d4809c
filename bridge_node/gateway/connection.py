"""One connection of a client: one task, one request at a time.

Its life, in order: `connection_made` admits or sheds it; `data_received` gathers a head, and from then on feeds the
body past the parser; `_serve` hands request after request to the handler, which answers through `send`; `_go_on`
decides whether another request may follow; `_linger` lets the last answer arrive before the connection ends. Deadlines
are plain numbers that the server's sweep compares with the time: nothing here sets a timer.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import cast

from bridge_node.body import ByteSource, BytesSource, copy
from bridge_node.errors import BackendMisbehaved, BridgeError, ClientGone, ClientTooSlow, IncompleteBody
from bridge_node.gateway import answer
from bridge_node.gateway.admission import Admission
from bridge_node.gateway.head import Head, HeadReader, head_too_long, premature_fault
from bridge_node.gateway.http import Handler, HttpFault, Request, Response, Sent
from bridge_node.gateway.request_body import RequestBody

LINGER_SECONDS = 3.0
"""How long a client that is still sending has to read the answer that ends its connection."""
LINGER_BYTES = 1024 * 1024
"""What is read and thrown away meanwhile; then the client's sending stalls, and it can still read."""

DRAIN_GRACE_SECONDS = 1.0
"""How long a connection between requests stays open in a drain: a request already on its way is still answered."""

_NEVER = float("inf")
_NO_BODY = BytesSource(b"")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Connection(asyncio.Protocol):
    """Reads requests, hands them to the handler, and is its `Responder`.

    A client that leaves cancels the handler's task at once; whoever pulls the body or sends from another task meets
    ClientGone. A client that only stops sending (half-close) still gets its answers.
    """

    def __init__(self, handler: Handler, admission: Admission, *, new_id: Callable[[], str], port: int) -> None:
        self.deadline = _NEVER
        """Time of the event loop from which on `expire` is due."""
        self._handler = handler
        self._admission = admission
        self._limits = admission.limits
        self._new_id = new_id
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._reader = HeadReader(self._limits.header_fields)
        self._transport: asyncio.Transport
        self._peer = ""
        self._tls = False
        self._task: asyncio.Task[None] | None = None

        self._unread = b""
        """What has arrived and is not part of the current request."""
        self._head: Head | None = None
        """The current request's; None between requests."""
        self._body: RequestBody | None = None
        self._request: Request | None = None
        """The current request, until the task takes it."""
        self._arrival: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        """There while the client must take some of an answer before more is written."""

        self._served = 0
        self._answered = False
        self._last = False
        """The answer being sent says `Connection: close`."""
        self._ended = False
        """The client will send no more."""
        self._lost = False
        self._reading_paused = False
        self._lingering = False
        self._discarded = 0
        self._backlog = 0
        """Unsent bytes of answers when last looked at."""
        self._backlog_counted = 0

    # Coming and going

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=self._limits.stream_buffer)
        self._tls = transport.get_extra_info("sslcontext") is not None
        name = transport.get_extra_info("peername")
        self._peer = name[0].removeprefix("::ffff:") if isinstance(name, tuple) else ""
        self.deadline = self._admission.after(self._limits.header_seconds)
        accepted: socket.socket = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):  # asyncio leaves it out where the listening socket names no protocol
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        fault = self._admission.enter(self, self._peer, accepted.fileno())
        if fault is not None and self._admission.crowded:
            self._admission.refused(fault)
            self._transport.abort()
        elif fault is not None:
            self._refuse(fault)
        else:
            self._task = self._loop.create_task(self._serve(), name=f"connection from {self._peer}")
            self._admission.own(self._task)

    def connection_lost(self, error: Exception | None) -> None:
        self._lost = True
        self.deadline = _NEVER
        self._admission.leave(self, self._peer)
        self._keep_unread(b"")
        if self._body is not None:
            self._body.fail(ClientGone())
        self.resume_writing()
        if self._task is not None:
            self._task.cancel()

    def eof_received(self) -> bool:
        """Returns whether the connection stays open for answers (TLS has no half-close in asyncio)."""
        self._ended = True
        if self._body is not None and not self._body.complete:
            self._body.fail(IncompleteBody(reason="client_stopped_early"))
        return self._head is not None and not self._tls

    def retire(self, deadline: float) -> None:
        """The server is draining: a connection between requests ends by `deadline`."""
        if self._head is None and not self._unread:
            self.deadline = min(self.deadline, deadline)

    def abort(self) -> None:
        """Ends the connection so that the client cannot take what it has for a whole answer (promise 9).

        A plain close would look like the end of an answer that has no length, so this one resets.
        """
        if self._lost:
            return
        with contextlib.suppress(OSError):
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    # Receiving

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            self._discard(data)
            return
        body = self._body
        if body is not None and not body.complete:
            data = body.feed(data)
            if not data:
                return
        if self._unread:
            data = self._unread + data
        if self._head is None:
            self._read_head(data)
        else:
            self._keep_unread(data)
            if len(data) > self._limits.header_bytes:
                self._pause_reading()

    def _read_head(self, data: bytes) -> None:
        while data.startswith(b"\r\n"):  # RFC 9112 §2.2: left over by old clients after a body
            data = data[2:]
        end = data.find(b"\r\n\r\n") + 4
        try:
            if end < 4:
                self._await_head(data)
                return
            if end > self._limits.header_bytes:
                raise head_too_long(data)
            head = self._reader.read(data[:end])
            self._admission.begin_request()
        except HttpFault as fault:
            self._refuse(fault, data)
        else:
            self._open_request(head, data[end:])

    def _await_head(self, data: bytes) -> None:
        fault = premature_fault(data, self._limits.header_bytes) if data else None
        if fault is not None:
            raise fault
        if self._ended:
            self._close()
        elif data and not self._unread:
            self.deadline = self._admission.after(self._limits.header_seconds)
        self._keep_unread(data)

    def _open_request(self, head: Head, beyond: bytes) -> None:
        self._head = head
        self.deadline = _NEVER
        if head.length != 0:
            self._body = RequestBody(self, head.length, expects_continue=head.expects_continue)
            beyond = self._body.feed(beyond)
            if self._ended and not self._body.complete:
                self._body.fail(IncompleteBody(reason="client_stopped_early"))
        elif head.expects_continue:
            # Nothing to hold back, and botocore before 1.41 misreads the next answer when it gets no 100 here.
            self._transport.write(answer.CONTINUE)
        self._keep_unread(beyond)
        self._request = Request(
            head.method,
            head.path,
            head.query,
            head.headers,
            self._body or _NO_BODY,
            id=self._new_id(),
            peer=self._peer,
            local_port=self._port,
            tls=self._tls,
            version=head.version,
            keep_alive=head.keep_alive,
            has_length=head.has_length,
        )
        if self._arrival is not None and not self._arrival.done():
            self._arrival.set_result(None)

    def _keep_unread(self, data: bytes) -> None:
        if data or self._unread:
            self._admission.buffered += len(data) - len(self._unread)
            self._unread = data

    def _pause_reading(self) -> None:
        if not self._reading_paused and not self._ended:
            self._reading_paused = True
            self._transport.pause_reading()

    def _resume_reading(self) -> None:
        if self._reading_paused and not self._lost:
            self._reading_paused = False
            self._transport.resume_reading()

    # What the request's body needs (`Inlet`)

    def held(self, change: int, total: int) -> None:
        self._admission.buffered += change
        if change < 0:
            self._resume_reading()
        elif total > self._limits.stream_buffer or self._admission.buffered > self._limits.memory:
            self._pause_reading()

    def invite(self) -> None:
        if not self._answered and not self._lost:
            self._transport.write(answer.CONTINUE)

    def await_client(self, waiting: bool) -> None:
        self.deadline = self._admission.after(self._limits.body_idle_seconds) if waiting else _NEVER

    # Serving

    async def _serve(self) -> None:
        try:
            going_on = True
            while going_on:
                while self._request is None:
                    self._arrival = self._loop.create_future()
                    await self._arrival
                request, self._request = self._request, None
                await self._handler.answer(request, self)
                going_on = self._go_on()
                if self._request is not None:  # pipelined: other connections have their turn first
                    await asyncio.sleep(0)
        except BridgeError:
            self.abort()
        except Exception as error:
            context = {"message": "a handler failed", "exception": error, "protocol": self}
            self._loop.call_exception_handler(context)
            self.abort()
        finally:
            self._end_request()

    def _end_request(self) -> None:
        if self._head is None:
            return
        self._head = None
        self._admission.end_request()
        if self._body is not None:
            if not self._body.spent:
                self._body.fail(ClientGone())
            self._body = None

    def _go_on(self) -> bool:
        """Ends the current request; returns whether the connection waits for another, or already has it."""
        if self._lost:
            return False
        if not self._answered:
            raise RuntimeError("the handler has not answered")
        finished_reading = self._body is None or self._body.complete
        self._end_request()
        if self._last and (not finished_reading or self._unread):
            self._linger()
        elif self._last:
            self._close()
        else:
            self._served += 1
            self._answered = False
            self._turn_to_next()
        return not self._lingering and not self._transport.is_closing()

    def _turn_to_next(self) -> None:
        self._resume_reading()
        if self._unread:
            data = self._unread
            self._keep_unread(b"")
            self._read_head(data)
        elif self._ended:
            self._close()
        else:
            seconds = DRAIN_GRACE_SECONDS if self._admission.draining else self._limits.keepalive_seconds
            self.deadline = self._admission.after(seconds)

    # Answering (`Responder`)

    async def send(self, response: Response, sent: Sent) -> None:
        """As `Responder` promises. Where the source fails before its first byte, another answer may still be sent."""
        request = self._head
        if request is None or self._answered:
            raise RuntimeError("there is no request to answer")
        try:
            if answer.has_body(request.method, response.status):
                await self._send_body(response, sent, request)
            else:
                self._send_head(response, request)
            sent.complete = True
        except BaseException as error:
            if response.body is not None:
                response.body.abort(error)
            if self._answered:
                self.abort()
            raise

    async def _send_body(self, response: Response, sent: Sent, request: Head) -> None:
        body = _NO_BODY if response.body is None else response.body
        framing = answer.framing(body, request.version)
        head = self._head_of(response, framing, request)
        first = body.read_nowait()
        if first is not None and len(first) == body.size and _is_over(body):
            self.put(*answer.with_head(head, first))
            sent.bytes = len(first)
            if self._writable is not None:
                await self._writable
            return
        writer = answer.BodyWriter(self, head, body.size, sent, chunked=framing is answer.CHUNKED)
        if first:
            writer.write(first)
            await writer.drain()
        await copy(body, writer)
        writer.finish()

    def _send_head(self, response: Response, request: Head) -> None:
        self.put(self._head_of(response, answer.bodiless_framing(request.method, response), request))
        if response.body is not None:
            response.body.abort(BridgeError("This answer has no body.", reason="no_body"))

    def _head_of(self, response: Response, framing: str, request: Head) -> bytes:
        self._last = (
            response.close
            or not request.keep_alive
            or self._admission.draining
            or self._served + 1 >= self._limits.keepalive_requests
            or (self._body is not None and not self._body.complete)
            or (not framing and answer.has_body(request.method, response.status))
        )
        if self._last:
            connection = "Connection: close\r\n"
        else:
            connection = "" if request.version == "1.1" else "Connection: keep-alive\r\n"
        return answer.head(response, framing, connection, self._admission.date)

    def put(self, *pieces: bytes) -> None:
        if self._lost:
            raise ClientGone
        self._answered = True
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writelines(pieces)

    async def drain(self) -> None:
        if self._writable is not None:
            await self._writable

    def pause_writing(self) -> None:
        self._writable = self._loop.create_future()
        self._backlog = self._backlog_counted = self._transport.get_write_buffer_size()
        self._admission.buffered += self._backlog_counted
        self.deadline = self._admission.after(self._limits.body_idle_seconds)

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is None:
            return
        self._admission.buffered -= self._backlog_counted
        if self._lost:
            _wake(writable, ClientGone())
        else:
            _wake(writable, None)
            if self._head is not None:
                self.deadline = _NEVER

    # Ending

    def _refuse(self, fault: HttpFault, head: bytes = b"") -> None:
        """Answers what cannot be served, and ends the connection; `head` is what was read of the request."""
        self._admission.refused(fault)
        response = self._handler.fault(fault, self._new_id(), self._peer)
        body = (response.body.read_nowait() if response.body is not None else None) or b""
        framing = f"Content-Length: {len(body)}\r\n"
        start = answer.head(response, framing, "Connection: close\r\n", self._admission.date)
        self._transport.write(start if head.startswith(b"HEAD ") else start + body)
        self._linger()

    def _linger(self) -> None:
        """Ends our side, and reads on for a while: closing over unread bytes would reset the answer away."""
        self._keep_unread(b"")
        if self._ended:
            self._close()
            return
        self._lingering = True
        self._backlog = self._transport.get_write_buffer_size()
        self.deadline = self._admission.after(LINGER_SECONDS)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._resume_reading()

    def _discard(self, data: bytes) -> None:
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._pause_reading()

    def _close(self) -> None:
        """Ends the connection as soon as the client has taken what was written."""
        self._backlog = self._transport.get_write_buffer_size()
        self.deadline = self._admission.after(self._limits.body_idle_seconds)
        self._transport.close()

    def expire(self) -> None:
        """The deadline has passed. Idle times are meant, never total ones: whoever moves bytes gets more time."""
        self.deadline = _NEVER
        if self._lingering or self._transport.is_closing():
            if self._client_takes_bytes():
                self.deadline = self._admission.after(self._limits.body_idle_seconds)
            else:
                self._transport.abort()
        elif self._head is None and self._unread:
            self._refuse(HttpFault(408, "head_too_slow", "The request's head took too long."), self._unread)
        elif self._head is None:
            self._close()
        elif self._body is not None and self._body.awaited:
            self._body.fail(ClientTooSlow())
        elif self._writable is not None:
            self._expire_writing(self._writable)

    def _expire_writing(self, writable: asyncio.Future[None]) -> None:
        if self._client_takes_bytes():
            self.deadline = self._admission.after(self._limits.body_idle_seconds)
        else:
            _wake(writable, ClientTooSlow())
            self.abort()

    def _client_takes_bytes(self) -> bool:
        before, self._backlog = self._backlog, self._transport.get_write_buffer_size()
        return self._backlog < before


def _is_over(body: ByteSource) -> bool:
    """Whether the end of a body is here, all of which has been read."""
    behind = body.read_nowait()
    if behind:
        raise BackendMisbehaved(reason="body_longer_than_announced")
    return behind is not None


def _wake(waiter: asyncio.Future[None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
        waiter.exception()  # nobody may be waiting; that is no news for the log
