"""Incremental digests by the names that S3 gives them, all from well-kept native libraries.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence
from typing import Protocol

import google_crc32c
from awscrt import checksums as crt

FULL_OBJECT = frozenset({"crc32", "crc32c", "crc64nvme"})
"""Algorithms that can cover a whole object that was uploaded in parts."""
COMPOSITE = frozenset({"crc32", "crc32c", "sha1", "sha256"})
"""Algorithms that can be a checksum of part checksums."""


class Hasher(Protocol):
    def update(self, data: bytes, /) -> None: ...

    def digest(self) -> bytes: ...


class _Crc:
    """A cyclic checksum that continues from its last value; digests are big-endian as S3 writes them."""

    __slots__ = ("_extend", "_value", "_width")

    def __init__(self, extend: Callable[[bytes, int], int], width: int) -> None:
        self._extend = extend
        self._width = width
        self._value = 0

    def update(self, data: bytes, /) -> None:
        self._value = self._extend(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _crc32c(data: bytes, value: int) -> int:
    extended: int = google_crc32c.extend(value, data)
    return extended


_NEW: dict[str, Callable[[], Hasher]] = {
    "md5": lambda: hashlib.md5(usedforsecurity=False),
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": lambda: _Crc(_crc32c, 4),
    "crc64nvme": lambda: _Crc(crt.crc64nvme, 8),
}

ALGORITHMS = frozenset(_NEW) - {"md5"}
"""Algorithms that an `x-amz-checksum-…` header or trailer may name."""


def new(algorithm: str) -> Hasher:
    """A fresh hasher; raises KeyError for an algorithm that is not one of `ALGORITHMS` or `md5`."""
    return _NEW[algorithm]()


def encoded(hasher: Hasher) -> str:
    """The digest in base64, as headers carry it."""
    return base64.b64encode(hasher.digest()).decode()


_COMBINE: dict[str, tuple[Callable[[int, int, int], int], int]] = {
    "crc32": (crt.combine_crc32, 4),
    "crc32c": (crt.combine_crc32c, 4),
    "crc64nvme": (crt.combine_crc64nvme, 8),
}


def joined(algorithm: str, pieces: Sequence[tuple[bytes, int]]) -> bytes:
    """Digest of the whole from the digests and sizes of its pieces in order, for one of `FULL_OBJECT`."""
    combine, width = _COMBINE[algorithm]
    value = 0
    for digest, size in pieces:
        value = combine(value, int.from_bytes(digest, "big"), size)
    return value.to_bytes(width, "big")
