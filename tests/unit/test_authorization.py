"""Who may do what, over every operation there is."""

import inspect
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from bridge_node import operations
from bridge_node.body import BytesSource
from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, BucketAttachment, Repository
from bridge_node.errors import AccessDenied, BridgeError, BucketOwnedByCaller, NoSuchBucket, RepositoryDisabled
from bridge_node.gateway.authorization import authorize, may_see
from bridge_node.operations import (
    Access,
    BucketOperation,
    CopyObject,
    CopySource,
    CreateBucket,
    DeleteBucket,
    GetObject,
    HeadBucket,
    ListBuckets,
    Operation,
    PutObject,
    StageCopy,
)

STORE = BackendSpec("store", "memory")
PHOTOS = BucketAttachment("a1", STORE, "photos-real", folder="photos")
MUSIC = BucketAttachment("a2", STORE, "music")
REPOSITORY = Repository("r", "r", "s3", bytes(32), buckets=(PHOTOS, MUSIC))
OPEN = Repository("r", "r", "s3", bytes(32), buckets=(PHOTOS, MUSIC), unattached_sources=True)
ACCOUNT = Repository("r", "r", "s3", bytes(32), accounts=(AccountAttachment("c", STORE),))
BOTH = Repository("r", "r", "s3", bytes(32), buckets=(PHOTOS,), accounts=(AccountAttachment("c", STORE),))
ALL = Access.READ | Access.WRITE | Access.ADMIN


DISABLED = Repository("r", "r", "s3", bytes(32), buckets=(PHOTOS, MUSIC), disabled=True)


def key(access: Access = ALL, buckets: frozenset[str] | None = None) -> AccessKey:
    return AccessKey("AK", SecretStr("s"), "r", access, buckets)


def verdict(who: AccessKey, repository: Repository, operation: Operation) -> type[BridgeError] | None:
    try:
        authorize(who, repository, operation)
    except BridgeError as error:
        return type(error)
    return None


def every_operation(bucket: str, source: str = "music") -> Iterator[Operation]:
    """One of each, made from the fields that it must have."""
    given = {
        "bucket": bucket,
        "key": "k",
        "upload": "u",
        "label": 1,
        "aspect": "acl",
        "source": CopySource(source, "k"),
    }
    bases = {Operation, BucketOperation, operations.ObjectOperation, operations.UploadOperation}
    for _, kind in inspect.getmembers(operations, inspect.isclass):
        if not issubclass(kind, Operation) or kind in bases:
            continue
        wanted = [
            name
            for name, parameter in inspect.signature(kind).parameters.items()
            if parameter.default is inspect.Parameter.empty
        ]
        values = {name: given[name] for name in wanted}
        if kind in {PutObject, operations.StagePart}:
            values["source"] = BytesSource(b"")
        yield kind(**values)


OPERATIONS = list(every_operation("music"))
READS = {
    "ListBuckets", "HeadBucket", "DescribeBucket", "ListObjects", "ListVersions", "ListUploads", "HeadObject",
    "DescribeObject", "GetObject", "GetAttributes", "ListParts",
}  # fmt: skip
WRITES = {
    "PutObject", "DeleteObject", "DeleteObjects", "OpenUpload", "StagePart", "CommitUpload", "AbortUpload",
    "CopyObject", "StageCopy",
}  # fmt: skip
COPIES = {"CopyObject", "StageCopy"}
ADMIN_ONLY = {"CreateBucket", "DeleteBucket"}


def test_the_matrix_names_every_operation() -> None:
    assert {type(op).__name__ for op in OPERATIONS} == READS | WRITES | ADMIN_ONLY


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: type(op).__name__)
@pytest.mark.parametrize("access", [*Access, Access.READ | Access.WRITE, ALL, Access.NONE], ids=str)
def test_each_operation_needs_its_own_flag(operation: Operation, access: Access) -> None:
    name = type(operation).__name__
    needed = Access.READ if name in READS else Access.WRITE if name in WRITES else Access.ADMIN
    if name in COPIES:
        needed |= Access.READ
    repository = ACCOUNT if name in ADMIN_ONLY else REPOSITORY
    assert verdict(key(access), repository, operation) is (None if needed in access else AccessDenied)


