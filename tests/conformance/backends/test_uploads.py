"""Uploads in parts: open, stage in any order, commit or abort (promise 7)."""

import asyncio
import base64
import hashlib

import pytest

from bridge_node import checksums
from bridge_node.errors import (
    BackendMisbehaved,
    BadDigest,
    ChunkSignatureMismatch,
    InvalidPart,
    InvalidPartOrder,
    InvalidRange,
    InvalidRequest,
    NoSuchBucket,
    NoSuchKey,
    NoSuchUpload,
    PartTooSmall,
)
from bridge_node.objects import ByteRange, Checksum, Receipt
from bridge_node.operations import (
    CopySource,
    GetAttributes,
    HeadObject,
    ListParts,
    ListUploads,
    OpenUpload,
    StageCopy,
    StagePart,
)
from tests.conformance.backends.subject import (
    WIRE,
    BrokenSource,
    StalledSource,
    Subject,
    etag_of_parts,
    everything,
    md5,
)


async def test_parts_become_an_object_in_the_order_of_their_labels(subject: Subject) -> None:
    a, b, c = subject.part(b"a"), subject.part(b"b"), b"the end"
    upload = await subject.open("key", content={"content-type": "text/plain"}, metadata={"colour": "blue"})
    receipts = [await subject.stage("key", upload, label, data) for label, data in ((9, c), (1, a), (4, b))]
    with pytest.raises(NoSuchKey):
        await subject.head("key")
    stored = await subject.commit("key", upload, sorted(receipts, key=lambda receipt: receipt.label))
    assert await subject.get("key") == a + b + c
    info = await subject.head("key")
    assert stored.etag == info.etag == etag_of_parts(a, b, c)
    assert info.content["content-type"] == "text/plain"
    assert dict(info.metadata) == {"colour": "blue"}
    assert info.size == len(a + b + c)


async def test_parts_may_be_staged_at_the_same_time(subject: Subject) -> None:
    parts = [subject.part(bytes([number])) for number in range(6)]
    upload = await subject.open("key")
    receipts = await asyncio.gather(
        *(subject.stage("key", upload, label, data) for label, data in enumerate(parts, start=1))
    )
    await subject.commit("key", upload, receipts)
    assert await subject.get("key") == b"".join(parts)


async def test_a_part_that_is_staged_again_replaces_the_first(subject: Subject) -> None:
    upload = await subject.open("key")
    first = await subject.stage("key", upload, 1, b"first")
    second = await subject.stage("key", upload, 1, b"second")
    assert second.etag == md5(b"second")
    with pytest.raises(InvalidPart):
        await subject.commit("key", upload, [first])
    await subject.commit("key", upload, [second])
    assert await subject.get("key") == b"second"


async def test_a_commit_may_leave_parts_out(subject: Subject) -> None:
    upload = await subject.open("key")
    a = await subject.stage("key", upload, 1, subject.part(b"a"))
    await subject.stage("key", upload, 2, subject.part(b"b"))
    c = await subject.stage("key", upload, 3, b"c")
    await subject.commit("key", upload, [a, c])
    assert await subject.get("key") == subject.part(b"a") + b"c"


async def test_an_upload_may_be_one_empty_part(subject: Subject) -> None:
    await subject.put_in_parts("key", b"")
    assert await subject.get("key") == b""
    assert (await subject.head("key")).size == 0


async def test_a_commit_says_what_it_displaced(subject: Subject) -> None:
    await subject.put("key", b"12345")
    stored = await subject.put_in_parts("key", b"123")
    if subject.backend.capabilities.reports_displaced:
        assert (stored.size, stored.displaced) == (3, 5)


# --- commits that are refused, and repeated --------------------------------------------------------------------------


