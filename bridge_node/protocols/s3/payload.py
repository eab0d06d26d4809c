"""What a client declares about a request's body, and the source that holds it to that."""

from collections.abc import Mapping
from dataclasses import dataclass

from bridge_node.body import ByteSource
from bridge_node.objects import Checksum
from bridge_node.protocols.s3.sigv4 import Authorization


class VerifiedSource:
    """Passes a body on and keeps its last piece back until the end is reached and every digest agrees (promise 2).

    `sha256` is hexadecimal, `md5` and checksum values are base64. `trailing` names an algorithm whose value stands in
    `trailers` under `x-amz-checksum-<algorithm>` once `source` has ended. Raises ContentHashMismatch or BadDigest.
    """

    def __init__(
        self,
        source: ByteSource,
        *,
        sha256: str | None = None,
        md5: str | None = None,
        checksum: Checksum | None = None,
        trailing: str | None = None,
        trailers: Mapping[str, str] | None = None,
    ) -> None:
        self.size: int | None = source.size
        self.started = False

    def read_nowait(self) -> bytes | None:
        raise NotImplementedError

    async def read(self) -> bytes:
        raise NotImplementedError

    def abort(self, error: BaseException) -> None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Declared:
    """What the headers say about the body's digests."""

    md5: str | None = None
    checksum: Checksum | None = None
    """Value declared ahead, in a header."""
    algorithm: str | None = None
    """Algorithm of `checksum` or of the checksum in the trailer, lower case; None when there is neither."""


def declared(headers: Mapping[str, str]) -> Declared:
    """Reads Content-MD5, x-amz-checksum-*, x-amz-trailer and x-amz-sdk-checksum-algorithm.

    Raises InvalidDigest for values that are no digest and InvalidRequest for unknown algorithms or several checksums.
    """
    raise NotImplementedError


def verified_body(source: ByteSource, headers: Mapping[str, str], auth: Authorization, key: bytes) -> ByteSource:
    """The body as the caller signed it: unframed, and raising at its end when anything declared does not hold.

    `key` is the derived signing key. Returns `source` itself where nothing was declared. Raises MissingLength when a
    STREAMING-… body comes without x-amz-decoded-content-length, and what `declared` raises.
    """
    raise NotImplementedError
