"""One frozen value per thing a client can ask, whatever protocol it speaks.

A frontend's `parse` makes them, `gateway/authorization` reads `access`, `gateway/routing` hands them to a backend with
the real bucket's name beside them. `bucket` is always the name on the wire.
"""

from collections.abc import Mapping
from enum import Flag
from typing import ClassVar

from bridge_node.body import ByteSource
from bridge_node.objects import NO_CONDITIONS, NO_HEADERS, ByteRange, Checksum, Conditions, Receipt
from bridge_node.values import value


class Access(Flag):
    """What a key may do. READ, WRITE and ADMIN do not imply each other: keys hold the flags they were given."""

    NONE = 0
    READ = 1
    WRITE = 2
    ADMIN = 4

    @classmethod
    def of_repository_key(cls, level: str) -> "Access":
        """Flags of a repository key's READ, WRITE or ADMIN: WRITE reads too, ADMIN may everything (promise 15)."""
        return {"READ": cls.READ, "WRITE": cls.READ | cls.WRITE, "ADMIN": cls.READ | cls.WRITE | cls.ADMIN}[level]


@value
class Operation:
    """Base of all operations. `slow` ones may take minutes and are answered before they are done (checklist 51)."""

    access: ClassVar[Access] = Access.READ
    slow: ClassVar[bool] = False
    detached: ClassVar[bool] = False
    """Whether a slow one is left running when its client goes: to stop it half-way would help nobody."""


@value
class BucketOperation(Operation):
    bucket: str


@value
class ObjectOperation(BucketOperation):
    key: str


# --- buckets -------------------------------------------------------------------------------------------------------


@value
class ListBuckets(Operation):
    """Buckets by name, behind `after` or where `token` left off; `token` holds for the same prefix."""

    prefix: str = ""
    after: str = ""
    limit: int = 10_000
    token: str | None = None


@value
class HeadBucket(BucketOperation):
    pass


@value
class DescribeBucket(BucketOperation):
    """One `aspect` of a bucket's configuration (`versioning`, `acl` …), answered as on a bare bucket."""

    aspect: str


@value
class CreateBucket(BucketOperation):
    access: ClassVar[Access] = Access.ADMIN


@value
class DeleteBucket(BucketOperation):
    access: ClassVar[Access] = Access.ADMIN


@value
class ListObjects(BucketOperation):
    """One page of keys in UTF-8 byte order.

    `token` resumes a listing with the same prefix and delimiter; otherwise the page starts behind `after`, and a
    common prefix that equals `after` is not listed again. `limit` counts keys and common prefixes.
    """

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    token: str | None = None
    limit: int = 1_000


@value
class ListVersions(BucketOperation):
    """Like ListObjects, with every version: newest first within a key. `after_version` lies within key `after`."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    after_version: str | None = None
    limit: int = 1_000


@value
class ListUploads(BucketOperation):
    """Open uploads in byte order of their keys. `after_upload` lies within key `after`."""

    prefix: str = ""
    delimiter: str = ""
    after: str = ""
    after_upload: str | None = None
    limit: int = 1_000


# --- objects -------------------------------------------------------------------------------------------------------


@value
class HeadObject(ObjectOperation):
    """`part` (1…) asks for one part of an object that was uploaded in parts; part 1 of any other is all of it."""

    range: ByteRange | None = None
    part: int | None = None
    conditions: Conditions = NO_CONDITIONS
    version_id: str | None = None
    checksum: bool = False
    """True when the client wants the stored checksum back."""


@value
class GetObject(ObjectOperation):
    range: ByteRange | None = None
    part: int | None = None
    conditions: Conditions = NO_CONDITIONS
    version_id: str | None = None
    checksum: bool = False
    pin: str | None = None
    """Set by the node when it resumes: the bytes must be of exactly this version (promise 9)."""
    if_range: str | float | None = None
    """Etag or epoch second of the version that `range` is wanted of; of another one, all of it. No backend sees it."""


@value
class DescribeObject(ObjectOperation):
    """One `aspect` beside an object's bytes (`acl`, `tagging` …), answered as for an object that has none."""

    aspect: str
    version_id: str | None = None