async def test_a_refused_commit_leaves_the_upload_open(subject: Subject) -> None:
    await subject.put("key", b"old")
    upload = await subject.open("key")
    first = await subject.stage("key", upload, 1, subject.part(b"a"))
    small = await subject.stage("key", upload, 2, b"too small")
    last = await subject.stage("key", upload, 3, b"end")
    refused: list[tuple[type[Exception], list[Receipt]]] = [
        (InvalidPartOrder, [last, first]),
        (InvalidPartOrder, [first, first]),
        (InvalidPart, [first, Receipt(4, md5(b"never staged"))]),
        (InvalidPart, [Receipt(1, md5(b"something else")), last]),
        (PartTooSmall, [first, small, last]),
    ]
    for error, receipts in refused:
        with pytest.raises(error):
            await subject.commit("key", upload, receipts)
        assert await subject.get("key") == b"old"
    await subject.commit("key", upload, [first, last])
    assert await subject.get("key") == subject.part(b"a") + b"end"


async def test_a_commit_with_another_size_is_refused(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"12345")
    with pytest.raises(InvalidRequest):
        await subject.commit("key", upload, [receipt], size=6)
    await subject.commit("key", upload, [receipt], size=5)


async def test_a_commit_may_be_repeated(subject: Subject) -> None:
    upload = await subject.open("key")
    receipts = [await subject.stage("key", upload, 1, subject.part(b"a")), await subject.stage("key", upload, 2, b"b")]
    first = await subject.commit("key", upload, receipts)
    again = await subject.commit("key", upload, receipts)
    assert again.etag == first.etag
    if subject.backend.capabilities.reports_displaced:
        assert again.size - (again.displaced or 0) == 0
    with pytest.raises(NoSuchUpload):
        await subject.commit("key", upload, receipts[:1])
    await subject.put("key", b"something else")
    with pytest.raises(NoSuchUpload):
        await subject.commit("key", upload, receipts)
    assert await subject.get("key") == b"something else"


async def test_of_commits_at_the_same_time_each_agrees(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"once")
    answers = await asyncio.gather(*(subject.commit("key", upload, [receipt]) for _ in range(5)))
    assert {answer.etag for answer in answers} == {etag_of_parts(b"once")}
    assert await subject.get("key") == b"once"


# --- aborts, and uploads that are not there --------------------------------------------------------------------------


async def test_after_an_abort_nothing_is_there_or_can_be_committed(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"x")
    await subject.abort("key", upload)
    with pytest.raises(NoSuchUpload):
        await subject.commit("key", upload, [receipt])
    with pytest.raises(NoSuchUpload):
        await subject.stage("key", upload, 2, b"y")
    with pytest.raises(NoSuchUpload):
        await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload))
    with pytest.raises(NoSuchUpload):
        await subject.abort("key", upload)
    assert await subject.keys() == []
    assert (await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE))).uploads == ()


async def test_after_a_commit_the_upload_is_no_more(subject: Subject) -> None:
    upload = await subject.open("key")
    await subject.commit("key", upload, [await subject.stage("key", upload, 1, b"x")])
    with pytest.raises(NoSuchUpload):
        await subject.stage("key", upload, 2, b"y")
    with pytest.raises(NoSuchUpload):
        await subject.abort("key", upload)
    assert (await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE))).uploads == ()
    assert await subject.get("key") == b"x"


async def test_an_upload_belongs_to_its_key(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"x")
    with pytest.raises(NoSuchUpload):
        await subject.stage("other", upload, 1, b"y")
    with pytest.raises(NoSuchUpload):
        await subject.commit("other", upload, [receipt])
    with pytest.raises(NoSuchUpload):
        await subject.abort("other", upload)
    assert await subject.keys() == []


@pytest.mark.parametrize("handle", ["no-such-upload", "../../etc", "a/b", "%2e%2e"])
async def test_a_handle_that_is_none_is_refused(subject: Subject, handle: str) -> None:
    with pytest.raises((NoSuchUpload, InvalidRequest)):
        await subject.stage("key", handle, 1, b"x")
    with pytest.raises((NoSuchUpload, InvalidRequest)):
        await subject.abort("key", handle)


