"""What headers of S3 say, as plain values, in both directions."""

import re
from collections.abc import Mapping
from functools import lru_cache

from bridge_node import checksums
from bridge_node.errors import BackendMisbehaved, NotModified, NotSupported
from bridge_node.objects import CONTENT_HEADERS, NO_CONDITIONS, NO_HEADERS, Checksum, Conditions, ObjectInfo
from bridge_node.protocols.http import http_date, parse_http_date, percent_encoded, quoted, unquoted

Headers = list[tuple[str, str]]

_META = "x-amz-meta-"
_CHECKSUM = "x-amz-checksum-"
_CONTENT = frozenset(CONTENT_HEADERS)
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19})", re.ASCII)
_MD5 = re.compile(r"[0-9a-f]{32}", re.ASCII)


# --- requests --------------------------------------------------------------------------------------------------------


def described(content: Mapping[str, str], metadata: Mapping[str, str]) -> Headers:
    """Content headers and user metadata of an object to be written."""
    if not content and not metadata:
        return []
    return [*content.items(), *((_META + name, value) for name, value in metadata.items())]


def reading(conditions: Conditions, *, pin: str | None = None, prefix: str = "") -> Headers:
    """Conditions of a read, or of a copy's source with `prefix`; `pin` asks for exactly that ETag."""
    if conditions is NO_CONDITIONS and pin is None:
        return []
    headers = []
    match = (pin,) if pin is not None else conditions.if_match
    if match:
        headers.append((f"{prefix}if-match", _etags(match)))
    if conditions.if_none_match:
        headers.append((f"{prefix}if-none-match", _etags(conditions.if_none_match)))
    if conditions.if_modified_since is not None:
        headers.append((f"{prefix}if-modified-since", http_date(conditions.if_modified_since)))
    if conditions.if_unmodified_since is not None:
        headers.append((f"{prefix}if-unmodified-since", http_date(conditions.if_unmodified_since)))
    return headers


def writing(conditions: Conditions) -> Headers:
    """Conditions of a write; S3 decides them by ETag only, the others are refused rather than dropped (promise 4)."""
    if conditions is NO_CONDITIONS:
        return []
    if conditions.if_modified_since is not None or conditions.if_unmodified_since is not None:
        raise NotSupported
    return reading(conditions)


def copy_source(bucket: str, key: str, version_id: str | None) -> tuple[str, str]:
    source = f"/{percent_encoded(bucket, safe='')}/{percent_encoded(key)}"
    version = "" if version_id is None else f"?versionId={percent_encoded(version_id, safe='')}"
    return "x-amz-copy-source", source + version


def _etags(etags: tuple[str, ...]) -> str:
    return ", ".join("*" if etag == "*" else quoted(etag) for etag in etags)


# --- answers ---------------------------------------------------------------------------------------------------------


def object_info(key: str, headers: Mapping[str, str], size: int, *, checksum: bool = False) -> ObjectInfo:
    """What an answer about an object says of it; nothing of the connection or the server gets in (checklist 73).

    Raises BackendMisbehaved for an answer that names no ETag.
    """
    etag = etag_of(headers)
    content, metadata = _kept(tuple(headers))
    parts = headers.get("x-amz-mp-parts-count", "")
    return ObjectInfo(
        key,
        size,
        etag,
        parse_http_date(headers.get("last-modified", "")) or 0.0,
        etag,
        {name: headers[name] for name in content},
        {name[len(_META) :]: headers[name] for name in metadata} if metadata else NO_HEADERS,
        headers.get("x-amz-version-id"),
        checksum=checksum_of(headers) if checksum else None,
        part_count=int(parts) if parts.isdecimal() else None,
        storage_class=headers.get("x-amz-storage-class", "STANDARD"),
    )


@lru_cache(maxsize=128)
def _kept(names: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Which headers are the object's content headers and its metadata. A store's answers have much the same ones."""
    return tuple(name for name in names if name in _CONTENT), tuple(name for name in names if name.startswith(_META))


def etag_of(headers: Mapping[str, str]) -> str:
    etag = unquoted(headers.get("etag", ""))
    if not etag:
        raise BackendMisbehaved(reason="no_etag")
    return etag


def checksum_of(headers: Mapping[str, str]) -> Checksum | None:
    """The checksum that an answer carries."""
    for name, value in headers.items():
        if name[:15] == _CHECKSUM and name[15:] in checksums.ALGORITHMS:
            text, composite, _ = value.partition("-")
            kind = headers.get("x-amz-checksum-type", "COMPOSITE" if composite else "")
            return Checksum(name[15:], text, kind == "COMPOSITE")
    return None


def content_range(headers: Mapping[str, str]) -> tuple[int, int, int]:
    """Start, stop (exclusive) and the whole object's size of a 206."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise BackendMisbehaved(reason="no_content_range")
    first, last, size = (int(number) for number in match.groups())
    if not first <= last < size:
        raise BackendMisbehaved(reason="impossible_content_range")
    return first, last + 1, size


def content_length(headers: Mapping[str, str]) -> int:
    """The announced length, also of a body that HEAD leaves out."""
    text = headers.get("content-length", "")
    if not text.isdecimal():
        raise BackendMisbehaved(reason="no_content_length")
    return int(text)


def not_modified(headers: Mapping[str, str]) -> NotModified:
    return NotModified(
        unquoted(headers.get("etag", "")),
        parse_http_date(headers.get("last-modified", "")) or 0.0,
        version_id=headers.get("x-amz-version-id"),
    )


def is_md5(headers: Mapping[str, str]) -> bool:
    """Whether the ETag of a single write is the MD5 of its bytes: not with keys of the customer's or of KMS."""
    encryption = headers.get("x-amz-server-side-encryption", "AES256")
    return (
        encryption == "AES256"
        and "x-amz-server-side-encryption-customer-algorithm" not in headers
        and _MD5.fullmatch(unquoted(headers.get("etag", ""))) is not None
    )
