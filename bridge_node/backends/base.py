"""The one interface to places that store objects, and what every implementation promises.

`tests/conformance/backends` holds every implementation to these sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bridge_node.objects import (
    BucketInfo,
    Deleted,
    DeleteFailure,
    Listing,
    ObjectInfo,
    ObjectStream,
    Part,
    PartListing,
    Receipt,
    Stored,
    UploadListing,
)
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    DeleteObject,
    DeleteObjects,
    GetAttributes,
    GetObject,
    HeadObject,
    ListObjects,
    ListParts,
    ListUploads,
    ListVersions,
    OpenUpload,
    PutObject,
    StageCopy,
    StagePart,
)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """How backends differ, as data: nobody outside `backends/` asks what kind a backend is."""

    conditional_put: bool = True
    """If-Match and If-None-Match on put and commit are atomic; otherwise the gateway answers NotSupported."""
    conditional_delete: bool = True
    native_copy: bool = True
    """CopyObject and StageCopy work within this backend; otherwise the gateway streams the bytes through itself."""
    versions: bool = False
    """Version ids other than `null` can exist."""
    min_part_size: int = 5 * 1024 * 1024
    """Smallest size of every part but the last, in bytes."""
    max_part_size: int = 5 * 1024**3
    max_put_size: int = 5 * 1024**3
    max_parts: int = 10_000
    reports_displaced: bool = False
    """Writes say how many bytes they displaced (promise 8)."""


class Observer(Protocol):
    """Told what happens on the way out, for metrics: called on the event loop, and must not block or raise.

    `backend` is `BackendSpec.name`. None of the other words names a key, a bucket or a host.
    """

    def upstream(self, backend: str, operation: str, seconds: float, outcome: str) -> None:
        """One exchange ended its head: `seconds` until then, `outcome` a status (`200`) or an error's `reason`."""

    def retried(self, backend: str, reason: str) -> None:
        """An exchange is tried again, or a broken read is resumed (promise 5)."""

    def shed(self, backend: str, reason: str) -> None:
        """A call was refused here before it reached the backend: no free connection, or an open breaker."""


class Unobserved:
    """An observer for those who do not measure."""

    def upstream(self, backend: str, operation: str, seconds: float, outcome: str) -> None:
        pass

    def retried(self, backend: str, reason: str) -> None:
        pass

    def shed(self, backend: str, reason: str) -> None:
        pass


class Backend(Protocol):
    """One account at one place. `bucket` is always the backend's own bucket name; `op.bucket` is not looked at.

    Every implementation keeps these promises:

    - A write that returns is durable and complete; one that raises left the key as it was, except `OutcomeUnknown`,
      after which the key is the old or the new object, whole (promises 1–3).
    - A write pulls `op.source` at most once from start to end. When `read` raises, the backend undoes what it began
      and lets that very error through. When the backend fails first, it aborts the source.
    - Conditions are decided atomically with the write, or refused with NotSupported (promise 4).
    - A read yields bytes of one version only; a stream that cannot be completed raises from `read` (promise 9).
    - NoSuchKey, NoSuchBucket and NoSuchUpload mean that the backend said so; anything else is a BackendFailure
      (promise 10).
    - Cancelling a call frees what it holds: sockets, files, slots.
    - Keys are opaque UTF-8 text of 1 to 1,024 bytes; none is changed, collapsed or refused for its form.

    `version_id` "null" names the only version where there are no versions; another one raises NoSuchVersion there.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    # buckets

    async def list_buckets(self) -> Sequence[BucketInfo]:
        """Every bucket of the account, by name."""

    async def head_bucket(self, bucket: str) -> BucketInfo:
        """Reaches the bucket; raises NoSuchBucket or a BackendFailure."""

    async def create_bucket(self, bucket: str) -> None:
        """Raises BucketOwnedByCaller or BucketExists when it is there, InvalidBucketName when the name is no name."""

    async def delete_bucket(self, bucket: str) -> None:
        """Raises BucketNotEmpty while an object or a version is in it; open uploads do not count."""

    async def list_objects(self, bucket: str, op: ListObjects) -> Listing: ...

    async def list_versions(self, bucket: str, op: ListVersions) -> Listing:
        """`Listing.token` is not used: the caller resumes with `after` and `after_version` of the last entry.

        It is set to any text when there is more, to None otherwise.
        """

    # objects

    async def head_object(self, bucket: str, op: HeadObject) -> ObjectInfo:
        """Checks `op.conditions`. `op.range` and `op.part` are for `get_object`'s sake: see `head_part`."""

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        """Returns when the object is known and before its bytes are read. Checks `op.conditions`, resolves the range.

        Raises InvalidRange beyond the end. The caller reads or aborts the stream's source.
        """

    async def head_part(self, bucket: str, op: HeadObject) -> ObjectStream:
        """What `get_object` would answer for `op.range` or `op.part`, with an empty source."""

    async def get_attributes(self, bucket: str, op: GetAttributes) -> tuple[ObjectInfo, Sequence[Part]]:
        """The object's info with its checksum, and its parts (none where the backend does not keep them)."""

    async def put_object(self, bucket: str, op: PutObject) -> Stored: ...

    async def delete_object(self, bucket: str, op: DeleteObject) -> Deleted:
        """Deleting what is not there succeeds, unless If-Match was given."""

    async def delete_objects(self, bucket: str, op: DeleteObjects) -> Sequence[Deleted | DeleteFailure]:
        """One outcome per item, in the order of `op.items`; raises only when nothing was tried."""

    async def copy_object(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        """Within this backend (`native_copy`). `source_bucket` is the backend's own name of `op.source.bucket`.

        Copying an object onto itself is allowed here when content or metadata are replaced.
        """

    # uploads in parts

    async def open_upload(self, bucket: str, op: OpenUpload) -> str:
        """A handle that works on every worker and node and after a restart (promise 7)."""

    async def stage_part(self, bucket: str, op: StagePart) -> Receipt:
        """Labels come in any order and in parallel; the same label again replaces what it held."""

    async def stage_copy(self, bucket: str, op: StageCopy, source_bucket: str) -> tuple[Receipt, float]:
        """Like `copy_object`, into a part; also returns when it was stored (epoch seconds)."""

    async def commit_upload(self, bucket: str, op: CommitUpload) -> Stored:
        """Raises InvalidPartOrder, InvalidPart, PartTooSmall, NoSuchUpload; the upload then stays open.

        Committing again what was committed with the same receipts succeeds where the backend can prove it.
        """

    async def abort_upload(self, bucket: str, op: AbortUpload) -> None:
        """Afterwards nothing of it is visible or can be committed. Raises NoSuchUpload for one that is not open."""

    async def list_parts(self, bucket: str, op: ListParts) -> PartListing: ...

    async def list_uploads(self, bucket: str, op: ListUploads) -> UploadListing: ...

    async def close(self) -> None:
        """Lets running calls end and frees everything; no call may follow."""