async def test_opening_an_upload_in_an_absent_bucket_is_no_such_bucket(subject: Subject) -> None:
    with pytest.raises(NoSuchBucket):
        await subject.backend.open_upload("absent-bucket", OpenUpload(WIRE, "key"))


# --- bodies of parts that fail ---------------------------------------------------------------------------------------


async def test_a_part_that_fails_leaves_the_staged_one(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"staged")
    error = ChunkSignatureMismatch()
    broken = BrokenSource(2_000_000, b"x" * 1_999_999, error)
    with pytest.raises(ChunkSignatureMismatch):
        await subject.backend.stage_part(subject.bucket, StagePart(WIRE, "key", upload, 1, broken))
    await subject.commit("key", upload, [receipt])
    assert await subject.get("key") == b"staged"


async def test_a_cancelled_part_is_not_staged(subject: Subject) -> None:
    upload = await subject.open("key")
    source = StalledSource(2_000_000, b"x" * 1_000_000)
    op = StagePart(WIRE, "key", upload, 1, source)
    task = asyncio.create_task(subject.backend.stage_part(subject.bucket, op))
    await source.stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    listing = await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload))
    assert listing.parts == ()


async def test_a_part_with_a_wrong_digest_is_not_staged(subject: Subject) -> None:
    upload = await subject.open("key")
    with pytest.raises((BadDigest, BackendMisbehaved)):
        await subject.stage("key", upload, 1, b"x", md5=base64.b64encode(bytes(16)).decode())
    listing = await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload))
    assert listing.parts == ()


# --- what is open ----------------------------------------------------------------------------------------------------


async def test_parts_are_listed_in_order_and_in_pages(subject: Subject) -> None:
    upload = await subject.open("key")
    for label in (30, 2, 10):
        await subject.stage("key", upload, label, b"x" * label)
    first = await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload, limit=2))
    assert [(part.number, part.size, part.etag) for part in first.parts] == [
        (2, 2, md5(b"x" * 2)),
        (10, 10, md5(b"x" * 10)),
    ]
    assert first.next_label == 10
    second = await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload, after=10, limit=2))
    assert [part.number for part in second.parts] == [30]
    assert second.next_label is None


async def test_open_uploads_are_listed_by_key(subject: Subject) -> None:
    keys = ["a/1", "a/2", "b", "c/d", "語"]
    for key in reversed(keys):
        await subject.open(key)
    listing = await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE))
    assert [upload.key for upload in listing.uploads] == keys
    assert listing.token is None
    folded = await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE, delimiter="/"))
    assert [upload.key for upload in folded.uploads] == ["b", "語"]
    assert folded.prefixes == ("a/", "c/")
    within = await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE, prefix="a/"))
    assert [upload.key for upload in within.uploads] == ["a/1", "a/2"]


async def test_a_listed_upload_can_be_gone_on_with(subject: Subject) -> None:
    await subject.stage("key", await subject.open("key"), 1, subject.part(b"a"))
    (upload,) = (await subject.backend.list_uploads(subject.bucket, ListUploads(WIRE))).uploads
    parts = (await subject.backend.list_parts(subject.bucket, ListParts(WIRE, "key", upload.handle))).parts
    end = await subject.stage("key", upload.handle, 2, b"end")
    await subject.commit("key", upload.handle, [*(Receipt(part.number, part.etag) for part in parts), end])
    assert await subject.get("key") == subject.part(b"a") + b"end"


async def test_open_uploads_are_paged_by_key_and_handle(subject: Subject) -> None:
    keys = ["a", "b", "b", "b", "c"]
    for key in keys:
        await subject.open(key)
    found: list[tuple[str, str]] = []
    after, after_upload = "", None
    for _ in keys:
        op = ListUploads(WIRE, after=after, after_upload=after_upload, limit=2)
        listing = await subject.backend.list_uploads(subject.bucket, op)
        found += [(upload.key, upload.handle) for upload in listing.uploads]
        if listing.token is None:
            break
        after, after_upload = listing.uploads[-1].key, listing.uploads[-1].handle
    assert [key for key, _ in found] == keys
    assert len(set(found)) == len(keys)


