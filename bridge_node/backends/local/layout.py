"""How keys become paths below a bucket's directory, reversibly and in nobody's way. Pure.

    <root>/.bridge-node/            the node's own: locks, writers, faults
    <root>/<bucket>/objects/        one record file per object, in directories by key
    <root>/<bucket>/data/           bytes of large objects and parts, named by their writer
    <root>/<bucket>/uploads/        one directory per open upload: what it is, and a record per part
    <root>/<bucket>/tmp/            records that are being written

A key is cut at its slashes. Each segment is escaped to printable ASCII (`%` and two hexadecimal digits) and gets a
suffix: `.o` for an object's record, `.d` for a directory of keys that go on behind a slash, `.c` for a directory in
which a long segment continues. So `a` and `a/b` lie side by side, no name is `.` or `..`, an empty segment has a name,
and no file system's ideas about Unicode matter.

A segment continues behind exactly `PIECE` bytes, whatever follows them: if two segments share a piece, they share its
directory, which keeps a sorted walk over directories in the order of whole keys.
"""

import re
from urllib.parse import quote_from_bytes, unquote_to_bytes

OWN = b".bridge-node"
OBJECTS, DATA, UPLOADS, TMP = b"objects", b"data", b"uploads", b"tmp"

PIECE = 84
"""Bytes of a segment in one name: escaped and with its suffix at most 254 bytes, one less than file systems allow."""

RECORD, DIRECTORY, CONTINUATION = b".o", b".d", b".c"
_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) not in "/%")
_PLAIN_KEY = re.compile(r"[ -$&-.0-~]{0,83}(?:/[ -$&-.0-~]{0,83})*")


def path_of(key: str) -> bytes:
    """Path of the key's record, relative to `objects`."""
    if _PLAIN_KEY.fullmatch(key):
        return (key.replace("/", ".d/") + ".o").encode()
    *parents, last = key.encode().split(b"/")
    path = b"".join(_directories(segment, DIRECTORY) for segment in parents)
    return path + _continued(last) + _escaped(last[len(last) // PIECE * PIECE :]) + RECORD


def directory_of(prefix: bytes) -> bytes:
    """Path of a walk's directory, relative to `objects`, with a slash at its end unless it is empty.

    `prefix` is what all keys in it begin with: it ends with a slash or with whole pieces of a segment.
    """
    *parents, last = prefix.split(b"/")
    return b"".join(_directories(segment, DIRECTORY) for segment in parents) + _continued(last)


def _directories(segment: bytes, suffix: bytes) -> bytes:
    return _continued(segment) + _escaped(segment[len(segment) // PIECE * PIECE :]) + suffix + b"/"


def _continued(segment: bytes) -> bytes:
    pieces = range(0, len(segment) - len(segment) % PIECE, PIECE)
    return b"".join(_escaped(segment[start : start + PIECE]) + CONTINUATION + b"/" for start in pieces)


def _escaped(piece: bytes) -> bytes:
    return quote_from_bytes(piece, _SAFE).encode()


def entry_of(name: bytes) -> bytes | None:
    """What a file name in a directory of keys adds to the directory's prefix, or None for a foreign file.

    The kind shows: a directory's entry ends with a slash, a continuation's has exactly `PIECE` bytes.
    """
    piece, suffix = unquote_to_bytes(name[:-2]), name[-2:]
    if suffix == DIRECTORY:
        return piece + b"/"
    return piece if suffix == (CONTINUATION if len(piece) == PIECE else RECORD) else None


def is_record(entry: bytes) -> bool:
    return len(entry) < PIECE and not entry.endswith(b"/")
