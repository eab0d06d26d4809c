"""The listings of S3, written by the gateway and read by the backend.

With `encode`, keys and what is compared with keys are percent-encoded (`encoding-type=url`); tokens are not
(checklist 35). Readers undo it by the document's own EncodingType.
"""

from collections.abc import Sequence
from typing import NamedTuple

from bridge_node.objects import BucketInfo, Listing, PartListing, UploadListing
from bridge_node.operations import ListObjects, ListUploads, ListVersions


class Owner(NamedTuple):
    id: str
    name: str = ""


NOBODY = Owner("")


def write_buckets(
    buckets: Sequence[BucketInfo], owner: Owner = NOBODY, *, prefix: str = "", token: str | None = None
) -> bytes: ...
def read_buckets(data: bytes) -> tuple[list[BucketInfo], str | None]:
    """Buckets and the continuation token."""


def write_objects_v1(op: ListObjects, page: Listing, *, encode: bool = False, owner: Owner = NOBODY) -> bytes:
    """`op.after` is the marker. NextMarker is written only with a delimiter (checklist 38)."""


def write_objects_v2(
    op: ListObjects,
    page: Listing,
    *,
    next_token: str | None,
    encode: bool = False,
    owner: Owner | None = None,
) -> bytes:
    """`op.token` is the client's own ContinuationToken, `next_token` the one for it; `owner` with fetch-owner."""


def read_objects(data: bytes) -> Listing:
    """Either version; `token` is NextContinuationToken, or V1's NextMarker or last entry when truncated."""


def write_versions(
    op: ListVersions, page: Listing, *, encode: bool = False, owner: Owner = NOBODY
) -> bytes:
    """Next markers are those of the page's last entry when `page.token` is not None."""


def read_versions(data: bytes) -> Listing: ...


def write_uploads(op: ListUploads, page: UploadListing, *, encode: bool = False, owner: Owner = NOBODY) -> bytes: ...


def read_uploads(data: bytes) -> UploadListing: ...


def write_parts(
    bucket: str, key: str, upload: str, page: PartListing, *, after: int, limit: int, encode: bool = False, owner: Owner = NOBODY
) -> bytes: ...


def read_parts(data: bytes) -> PartListing: ...
