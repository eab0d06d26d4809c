"""The documents of S3 that are no listings, each written and read here."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from bridge_node.objects import Checksum, Deleted, DeleteFailure, ObjectInfo, Part, Receipt, Stored
from bridge_node.operations import DeleteObject
from bridge_node.protocols.s3.errors import WireError


class ErrorDocument(NamedTuple):
    code: str
    message: str
    extra: Mapping[str, str]


def write_error(error: WireError, resource: str, request_id: str) -> bytes: ...
def read_error(data: bytes) -> ErrorDocument | None:
    """None where it is no S3 error document (a proxy's HTML, nothing at all): never raises."""


def write_location(region: str) -> bytes:
    """us-east-1 is an empty element."""


def read_location(data: bytes) -> str: ...
def read_create_bucket(data: bytes) -> str | None:
    """The LocationConstraint asked for, None for an empty body."""


def write_create_bucket(region: str) -> bytes: ...
def read_delete_request(bucket: str, data: bytes) -> tuple[tuple[DeleteObject, ...], bool]:
    """Items and `quiet`; MalformedDocument when there are none or more than 1,000."""


def write_delete_request(items: Sequence[DeleteObject], quiet: bool) -> bytes: ...
def write_delete_result(outcomes: Sequence[Deleted | DeleteFailure], quiet: bool) -> bytes: ...
def read_delete_result(data: bytes, items: Sequence[DeleteObject]) -> list[Deleted | DeleteFailure]:
    """One outcome per item, in order; with a quiet request what is not named was deleted."""


def write_initiate_result(bucket: str, key: str, upload: str) -> bytes: ...
def read_initiate_result(data: bytes) -> str:
    """The upload id."""


def read_complete_request(data: bytes) -> tuple[Receipt, ...]:
    """Receipts in the client's order; MalformedDocument without any, InvalidArgument for labels outside 1–10,000."""


def write_complete_request(receipts: Sequence[Receipt]) -> bytes: ...
def write_complete_result(location: str, bucket: str, key: str, stored: Stored) -> bytes: ...
def read_complete_result(data: bytes) -> Stored | ErrorDocument:
    """A 200 may hold an error (checklist 51)."""


def write_copy_result(etag: str, last_modified: float, checksum: Checksum | None = None) -> bytes: ...
def write_copy_part_result(etag: str, last_modified: float, checksum: Checksum | None = None) -> bytes: ...
def read_copy_result(data: bytes) -> Stored | ErrorDocument:
    """Of either copy."""


def write_attributes(
    info: ObjectInfo,
    wanted: Collection[str],
    parts: Sequence[Part] = (),
    *,
    after_part: int = 0,
    part_limit: int = 1000,
) -> bytes:
    """`wanted`: ETag, Checksum, ObjectParts, StorageClass, ObjectSize."""


def read_attributes(data: bytes) -> tuple[ObjectInfo, list[Part]]:
    """`key` and `last_modified` are not in the document and stay empty."""


def write_post_result(location: str, bucket: str, key: str, etag: str) -> bytes:
    """The 201 answer of a form upload."""


def bare_bucket(probe: str) -> bytes | None:
    """What a bucket without any configuration answers to GET ?probe (checklist 31a).

    None where the answer is an error: see `bare_bucket_error`.
    """


def bare_bucket_error(probe: str) -> WireError | None:
    """404 of a probe whose configuration does not exist; None for an unknown sub-resource."""


def write_acl(owner_id: str) -> bytes:
    """The owner alone has FULL_CONTROL."""
