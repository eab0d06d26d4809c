"""How an answer goes on the wire: its head, and the sink that puts its body behind it."""

from http import HTTPStatus
from typing import Protocol

from bridge_node.body import ByteSource
from bridge_node.errors import BackendMisbehaved
from bridge_node.gateway.http import Response, Sent

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = "Transfer-Encoding: chunked\r\n"

_STATUS_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_JOIN_BYTES = 16 * 1024
"""Up to here copying the first bytes behind the head costs less than handing over two pieces."""


def has_body(method: str, status: int) -> bool:
    """Whether an answer of `status` to `method` carries a body at all (RFC 9110 §6.4.1)."""
    return method != "HEAD" and status not in {204, 304}


def bodiless_framing(method: str, response: Response) -> str:
    """Content-Length of an answer that has no body: what a GET would have got, where that is known."""
    length = response.length
    if length is None and response.body is not None:
        length = response.body.size
    if response.status == 204 or length is None or (method != "HEAD" and response.status != 304):
        return ""
    return f"Content-Length: {length}\r\n"


def framing(body: ByteSource | None, version: str) -> str:
    """How the client will find the end of the body; empty where only the end of the connection can tell."""
    size = 0 if body is None else body.size
    if size is not None:
        return f"Content-Length: {size}\r\n"
    return CHUNKED if version == "1.1" else ""


def head(response: Response, framing_field: str, connection: str, date: str) -> bytes:
    """The head of an answer. Raises ValueError for a field that would break out of its line."""
    headers = response.headers
    fields = "".join([f"{name}: {value}\r\n" for name, value in headers])
    if fields.count("\n") != len(headers) or fields.count("\r") != len(headers) or "\0" in fields:
        raise ValueError("a response header contains a line break or NUL")
    status_line = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} \r\n"
    return f"{status_line}{fields}{date}{framing_field}{connection}\r\n".encode("latin-1")


def with_head(head: bytes, data: bytes) -> tuple[bytes, ...]:
    """A head, or nothing, and the first bytes behind it, as pieces of one write."""
    if len(data) < _JOIN_BYTES:
        return (head + data,)
    return (head, data) if head else (data,)


class Outlet(Protocol):
    """The connection, as an answer needs it."""

    def put(self, *pieces: bytes) -> None:
        """Hands bytes of an answer to the transport, for one write. Raises ClientGone."""

    async def drain(self) -> None:
        """Waits until the client has taken enough. Raises ClientGone or ClientTooSlow."""


class BodyWriter:
    """The `ByteSink` of one answer: head and first bytes in one write, then as they come, never more than announced."""

    __slots__ = ("_chunked", "_head", "_left", "_outlet", "_sent", "drain")

    def __init__(self, outlet: Outlet, head: bytes, size: int | None, sent: Sent, *, chunked: bool) -> None:
        self.drain = outlet.drain
        self._outlet = outlet
        self._head = head
        self._left = size
        self._sent = sent
        self._chunked = chunked

    def write(self, data: bytes) -> None:
        count = len(data)
        if self._left is not None:
            self._left -= count
            if self._left < 0:
                raise BackendMisbehaved(reason="body_longer_than_announced")
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (count, data)
        head, self._head = self._head, b""
        self._outlet.put(*with_head(head, data))
        self._sent.bytes += count

    def finish(self) -> None:
        """The source has ended. Raises BackendMisbehaved when that was too early."""
        if self._left:
            raise BackendMisbehaved(reason="body_shorter_than_announced")
        last = b"0\r\n\r\n" if self._chunked else b""
        if self._head or last:
            self._outlet.put(self._head + last)
            self._head = b""
