"""The documents of S3 that are no listings, each written and read here."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from bridge_node.errors import BackendMisbehaved, InvalidArgument, MalformedDocument
from bridge_node.objects import (
    NO_CONDITIONS,
    NO_HEADERS,
    Checksum,
    Conditions,
    Deleted,
    DeleteFailure,
    ObjectInfo,
    Part,
    Receipt,
    Stored,
)
from bridge_node.operations import DeleteObject
from bridge_node.protocols.http import quoted, unquoted
from bridge_node.protocols.s3.errors import WireError, from_wire, to_wire
from bridge_node.protocols.s3.listings import Owner, read_part
from bridge_node.protocols.s3.xml import (
    MAX_DEPTH,
    Element,
    checksum_elements,
    children,
    document,
    element,
    escaped,
    fields,
    iso_date,
    local_name,
    number,
    optional,
    parse,
    parse_iso_date,
    part_checksum_element,
    read_checksum,
    text_of,
)

MAX_DELETES = 1_000
MAX_PARTS = 10_000


# --- errors --------------------------------------------------------------------------------------------------------


class ErrorDocument(NamedTuple):
    """An error as it stands in a document, which does not know its status."""

    code: str
    message: str
    extra: Mapping[str, str]


def write_error(error: WireError, resource: str, request_id: str) -> bytes:
    """`resource` is the path of the request, decoded."""
    extra = "".join([element(name, text) for name, text in error.extra.items()])
    return document(
        "Error",
        f"{element('Code', error.code)}{element('Message', error.message)}{extra}{element('Resource', resource)}"
        f"{element('RequestId', request_id)}{element('HostId', request_id)}",
        namespace=False,
    )


def read_error(data: bytes) -> ErrorDocument | None:
    """None where it is no S3 error document (a proxy's HTML, nothing at all): never raises."""
    try:
        return _error(parse(data, "Error"))
    except MalformedDocument:
        return None


def _error(root: Element) -> ErrorDocument:
    texts = fields(root)
    return ErrorDocument(texts.pop("Code", ""), texts.pop("Message", ""), texts)


# --- buckets -------------------------------------------------------------------------------------------------------


def write_location(region: str) -> bytes:
    """us-east-1 is an empty element."""
    return document("LocationConstraint", "" if region == "us-east-1" else escaped(region))


def read_location(data: bytes) -> str:
    """The region; S3's old name EU is eu-west-1."""
    region = (parse(data, "LocationConstraint").text or "").strip()
    return {"": "us-east-1", "EU": "eu-west-1"}.get(region, region)


def write_create_bucket(region: str) -> bytes:
    """The body of a CreateBucket; us-east-1 has none."""
    if region == "us-east-1":
        return b""
    return document("CreateBucketConfiguration", element("LocationConstraint", region))


def read_create_bucket(data: bytes, max_depth: int = MAX_DEPTH) -> str | None:
    """The LocationConstraint asked for, None for an empty body."""
    if not data.strip():
        return None
    return text_of(parse(data, "CreateBucketConfiguration", max_depth=max_depth), "LocationConstraint") or None


def write_acl(owner: Owner) -> bytes:
    """The owner alone has FULL_CONTROL."""
    who = f"{element('ID', owner.id)}{element('DisplayName', owner.name or owner.id)}"
    grantee = f'<Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser">{who}</Grantee>'
    return document(
        "AccessControlPolicy",
        f"<Owner>{who}</Owner><AccessControlList><Grant>{grantee}<Permission>FULL_CONTROL</Permission></Grant>"
        "</AccessControlList>",
    )


_BARE_DOCUMENTS = {"versioning": document("VersioningConfiguration", "")}
_BARE_ERRORS = {
    "cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "encryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "object-lock": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
    "policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "tagging": ("NoSuchTagSet", "The TagSet does not exist"),
    "website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
}


def bare_bucket(probe: str) -> bytes | None:
    """What a bucket without any configuration answers to GET ?probe (checklist 31a).

    None where the answer is an error (see `bare_bucket_error`) or needs more than the name: `write_location` and
    `write_acl` answer `location` and `acl`.
    """
    return _BARE_DOCUMENTS.get(probe)


def bare_bucket_error(probe: str, bucket: str = "") -> WireError | None:
    """404 of a probe whose configuration does not exist; None for any other sub-resource."""
    if probe not in _BARE_ERRORS:
        return None
    return WireError(404, *_BARE_ERRORS[probe], {"BucketName": bucket} if bucket else NO_HEADERS)


# --- deleting many -------------------------------------------------------------------------------------------------


def write_delete_request(items: Sequence[DeleteObject], quiet: bool) -> bytes:
    """Keys must be legal in XML (`xml.is_legal`)."""
    entries = "".join(
        [
            f"<Object>{element('Key', item.key)}{optional('VersionId', item.version_id)}"
            f"{''.join([element('ETag', quoted(etag)) for etag in item.conditions.if_match[:1]])}</Object>"
            for item in items
        ]
    )
    return document("Delete", f"{entries}<Quiet>{'true' if quiet else 'false'}</Quiet>")


def read_delete_request(bucket: str, data: bytes, max_depth: int = MAX_DEPTH) -> tuple[tuple[DeleteObject, ...], bool]:
    """Items and `quiet`; MalformedDocument when there are none or more than 1,000.

    Conditions on size and time are refused with MalformedDocument rather than dropped.
    """
    root = parse(data, "Delete", max_depth=max_depth)
    items = tuple(_delete_item(bucket, entry) for entry in children(root, "Object"))
    if not 1 <= len(items) <= MAX_DELETES:
        raise MalformedDocument(reason="number_of_deletes")
    return items, text_of(root, "Quiet").strip().lower() == "true"


def _delete_item(bucket: str, entry: Element) -> DeleteObject:
    texts = fields(entry)
    if not texts.get("Key") or not texts.keys() <= {"Key", "VersionId", "ETag"}:
        raise MalformedDocument(reason="malformed_delete")
    etag = texts.get("ETag")
    return DeleteObject(
        bucket,
        texts["Key"],
        version_id=texts.get("VersionId") or None,
        conditions=Conditions(if_match=(unquoted(etag),)) if etag else NO_CONDITIONS,
    )


def write_delete_result(outcomes: Sequence[Deleted | DeleteFailure], quiet: bool) -> bytes:
    """With `quiet` only failures are named."""
    return document(
        "DeleteResult",
        "".join(
            [
                _failure(outcome) if isinstance(outcome, DeleteFailure) else _deleted(outcome)
                for outcome in outcomes
                if not quiet or isinstance(outcome, DeleteFailure)
            ]
        ),
    )


def _deleted(outcome: Deleted) -> str:
    marker = "<DeleteMarker>true</DeleteMarker>" if outcome.delete_marker else ""
    return (
        f"<Deleted>{element('Key', outcome.key)}{optional('VersionId', outcome.version_id)}{marker}"
        f"{optional('DeleteMarkerVersionId', outcome.delete_marker_version_id)}</Deleted>"
    )


def _failure(outcome: DeleteFailure) -> str:
    error = to_wire(outcome.error)
    return (
        f"<Error>{element('Key', outcome.key)}{optional('VersionId', outcome.version_id)}"
        f"{element('Code', error.code)}{element('Message', error.message)}</Error>"
    )


def read_delete_result(data: bytes, items: Sequence[DeleteObject], *, quiet: bool) -> list[Deleted | DeleteFailure]:
    """One outcome per item, in order. What a quiet answer does not name was deleted; another one must name it."""
    outcomes: dict[tuple[str, str | None], Deleted | DeleteFailure] = {}
    for entry in parse(data, "DeleteResult"):
        outcome = _outcome(local_name(entry), fields(entry))
        outcomes[outcome.key, outcome.version_id] = outcome
    return [_outcome_of(item, outcomes, quiet) for item in items]


def _outcome(name: str, texts: Mapping[str, str]) -> Deleted | DeleteFailure:
    key, version_id = texts.get("Key", ""), texts.get("VersionId") or None
    if name == "Error":
        return DeleteFailure(key, from_wire(500, texts.get("Code", ""), texts.get("Message", "")), version_id)
    return Deleted(key, version_id, texts.get("DeleteMarker") == "true", texts.get("DeleteMarkerVersionId") or None)


def _outcome_of(
    item: DeleteObject, outcomes: Mapping[tuple[str, str | None], Deleted | DeleteFailure], quiet: bool
) -> Deleted | DeleteFailure:
    outcome = outcomes.get((item.key, item.version_id)) or outcomes.get((item.key, None))
    if outcome is not None:
        return outcome
    if quiet:
        return Deleted(item.key, item.version_id)
    return DeleteFailure(item.key, BackendMisbehaved(reason="delete_not_answered"), item.version_id)


# --- uploads in parts ----------------------------------------------------------------------------------------------


def write_initiate_result(bucket: str, key: str, upload: str) -> bytes:
    return document(
        "InitiateMultipartUploadResult",
        element("Bucket", bucket) + element("Key", key) + element("UploadId", upload),
    )


def read_initiate_result(data: bytes) -> str:
    """The upload id; MalformedDocument without one."""
    upload = text_of(parse(data, "InitiateMultipartUploadResult"), "UploadId")
    if not upload:
        raise MalformedDocument(reason="no_upload_id")
    return upload


def write_complete_request(receipts: Sequence[Receipt]) -> bytes:
    entries = "".join(
        [
            f"<Part><PartNumber>{receipt.label}</PartNumber>{element('ETag', quoted(receipt.etag))}"
            f"{part_checksum_element(receipt.checksum)}</Part>"
            for receipt in receipts
        ]
    )
    return document("CompleteMultipartUpload", entries)


def read_complete_request(data: bytes, max_depth: int = MAX_DEPTH) -> tuple[Receipt, ...]:
    """Receipts in the client's order; MalformedDocument without any, InvalidArgument for labels outside 1–10,000."""
    root = parse(data, "CompleteMultipartUpload", max_depth=max_depth)
    receipts = tuple(_receipt(fields(entry)) for entry in children(root, "Part"))
    if not 1 <= len(receipts) <= MAX_PARTS:
        raise MalformedDocument(reason="number_of_parts")
    return receipts


def _receipt(texts: dict[str, str]) -> Receipt:
    label = number(texts.get("PartNumber", "").strip())
    if not 1 <= label <= MAX_PARTS:
        raise InvalidArgument(
            "PartNumber must be >= 1 and <= 10000", ArgumentName="partNumber", ArgumentValue=str(label)
        )
    etag = unquoted(texts.get("ETag", ""))
    if not etag:
        raise MalformedDocument(reason="part_without_etag")
    return Receipt(label, etag, read_checksum(texts))


def write_complete_result(location: str, bucket: str, key: str, stored: Stored, parts: int | None = None) -> bytes:
    """`parts` is the number of parts, for a composite checksum."""
    return document(
        "CompleteMultipartUploadResult",
        f"{element('Location', location)}{element('Bucket', bucket)}{element('Key', key)}"
        f"{element('ETag', quoted(stored.etag))}{checksum_elements(stored.checksum, parts)}",
    )


def read_complete_result(data: bytes) -> Stored | ErrorDocument:
    """A 200 may hold an error (checklist 51)."""
    return _stored_or_error(data, "CompleteMultipartUploadResult")


def _stored_or_error(data: bytes, *roots: str) -> Stored | ErrorDocument:
    # A slow answer keeps its connection alive by white space, which XML does not allow before its declaration.
    root = parse(data.lstrip(), *roots, "Error")
    if local_name(root) == "Error":
        return _error(root)
    texts = fields(root)
    etag = unquoted(texts.get("ETag", ""))
    if not etag:
        raise MalformedDocument(reason="no_etag")
    modified = texts.get("LastModified")
    return Stored(etag, last_modified=parse_iso_date(modified) if modified else 0.0, checksum=read_checksum(texts))


# --- copies --------------------------------------------------------------------------------------------------------


def write_copy_result(
    etag: str, last_modified: float, checksum: Checksum | None = None, parts: int | None = None
) -> bytes:
    return document("CopyObjectResult", _copied(etag, last_modified) + checksum_elements(checksum, parts))


def write_copy_part_result(etag: str, last_modified: float, checksum: Checksum | None = None) -> bytes:
    return document("CopyPartResult", _copied(etag, last_modified) + part_checksum_element(checksum))


def _copied(etag: str, last_modified: float) -> str:
    return element("LastModified", iso_date(last_modified)) + element("ETag", quoted(etag))


def read_copy_result(data: bytes) -> Stored | ErrorDocument:
    """Of either copy; a 200 may hold an error."""
    return _stored_or_error(data, "CopyObjectResult", "CopyPartResult")


# --- one object ----------------------------------------------------------------------------------------------------


def write_attributes(
    info: ObjectInfo,
    wanted: Collection[str],
    parts: Sequence[Part] = (),
    *,
    after_part: int = 0,
    part_limit: int = 1000,
) -> bytes:
    """`wanted`: ETag, Checksum, ObjectParts, StorageClass, ObjectSize.

    `parts` are those behind `after_part`; the first `part_limit` of them are written.
    """
    content = ""
    if "ETag" in wanted:
        content += element("ETag", info.etag)
    if "Checksum" in wanted and info.checksum is not None:
        content += f"<Checksum>{checksum_elements(info.checksum, info.part_count)}</Checksum>"
    if "ObjectParts" in wanted and info.part_count:
        content += _attribute_parts(info.part_count, parts, after_part, part_limit)
    if "StorageClass" in wanted:
        content += element("StorageClass", info.storage_class)
    if "ObjectSize" in wanted:
        content += element("ObjectSize", info.size)
    return document("GetObjectAttributesResponse", content)


def _attribute_parts(count: int, parts: Sequence[Part], after: int, limit: int) -> str:
    """Like S3, names single parts only where they have checksums."""
    page = [part for part in parts if part.checksum is not None][:limit]
    truncated = bool(page) and page[-1].number < count
    entries = "".join(
        [
            f"<Part>{element('PartNumber', part.number)}{element('Size', part.size)}"
            f"{part_checksum_element(part.checksum)}</Part>"
            for part in page
        ]
    )
    return (
        f"<ObjectParts><PartsCount>{count}</PartsCount><PartNumberMarker>{after}</PartNumberMarker>"
        f"<NextPartNumberMarker>{page[-1].number if page else 0}</NextPartNumberMarker><MaxParts>{limit}</MaxParts>"
        f"<IsTruncated>{'true' if truncated else 'false'}</IsTruncated>{entries}</ObjectParts>"
    )


def read_attributes(data: bytes) -> tuple[ObjectInfo, list[Part]]:
    """`key` and `last_modified` are not in the document and stay empty."""
    root = parse(data, "GetObjectAttributesResponse", "GetObjectAttributesOutput")
    texts = fields(root)
    checksums = [fields(entry) for entry in children(root, "Checksum")]
    holders = children(root, "ObjectParts")
    total = number(_total_parts(holders[0]), 0) if holders else 0
    info = ObjectInfo(
        "",
        number(texts.get("ObjectSize", ""), 0),
        unquoted(texts.get("ETag", "")),
        0.0,
        checksum=read_checksum(checksums[0]) if checksums else None,
        part_count=total or None,
        storage_class=texts.get("StorageClass") or "STANDARD",
    )
    return info, [read_part(entry) for holder in holders for entry in children(holder, "Part")]


def _total_parts(holder: Element) -> str:
    return text_of(holder, "PartsCount") or text_of(holder, "TotalPartsCount")


def write_post_result(location: str, bucket: str, key: str, etag: str) -> bytes:
    """The 201 answer of a form upload."""
    return document(
        "PostResponse",
        f"{element('Location', location)}{element('Bucket', bucket)}{element('Key', key)}"
        f"{element('ETag', quoted(etag))}",
        namespace=False,
    )
