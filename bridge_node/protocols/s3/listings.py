"""The listings of S3, written by the gateway and read by the backend.

With `encode`, keys and what is compared with keys are percent-encoded (`encoding-type=url`); tokens are not
(checklist 35). Readers undo it by the document's own EncodingType.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from bridge_node.objects import BucketInfo, Listing, ObjectInfo, Part, PartListing, UploadInfo, UploadListing
from bridge_node.operations import ListObjects, ListUploads, ListVersions
from bridge_node.protocols.http import unquoted
from bridge_node.protocols.s3.xml import (
    Element,
    children,
    document,
    element,
    escaped,
    fields,
    iso_date,
    number,
    optional,
    parse,
    parse_iso_date,
    part_checksum_element,
    read_checksum,
    text_of,
    url_decoded,
    url_encoded,
)


class Owner(NamedTuple):
    """Who owns a bucket or an object, as documents name it."""

    id: str
    name: str = ""


NOBODY = Owner("")

Text = Callable[[str], str]
"""How a key is written, or read."""


# --- buckets -------------------------------------------------------------------------------------------------------


def write_buckets(
    buckets: Sequence[BucketInfo], owner: Owner = NOBODY, *, prefix: str = "", token: str | None = None
) -> bytes:
    """`token` is the ContinuationToken of the next page."""
    entries = "".join(
        [
            f"<Bucket>{element('Name', bucket.name)}{element('CreationDate', iso_date(bucket.created))}"
            f"{optional('BucketRegion', bucket.region)}</Bucket>"
            for bucket in buckets
        ]
    )
    page = optional("Prefix", prefix) + optional("ContinuationToken", token)
    return document("ListAllMyBucketsResult", f"{_owner(owner)}<Buckets>{entries}</Buckets>{page}")


def read_buckets(data: bytes) -> tuple[list[BucketInfo], str | None]:
    """Buckets and the token of the next page, if there is one."""
    root = parse(data, "ListAllMyBucketsResult")
    buckets = []
    for holder in children(root, "Buckets"):
        for entry in holder:
            texts = fields(entry)
            created = texts.get("CreationDate")
            buckets.append(
                BucketInfo(
                    texts.get("Name", ""), parse_iso_date(created) if created else 0.0, texts.get("BucketRegion", "")
                )
            )
    return buckets, text_of(root, "ContinuationToken") or None


# --- objects -------------------------------------------------------------------------------------------------------


def write_objects_v1(op: ListObjects, page: Listing, *, encode: bool = False, owner: Owner = NOBODY) -> bytes:
    """`op.after` is the marker. NextMarker is written only with a delimiter (checklist 38)."""
    text = _writer(encode)
    following = _last_entry(page) if page.token is not None and op.delimiter else None
    head = (
        f"{_head(op, page.token is not None, text)}<Marker>{text(op.after)}</Marker>"
        f"{'' if following is None else f'<NextMarker>{text(following)}</NextMarker>'}"
    )
    return document("ListBucketResult", head + _encoding(encode) + _entries(page, text, _owner(owner)))


def write_objects_v2(
    op: ListObjects,
    page: Listing,
    *,
    next_token: str | None,
    encode: bool = False,
    owner: Owner | None = None,
) -> bytes:
    """`op.token` is the client's own ContinuationToken, `next_token` the one for it; `owner` with fetch-owner."""
    text = _writer(encode)
    head = (
        f"{_head(op, next_token is not None, text)}<KeyCount>{len(page.objects) + len(page.prefixes)}</KeyCount>"
        f"{optional('ContinuationToken', op.token)}{optional('NextContinuationToken', next_token)}"
        f"{f'<StartAfter>{text(op.after)}</StartAfter>' if op.after else ''}"
    )
    return document("ListBucketResult", head + _encoding(encode) + _entries(page, text, _owner(owner)))


def read_objects(data: bytes) -> Listing:
    """Either version; `token` is NextContinuationToken, or V1's NextMarker or last entry when truncated."""
    root = parse(data, "ListBucketResult")
    text = _reader(root)
    page = Listing(tuple([_object(entry, text) for entry in children(root, "Contents")]), _prefixes(root, text))
    return Listing(page.objects, page.prefixes, _next_objects(root, page, text))


def _next_objects(root: Element, page: Listing, text: Text) -> str | None:
    if text_of(root, "IsTruncated") != "true":
        return None
    token = text_of(root, "NextContinuationToken")
    if token:
        return token
    marker = text_of(root, "NextMarker")
    return text(marker) if marker else _last_entry(page)


# --- versions ------------------------------------------------------------------------------------------------------


