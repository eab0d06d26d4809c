"""What a client declares about a request's body, and the source that holds it to that.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from bridge_node import checksums
from bridge_node.body import ByteSource
from bridge_node.errors import (
    BadDigest,
    ContentHashMismatch,
    InvalidArgument,
    InvalidDigest,
    InvalidRequest,
    MissingLength,
)
from bridge_node.objects import NO_HEADERS, Checksum
from bridge_node.protocols.s3.chunked import ChunkedSource, ChunkSigning
from bridge_node.protocols.s3.holding import HoldingSource
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Authorization, SigningKey

_PREFIX = "x-amz-checksum-"
_NO_VALUES = frozenset({"x-amz-checksum-algorithm", "x-amz-checksum-mode", "x-amz-checksum-type"})
_ABOUT_DIGESTS = frozenset({"content-md5", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"})
_DIGEST_SIZES = {"md5": 16, "crc32": 4, "crc32c": 4, "crc64nvme": 8, "sha1": 20, "sha256": 32}


class VerifiedSource(HoldingSource):
    """Passes a body on and keeps its last piece back until the end is reached and every digest agrees (promise 2).

    `sha256` is hexadecimal, `md5` and checksum values are base64. `trailing` names an algorithm whose value stands in
    `trailers` under `x-amz-checksum-<algorithm>` once `source` has ended. Raises ContentHashMismatch, BadDigest or
    InvalidDigest.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        sha256: str | None = None,
        md5: str | None = None,
        checksum: Checksum | None = None,
        trailing: str | None = None,
        trailers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(source, source.size)
        self.checksum: Checksum | None = checksum
        """The checksum that the client declared; a trailing one is known, and verified, at the end."""
        self._sha256 = sha256
        self._md5 = md5
        self._trailing = trailing
        self._trailers = trailers
        wanted = {
            None if sha256 is None else "sha256",
            None if md5 is None else "md5",
            trailing,
            None if checksum is None else checksum.algorithm,
        }
        self._hashers = {name: checksums.new(name) for name in wanted if name is not None}

    def _pass(self, data: bytes) -> bytes:
        for hasher in self._hashers.values():
            hasher.update(data)
        return data

    def _check(self) -> None:
        if self._sha256 is not None and self._hashers["sha256"].digest().hex() != self._sha256:
            raise ContentHashMismatch
        if self._md5 is not None and not self._agrees("md5", self._md5):
            raise BadDigest("The Content-MD5 you specified did not match what we received.", reason="bad_md5")
        if self._trailing is not None:
            self.checksum = Checksum(self._trailing, self._trailers.get(_PREFIX + self._trailing, ""))
        if self.checksum is not None and not self._agrees(self.checksum.algorithm, self.checksum.value):
            raise BadDigest(
                f"The {self.checksum.algorithm.upper()} you specified did not match the calculated checksum.",
                reason="bad_checksum",
            )

    def _agrees(self, algorithm: str, value: str) -> bool:
        return self._hashers[algorithm].digest() == _digest(algorithm, value)


def _digest(algorithm: str, value: str) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except (Base64Error, ValueError):
        digest = b""
    if len(digest) != _DIGEST_SIZES[algorithm]:
        if algorithm == "md5":
            raise InvalidDigest("The Content-MD5 you specified was invalid.", reason="invalid_md5")
        raise InvalidDigest(f"Value for {_PREFIX}{algorithm} header is invalid.", reason="invalid_checksum")
    return digest


@dataclass(frozen=True, slots=True)
class Declared:
    """What the headers say about the body's digests."""

    md5: str | None = None
    checksum: Checksum | None = None
    """Value declared ahead, in a header."""
    trailing: str | None = None
    """Algorithm whose value is announced for the trailer."""

    @property
    def algorithm(self) -> str | None:
        """Algorithm of the checksum wherever it is, lower case; None without one."""
        return self.checksum.algorithm if self.checksum else self.trailing


_NOTHING = Declared()


def declared(headers: Mapping[str, str]) -> Declared:
    """Reads Content-MD5, x-amz-checksum-*, x-amz-trailer and x-amz-sdk-checksum-algorithm.

    Raises InvalidDigest for values that are no digest and InvalidRequest for unknown algorithms or several checksums.
    """
    names = _declaring(tuple(headers))
    if not names:
        return _NOTHING
    return _declared(headers, [name for name in names if name.startswith(_PREFIX)])


