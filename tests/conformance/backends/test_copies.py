"""Copies within a backend: the bytes of the source, and metadata by directive."""

import pytest

from bridge_node.errors import NoSuchBucket, NoSuchKey
from bridge_node.operations import CopyObject, CopySource
from tests.conformance.backends.subject import WIRE, Subject, md5

SIZES = [0, 1000, 3_000_000]


@pytest.mark.parametrize("size", SIZES)
async def test_a_copy_has_the_bytes_and_the_metadata_of_its_source(subject: Subject, size: int) -> None:
    data = (b"0123456789abcdef" * 200_000)[:size]
    await subject.put("source", data, content={"content-type": "text/plain"}, metadata={"colour": "blue"})
    stored = await subject.copy("source", "target")
    info = await subject.head("target")
    assert await subject.get("target") == data
    assert stored.etag == info.etag == md5(data)
    assert dict(info.metadata) == {"colour": "blue"}
    assert info.content["content-type"] == "text/plain"


async def test_a_copy_may_replace_content_headers_and_metadata(subject: Subject) -> None:
    await subject.put("source", b"x", content={"content-type": "text/plain"}, metadata={"colour": "blue"})
    await subject.copy("source", "target", content={"content-type": "text/html"}, metadata={"shape": "round"})
    info = await subject.head("target")
    assert info.content["content-type"] == "text/html"
    assert dict(info.metadata) == {"shape": "round"}


@pytest.mark.parametrize("size", SIZES)
async def test_an_object_may_be_copied_onto_itself_with_new_metadata(subject: Subject, size: int) -> None:
    await subject.put("key", b"x" * size, metadata={"colour": "blue"})
    await subject.copy("key", "key", content={}, metadata={"colour": "red"})
    assert await subject.get("key") == b"x" * size
    assert dict((await subject.head("key")).metadata) == {"colour": "red"}


@pytest.mark.parametrize("size", SIZES)
async def test_a_copy_stays_when_its_source_goes(subject: Subject, size: int) -> None:
    await subject.put("source", b"x" * size)
    await subject.copy("source", "target")
    await subject.put("source", b"y")
    await subject.delete("source")
    assert await subject.get("target") == b"x" * size


async def test_a_copy_of_what_is_not_there_changes_nothing(subject: Subject) -> None:
    await subject.put("target", b"old")
    with pytest.raises(NoSuchKey):
        await subject.copy("absent", "target")
    assert await subject.get("target") == b"old"


async def test_a_copy_from_an_absent_bucket_is_no_such_bucket(subject: Subject) -> None:
    op = CopyObject(WIRE, "target", CopySource(WIRE, "source"))
    with pytest.raises(NoSuchBucket):
        await subject.backend.copy_object(subject.bucket, op, "absent-bucket")


async def test_a_copy_goes_from_bucket_to_bucket(subject: Subject) -> None:
    other = f"{subject.bucket}-other"
    await subject.backend.create_bucket(other)
    await subject.put("source", b"x")
    op = CopyObject(WIRE, "target", CopySource(WIRE, "source"))
    await subject.backend.copy_object(other, op, subject.bucket)
    assert await Subject(subject.backend, other).get("target") == b"x"
    assert await subject.keys() == ["source"]


async def test_a_copy_says_what_it_displaced(subject: Subject) -> None:
    await subject.put("source", b"12345")
    await subject.put("target", b"123")
    stored = await subject.copy("source", "target")
    if subject.backend.capabilities.reports_displaced:
        assert (stored.size, stored.displaced) == (5, 3)


@pytest.mark.parametrize("size", [10, 100_000])
async def test_a_copy_may_get_another_checksum(subject: Subject, size: int) -> None:
    await subject.put("source", b"x" * size, checksum_algorithm="crc32")
    await subject.copy("source", "same")
    await subject.copy("source", "other", checksum_algorithm="sha256")
    put = await subject.put("put", b"x" * size, checksum_algorithm="sha256")
    kept = (await subject.head("source", checksum=True)).checksum
    assert (await subject.head("same", checksum=True)).checksum == kept
    assert (await subject.head("other", checksum=True)).checksum == put.checksum


async def test_a_copy_of_an_object_of_parts_is_whole(subject: Subject) -> None:
    data = subject.part(b"a") + b"end"
    await subject.put_in_parts("source", subject.part(b"a"), b"end", metadata={"colour": "blue"})
    await subject.copy("source", "target")
    assert await subject.get("target") == data
    assert dict((await subject.head("target")).metadata) == {"colour": "blue"}