@pytest.mark.parametrize(
    "operation",
    [op for op in every_operation("foreign") if not isinstance(op, ListBuckets)],
    ids=lambda op: type(op).__name__,
)
def test_no_operation_reaches_a_bucket_of_another_repository(operation: Operation) -> None:
    refused = verdict(key(), REPOSITORY, operation)
    assert refused is (AccessDenied if isinstance(operation, CreateBucket) else NoSuchBucket)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda op: type(op).__name__)
def test_a_disabled_repository_is_read_and_never_changed(operation: Operation) -> None:
    refused = verdict(key(), DISABLED, operation)
    assert refused is (None if type(operation).__name__ in READS else RepositoryDisabled)


@pytest.mark.parametrize("bucket", ["music", "foreign", "nowhere"])
def test_a_limited_key_learns_nothing_about_buckets_outside_it(bucket: str) -> None:
    limited = key(buckets=frozenset({"photos"}))
    for operation in every_operation(bucket, source="photos"):
        if not isinstance(operation, ListBuckets):
            assert verdict(limited, REPOSITORY, operation) is AccessDenied


def test_write_of_a_repository_key_reads_too_and_admin_may_all() -> None:
    assert Access.of_repository_key("READ") == Access.READ
    assert Access.of_repository_key("WRITE") == Access.READ | Access.WRITE
    assert Access.of_repository_key("ADMIN") == ALL


def test_a_limit_names_a_bucket_whichever_of_its_names_is_used() -> None:
    for name in ("photos", "photos-real"):
        assert may_see(key(buckets=frozenset({name})), REPOSITORY, "photos")
        assert may_see(key(buckets=frozenset({name})), REPOSITORY, "photos-real")


def test_a_folder_that_is_anothers_real_name_opens_nothing() -> None:
    shadowed = BucketAttachment("a3", STORE, "hidden", folder="music")
    repository = Repository("r", "r", "s3", bytes(32), buckets=(MUSIC, shadowed))
    limited = key(buckets=frozenset({"music"}))
    assert may_see(limited, repository, "music")
    assert not may_see(limited, repository, "hidden")


def test_an_attached_bucket_can_be_neither_made_nor_dropped() -> None:
    assert verdict(key(), BOTH, CreateBucket("photos")) is BucketOwnedByCaller
    assert verdict(key(), BOTH, CreateBucket("photos-real")) is BucketOwnedByCaller
    assert verdict(key(), BOTH, DeleteBucket("photos")) is AccessDenied
    assert verdict(key(), BOTH, DeleteBucket("photos-real")) is AccessDenied


def test_a_whole_account_lets_admin_keys_make_and_drop_buckets() -> None:
    assert verdict(key(), ACCOUNT, CreateBucket("new")) is None
    assert verdict(key(), ACCOUNT, DeleteBucket("new")) is None


def test_any_name_may_be_tried_in_a_whole_account() -> None:
    assert verdict(key(), ACCOUNT, HeadBucket("whatever")) is None
    assert verdict(key(), ACCOUNT, GetObject("whatever", "k")) is None


@pytest.mark.parametrize("kind", [CopyObject, StageCopy])
@pytest.mark.parametrize(
    ("repository", "limit", "allowed"),
    [
        (REPOSITORY, None, False),
        (OPEN, None, True),
        (OPEN, frozenset({"music"}), False),
        (OPEN, frozenset({"music", "foreign"}), False),
    ],
)
def test_a_source_that_is_not_attached_needs_the_repositorys_leave_and_an_unlimited_key(
    kind: type[CopyObject | StageCopy], repository: Repository, limit: frozenset[str] | None, allowed: bool
) -> None:
    source = CopySource("foreign", "k")
    operation: Operation = (
        CopyObject("music", "k", source=source)
        if kind is CopyObject
        else StageCopy("music", "k", "u", label=1, source=source)
    )
    assert verdict(key(buckets=limit), repository, operation) is (None if allowed else AccessDenied)


def test_a_source_must_lie_within_the_keys_limits() -> None:
    limited = key(buckets=frozenset({"music"}))
    assert verdict(limited, REPOSITORY, CopyObject("music", "k", source=CopySource("music", "j"))) is None
    assert verdict(limited, REPOSITORY, CopyObject("music", "k", source=CopySource("photos", "j"))) is AccessDenied


def test_a_refusal_has_a_reason_for_the_log() -> None:
    with pytest.raises(AccessDenied) as refused:
        authorize(key(Access.READ), REPOSITORY, PutObject("music", "k", source=BytesSource(b"")))
    assert refused.value.reason == "access_level"