@value
class GetAttributes(ObjectOperation):
    """The object's info and, where the backend keeps them, its parts after `after_part`, at most `part_limit`."""

    version_id: str | None = None
    conditions: Conditions = NO_CONDITIONS
    parts: bool = False
    after_part: int = 0
    part_limit: int = 1_000


@value
class PutObject(ObjectOperation):
    """`source.size` is always known, and the source verifies by itself whatever the client declared.

    `checksum_algorithm` names the checksum to keep with the object, computed by the backend over what it stored;
    `checksum` is its value where the client declared it ahead. `md5` is the client's Content-MD5 in base64.
    """

    access: ClassVar[Access] = Access.WRITE
    source: ByteSource
    content: Mapping[str, str] = NO_HEADERS
    metadata: Mapping[str, str] = NO_HEADERS
    conditions: Conditions = NO_CONDITIONS
    checksum: Checksum | None = None
    checksum_algorithm: str | None = None
    md5: str | None = None


@value
class DeleteObject(ObjectOperation):
    access: ClassVar[Access] = Access.WRITE
    version_id: str | None = None
    conditions: Conditions = NO_CONDITIONS


@value
class DeleteObjects(BucketOperation):
    """Up to 1,000 deletes; each succeeds or fails by itself. `items` is filled once the document has been read."""

    access: ClassVar[Access] = Access.WRITE
    items: tuple[DeleteObject, ...] = ()
    quiet: bool = False


@value
class CopySource:
    """What is copied: a bucket on the wire, like the target's."""

    bucket: str
    key: str
    version_id: str | None = None
    conditions: Conditions = NO_CONDITIONS


@value
class CopyObject(ObjectOperation):
    """`content` and `metadata` are None when the source's are kept (metadata directive COPY)."""

    access: ClassVar[Access] = Access.WRITE
    slow: ClassVar[bool] = True
    source: CopySource
    content: Mapping[str, str] | None = None
    metadata: Mapping[str, str] | None = None
    conditions: Conditions = NO_CONDITIONS
    checksum_algorithm: str | None = None


# --- uploads in parts: open → stage → commit | abort ----------------------------------------------------------------


@value
class OpenUpload(ObjectOperation):
    access: ClassVar[Access] = Access.WRITE
    content: Mapping[str, str] = NO_HEADERS
    metadata: Mapping[str, str] = NO_HEADERS
    checksum_algorithm: str | None = None
    checksum_composite: bool | None = None
    """Whether the object's checksum will be one of part checksums; None leaves it to the algorithm's default."""


@value
class UploadOperation(ObjectOperation):
    """`upload` is the client's upload id in `gateway/`, and the backend's own handle once routing has opened it."""

    access: ClassVar[Access] = Access.WRITE
    upload: str


@value
class StagePart(UploadOperation):
    label: int
    source: ByteSource
    checksum: Checksum | None = None
    checksum_algorithm: str | None = None
    md5: str | None = None


@value
class StageCopy(UploadOperation):
    slow: ClassVar[bool] = True
    label: int
    source: CopySource
    range: ByteRange | None = None


@value
class CommitUpload(UploadOperation):
    """`receipts` is filled once the document has been read. `checksum` is the whole object's, where declared."""

    slow: ClassVar[bool] = True
    detached: ClassVar[bool] = True
    receipts: tuple[Receipt, ...] = ()
    conditions: Conditions = NO_CONDITIONS
    checksum: Checksum | None = None
    size: int | None = None
    """The object's size if the client declared it (`x-amz-mp-object-size`), to be refused when it differs."""


@value
class AbortUpload(UploadOperation):
    pass


@value
class ListParts(UploadOperation):
    access: ClassVar[Access] = Access.READ
    after: int = 0
    limit: int = 1_000
