"""What a client protocol brings to the pipeline: authenticate, parse, render, and its form of errors."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from bridge_node.body import ByteSource
from bridge_node.catalog import AccessKey, Catalog, Repository
from bridge_node.gateway.http import HttpFault, Request, Response
from bridge_node.operations import Operation


@dataclass(slots=True)
class Caller:
    """Who asks, established by `authenticate`.

    `body` is the request's body as the caller signed it: unframed, and raising at its end (with at least its last byte
    held back) when a signature, length, hash or checksum is wrong.
    """

    key: AccessKey
    repository: Repository
    body: ByteSource
    host: str = ""
    """The host that the caller signed: the only one that may decide what is meant (virtual-host style)."""
    form: dict[str, str] | None = None
    """Lower-case fields of a browser's form upload that authenticated this caller."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request that the frontend answers by itself, without a backend."""

    name: str
    answer: Callable[[], Response]


@dataclass(frozen=True, slots=True)
class WithDocument:
    """An operation that is complete only with the document in its body.

    `operation` is what authorisation needs to know before the body is read; `finish` makes the whole operation of the
    document, or raises InvalidRequest.
    """

    operation: Operation
    finish: Callable[[bytes], Operation]


class Frontend(Protocol):
    """One client protocol. Everything it raises is a BridgeError, everything it returns a plain value."""

    protocol: str

    def preflight(self, request: Request) -> Response | None:
        """An answer that needs no caller (health, CORS preflight), or None."""

    async def authenticate(self, request: Request, catalog: Catalog) -> Caller:
        """Raises AuthenticationFailed. Reads of the body no more than the fields of a form."""

    def parse(self, request: Request, caller: Caller) -> Operation | WithDocument | Exchange:
        """What is asked. Raises InvalidRequest or NotSupported; an unknown sub-resource is never ignored."""

    def render(self, request: Request, operation: Operation, outcome: object) -> Response:
        """The answer to `operation`. `outcome` is what routing returned, or a Future of it that is still running."""

    def render_error(self, request: Request, error: BaseException, operation: Operation | None) -> Response:
        """The protocol's form of an error; an unexpected exception becomes its internal error."""

    def render_fault(self, fault: HttpFault, request_id: str) -> Response:
        """The protocol's form of an error that happened before there was a request (checklist 32)."""
