"""What a request turned out to be: its usage, and its line in the logs."""

import asyncio
from time import perf_counter
from typing import Protocol

import structlog

from bridge_node.body import ByteSource
from bridge_node.catalog import Repository
from bridge_node.errors import (
    BackendFailure,
    BridgeError,
    ClientGone,
    ConditionFailed,
    InvalidRange,
    NotFound,
    OutcomeUnknown,
)
from bridge_node.gateway.frontend import Caller
from bridge_node.gateway.http import Request, Response, Sent
from bridge_node.objects import Deleted, Stored
from bridge_node.operations import BucketOperation, Operation
from bridge_node.usage import Usage

CLIENT_CLOSED_REQUEST = 499
"""Status of a request whose client left before there was an answer; nobody ever receives it."""

_ANSWERS = (NotFound, ConditionFailed, InvalidRange, ClientGone)
"""What happens every day and is nobody's fault."""

log = structlog.get_logger()


class AccessLog(Protocol):
    """Takes a line of every finished request; must not block. `error_code` is the protocol's, "" for a success."""

    def write(self, request: Request, usage: Usage, error_code: str = "") -> None: ...


class Record:
    """Filled in while a request runs, by the step that learns it."""

    __slots__ = ("_began", "_repository", "error_code", "operation", "request", "sent", "usage", "work")

    def __init__(self, request: Request, protocol: str) -> None:
        self._began = perf_counter()
        self._repository: Repository | None = None
        self.request = request
        self.usage = Usage(protocol)
        self.operation: Operation | None = None
        self.work: asyncio.Future[object] | None = None
        """An operation that may outlive its request."""
        self.sent = Sent()
        self.error_code = ""

    def admitted(self, caller: Caller) -> None:
        """From here on the request is the caller's, and its body is counted."""
        self._repository = caller.repository
        self.usage.access_key = caller.key.id
        self.usage.key_id = caller.key.platform_id
        self.usage.repository = caller.repository.id
        if self.request.has_length:
            caller.body = CountedSource(caller.body, self.usage)

    def asked(self, operation: Operation) -> None:
        self.operation = operation
        self.usage.operation = type(operation).__name__

    def allowed(self, operation: Operation) -> None:
        """The caller may do it: until then, a bucket is only a name that somebody made up."""
        if isinstance(operation, BucketOperation):
            self.usage.bucket = operation.bucket
            if self._repository is not None:
                self.usage.bucket_id = self._repository.counted_as(operation.bucket)

    def changed(self, outcome: object) -> None:
        """Counts what a write changed (promise 8)."""
        for each in outcome if isinstance(outcome, list | tuple) else (outcome,):
            if isinstance(each, Stored | Deleted):
                self.usage.size_change += (each.size if isinstance(each, Stored) else 0) - (each.displaced or 0)
                self.usage.estimated = self.usage.estimated or each.displaced is None

    def answered(self, response: Response) -> None:
        """The answer is known and about to be sent."""
        self.error_code = response.error
        self.usage.status = response.status
        self.usage.first_byte_seconds = perf_counter() - self._began

    def ended(self) -> None:
        """The answer has been sent as far as it could be."""
        self.usage.status = self.usage.status or CLIENT_CLOSED_REQUEST
        self.usage.sent = self.sent.bytes
        self.usage.aborted = not self.sent.complete
        self.usage.seconds = perf_counter() - self._began

    def failed(self, error: BaseException, response: Response) -> None:
        """Logs why the answer is `response`; what only says how things are stands below the usual level."""
        fields: dict[str, object] = {
            "request_id": self.request.id,
            "protocol": self.usage.protocol,
            "operation": self.usage.operation,
            "repository": self.usage.repository,
            "bucket": getattr(self.operation, "bucket", ""),
            "access_key": self.usage.access_key,
            "peer": self.request.peer,
            "status": response.status,
            "code": response.error,
        }
        if not isinstance(error, BridgeError):
            log.error("request_crashed", **fields, exc_info=error)
            return
        fields |= {"reason": error.reason, **error.evidence}
        if isinstance(error, BackendFailure | OutcomeUnknown):
            log.warning("request_failed", **fields, cause=type(error.__cause__).__name__)
        elif isinstance(error, _ANSWERS):
            log.debug("request_answered", **fields)
        else:
            log.info("request_refused", **fields)


class CountedSource:
    """A request's body that counts in `usage` what was taken of it."""

    __slots__ = ("_source", "_usage", "size")

    def __init__(self, source: ByteSource, usage: Usage) -> None:
        self._source = source
        self._usage = usage
        self.size = source.size

    @property
    def started(self) -> bool:
        return self._source.started

    def read_nowait(self) -> bytes | None:
        data = self._source.read_nowait()
        if data:
            self._usage.received += len(data)
        return data

    async def read(self) -> bytes:
        data = await self._source.read()
        self._usage.received += len(data)
        return data

    def abort(self, error: BaseException) -> None:
        self._source.abort(error)