def write_versions(op: ListVersions, page: Listing, *, encode: bool = False, owner: Owner = NOBODY) -> bytes:
    """Next markers are those of the page's last entry when `page.token` is not None."""
    text = _writer(encode)
    entries = "".join([_version_entry(info, text, _owner(owner)) for info in page.objects])
    head = (
        f"{_head(op, page.token is not None, text)}<KeyMarker>{text(op.after)}</KeyMarker>"
        f"{element('VersionIdMarker', op.after_version or '')}{_next_versions(page, text)}{_encoding(encode)}"
    )
    return document("ListVersionsResult", head + entries + _prefix_entries(page.prefixes, text))


def _next_versions(page: Listing, text: Text) -> str:
    following = _last_entry(page)
    if page.token is None or following is None:
        return ""
    last = page.objects[-1] if page.objects else None
    version = element("NextVersionIdMarker", last.version_id or "null") if last and last.key == following else ""
    return f"<NextKeyMarker>{text(following)}</NextKeyMarker>{version}"


def _version_entry(info: ObjectInfo, text: Text, owner: str) -> str:
    name = "DeleteMarker" if info.delete_marker else "Version"
    state = (
        f"<Key>{text(info.key)}</Key>{element('VersionId', info.version_id or 'null')}"
        f"<IsLatest>{_boolean(info.is_latest)}</IsLatest><LastModified>{iso_date(info.last_modified)}</LastModified>"
    )
    return f"<{name}>{state}{'' if info.delete_marker else _stored(info)}{owner}</{name}>"


def read_versions(data: bytes) -> Listing:
    """Versions and delete markers in the document's order; `token` is NextKeyMarker when truncated."""
    root = parse(data, "ListVersionsResult", "ListBucketVersionsResult")
    text = _reader(root)
    versions = [
        _object(entry, text, delete_marker=entry.tag.endswith("DeleteMarker"))
        for entry in root
        if entry.tag.endswith(("Version", "DeleteMarker"))
    ]
    page = Listing(tuple(versions), _prefixes(root, text))
    if text_of(root, "IsTruncated") != "true":
        return page
    marker = text_of(root, "NextKeyMarker")
    return Listing(page.objects, page.prefixes, text(marker) if marker else _last_entry(page))


# --- uploads and parts ---------------------------------------------------------------------------------------------


def write_uploads(op: ListUploads, page: UploadListing, *, encode: bool = False, owner: Owner = NOBODY) -> bytes:
    """Each `handle` is the upload id that the client is given."""
    text = _writer(encode)
    owners = _owner(owner, "Initiator") + _owner(owner)
    entries = "".join(
        [
            f"<Upload><Key>{text(upload.key)}</Key>{element('UploadId', upload.handle)}{owners}"
            f"<StorageClass>STANDARD</StorageClass><Initiated>{iso_date(upload.started)}</Initiated></Upload>"
            for upload in page.uploads
        ]
    )
    head = (
        f"{element('Bucket', op.bucket)}<KeyMarker>{text(op.after)}</KeyMarker>"
        f"{element('UploadIdMarker', op.after_upload or '')}{_next_uploads(page, text)}"
        f"<Prefix>{text(op.prefix)}</Prefix>{_delimiter(op.delimiter, text)}<MaxUploads>{op.limit}</MaxUploads>"
        f"<IsTruncated>{_boolean(page.token is not None)}</IsTruncated>{_encoding(encode)}"
    )
    return document("ListMultipartUploadsResult", head + entries + _prefix_entries(page.prefixes, text))


def _next_uploads(page: UploadListing, text: Text) -> str:
    if page.token is None:
        return ""
    last = page.uploads[-1] if page.uploads else None
    if last is None or (page.prefixes and page.prefixes[-1] > last.key):
        return f"<NextKeyMarker>{text(page.prefixes[-1])}</NextKeyMarker>" if page.prefixes else ""
    return f"<NextKeyMarker>{text(last.key)}</NextKeyMarker>{element('NextUploadIdMarker', last.handle)}"


def read_uploads(data: bytes) -> UploadListing:
    """`token` is NextUploadIdMarker (or "" where only a key marker is given) when truncated."""
    root = parse(data, "ListMultipartUploadsResult")
    text = _reader(root)
    uploads = []
    for entry in children(root, "Upload"):
        texts = fields(entry)
        started = texts.get("Initiated")
        uploads.append(
            UploadInfo(
                text(texts.get("Key", "")), texts.get("UploadId", ""), parse_iso_date(started) if started else 0.0
            )
        )
    truncated = text_of(root, "IsTruncated") == "true"
    return UploadListing(
        tuple(uploads), _prefixes(root, text), text_of(root, "NextUploadIdMarker") if truncated else None
    )


