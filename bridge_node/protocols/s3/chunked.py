"""The aws-chunked framing of request bodies, read and written.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and …/sigv4-streaming-trailers.html
"""

import re
from collections.abc import Collection, Iterator
from enum import Enum, auto
from hashlib import sha256
from hmac import compare_digest

from bridge_node import checksums
from bridge_node.body import ByteSource
from bridge_node.errors import BodyRefused, ChunkSignatureMismatch, IncompleteBody, MalformedFraming
from bridge_node.objects import Checksum
from bridge_node.protocols.s3.holding import HoldingSource
from bridge_node.protocols.s3.sigv4 import EMPTY_SHA256, Authorization, SigningKey

MAX_LINE = 1024
"""Longest chunk header or trailer field in bytes; a signed header has about 100."""
MAX_TRAILER = 8 * 1024
FRAME = 1024 * 1024
"""Bytes of the chunks that we write: some stores refuse those of more than 16 MiB."""

_HEADER = re.compile(rb"([0-9a-fA-F]{1,16})")
_SIGNED_HEADER = re.compile(rb"([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})")
# AWS's own examples put a bare LF behind the value.
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t\n]*")
_TRAILER_SIGNATURE = "x-amz-trailer-signature"


class ChunkSigning:
    """The chain of signatures of one body: each covers the one before, the first the request's own."""

    __slots__ = ("_key", "_previous", "_scope")

    def __init__(self, key: SigningKey, auth: Authorization) -> None:
        self._key = key
        self._scope = f"{auth.amz_date}\n{auth.scope}"
        self._previous = auth.signature

    def chunk(self, sha256: str) -> str:
        """Signature of the next chunk, whose data has this hexadecimal SHA-256."""
        return self._next(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._scope}\n{self._previous}\n{EMPTY_SHA256}\n{sha256}")

    def trailer(self, canonical: bytes) -> str:
        """Signature of the trailer: `name:value\\n` for each field, in order of names."""
        digest = sha256(canonical).hexdigest()
        return self._next(f"AWS4-HMAC-SHA256-TRAILER\n{self._scope}\n{self._previous}\n{digest}")

    def _next(self, text: str) -> str:
        self._previous = self._key.sign(text.encode())
        return self._previous


class ChunkedSource(HoldingSource):
    """The decoded bytes of a STREAMING-… body; `size` is the decoded size.

    `signing` is given for the signed forms, `trailer` (lower-case names announced by x-amz-trailer) for the forms
    with a trailer. The last piece is handed out once every signature, the trailer and the end have been checked; a
    chunk of any size is passed on as it comes. Raises ChunkSignatureMismatch, IncompleteBody or MalformedFraming.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        decoded_size: int,
        signing: ChunkSigning | None = None,
        trailer: Collection[str] | None = None,
    ) -> None:
        super().__init__(source, decoded_size)
        self._decoder = _Decoder(decoded_size, signing, trailer)

    @property
    def trailers(self) -> dict[str, str]:
        """Fields of the trailer by lower-case name; filled once the end is reached."""
        return self._decoder.trailers

    def _pass(self, data: bytes) -> bytes:
        return self._decoder.decoded(data)

    def _check(self) -> None:
        self._decoder.check_end()


class _Expects(Enum):
    """What the next line must be."""

    HEADER = auto()
    CHUNK_END = auto()
    TRAILER = auto()
    NOTHING = auto()


class _Decoder:
    """Takes the framing off, however it is cut; keeps no more than one unfinished line."""

    __slots__ = (
        "_chunk_left", "_declared", "_digest", "_expects", "_left", "_line", "_signature", "_signing",
        "_trailer_size", "trailers",
    )  # fmt: skip

    def __init__(self, size: int, signing: ChunkSigning | None, trailer: Collection[str] | None) -> None:
        self.trailers: dict[str, str] = {}
        self._left = size
        self._signing = signing
        self._declared = None if trailer is None else frozenset(trailer)
        self._trailer_size = 0
        self._expects = _Expects.HEADER
        self._line = b""
        self._chunk_left = 0
        self._signature = b""
        self._digest = sha256()

    def decoded(self, data: bytes) -> bytes:
        """The body's bytes in `data`, which follows what was given before."""
        pieces = []
        position = 0
        while position < len(data):
            if self._chunk_left:
                piece = data[position : position + self._chunk_left]
                position += len(piece)
                self._chunk_left -= len(piece)
                if self._signing is not None:
                    self._digest.update(piece)
                pieces.append(piece)
            else:
                position = self._read_line(data, position)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check_end(self) -> None:
        """Nothing follows any more; raises IncompleteBody unless the framing has ended too."""
        if self._expects is not _Expects.NOTHING:
            raise IncompleteBody(reason="chunked_body_ends_early")

    def _read_line(self, data: bytes, position: int) -> int:
        """Takes one line, or what is here of it; returns where the next byte is."""
        if self._line.endswith(b"\r") and data.startswith(b"\n", position):
            line, position = self._line[:-1], position + 1
        else:
            end = data.find(b"\r\n", position, position + MAX_LINE + 2)
            if end < 0:
                self._line += data[position : position + MAX_LINE + 2]
                self._bound_line(self._line)
                return len(data)
            line, position = self._line + data[position:end], end + 2
        self._bound_line(line)
        self._line = b""
        self._take_line(line)
        return position

    def _bound_line(self, line: bytes) -> None:
        if len(line) > MAX_LINE or self._expects is _Expects.NOTHING:
            raise MalformedFraming(reason="malformed_chunk")

    def _take_line(self, line: bytes) -> None:
        match self._expects:
            case _Expects.HEADER:
                self._begin_chunk(line)
            case _Expects.CHUNK_END:
                if line:
                    raise MalformedFraming(reason="malformed_chunk")
                self._end_chunk()
            case _:
                self._take_trailer(line)

    def _begin_chunk(self, line: bytes) -> None:
        match = (_HEADER if self._signing is None else _SIGNED_HEADER).fullmatch(line)
        if not match:
            raise MalformedFraming(reason="malformed_chunk")
        size = int(match[1], 16)
        if size > self._left or (size == 0 and self._left):
            raise IncompleteBody(
                "The body is not as long as the x-amz-decoded-content-length header says.", reason="decoded_length"
            )
        if self._signing is not None:
            self._signature = match[2]
            self._digest = sha256()
        self._left -= size
        self._chunk_left = size
        self._expects = _Expects.CHUNK_END
        if size == 0:
            self._end_chunk()
            self._expects = _Expects.TRAILER

    def _end_chunk(self) -> None:
        if self._signing is not None:
            _compare(self._signing.chunk(self._digest.hexdigest()).encode(), self._signature)
        self._expects = _Expects.HEADER

    def _take_trailer(self, line: bytes) -> None:
        if not line:
            self._check_trailer()
            self._expects = _Expects.NOTHING
            return
        self._trailer_size += len(line)
        match = _FIELD.fullmatch(line)
        if not match or self._declared is None or self._trailer_size > MAX_TRAILER:
            raise _malformed_trailer()
        name = match[1].decode().lower()
        expected = name in self._declared or (name == _TRAILER_SIGNATURE and self._signing is not None)
        if not expected or name in self.trailers:
            raise _malformed_trailer()
        self.trailers[name] = match[2].decode()

    def _check_trailer(self) -> None:
        if self._declared is None:
            return
        signature = self.trailers.pop(_TRAILER_SIGNATURE, "")
        if self.trailers.keys() != self._declared:
            raise _malformed_trailer()
        if self._signing is not None:
            canonical = "".join([f"{name}:{value}\n" for name, value in sorted(self.trailers.items())])
            _compare(self._signing.trailer(canonical.encode()).encode(), signature.encode())