# --- reading by part -------------------------------------------------------------------------------------------------


async def test_an_object_of_parts_is_read_by_part(subject: Subject) -> None:
    parts = (subject.part(b"a"), subject.part(b"b"), b"end")
    await subject.put_in_parts("key", *parts)
    start = 0
    for number, data in enumerate(parts, start=1):
        stream = await subject.stream("key", part=number)
        assert (stream.start, stream.stop, stream.partial) == (start, start + len(data), True)
        assert stream.info.part_count == 3
        assert await everything(stream.source) == data
        head = await subject.backend.head_part(subject.bucket, HeadObject(WIRE, "key", part=number))
        assert (head.start, head.stop) == (start, start + len(data))
        start += len(data)
    with pytest.raises(InvalidRange):
        await subject.stream("key", part=4)


async def test_a_range_crosses_the_borders_of_parts(subject: Subject) -> None:
    parts = (subject.part(b"a"), subject.part(b"b"), subject.part(b"c"), b"end")
    data, size = b"".join(parts), len(parts[0])
    await subject.put_in_parts("key", *parts)
    for first, last in ((size - 3, size + 3), (size - 1, 2 * size), (size, 2 * size - 1), (5, len(data) - 2)):
        assert await subject.get("key", range=ByteRange(first, last)) == data[first : last + 1]
    assert await subject.get("key", range=ByteRange(suffix=5)) == data[-5:]


async def test_attributes_tell_the_parts_of_an_object(subject: Subject) -> None:
    await subject.put_in_parts("key", subject.part(b"a"), subject.part(b"b"), b"end", checksum_algorithm="sha256")
    info, parts = await subject.backend.get_attributes(
        subject.bucket, GetAttributes(WIRE, "key", parts=True, after_part=1, part_limit=1)
    )
    assert info.part_count == 3
    assert [(part.number, part.size) for part in parts] == [(2, len(subject.part(b"b")))]
    assert parts[0].checksum == Checksum("sha256", _sha256(subject.part(b"b")))


async def test_an_object_that_was_put_whole_has_no_parts(subject: Subject) -> None:
    await subject.put("key", b"x" * 100_000)
    info, parts = await subject.backend.get_attributes(subject.bucket, GetAttributes(WIRE, "key", parts=True))
    assert (info.part_count, list(parts)) == (None, [])


async def test_a_reader_of_parts_gets_one_version_or_an_error(subject: Subject) -> None:
    old = (subject.part(b"a"), subject.part(b"b"), subject.part(b"c"))
    await subject.put_in_parts("key", *old)
    stream = await subject.stream("key")
    read = await stream.source.read()
    await subject.put("key", b"new")
    try:
        read += await everything(stream.source)
    except Exception:  # which error is the backend's affair
        assert len(read) < stream.info.size
    else:
        assert read == b"".join(old)


# --- checksums -------------------------------------------------------------------------------------------------------


def _sha256(data: bytes) -> str:
    return base64.b64encode(hashlib.sha256(data).digest()).decode()


def _digest(algorithm: str, data: bytes) -> bytes:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return hasher.digest()


@pytest.mark.parametrize("algorithm", sorted(checksums.FULL_OBJECT))
async def test_a_full_object_checksum_covers_the_joined_parts(subject: Subject, algorithm: str) -> None:
    parts = (subject.part(b"a"), subject.part(b"b"), b"end")
    stored = await subject.put_in_parts("key", *parts, checksum_algorithm=algorithm, checksum_composite=False)
    value = base64.b64encode(_digest(algorithm, b"".join(parts))).decode()
    assert stored.checksum == Checksum(algorithm, value)
    assert (await subject.head("key", checksum=True)).checksum == stored.checksum


