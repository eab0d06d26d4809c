"""Names lead to backends, copies to the shortest way, and ids and tokens nowhere else than where they were made for."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from pydantic import SecretStr

from bridge_node.backends.base import Backend, Capabilities
from bridge_node.backends.memory import MemoryBackend
from bridge_node.body import BytesSource, read_all
from bridge_node.catalog import AccessKey, AccountAttachment, BackendSpec, BucketAttachment, Repository
from bridge_node.errors import (
    BackendMisbehaved,
    BackendUnreachable,
    BadDigest,
    BucketOwnedByCaller,
    InvalidArgument,
    InvalidRequest,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    NotSupported,
    PreconditionFailed,
    TooLarge,
)
from bridge_node.gateway.copying import CopiedPart
from bridge_node.gateway.places import Places
from bridge_node.gateway.routing import Attributes, BucketPage, Router
from bridge_node.objects import (
    BucketInfo,
    ByteRange,
    Conditions,
    Listing,
    ObjectInfo,
    ObjectStream,
    Receipt,
    Stored,
    UploadListing,
)
from bridge_node.operations import (
    AbortUpload,
    Access,
    CommitUpload,
    CopyObject,
    CopySource,
    CreateBucket,
    DeleteBucket,
    DeleteObject,
    DeleteObjects,
    GetAttributes,
    GetObject,
    HeadBucket,
    HeadObject,
    ListBuckets,
    ListObjects,
    ListParts,
    ListUploads,
    OpenUpload,
    Operation,
    PutObject,
    StageCopy,
    StagePart,
)
from bridge_node.protocols.s3.payload import VerifiedSource

FIRST = BackendSpec("first", "memory", region="1")
SECOND = BackendSpec("second", "memory", region="2")
REPOSITORY = Repository(
    "r",
    "r",
    "s3",
    bytes(range(32)),
    buckets=(
        BucketAttachment("a1", FIRST, "photos-real", folder="photos"),
        BucketAttachment("a2", SECOND, "music"),
        BucketAttachment("a3", FIRST, "music-too", folder="music"),
    ),
    unattached_sources=True,
)
ACCOUNTS = Repository(
    "acc", "acc", "s3", bytes(32), accounts=(AccountAttachment("c1", FIRST), AccountAttachment("c2", SECOND))
)
KEY = AccessKey("AK", SecretStr("s"), "r", Access.READ | Access.WRITE | Access.ADMIN)


class Limited(MemoryBackend):
    """A memory backend that can less."""

    def __init__(self, buckets: Sequence[str], **less: bool | int) -> None:
        super().__init__(buckets)
        self.capabilities: Capabilities = replace(self.capabilities, **less)  # type: ignore[arg-type] # mixed values
        self.asked: list[str] = []

    async def head_bucket(self, bucket: str) -> BucketInfo:
        self.asked.append(bucket)
        return await super().head_bucket(bucket)


@dataclass
class World:
    """Two backends and a router over them."""

    first: Limited = field(default_factory=lambda: Limited(("photos-real", "music-too", "elsewhere")))
    second: Limited = field(default_factory=lambda: Limited(("music",)))
    now: float = 0.0
    repository: Repository = REPOSITORY

    def __post_init__(self) -> None:
        self.router = Router(Places(self, lambda: self.now))

    def get(self, spec: BackendSpec) -> Backend:
        return {"first": self.first, "second": self.second}[spec.name]

    async def run(self, operation: Operation, repository: Repository | None = None, key: AccessKey = KEY) -> object:
        return await self.router.run(key, repository or self.repository, operation)

    async def put(self, bucket: str, key: str, data: bytes = b"data") -> None:
        await self.run(PutObject(bucket, key, source=BytesSource(data), metadata={"colour": "red"}))

    async def read(self, bucket: str, key: str) -> bytes:
        stream = await self.run(GetObject(bucket, key))
        assert isinstance(stream, ObjectStream)
        return await read_all(stream.source, 10_000_000, ValueError())

    async def open(self, bucket: str = "photos", key: str = "big") -> str:
        upload = await self.run(OpenUpload(bucket, key))
        assert isinstance(upload, str)
        return upload


@pytest.fixture
def world() -> World:
    return World()


# --- names ---------------------------------------------------------------------------------------------------------


async def test_a_bucket_is_found_by_its_real_name_and_by_its_folder(world: World) -> None:
    await world.put("photos", "k")
    assert await world.read("photos-real", "k") == b"data"
    assert await world.first.head_object("photos-real", HeadObject("", "k"))


async def test_a_real_name_goes_before_a_folder(world: World) -> None:
    await world.put("music", "k")
    assert (await world.second.get_object("music", GetObject("", "k"))).info.size == 4
    with pytest.raises(NoSuchKey):
        await world.first.get_object("music-too", GetObject("", "k"))


async def test_buckets_are_listed_under_names_that_lead_to_them(world: World) -> None:
    page = await world.run(ListBuckets())
    assert isinstance(page, BucketPage)
    assert [bucket.name for bucket in page.buckets] == ["music", "music-too", "photos-real"]


async def test_buckets_that_a_limited_key_may_not_see_are_not_listed(world: World) -> None:
    page = await world.run(ListBuckets(), key=replace(KEY, buckets=frozenset({"photos"})))
    assert isinstance(page, BucketPage)
    assert [bucket.name for bucket in page.buckets] == ["photos-real"]


async def test_buckets_come_in_pages_whose_tokens_hold_for_one_prefix(world: World) -> None:
    first = await world.run(ListBuckets("music", limit=1))
    assert isinstance(first, BucketPage)
    assert first.token is not None
    second = await world.run(ListBuckets("music", limit=1, token=first.token))
    assert isinstance(second, BucketPage)
    assert [bucket.name for bucket in (*first.buckets, *second.buckets)] == ["music", "music-too"]
    assert second.token is None
    with pytest.raises(InvalidArgument):
        await world.run(ListBuckets("mus", limit=1, token=first.token))


# --- whole accounts ------------------------------------------------------------------------------------------------


async def test_of_several_accounts_the_first_that_has_the_bucket_counts(world: World) -> None:
    await world.second.create_bucket("elsewhere")
    await world.run(PutObject("elsewhere", "k", source=BytesSource(b"x")), ACCOUNTS)
    assert await world.first.get_object("elsewhere", GetObject("", "k"))


async def test_where_a_bucket_was_found_is_remembered_for_a_while(world: World) -> None:
    for _ in range(3):
        await world.run(ListObjects("music"), ACCOUNTS)
    assert world.first.asked == ["music"]
    world.now = 61
    await world.run(ListObjects("music"), ACCOUNTS)
    assert world.first.asked == ["music", "music"]


async def test_a_bucket_that_moved_is_found_again_after_one_miss(world: World) -> None:
    await world.run(ListObjects("music"), ACCOUNTS)
    await world.second.delete_bucket("music")
    await world.first.create_bucket("music")
    with pytest.raises(NoSuchBucket):
        await world.run(ListObjects("music"), ACCOUNTS)
    assert await world.run(ListObjects("music"), ACCOUNTS)


async def test_an_account_that_cannot_be_reached_is_not_one_without_the_bucket(world: World) -> None:
    class Away(Limited):
        async def head_bucket(self, bucket: str) -> BucketInfo:
            raise BackendUnreachable

    world.first = Away(())
    with pytest.raises(BackendUnreachable):
        await world.run(HeadBucket("music"), ACCOUNTS)


async def test_a_new_bucket_is_made_in_the_first_account_unless_any_has_it(world: World) -> None:
    await world.run(CreateBucket("fresh"), ACCOUNTS)
    assert await world.first.head_bucket("fresh")
    with pytest.raises(BucketOwnedByCaller):
        await world.run(CreateBucket("music"), ACCOUNTS)
    await world.run(DeleteBucket("fresh"), ACCOUNTS)
    with pytest.raises(NoSuchBucket):
        await world.first.head_bucket("fresh")


async def test_the_buckets_of_all_accounts_are_listed_once(world: World) -> None:
    await world.second.create_bucket("elsewhere")
    page = await world.run(ListBuckets(), ACCOUNTS)
    assert isinstance(page, BucketPage)
    assert [bucket.name for bucket in page.buckets] == ["elsewhere", "music", "music-too", "photos-real"]


# --- positions and uploads -----------------------------------------------------------------------------------------


async def page_of(world: World, **more: object) -> Listing:
    page = await world.run(ListObjects("photos", limit=2, **more))  # type: ignore[arg-type] # fields of ListObjects
    assert isinstance(page, Listing)
    return page


async def filled(world: World) -> Listing:
    for name in ("a", "b", "c", "d"):
        await world.put("photos", f"p/{name}")
    return await page_of(world, prefix="p/")


async def test_a_continuation_token_goes_on_where_the_page_ended(world: World) -> None:
    first = await filled(world)
    second = await page_of(world, prefix="p/", token=first.token)
    assert [info.key for info in second.objects] == ["p/c", "p/d"]
    assert second.token is None


async def test_a_continuation_token_works_on_another_node(world: World) -> None:
    first = await filled(world)
    other = World(first=world.first, second=world.second)
    assert [info.key for info in (await page_of(other, prefix="p/", token=first.token)).objects] == ["p/c", "p/d"]


async def test_a_continuation_token_outlives_a_change_of_the_token_key(world: World) -> None:
    first = await filled(world)
    world.repository = replace(REPOSITORY, token_key=bytes(32), previous_token_key=REPOSITORY.token_key)
    assert [info.key for info in (await page_of(world, prefix="p/", token=first.token)).objects] == ["p/c", "p/d"]


async def test_a_token_of_another_backend_goes_on_behind_the_last_entry(world: World) -> None:
    first = await filled(world)
    for name in ("a", "b", "c", "d"):
        await world.second.put_object("music", PutObject("", f"p/{name}", source=BytesSource(b"")))
    moved = BucketAttachment("a1", SECOND, "music", folder="photos")
    world.repository = replace(REPOSITORY, buckets=(moved,))
    assert [info.key for info in (await page_of(world, prefix="p/", token=first.token)).objects] == ["p/c", "p/d"]


@pytest.mark.parametrize("other", [{"prefix": "p"}, {"prefix": "p/", "delimiter": "/"}, {"prefix": ""}], ids=str)
async def test_a_continuation_token_of_another_listing_is_refused(world: World, other: dict[str, str]) -> None:
    first = await filled(world)
    with pytest.raises(InvalidArgument):
        await page_of(world, token=first.token, **other)


async def test_a_continuation_token_of_another_bucket_or_repository_is_refused(world: World) -> None:
    first = await filled(world)
    with pytest.raises(InvalidArgument):
        await world.run(ListObjects("music", prefix="p/", token=first.token))
    with pytest.raises(InvalidArgument):
        await world.run(ListObjects("photos", prefix="p/", token=first.token), replace(REPOSITORY, id="other"))


async def test_a_page_of_nothing_is_empty_and_complete(world: World) -> None:
    await world.put("photos", "k")
    assert await world.run(ListObjects("photos", limit=0)) == Listing()
    with pytest.raises(NoSuchBucket):
        await world.run(ListObjects("gone", limit=0), ACCOUNTS)


async def test_an_upload_id_is_no_handle_of_the_backend_and_the_same_in_every_listing(world: World) -> None:
    upload = await world.open()
    (listed,) = (await world.first.list_uploads("photos-real", ListUploads(""))).uploads
    assert upload != listed.handle
    page = await world.run(ListUploads("photos-real"))
    assert isinstance(page, UploadListing)
    assert [each.handle for each in page.uploads] == [upload]


async def test_an_upload_goes_from_open_to_committed(world: World) -> None:
    upload = await world.open()
    receipt = await world.run(StagePart("photos", "big", upload, label=1, source=BytesSource(b"part")))
    assert isinstance(receipt, Receipt)
    assert await world.run(ListParts("photos", "big", upload))
    stored = await world.run(CommitUpload("photos", "big", upload, receipts=(receipt,)))
    assert isinstance(stored, Stored)
    assert await world.read("photos", "big") == b"part"


@pytest.mark.parametrize("upload", ["", "garbage", "A" * 64, "ü"])
async def test_garbage_is_no_upload(world: World, upload: str) -> None:
    for operation in (
        StagePart("photos", "big", upload, label=1, source=BytesSource(b"x")),
        ListParts("photos", "big", upload),
        AbortUpload("photos", "big", upload),
        CommitUpload("photos", "big", upload),
        StageCopy("photos", "big", upload, label=1, source=CopySource("photos", "k")),
    ):
        with pytest.raises(NoSuchUpload):
            await world.run(operation)


async def test_an_upload_id_serves_its_own_bucket_and_key_only(world: World) -> None:
    upload = await world.open()
    for operation in (AbortUpload("photos", "other", upload), AbortUpload("music", "big", upload)):
        with pytest.raises(NoSuchUpload):
            await world.run(operation)
    with pytest.raises(NoSuchUpload):
        await world.run(AbortUpload("photos", "big", upload), replace(REPOSITORY, id="other"))
    await world.run(AbortUpload("photos", "big", upload))


async def test_a_marker_that_is_no_upload_id_is_an_invalid_argument(world: World) -> None:
    with pytest.raises(InvalidArgument):
        await world.run(ListUploads("photos", after="big", after_upload="garbage"))


async def test_a_listing_of_uploads_goes_on_behind_an_upload_id(world: World) -> None:
    first, second = sorted([await world.open(), await world.open()])
    page = await world.run(ListUploads("photos", limit=1))
    assert isinstance(page, UploadListing)
    (upload,) = page.uploads
    rest = await world.run(ListUploads("photos", after=upload.key, after_upload=upload.handle))
    assert isinstance(rest, UploadListing)
    assert sorted([upload.handle, *(each.handle for each in rest.uploads)]) == [first, second]


# --- copies --------------------------------------------------------------------------------------------------------


async def test_a_copy_within_a_backend_is_left_to_it(world: World) -> None:
    await world.put("photos", "k")
    await world.run(CopyObject("music-too", "copy", source=CopySource("photos", "k")))
    assert await world.read("music-too", "copy") == b"data"


@pytest.mark.parametrize("target", ["music", "music-too"])
async def test_a_copy_through_the_node_keeps_bytes_and_metadata(world: World, target: str) -> None:
    world.first.capabilities = replace(world.first.capabilities, native_copy=False)
    await world.put("photos", "k")
    stored = await world.run(CopyObject(target, "copy", source=CopySource("photos", "k")))
    assert isinstance(stored, Stored)
    stream = await world.run(GetObject(target, "copy"))
    assert isinstance(stream, ObjectStream)
    assert stream.info.metadata == {"colour": "red"}
    assert await world.read(target, "copy") == b"data"


async def test_a_copy_through_the_node_replaces_metadata_when_told_to(world: World) -> None:
    await world.put("photos", "k")
    replaced = CopyObject(
        "music", "copy", source=CopySource("photos", "k"), content={"content-type": "x/y"}, metadata={}
    )
    await world.run(replaced)
    stream = await world.run(GetObject("music", "copy"))
    assert isinstance(stream, ObjectStream)
    assert (stream.info.metadata, stream.info.content["content-type"]) == ({}, "x/y")


@pytest.mark.parametrize("target", ["music", "music-too"])
@pytest.mark.parametrize(
    "conditions", [Conditions(if_match=("nope",)), Conditions(if_none_match=("*",)), Conditions(if_unmodified_since=1)]
)
async def test_a_condition_on_the_source_that_does_not_hold_is_412(
    world: World, target: str, conditions: Conditions
) -> None:
    await world.put("photos", "k")
    with pytest.raises(PreconditionFailed):
        await world.run(CopyObject(target, "copy", source=CopySource("photos", "k", conditions=conditions)))


@pytest.mark.parametrize("bucket", ["photos", "photos-real"])
async def test_a_copy_onto_itself_that_changes_nothing_is_refused_under_any_name(world: World, bucket: str) -> None:
    await world.put("photos", "k")
    with pytest.raises(InvalidRequest):
        await world.run(CopyObject(bucket, "k", source=CopySource("photos", "k")))
    await world.run(CopyObject(bucket, "k", source=CopySource("photos", "k"), metadata={}, content={}))


async def test_a_source_that_is_not_attached_lies_where_the_target_does(world: World) -> None:
    await world.first.put_object("elsewhere", PutObject("", "k", source=BytesSource(b"there")))
    await world.run(CopyObject("photos", "copy", source=CopySource("elsewhere", "k")))
    assert await world.read("photos", "copy") == b"there"
    with pytest.raises(NoSuchBucket):
        await world.run(CopyObject("music", "copy", source=CopySource("elsewhere", "k")))


@pytest.mark.parametrize("bucket", ["photos", "music"])
async def test_a_part_is_copied_from_a_range(world: World, bucket: str) -> None:
    await world.put("photos", "k", b"0123456789")
    upload = await world.open(bucket)
    part = StageCopy(bucket, "big", upload, label=1, source=CopySource("photos", "k"), range=ByteRange(2, 5))
    copied = await world.run(part)
    assert isinstance(copied, CopiedPart)
    await world.run(CommitUpload(bucket, "big", upload, receipts=(copied.receipt,)))
    assert await world.read(bucket, "big") == b"2345"


async def test_a_copied_range_that_leaves_the_source_is_refused(world: World) -> None:
    await world.put("photos", "k", b"0123456789")
    upload = await world.open("music")
    with pytest.raises(InvalidArgument):
        await world.run(
            StageCopy("music", "big", upload, label=1, source=CopySource("photos", "k"), range=ByteRange(2, 10))
        )


class Source(Limited):
    """Gives objects that claim a size of their own."""

    claimed = 6 * 1024**3
    aborted = 0

    async def get_object(self, bucket: str, op: GetObject) -> ObjectStream:
        return ObjectStream(ObjectInfo(op.key, self.claimed, "e", 1.0), self, 0, self.claimed)

    size = None
    started = False

    def read_nowait(self) -> bytes:
        return b""

    async def read(self) -> bytes:
        return b""

    def abort(self, error: BaseException) -> None:
        self.aborted += 1


async def test_a_copy_through_the_node_ends_at_five_gib(world: World) -> None:
    world.second = source = Source(("music",))
    with pytest.raises(InvalidRequest):
        await world.run(CopyObject("photos", "k", source=CopySource("music", "k")))
    assert source.aborted


async def test_a_source_that_ends_early_is_the_backends_fault_and_stores_nothing(world: World) -> None:
    world.second = source = Source(("music",))
    source.claimed = 10
    with pytest.raises(BackendMisbehaved):
        await world.run(CopyObject("photos", "k", source=CopySource("music", "k")))
    with pytest.raises(NoSuchKey):
        await world.run(GetObject("photos", "k"))


# --- what a backend cannot do --------------------------------------------------------------------------------------

IF_ABSENT = Conditions(if_none_match=("*",))


async def test_conditions_that_the_backend_cannot_decide_are_refused(world: World) -> None:
    world.first.capabilities = replace(world.first.capabilities, conditional_put=False, conditional_delete=False)
    upload = await world.open()
    for operation in (
        PutObject("photos", "k", source=BytesSource(b"x"), conditions=IF_ABSENT),
        CommitUpload("photos", "big", upload, conditions=IF_ABSENT),
        CopyObject("photos", "k", source=CopySource("music", "k"), conditions=IF_ABSENT),
        DeleteObject("photos", "k", conditions=Conditions(if_match=("e",))),
        DeleteObjects("photos", (DeleteObject("photos", "k", conditions=Conditions(if_match=("e",))),)),
    ):
        with pytest.raises(NotSupported):
            await world.run(operation)


async def test_what_is_too_large_for_the_backend_is_refused_unread(world: World) -> None:
    world.first.capabilities = replace(world.first.capabilities, max_put_size=3, max_part_size=3)
    upload = await world.open()
    source = BytesSource(b"four")
    for operation in (
        PutObject("photos", "k", source=source),
        StagePart("photos", "big", upload, label=1, source=source),
    ):
        with pytest.raises(TooLarge):
            await world.run(operation)
    assert not source.started


async def test_an_empty_body_is_verified_before_the_backend_is_called(world: World) -> None:
    await world.put("photos", "k")
    wrong = VerifiedSource(BytesSource(b""), md5="AAAAAAAAAAAAAAAAAAAAAA==")
    with pytest.raises(BadDigest):
        await world.run(PutObject("photos", "k", source=wrong))
    assert await world.read("photos", "k") == b"data"


async def test_attributes_come_with_their_parts(world: World) -> None:
    await world.put("photos", "k")
    outcome = await world.run(GetAttributes("photos", "k", parts=True))
    assert isinstance(outcome, Attributes)
    assert outcome.info.size == 4