def _compare(expected: bytes, given: bytes) -> None:
    if not compare_digest(expected, given):
        raise ChunkSignatureMismatch


def _malformed_trailer() -> BodyRefused:
    return MalformedFraming(
        "The request contained trailing data that was not well-formed or did not conform to our published schema.",
        reason="malformed_trailer",
    )


class FramedSource:
    """A body in the STREAMING-UNSIGNED-PAYLOAD-TRAILER form: chunks, then `x-amz-checksum-<algorithm>`.

    `size` is the framed size (Content-Length); `source.size` must be known and is x-amz-decoded-content-length. The
    caller sends `x-amz-trailer: x-amz-checksum-<algorithm>` and that payload hash. The end is only written behind
    exactly the announced bytes: IncompleteBody otherwise.
    """

    def __init__(self, source: ByteSource, algorithm: str) -> None:
        decoded_size = source.size or 0
        self.started = False
        self._source = source
        self._algorithm = algorithm
        self._hasher = checksums.new(algorithm)
        self._left = decoded_size
        self._left_in_chunk = 0
        self._ended = False
        whole, rest = divmod(decoded_size, FRAME)
        frames = whole * (len(b"%x" % FRAME) + 4) + (len(b"%x" % rest) + 4 if rest else 0)
        self.size: int = decoded_size + frames + len(self._end())

    @property
    def checksum(self) -> Checksum:
        """Of what was handed out; of the whole body at its end."""
        return Checksum(self._algorithm, checksums.encoded(self._hasher))

    def read_nowait(self) -> bytes | None:
        if self._ended:
            return b""
        data = self._source.read_nowait()
        return None if data is None else self._framed(data)

    async def read(self) -> bytes:
        return b"" if self._ended else self._framed(await self._source.read())

    def abort(self, error: BaseException) -> None:
        self._source.abort(error)

    def _framed(self, data: bytes) -> bytes:
        self._left -= len(data)
        if self._left < 0 or (self._left and not data):
            raise IncompleteBody
        self.started = True
        if not data:
            self._ended = True
            return self._end()
        self._hasher.update(data)
        if len(data) < self._left_in_chunk:
            self._left_in_chunk -= len(data)
            return data
        return b"".join(self._cut(data))

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """`data` with the ends and heads of chunks where they belong."""
        following = self._left + len(data)
        while data:
            if not self._left_in_chunk:
                self._left_in_chunk = min(FRAME, following)
                yield b"%x\r\n" % self._left_in_chunk
            piece, data = data[: self._left_in_chunk], data[self._left_in_chunk :]
            yield piece
            following -= len(piece)
            self._left_in_chunk -= len(piece)
            if not self._left_in_chunk:
                yield b"\r\n"

    def _end(self) -> bytes:
        checksum = self.checksum
        return f"0\r\nx-amz-checksum-{checksum.algorithm}:{checksum.value}\r\n\r\n".encode()
