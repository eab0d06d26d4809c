"""Buckets come, are listed, and go when they are empty."""

import pytest

from bridge_node.errors import BucketExists, BucketNotEmpty, BucketOwnedByCaller, InvalidBucketName, NoSuchBucket
from tests.conformance.backends.subject import Subject


async def test_a_created_bucket_is_there_and_listed(subject: Subject) -> None:
    assert (await subject.backend.head_bucket(subject.bucket)).name == subject.bucket
    names = [info.name for info in await subject.backend.list_buckets()]
    assert subject.bucket in names
    assert names == sorted(names)


async def test_a_bucket_that_is_there_is_not_made_again(subject: Subject) -> None:
    await subject.put("key", b"x")
    with pytest.raises((BucketOwnedByCaller, BucketExists)):
        await subject.backend.create_bucket(subject.bucket)
    assert await subject.get("key") == b"x"


@pytest.mark.parametrize("name", ["ab", "UPPER", "a_b", "..", "a/b", "a..b", "-ab", "192.168.0.1", "x" * 64])
async def test_a_name_that_is_none_is_refused(subject: Subject, name: str) -> None:
    with pytest.raises(InvalidBucketName):
        await subject.backend.create_bucket(name)


async def test_an_absent_bucket_is_no_such_bucket(subject: Subject) -> None:
    with pytest.raises(NoSuchBucket):
        await subject.backend.head_bucket("absent-bucket")
    with pytest.raises(NoSuchBucket):
        await subject.backend.delete_bucket("absent-bucket")


async def test_a_bucket_with_an_object_is_not_deleted(subject: Subject) -> None:
    await subject.put("deep/down/key", b"x")
    with pytest.raises(BucketNotEmpty):
        await subject.backend.delete_bucket(subject.bucket)
    assert await subject.get("deep/down/key") == b"x"


async def test_a_deleted_bucket_is_gone_and_may_be_made_again(subject: Subject) -> None:
    await subject.put("deep/down/key", b"x" * 100_000)
    await subject.delete("deep/down/key")
    await subject.backend.delete_bucket(subject.bucket)
    with pytest.raises(NoSuchBucket):
        await subject.put("key", b"x")
    with pytest.raises(NoSuchBucket):
        await subject.backend.head_bucket(subject.bucket)
    await subject.backend.create_bucket(subject.bucket)
    assert await subject.keys() == []
    await subject.put("deep/down/key", b"y")
    assert await subject.get("deep/down/key") == b"y"


async def test_open_uploads_do_not_keep_a_bucket(subject: Subject) -> None:
    upload = await subject.open("key")
    await subject.stage("key", upload, 1, b"x")
    await subject.backend.delete_bucket(subject.bucket)
    with pytest.raises(NoSuchBucket):
        await subject.backend.head_bucket(subject.bucket)
