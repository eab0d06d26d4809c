"""Plain values of an HTTP exchange with a client, free of sockets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bridge_node.body import ByteSource, BytesSource


class Request:
    """One request as it was received.

    `path` and `query` are the raw target split at the first `?`, still percent-encoded and untouched, so that a
    signature check sees what was signed (bytes above 0x7F appear as Latin-1). `headers` maps lower-case names to
    values in the order of arrival; repeated fields are joined with `,` (RFC 9110 §5.3), and a repeated field that must
    not be repeated never gets this far. `body` pulls from the connection; its first pull answers `100-continue`.
    """

    __slots__ = (
        "body", "has_length", "headers", "id", "keep_alive", "local_port", "method", "path", "peer", "query",
        "tls", "version",
    )  # fmt: skip

    def __init__(
        self,
        method: str,
        path: str,
        query: str,
        headers: dict[str, str],
        body: ByteSource,
        *,
        id: str,
        peer: str,
        local_port: int,
        tls: bool = False,
        version: str = "1.1",
        keep_alive: bool = True,
        has_length: bool = True,
    ) -> None:
        self.method = method
        self.path = path
        self.query = query
        self.headers = headers
        self.body = body
        self.id = id
        """Unique per request: the client's `x-amz-request-id`, and the same in every log line about it."""
        self.peer = peer
        """IP address of the other end of the connection."""
        self.local_port = local_port
        self.tls = tls
        self.version = version
        self.keep_alive = keep_alive
        self.has_length = has_length
        """Whether Content-Length or chunked framing announced a body, even an empty one."""


@dataclass(slots=True)
class Response:
    """An answer. The server adds Date, Connection, and Content-Length or chunked framing as `body.size` tells.

    `headers` are pairs with names as they go on the wire. For HEAD answers, 204 and 304 the body must be empty;
    `length` then is the Content-Length to announce, if any.
    """

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: ByteSource | None = None
    length: int | None = None
    close: bool = False
    """True to end the connection after this answer."""
    error: str = ""
    """The protocol's own code of the error that this answer is, for logs; empty for a success."""

    @classmethod
    def document(cls, status: int, headers: list[tuple[str, str]], data: bytes) -> "Response":
        """An answer with a body that is already here."""
        return cls(status, headers, BytesSource(data))


@dataclass(slots=True)
class Sent:
    """How far an answer got: body bytes written, and whether it is complete. Filled while it is sent."""

    bytes: int = 0
    complete: bool = False


class Responder(Protocol):
    """The connection's side of one exchange, given to the handler with the request."""

    async def send(self, response: Response, sent: Sent) -> None:
        """Sends the whole answer. Called once a request.

        When the body's source raises or ends short after the head went out, the connection is broken so that the
        client sees it (promise 9), and the error is raised here. ClientGone is raised when the client leaves.
        """


class HttpFault(Exception):
    """The server cannot read a request: `status` is 400, 408, 411, 413, 414, 417, 421, 431, 501, 503 or 505.

    `reason` is a snake_case code for logs and metrics.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


class Handler(Protocol):
    """What stands behind a listener: the pipeline of one protocol."""

    async def answer(self, request: Request, responder: Responder) -> None:
        """Answers one request by exactly one `responder.send`. Only cancellation and connection errors get out."""

    def fault(self, fault: HttpFault, request_id: str, peer: str) -> Response:
        """The protocol's own form of an error that happened before there was a request (checklist 32)."""


Clock = Callable[[], float]
"""Epoch seconds."""