@lru_cache(maxsize=128)
def _declaring(names: tuple[str, ...]) -> tuple[str, ...]:
    """Those that say something about the body's digests. A client sends the same headers all day."""
    return tuple(
        name for name in names if name in _ABOUT_DIGESTS or (name.startswith(_PREFIX) and name not in _NO_VALUES)
    )


def _declared(headers: Mapping[str, str], names: list[str]) -> Declared:
    md5 = headers.get("content-md5")
    trailer = headers.get("x-amz-trailer")
    sdk_algorithm = headers.get("x-amz-sdk-checksum-algorithm", "").lower()
    if md5 is not None:
        _digest("md5", md5)
    trailing = None if trailer is None else _algorithm(trailer.strip().lower())
    if len(names) + (trailing is not None) > 1:
        raise InvalidRequest(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.",
            reason="several_checksums",
        )
    checksum = _checksum(names[0], headers[names[0]]) if names else None
    found = Declared(md5, checksum, trailing)
    if sdk_algorithm and sdk_algorithm != found.algorithm:
        raise InvalidRequest(
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers "
            "were found.",
            reason="checksum_without_value",
        )
    return found


def _checksum(name: str, value: str) -> Checksum:
    algorithm = _algorithm(name)
    _digest(algorithm, value)
    return Checksum(algorithm, value)


def _algorithm(name: str) -> str:
    algorithm = name.removeprefix(_PREFIX)
    if algorithm == name or algorithm not in checksums.ALGORITHMS:
        raise InvalidRequest(
            "The algorithm type you specified in x-amz-checksum- header is invalid.", reason="unknown_checksum"
        )
    return algorithm


def verified_body(
    source: ByteSource,
    headers: Mapping[str, str],
    auth: Authorization,
    key: SigningKey,
    *,
    checksum_of_body: bool = True,
) -> ByteSource:
    """The body as the caller signed it: unframed, and raising at its end when anything declared does not hold.

    Returns `source` itself where nothing was declared. `checksum_of_body` is False where x-amz-checksum-* describes
    something else than this body: a Complete's is the whole object's. Raises MissingLength when a STREAMING-… body
    comes without x-amz-decoded-content-length, and what `declared` raises.
    """
    found = declared(headers) if checksum_of_body else Declared(md5=headers.get("content-md5"))
    payload = auth.payload_hash
    if payload.startswith("STREAMING-"):
        return _unframed(source, headers, auth, key, found)
    if found.trailing is not None:
        raise InvalidRequest("x-amz-trailer needs a payload that is sent in chunks.", reason="trailer_without_chunks")
    sha256 = None if payload == UNSIGNED_PAYLOAD else payload
    if sha256 is None and found is _NOTHING:
        return source
    return VerifiedSource(source, sha256=sha256, md5=found.md5, checksum=found.checksum)


def _unframed(
    source: ByteSource, headers: Mapping[str, str], auth: Authorization, key: SigningKey, found: Declared
) -> ByteSource:
    payload = auth.payload_hash
    signed = payload.startswith("STREAMING-AWS4")
    with_trailer = payload.endswith("-TRAILER")
    if found.trailing is not None and not with_trailer:
        raise InvalidRequest(f"x-amz-trailer does not go with {payload}.", reason="trailer_without_chunks")
    chunked = ChunkedSource(
        source,
        decoded_size=_decoded_size(headers),
        signing=ChunkSigning(key, auth) if signed else None,
        trailer=((_PREFIX + found.trailing,) if found.trailing else ()) if with_trailer else None,
    )
    if found is _NOTHING:
        return chunked
    return VerifiedSource(
        chunked, md5=found.md5, checksum=found.checksum, trailing=found.trailing, trailers=chunked.trailers
    )


def _decoded_size(headers: Mapping[str, str]) -> int:
    text = headers.get("x-amz-decoded-content-length")
    if text is None:
        raise MissingLength("You must provide the x-amz-decoded-content-length HTTP header.")
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise InvalidArgument(
            "x-amz-decoded-content-length is not a number",
            ArgumentName="x-amz-decoded-content-length",
            ArgumentValue=text,
        )
    return int(text)
