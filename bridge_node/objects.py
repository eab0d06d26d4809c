"""What crosses between gateway and backends besides operations: plain frozen values.

Times are epoch seconds (UTC, float), sizes are bytes, etags are without quotes.
"""

from collections.abc import Mapping

from bridge_node.body import ByteSource
from bridge_node.errors import InvalidArgument, InvalidRange, NotModified, PreconditionFailed
from bridge_node.values import value


class _NoHeaders(dict[str, str]):
    """An empty mapping that may be a dataclass default: hashable, and never written to."""

    __hash__ = object.__hash__  # type: ignore[assignment]  # dict sets it to None


NO_HEADERS: Mapping[str, str] = _NoHeaders()

CONTENT_HEADERS = (
    "content-type",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "expires",
)
"""Lower-case names of the headers that describe a stored object's content and are kept with it."""


@value
class Checksum:
    """A digest as S3 writes it: `algorithm` in lower case (`crc32c`, `crc64nvme` …), `value` in base64."""

    algorithm: str
    value: str
    composite: bool = False
    """True for a checksum of part checksums; S3 then writes `-N` behind the value."""


@value
class Part:
    """One part of a finished or open upload."""

    number: int
    size: int
    etag: str = ""
    last_modified: float = 0.0
    checksum: Checksum | None = None


@value
class ObjectInfo:
    """Everything known about one version of one object."""

    key: str
    size: int
    etag: str
    """What the client sees and conditions name. A multipart ETag ends in `-N`; one that is no MD5 must too."""
    last_modified: float
    pin: str = ""
    """The backend's own name of exactly these bytes (ETag, generation), to resume and to compare with."""
    content: Mapping[str, str] = NO_HEADERS
    """The object's `CONTENT_HEADERS`, by lower-case name."""
    metadata: Mapping[str, str] = NO_HEADERS
    """User metadata: lower-case names without any protocol's prefix."""
    version_id: str | None = None
    delete_marker: bool = False
    is_latest: bool = True
    checksum: Checksum | None = None
    part_count: int | None = None
    """Number of parts of an object that was uploaded in parts and whose backend tells."""
    storage_class: str = "STANDARD"


@value
class ByteRange:
    """A single range as asked for: `first`–`last` inclusive, open-ended (`last` None) or the last `suffix` bytes."""

    first: int = 0
    last: int | None = None
    suffix: int | None = None

    def resolve(self, size: int) -> tuple[int, int]:
        """Start and stop (exclusive) within an object of `size` bytes; raises InvalidRange where nothing is left."""
        if self.suffix is not None:
            if self.suffix == 0 or size == 0:
                raise InvalidRange(size)
            return max(0, size - self.suffix), size
        if self.first >= size:
            raise InvalidRange(size)
        return self.first, size if self.last is None else min(self.last + 1, size)

    def must_lie_within(self, size: int) -> None:
        """A part is copied whole or not at all: raises InvalidArgument where the range leaves a source of `size`."""
        if self.last is not None and self.last >= size:
            raise InvalidArgument(
                f"Range specified is not valid for source object of size: {size}", reason="copy_range_beyond_source"
            )

    def header(self) -> str:
        """The value of an HTTP `Range` header."""
        if self.suffix is not None:
            return f"bytes=-{self.suffix}"
        return f"bytes={self.first}-{'' if self.last is None else self.last}"


@value
class Conditions:
    """RFC 9110 conditions. Etags are without quotes, `*` stands for any; times are epoch seconds."""

    if_match: tuple[str, ...] = ()
    if_none_match: tuple[str, ...] = ()
    if_modified_since: float | None = None
    if_unmodified_since: float | None = None

    def __bool__(self) -> bool:
        return self != NO_CONDITIONS

    def check_read(self, info: ObjectInfo) -> None:
        """Raises PreconditionFailed or NotModified, in the order of RFC 9110 §13.2.2."""
        if self.if_match:
            if not _matches(self.if_match, info.etag):
                raise PreconditionFailed(Condition="If-Match")
        elif self.if_unmodified_since is not None and int(info.last_modified) > self.if_unmodified_since:
            raise PreconditionFailed(Condition="If-Unmodified-Since")
        if self.if_none_match:
            if _matches(self.if_none_match, info.etag):
                raise NotModified(info.etag, info.last_modified, version_id=info.version_id)
        elif self.if_modified_since is not None and int(info.last_modified) <= self.if_modified_since:
            raise NotModified(info.etag, info.last_modified, version_id=info.version_id)

    def check_write(self, current: ObjectInfo | None) -> None:
        """Raises PreconditionFailed unless the key's `current` object (None: absent) may be replaced or deleted.

        Only for backends that hold the key's lock while they ask (promise 4).
        """
        if self.if_match and (current is None or not _matches(self.if_match, current.etag)):
            raise PreconditionFailed(Condition="If-Match")
        if self.if_none_match and current is not None and _matches(self.if_none_match, current.etag):
            raise PreconditionFailed(Condition="If-None-Match")
        if (
            self.if_unmodified_since is not None
            and current is not None
            and int(current.last_modified) > self.if_unmodified_since
        ):
            raise PreconditionFailed(Condition="If-Unmodified-Since")


NO_CONDITIONS = Conditions()


def _matches(wanted: tuple[str, ...], etag: str) -> bool:
    return "*" in wanted or etag in wanted


@value
class ObjectStream:
    """The answer to a read: what the object is, which of its bytes come, and the bytes.

    `start` and `stop` (exclusive) lie within `info.size`; `partial` is True when a range or part was asked for, even
    one that covers the whole object.
    """

    info: ObjectInfo
    source: ByteSource
    start: int
    stop: int
    partial: bool = False


@value
class Stored:
    """The answer to a write that is durable."""

    etag: str
    pin: str = ""
    version_id: str | None = None
    last_modified: float = 0.0
    checksum: Checksum | None = None
    size: int = 0
    displaced: int | None = None
    """Bytes of the object that was replaced (0: none was there), or None where the backend does not say."""


@value
class Deleted:
    """The answer to a delete, also of a key that was not there."""

    key: str
    version_id: str | None = None
    delete_marker: bool = False
    delete_marker_version_id: str | None = None
    displaced: int | None = None


@value
class DeleteFailure:
    """One key that a DeleteObjects could not delete, and why."""

    key: str
    error: Exception
    version_id: str | None = None


@value
class BucketInfo:
    name: str
    created: float = 0.0
    region: str = ""


@value
class Listing:
    """One page, in UTF-8 byte order of keys and common prefixes together.

    `token` resumes after the last entry of this page (None: there is no more); it is the backend's own and opaque.
    """

    objects: tuple[ObjectInfo, ...] = ()
    prefixes: tuple[str, ...] = ()
    token: str | None = None


@value
class Receipt:
    """What staging a part returned, and what a commit names."""

    label: int
    etag: str
    checksum: Checksum | None = None
    size: int | None = None


@value
class UploadInfo:
    """An open multipart upload. `handle` is the backend's own self-contained id."""

    key: str
    handle: str
    started: float = 0.0
    content: Mapping[str, str] = NO_HEADERS


@value
class UploadListing:
    uploads: tuple[UploadInfo, ...] = ()
    prefixes: tuple[str, ...] = ()
    token: str | None = None


@value
class PartListing:
    parts: tuple[Part, ...] = ()
    next_label: int | None = None
    """Label after which the next page starts, or None when this is the last."""
