"""The aws-chunked framing of request bodies, read and written.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

from collections.abc import Collection

from bridge_node.body import ByteSource
from bridge_node.protocols.s3.sigv4 import Authorization


class ChunkSigning:
    """The chain of signatures of one body: each covers the one before, the first the request's own."""

    def __init__(self, key: bytes, auth: Authorization) -> None: ...

    def chunk(self, sha256: str) -> str:
        """Signature of the next chunk, whose data has this hexadecimal SHA-256."""
        raise NotImplementedError

    def trailer(self, canonical: bytes) -> str:
        """Signature of the trailer: `name:value\\n` for each field, in order of names."""
        raise NotImplementedError


class ChunkedSource:
    """The decoded bytes of a STREAMING-… body; `size` is the decoded size.

    `signing` is given for the signed forms, `trailer` (lower-case names announced by x-amz-trailer) for the forms
    with a trailer. The last piece is handed out once every signature, the trailer and the end have been checked
    (promise 2). Raises ChunkSignatureMismatch, IncompleteBody or MalformedFraming.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        decoded_size: int,
        signing: ChunkSigning | None = None,
        trailer: Collection[str] | None = None,
    ) -> None:
        self.size: int = decoded_size
        self.started = False
        self.trailers: dict[str, str] = {}
        """Fields of the trailer by lower-case name; filled once the end is reached."""

    def read_nowait(self) -> bytes | None:
        raise NotImplementedError

    async def read(self) -> bytes:
        raise NotImplementedError

    def abort(self, error: BaseException) -> None:
        raise NotImplementedError


class FramedSource:
    """A body in the STREAMING-UNSIGNED-PAYLOAD-TRAILER form: one chunk, then `x-amz-checksum-<algorithm>`.

    `size` is the framed size (Content-Length); `source.size` must be known and is x-amz-decoded-content-length. The
    caller sends `x-amz-trailer: x-amz-checksum-<algorithm>` and that payload hash.
    """

    def __init__(self, source: ByteSource, algorithm: str) -> None:
        self.size: int = 0
        self.started = False

    def read_nowait(self) -> bytes | None:
        raise NotImplementedError

    async def read(self) -> bytes:
        raise NotImplementedError

    def abort(self, error: BaseException) -> None:
        raise NotImplementedError
