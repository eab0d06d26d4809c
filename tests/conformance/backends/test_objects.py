"""Objects go in and come out as they were."""

import asyncio
import base64
import hashlib
import time

import pytest

from bridge_node import checksums
from bridge_node.body import BytesSource
from bridge_node.errors import (
    BackendMisbehaved,
    BadDigest,
    ChunkSignatureMismatch,
    IncompleteBody,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
)
from bridge_node.objects import ByteRange, Checksum, Deleted, DeleteFailure
from bridge_node.operations import DeleteObject, DeleteObjects, GetAttributes, GetObject, HeadObject, PutObject
from tests.conformance.backends.subject import (
    WIRE,
    BrokenSource,
    StalledSource,
    Subject,
    TrickledSource,
    everything,
    md5,
)

SIZES = [0, 1, 1000, 64 * 1024, 64 * 1024 + 1, 300_000, 3_000_000]
LARGE = bytes(range(256)) * 8192  # 2 MiB, in which every place differs from its neighbours


@pytest.mark.parametrize("size", SIZES)
async def test_an_object_comes_back_byte_for_byte(subject: Subject, size: int) -> None:
    data = (LARGE * 2)[:size]
    await subject.put("key", data)
    assert await subject.get("key") == data


@pytest.mark.parametrize("size", SIZES)
async def test_a_body_that_trickles_in_is_stored_whole(subject: Subject, size: int) -> None:
    data = (LARGE * 2)[:size]
    await subject.put_source("key", TrickledSource(data, 50_000))
    assert await subject.get("key") == data


async def test_a_put_answers_with_what_a_head_then_says(subject: Subject) -> None:
    before = time.time()
    stored = await subject.put("key", b"hello")
    info = await subject.head("key")
    assert stored.etag == info.etag == md5(b"hello")
    assert stored.size == info.size == 5
    assert before - 2 <= info.last_modified <= time.time() + 2
    assert info.key == "key"


async def test_content_headers_and_metadata_come_back_as_they_were_given(subject: Subject) -> None:
    content = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "max-age=60",
        "content-disposition": 'attachment; filename="a b.txt"',
        "content-encoding": "gzip",
        "content-language": "de-AT",
        "expires": "Wed, 21 Oct 2026 07:28:00 GMT",
    }
    metadata = {"colour": "blue", "with-dash": "a, b; c", "empty": ""}
    await subject.put("key", b"x", content=content, metadata=metadata)
    for info in (await subject.head("key"), (await subject.stream("key")).info):
        assert dict(info.content) == content
        assert dict(info.metadata) == metadata


async def test_an_overwrite_replaces_bytes_and_metadata(subject: Subject) -> None:
    await subject.put("key", LARGE, metadata={"old": "1"})
    await subject.put("key", b"new", metadata={"new": "2"})
    assert await subject.get("key") == b"new"
    assert dict((await subject.head("key")).metadata) == {"new": "2"}


async def test_a_write_says_what_it_displaced(subject: Subject) -> None:
    displaced = [
        (await subject.put("key", b"12345")).displaced,
        (await subject.put("key", LARGE)).displaced,
        (await subject.put("key", b"")).displaced,
        (await subject.delete("key")).displaced,
        (await subject.delete("key")).displaced,
    ]
    known = subject.backend.capabilities.reports_displaced
    assert displaced == ([0, 5, len(LARGE), 0, 0] if known else [None] * 5)


# --- what is not there -----------------------------------------------------------------------------------------------


async def test_an_absent_key_is_no_such_key(subject: Subject) -> None:
    with pytest.raises(NoSuchKey):
        await subject.head("absent")
    with pytest.raises(NoSuchKey):
        await subject.get("absent")


async def test_an_absent_bucket_is_no_such_bucket(subject: Subject) -> None:
    for bucket in ("absent-bucket", "..", "a/b"):
        with pytest.raises(NoSuchBucket):
            await subject.backend.get_object(bucket, GetObject(WIRE, "key"))
        with pytest.raises(NoSuchBucket):
            await subject.backend.put_object(bucket, PutObject(WIRE, "key", BytesSource(b"x")))


async def test_a_version_other_than_null_is_no_such_version(subject: Subject) -> None:
    await subject.put("key", b"x")
    assert await subject.get("key", version_id="null") == b"x"
    with pytest.raises(NoSuchVersion):
        await subject.get("key", version_id="3HL4kqtJlcpXroDTDmJ")
    with pytest.raises(NoSuchVersion):
        await subject.delete("key", version_id="3HL4kqtJlcpXroDTDmJ")
    assert await subject.get("key") == b"x"


