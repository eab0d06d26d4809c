"""Pages out of keys in order: what backends that keep their own order share about listing.

Keys are UTF-8 bytes here, because that is the order of a listing (checklist 39). Bytes above 0xF4 never occur in
UTF-8, so `prefix + AFTER_ALL` lies behind every key with that prefix.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

from bridge_node.objects import Listing, ObjectInfo, Part, PartListing, UploadInfo, UploadListing
from bridge_node.operations import ListObjects, ListParts, ListUploads, ListVersions

AFTER_ALL = b"\xff"

Walk = Callable[[bytes], Iterator[bytes]]
"""Yields, in order, the keys from a start (inclusive) on."""


def object_page(walk: Walk, load: Callable[[bytes], ObjectInfo | None], op: ListObjects | ListVersions) -> Listing:
    """One page of `op`. `load` returns None for a key that vanished since it was walked over.

    `walk` may yield a common prefix in the place of the keys behind it. The token is the page's last key or prefix.
    """
    objects: list[ObjectInfo] = []
    prefixes: list[str] = []
    last = ""
    for key, common in _entries(walk, op.prefix, op.delimiter, _resume(op)):
        if len(objects) + len(prefixes) >= op.limit:
            return Listing(tuple(objects), tuple(prefixes), last or None)
        if common:
            prefixes.append(last := key.decode())
        elif info := load(key):
            objects.append(info)
            last = info.key
    return Listing(tuple(objects), tuple(prefixes))


def _resume(op: ListObjects | ListVersions) -> str:
    token = op.token if isinstance(op, ListObjects) else None
    return op.after if token is None else token


def _entries(walk: Walk, prefix: str, delimiter: str, after: str) -> Iterator[tuple[bytes, bool]]:
    """Keys and common prefixes (True) behind `after`; the walk starts anew behind each common prefix."""
    start: bytes | None = _start(prefix, delimiter, after)
    while start is not None:
        behind, start = start, None
        for key in walk(behind):
            if not key.startswith(prefix.encode()):
                return
            if common := _common_prefix(key, prefix.encode(), delimiter.encode()):
                yield common, True
                start = common + AFTER_ALL
                break
            yield key, False


def _start(prefix: str, delimiter: str, after: str) -> bytes:
    behind = after.encode()
    if after and _common_prefix(behind, prefix.encode(), delimiter.encode()) == behind:
        return behind + AFTER_ALL
    return max(prefix.encode(), behind + b"\0" if after else b"")


def _common_prefix(key: bytes, prefix: bytes, delimiter: bytes) -> bytes:
    """The common prefix that stands for `key` in a listing, or nothing where the key stands for itself."""
    if not delimiter or not key.startswith(prefix):
        return b""
    end = key.find(delimiter, len(prefix))
    return key[: end + len(delimiter)] if end >= 0 else b""


def upload_page(uploads: Iterable[UploadInfo], op: ListUploads) -> UploadListing:
    """One page of open uploads by key, then handle; a backend's handles sort by when they were opened."""
    found: list[UploadInfo] = []
    prefixes: list[str] = []
    for upload in sorted(uploads, key=lambda upload: (upload.key.encode(), upload.handle)):
        if not upload.key.startswith(op.prefix) or not _behind(upload, op):
            continue
        common = _common_prefix(upload.key.encode(), op.prefix.encode(), op.delimiter.encode()).decode()
        if common and (common == op.after or (prefixes and common == prefixes[-1])):
            continue
        if len(found) + len(prefixes) >= op.limit:
            last = max([*prefixes[-1:], *(upload.key for upload in found[-1:])], default="")
            return UploadListing(tuple(found), tuple(prefixes), last or None)
        if common:
            prefixes.append(common)
        else:
            found.append(upload)
    return UploadListing(tuple(found), tuple(prefixes))


def _behind(upload: UploadInfo, op: ListUploads) -> bool:
    if op.after_upload is not None and upload.key == op.after:
        return upload.handle > op.after_upload
    return upload.key > op.after


def part_page(parts: Sequence[Part], op: ListParts) -> PartListing:
    """One page of an open upload's parts; `parts` are in order of their numbers."""
    behind = [part for part in parts if part.number > op.after]
    page = tuple(behind[: op.limit])
    return PartListing(page, page[-1].number if page and len(behind) > len(page) else None)
