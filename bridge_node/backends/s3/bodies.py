"""Object bytes on their way: resumed when a read breaks off, accompanied by a digest when they are written."""

from base64 import b64decode
from collections.abc import Awaitable, Callable, Mapping

from bridge_node import checksums
from bridge_node.backends.connection import UpstreamBody
from bridge_node.backends.s3.headers import Headers, etag_of, is_md5
from bridge_node.body import ByteSource, BytesSource
from bridge_node.errors import BackendFailure, BridgeError, IncompleteBody
from bridge_node.objects import Checksum
from bridge_node.operations import PutObject, StagePart
from bridge_node.protocols.s3.chunked import FramedSource
from bridge_node.protocols.s3.sigv4 import STREAMING_UNSIGNED_TRAILER, UNSIGNED_PAYLOAD

MAX_RESUMES = 3
SMALL = 64 * 1024
"""Bodies up to here are taken whole before they are sent, so that their digest stands in a header."""

Continue = Callable[[int, int], Awaitable[UpstreamBody]]
"""Bytes from an absolute position up to another (exclusive), of the very version that is being read."""


# --- reading ---------------------------------------------------------------------------------------------------------


class ResumedSource:
    """The bytes of one version from `start` to `stop`, asked for again where an answer broke off (promise 9).

    When they cannot be had, the error is that of the answer that broke off.
    """

    __slots__ = ("_again", "_at", "_body", "_resumes", "_stop", "size", "started")

    def __init__(self, body: UpstreamBody, start: int, stop: int, again: Continue) -> None:
        self.size: int | None = stop - start
        self.started = False
        self._body = body
        self._at = start
        self._stop = stop
        self._again = again
        self._resumes = 0

    def read_nowait(self) -> bytes | None:
        try:
            data = self._body.read_nowait()
        except BackendFailure:
            return None  # `read` meets it again, and may wait
        if data:
            self._at += len(data)
            self.started = True
        return data

    async def read(self) -> bytes:
        while True:
            try:
                data = await self._body.read()
            except BackendFailure as failure:
                await self._resume(failure)
            else:
                self._at += len(data)
                self.started = self.started or bool(data)
                return data

    def abort(self, error: BaseException) -> None:
        self._resumes = MAX_RESUMES
        self._body.abort(error)

    async def _resume(self, failure: BackendFailure) -> None:
        if self._resumes >= MAX_RESUMES:
            raise failure
        self._resumes += 1
        try:
            self._body = await self._again(self._at, self._stop)
        except BridgeError as error:
            raise failure from error


# --- writing ---------------------------------------------------------------------------------------------------------


class Outgoing:
    """A body as it is sent, with the headers that go with it; knows its digests once it has been sent."""

    __slots__ = ("_digest", "headers", "payload", "size", "source")

    def __init__(
        self,
        source: ByteSource,
        headers: Headers,
        *,
        size: int,
        payload: str = UNSIGNED_PAYLOAD,
        digest: Checksum | None = None,
    ) -> None:
        self.source = source
        self.headers = headers
        self.payload = payload
        self._digest = digest
        self.size = size

    @property
    def digest(self) -> Checksum | None:
        """What the backend should have found; its algorithm may be `md5`."""
        if isinstance(self.source, FramedSource | HashedSource):
            return self.source.checksum
        return self._digest

    def differs(self, headers: Mapping[str, str]) -> bool:
        """Whether the answer names a digest that is not the one of what was sent (promise 1)."""
        digest = self.digest
        if digest is None:
            return False
        if digest.algorithm == "md5":
            return is_md5(headers) and etag_of(headers) != b64decode(digest.value).hex()
        return headers.get(f"x-amz-checksum-{digest.algorithm}", digest.value) != digest.value


class HashedSource:
    """Passes a body on and knows its MD5 in the end: for stores that take no checksum behind a body."""

    __slots__ = ("_hasher", "_source", "size")

    def __init__(self, source: ByteSource) -> None:
        self.size = source.size
        self._source = source
        self._hasher = checksums.new("md5")

    @property
    def started(self) -> bool:
        return self._source.started

    @property
    def checksum(self) -> Checksum:
        return Checksum("md5", checksums.encoded(self._hasher))

    def read_nowait(self) -> bytes | None:
        data = self._source.read_nowait()
        if data:
            self._hasher.update(data)
        return data

    async def read(self) -> bytes:
        data = await self._source.read()
        self._hasher.update(data)
        return data

    def abort(self, error: BaseException) -> None:
        self._source.abort(error)


async def outgoing(op: PutObject | StagePart, *, added: str | None, trailers: bool) -> Outgoing:
    """The body of `op` with what the client declared about it, or else with a digest `added` by the node.

    A digest that is known goes into a header; one that is not follows the body, if the store takes `trailers`.
    """
    source, size = op.source, op.source.size or 0
    if op.checksum is not None:
        declared = [(f"x-amz-checksum-{op.checksum.algorithm}", op.checksum.value)]
        return Outgoing(source, declared + _content_md5(op.md5), size=size, digest=op.checksum)
    algorithm = op.checksum_algorithm if trailers else None
    if algorithm is None and op.md5 is not None:
        return Outgoing(source, _content_md5(op.md5), size=size, digest=Checksum("md5", op.md5))
    algorithm = algorithm or added
    if algorithm is None:
        return Outgoing(source, [], size=size)
    if size <= SMALL:
        return _whole(await taken(source), algorithm, op.md5)
    if algorithm == "md5":
        return Outgoing(HashedSource(source), [], size=size)
    framing = [("x-amz-decoded-content-length", str(size)), ("x-amz-trailer", f"x-amz-checksum-{algorithm}")]
    return Outgoing(FramedSource(source, algorithm), framing, size=size, payload=STREAMING_UNSIGNED_TRAILER)


def _whole(data: bytes, algorithm: str, md5: str | None) -> Outgoing:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    digest = Checksum(algorithm, checksums.encoded(hasher))
    name = "content-md5" if algorithm == "md5" else f"x-amz-checksum-{algorithm}"
    return Outgoing(BytesSource(data), [(name, digest.value), *_content_md5(md5)], size=len(data), digest=digest)


def _content_md5(value: str | None) -> Headers:
    return [] if value is None else [("content-md5", value)]


async def taken(source: ByteSource) -> bytes:
    """The whole of a small body; IncompleteBody unless it is as long as announced."""
    size = source.size or 0
    data = source.read_nowait()
    if data is None:
        data = await source.read()
    while len(data) < size and (piece := await source.read()):
        data += piece
    if len(data) != size:
        raise IncompleteBody
    return data