# --- bodies that fail ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1000, 2_000_000])
@pytest.mark.parametrize("old", [b"old", None])
async def test_a_body_that_fails_leaves_the_key_as_it_was(subject: Subject, size: int, old: bytes | None) -> None:
    if old is not None:
        await subject.put("key", old)
    error = ChunkSignatureMismatch()
    with pytest.raises(ChunkSignatureMismatch) as raised:
        await subject.put_source("key", BrokenSource(size, b"x" * (size - 1), error))
    assert raised.value is error
    await _is_still(subject, old)


@pytest.mark.parametrize("size", [1000, 2_000_000])
async def test_a_body_that_ends_early_leaves_the_key_as_it_was(subject: Subject, size: int) -> None:
    await subject.put("key", b"old")
    source = TrickledSource(b"x" * (size - 1), 50_000)
    source.size = size
    with pytest.raises(IncompleteBody):
        await subject.put_source("key", source)
    await _is_still(subject, b"old")


@pytest.mark.parametrize("size", [1000, 2_000_000])
async def test_a_cancelled_put_leaves_the_key_as_it_was(subject: Subject, size: int) -> None:
    await subject.put("key", b"old")
    source = StalledSource(size, b"x" * (size // 2))
    task = asyncio.create_task(subject.put_source("key", source))
    await source.stalled.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.aborted is not None
    await _is_still(subject, b"old")


async def test_a_refused_put_lets_go_of_its_body(subject: Subject) -> None:
    source = TrickledSource(b"x" * 10_000_000, 100_000)
    with pytest.raises(NoSuchBucket):
        await subject.backend.put_object("absent-bucket", PutObject(WIRE, "key", source))
    assert await source.read() == b""


@pytest.mark.parametrize("size", [1000, 2_000_000])
async def test_a_digest_that_differs_refuses_the_put(subject: Subject, size: int) -> None:
    wrong = base64.b64encode(bytes(16)).decode()
    with pytest.raises((BadDigest, BackendMisbehaved)):  # whether it was the client or the way is not known here
        await subject.put("key", b"x" * size, md5=wrong)
    with pytest.raises((BadDigest, BackendMisbehaved)):
        await subject.put("key", b"x" * size, checksum=Checksum("crc32c", "AAAAAA=="))
    await _is_still(subject, None)


async def _is_still(subject: Subject, old: bytes | None) -> None:
    if old is None:
        with pytest.raises(NoSuchKey):
            await subject.head("key")
        assert await subject.keys() == []
    else:
        assert await subject.get("key") == old


# --- checksums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", sorted(checksums.ALGORITHMS))
@pytest.mark.parametrize("size", [5, 100_000])
async def test_a_checksum_is_kept_with_the_object(subject: Subject, algorithm: str, size: int) -> None:
    hasher = checksums.new(algorithm)
    hasher.update(b"x" * size)
    expected = Checksum(algorithm, checksums.encoded(hasher))
    stored = await subject.put("key", b"x" * size, checksum_algorithm=algorithm)
    assert stored.checksum == expected
    assert (await subject.head("key", checksum=True)).checksum == expected
    info, _ = await subject.backend.get_attributes(subject.bucket, GetAttributes(WIRE, "key"))
    assert info.checksum == expected


async def test_a_declared_checksum_and_md5_that_agree_are_accepted(subject: Subject) -> None:
    data = b"hello"
    content_md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
    checksum = Checksum("sha256", base64.b64encode(hashlib.sha256(data).digest()).decode())
    stored = await subject.put("key", data, md5=content_md5, checksum=checksum)
    assert stored.checksum == checksum


# --- ranges and parts of what was put whole --------------------------------------------------------------------------

RANGES = {
    "first-byte": (ByteRange(0, 0), 0, 1),
    "middle": (ByteRange(10, 19), 10, 20),
    "open-end": (ByteRange(90), 90, 100),
    "end-beyond-the-object": (ByteRange(95, 1000), 95, 100),
    "suffix": (ByteRange(suffix=7), 93, 100),
    "suffix-longer-than-the-object": (ByteRange(suffix=1000), 0, 100),
    "all": (ByteRange(0), 0, 100),
}


@pytest.mark.parametrize("name", RANGES)
@pytest.mark.parametrize("times", [1, 20_000])
async def test_a_range_yields_exactly_its_bytes(subject: Subject, name: str, times: int) -> None:
    data = b"".join(bytes([number]) * times for number in range(100))
    await subject.put("key", data)
    wanted, start, stop = RANGES[name]
    scaled = ByteRange(
        wanted.first * times,
        None if wanted.last is None else (wanted.last + 1) * times - 1,
        None if wanted.suffix is None else wanted.suffix * times,
    )
    stream = await subject.stream("key", range=scaled)
    assert (stream.start, stream.stop, stream.partial) == (start * times, stop * times, True)
    assert stream.info.size == len(data)
    assert await everything(stream.source) == data[start * times : stop * times]


@pytest.mark.parametrize("wanted", [ByteRange(5), ByteRange(5, 9), ByteRange(suffix=0)], ids=str)
async def test_a_range_beyond_the_end_is_an_invalid_range(subject: Subject, wanted: ByteRange) -> None:
    await subject.put("key", b"12345")
    with pytest.raises(InvalidRange) as raised:
        await subject.stream("key", range=wanted)
    assert raised.value.size in (5, None)


@pytest.mark.parametrize("wanted", [ByteRange(0), ByteRange(suffix=5)], ids=str)
async def test_any_range_of_an_empty_object_is_an_invalid_range(subject: Subject, wanted: ByteRange) -> None:
    await subject.put("key", b"")
    with pytest.raises(InvalidRange):
        await subject.stream("key", range=wanted)


async def test_part_1_of_an_object_that_was_put_whole_is_all_of_it(subject: Subject) -> None:
    await subject.put("key", b"12345")
    stream = await subject.stream("key", part=1)
    assert (stream.start, stream.stop, stream.partial) == (0, 5, True)
    assert await everything(stream.source) == b"12345"


async def test_a_part_that_is_not_there_is_an_invalid_range(subject: Subject) -> None:
    await subject.put("key", b"12345")
    with pytest.raises(InvalidRange):
        await subject.stream("key", part=2)


async def test_head_part_tells_what_a_get_would_send(subject: Subject) -> None:
    await subject.put("key", b"12345")
    for op in (HeadObject(WIRE, "key", range=ByteRange(1, 3)), HeadObject(WIRE, "key", part=1)):
        stream = await subject.backend.head_part(subject.bucket, op)
        expected = (1, 4, True) if op.range else (0, 5, True)
        assert (stream.start, stream.stop, stream.partial) == expected
        assert await stream.source.read() == b""


# --- reads while somebody writes -------------------------------------------------------------------------------------


async def test_a_reader_gets_one_version_or_an_error(subject: Subject) -> None:
    await subject.put("key", b"a" * 3_000_000)
    stream = await subject.stream("key")
    first = await stream.source.read()
    await subject.put("key", b"b" * 3_000_000)
    try:
        rest = await everything(stream.source)
    except Exception as error:  # which error is the backend's affair
        pytest.fail(f"a small object should have been read to its end: {error!r}") if len(first) == 3_000_000 else None
    else:
        assert first + rest == b"a" * 3_000_000


async def test_an_aborted_read_frees_its_source_and_may_be_aborted_twice(subject: Subject) -> None:
    await subject.put("key", b"a" * 3_000_000)
    for _ in range(50):
        stream = await subject.stream("key")
        await stream.source.read()
        stream.source.abort(ConnectionError())
        stream.source.abort(ConnectionError())
    assert len(await subject.get("key")) == 3_000_000


async def test_a_source_at_its_end_stays_there(subject: Subject) -> None:
    await subject.put("key", b"12345")
    source = (await subject.stream("key")).source
    assert source.size == 5
    assert await everything(source) == b"12345"
    assert await source.read() == b""
    assert source.read_nowait() == b""


# --- deletes ---------------------------------------------------------------------------------------------------------


async def test_a_deleted_object_is_gone(subject: Subject) -> None:
    await subject.put("key", b"x")
    await subject.delete("key")
    with pytest.raises(NoSuchKey):
        await subject.head("key")
    assert await subject.keys() == []


async def test_deleting_what_is_not_there_succeeds(subject: Subject) -> None:
    assert (await subject.delete("absent/key")).key == "absent/key"


async def test_many_deletes_each_have_their_outcome_in_order(subject: Subject) -> None:
    keys = [f"dir-{number % 3}/key-{number}" for number in range(20)]
    await asyncio.gather(*(subject.put(key, b"x") for key in keys))
    items = (
        *(DeleteObject(WIRE, key) for key in keys[:10]),
        DeleteObject(WIRE, keys[10], version_id="3HL4kqtJlcpXroDTDmJ"),
        DeleteObject(WIRE, "absent"),
    )
    outcomes = await subject.backend.delete_objects(subject.bucket, DeleteObjects(WIRE, items=items))
    assert [outcome.key for outcome in outcomes] == [item.key for item in items]
    assert [type(outcome) for outcome in outcomes] == [*[Deleted] * 10, DeleteFailure, Deleted]
    assert sorted(await subject.keys()) == sorted(keys[10:])


async def test_deletes_in_an_absent_bucket_are_no_such_bucket(subject: Subject) -> None:
    op = DeleteObjects(WIRE, items=(DeleteObject(WIRE, "key"),))
    with pytest.raises(NoSuchBucket):
        await subject.backend.delete_objects("absent-bucket", op)