def write_parts(
    bucket: str,
    key: str,
    upload: str,
    page: PartListing,
    *,
    after: int,
    limit: int,
    owner: Owner = NOBODY,
) -> bytes:
    """Parts behind number `after`, at most `limit`."""
    entries = "".join(
        [
            f"<Part><PartNumber>{part.number}</PartNumber><LastModified>{iso_date(part.last_modified)}</LastModified>"
            f"<ETag>&quot;{escaped(part.etag)}&quot;</ETag><Size>{part.size}</Size>"
            f"{part_checksum_element(part.checksum)}</Part>"
            for part in page.parts
        ]
    )
    head = (
        f"{element('Bucket', bucket)}{element('Key', key)}{element('UploadId', upload)}"
        f"{_owner(owner, 'Initiator')}{_owner(owner)}<StorageClass>STANDARD</StorageClass>"
        f"<PartNumberMarker>{after}</PartNumberMarker>{optional('NextPartNumberMarker', page.next_label)}"
        f"<MaxParts>{limit}</MaxParts><IsTruncated>{_boolean(page.next_label is not None)}</IsTruncated>"
    )
    return document("ListPartsResult", head + entries)


def read_parts(data: bytes) -> PartListing:
    """One page of parts."""
    root = parse(data, "ListPartsResult")
    parts = tuple(read_part(entry) for entry in children(root, "Part"))
    if text_of(root, "IsTruncated") != "true":
        return PartListing(parts)
    following = text_of(root, "NextPartNumberMarker")
    return PartListing(parts, number(following, parts[-1].number if parts else 0))


def read_part(entry: Element) -> Part:
    """One Part of a listing or of an object's attributes."""
    texts = fields(entry)
    modified = texts.get("LastModified")
    return Part(
        number(texts.get("PartNumber", "")),
        number(texts.get("Size", ""), 0),
        unquoted(texts.get("ETag", "")),
        parse_iso_date(modified) if modified else 0.0,
        read_checksum(texts),
    )


# --- what they share -----------------------------------------------------------------------------------------------


def _writer(encode: bool) -> Text:
    return url_encoded if encode else escaped


def _reader(root: Element) -> Text:
    return url_decoded if text_of(root, "EncodingType") == "url" else str


def _encoding(encode: bool) -> str:
    return "<EncodingType>url</EncodingType>" if encode else ""


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _owner(owner: Owner | None, name: str = "Owner") -> str:
    if not owner:
        return ""
    return f"<{name}>{element('ID', owner.id)}{element('DisplayName', owner.name or owner.id)}</{name}>"


def _delimiter(delimiter: str, text: Text) -> str:
    return f"<Delimiter>{text(delimiter)}</Delimiter>" if delimiter else ""


def _head(op: ListObjects | ListVersions, truncated: bool, text: Text) -> str:
    return (
        f"{element('Name', op.bucket)}<Prefix>{text(op.prefix)}</Prefix>{_delimiter(op.delimiter, text)}"
        f"<MaxKeys>{op.limit}</MaxKeys><IsTruncated>{_boolean(truncated)}</IsTruncated>"
    )


def _entries(page: Listing, text: Text, owner: str) -> str:
    objects = [
        f"<Contents><Key>{text(info.key)}</Key><LastModified>{iso_date(info.last_modified)}</LastModified>"
        f"{_stored(info)}{owner}</Contents>"
        for info in page.objects
    ]
    return "".join(objects) + _prefix_entries(page.prefixes, text)


def _stored(info: ObjectInfo) -> str:
    checksum = "" if info.checksum is None else element("ChecksumAlgorithm", info.checksum.algorithm.upper())
    return (
        f"<ETag>&quot;{escaped(info.etag)}&quot;</ETag>{checksum}<Size>{info.size}</Size>"
        f"<StorageClass>{info.storage_class}</StorageClass>"
    )


def _prefix_entries(prefixes: Sequence[str], text: Text) -> str:
    return "".join([f"<CommonPrefixes><Prefix>{text(prefix)}</Prefix></CommonPrefixes>" for prefix in prefixes])


def _last_entry(page: Listing) -> str | None:
    """The last key or common prefix of a page; text compares like its UTF-8 bytes."""
    ends = [entries[-1] for entries in ([info.key for info in page.objects[-1:]], page.prefixes) if entries]
    return max(ends, default=None)


def _object(entry: Element, text: Text, *, delete_marker: bool = False) -> ObjectInfo:
    texts = fields(entry)
    return ObjectInfo(
        text(texts.get("Key", "")),
        number(texts.get("Size", ""), 0),
        unquoted(texts.get("ETag", "")),
        parse_iso_date(texts.get("LastModified", "")),
        version_id=texts.get("VersionId"),
        delete_marker=delete_marker,
        is_latest=texts.get("IsLatest", "true") == "true",
        storage_class=texts.get("StorageClass") or "STANDARD",
    )


def _prefixes(root: Element, text: Text) -> tuple[str, ...]:
    return tuple(text(text_of(entry, "Prefix")) for entry in children(root, "CommonPrefixes"))