@pytest.mark.parametrize("algorithm", sorted(checksums.COMPOSITE))
async def test_a_composite_checksum_is_one_of_part_checksums(subject: Subject, algorithm: str) -> None:
    parts = (subject.part(b"a"), b"end")
    stored = await subject.put_in_parts("key", *parts, checksum_algorithm=algorithm)
    joined = b"".join(_digest(algorithm, part) for part in parts)
    value = base64.b64encode(_digest(algorithm, joined)).decode()
    assert stored.checksum == Checksum(algorithm, value, composite=True)
    assert (await subject.head("key", checksum=True)).checksum == stored.checksum


async def test_a_checksum_that_cannot_be_is_refused(subject: Subject) -> None:
    for algorithm, composite in (("sha256", False), ("crc64nvme", True)):
        with pytest.raises(InvalidRequest):
            await subject.open("key", checksum_algorithm=algorithm, checksum_composite=composite)


async def test_a_part_with_another_kind_of_checksum_is_refused(subject: Subject) -> None:
    upload = await subject.open("key", checksum_algorithm="sha256")
    with pytest.raises(InvalidRequest):
        await subject.stage("key", upload, 1, b"x", checksum_algorithm="crc32")


async def test_a_commit_with_a_wrong_checksum_is_refused(subject: Subject) -> None:
    upload = await subject.open("key", checksum_algorithm="crc32c", checksum_composite=False)
    receipt = await subject.stage("key", upload, 1, b"x")
    with pytest.raises(BadDigest):
        await subject.commit("key", upload, [receipt], checksum=Checksum("crc32c", "AAAAAA=="))
    await subject.commit("key", upload, [receipt])


async def test_a_commit_with_a_wrong_checksum_of_a_part_is_an_invalid_part(subject: Subject) -> None:
    upload = await subject.open("key", checksum_algorithm="crc32c", checksum_composite=False)
    receipt = await subject.stage("key", upload, 1, b"x")
    with pytest.raises(InvalidPart):
        await subject.commit("key", upload, [Receipt(1, receipt.etag, Checksum("crc32c", "AAAAAA=="))])
    await subject.commit("key", upload, [receipt])


# --- parts that are copied -------------------------------------------------------------------------------------------


async def test_a_part_may_be_copied_from_an_object(subject: Subject) -> None:
    data = subject.part(b"a") + b"0123456789"
    await subject.put("source", data)
    upload = await subject.open("key")
    whole, _ = await subject.backend.stage_copy(
        subject.bucket, StageCopy(WIRE, "key", upload, 1, CopySource(WIRE, "source")), subject.bucket
    )
    piece, stored_at = await subject.backend.stage_copy(
        subject.bucket,
        StageCopy(WIRE, "key", upload, 2, CopySource(WIRE, "source"), ByteRange(len(data) - 5, len(data) - 1)),
        subject.bucket,
    )
    assert (whole.etag, piece.etag) == (md5(data), md5(b"56789"))
    assert stored_at > 1_600_000_000
    await subject.commit("key", upload, [whole, piece])
    assert await subject.get("key") == data + b"56789"


async def test_a_part_copied_from_beyond_its_source_is_refused(subject: Subject) -> None:
    await subject.put("source", b"0123456789")
    upload = await subject.open("key")
    op = StageCopy(WIRE, "key", upload, 1, CopySource(WIRE, "source"), ByteRange(5, 10))
    with pytest.raises(InvalidRequest):
        await subject.backend.stage_copy(subject.bucket, op, subject.bucket)


async def test_a_part_copied_from_what_is_not_there_is_no_such_key(subject: Subject) -> None:
    upload = await subject.open("key")
    op = StageCopy(WIRE, "key", upload, 1, CopySource(WIRE, "absent"))
    with pytest.raises(NoSuchKey):
        await subject.backend.stage_copy(subject.bucket, op, subject.bucket)
