"""Proofs of the quirk table, by boto3 against the server itself: a row whose proof fails has to go."""

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conformance.backends.quirks import QUIRKS
from tests.servers import S3Server

PART = b"x" * 5 * 1024 * 1024


@pytest.fixture
def s3(seaweedfs: S3Server) -> Any:
    return seaweedfs.client()


@pytest.fixture
def bucket(s3: Any, request: pytest.FixtureRequest) -> str:
    name = f"quirk-{os.getpid()}-{abs(hash(request.node.name))}"[:60]
    s3.create_bucket(Bucket=name)
    return name


def refusal(call: Callable[[], object]) -> str:
    """The code that the server refuses with."""
    with pytest.raises(ClientError) as raised:
        call()
    return str(raised.value.response["Error"]["Code"])


def keys(s3: Any, bucket: str, **options: Any) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, **options).get("Contents", [])]


def put(s3: Any, bucket: str, *names: str, data: bytes = b"x") -> None:
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=data)


def opened(s3: Any, bucket: str, key: str, *parts: bytes) -> tuple[str, list[str]]:
    """An upload with parts staged, and their ETags."""
    upload = s3.create_multipart_upload(Bucket=bucket, Key=key)["UploadId"]
    return upload, [staged(s3, bucket, key, upload, number, data) for number, data in enumerate(parts, start=1)]


def staged(s3: Any, bucket: str, key: str, upload: str, number: int, data: bytes) -> str:
    return str(s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data)["ETag"])


def committed(s3: Any, bucket: str, key: str, upload: str, etags: list[str], **options: Any) -> str:
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, start=1)]
    answer = s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}, **options
    )
    return str(answer["ETag"])


def test_every_row_of_the_table_has_its_proof_and_every_proof_its_row() -> None:
    proofs = {name for name in globals() if name.startswith(tuple(f"test_{server}_" for server in QUIRKS))}
    assert proofs == {proof for rows in QUIRKS.values() for proof in rows}


def test_seaweedfs_makes_a_bucket_of_any_name_that_is_written_to(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=f"{bucket}-put", Key="key", Body=b"x")
    s3.create_multipart_upload(Bucket=f"{bucket}-open", Key="key")
    names = {found["Name"] for found in s3.list_buckets()["Buckets"]}
    assert names >= {f"{bucket}-put", f"{bucket}-open"}


def test_seaweedfs_takes_keys_for_paths_of_files(s3: Any, bucket: str) -> None:
    for key, listed in (("/lead", "lead"), ("a//b", "a/b"), ("c\\d", "c/d")):
        put(s3, bucket, key)
        assert keys(s3, bucket) == [listed]
        s3.delete_object(Bucket=bucket, Key=listed)
    put(s3, bucket, "dir/", data=b"content")
    assert s3.get_object(Bucket=bucket, Key="dir/")["Body"].read() == b""
    for key in (".", "..", "a/../b", "../../etc/passwd"):
        assert refusal(partial(put, s3, bucket, key)) == "InvalidRequest"
    assert refusal(lambda: put(s3, bucket, "s" * 300)) == "KeyTooLongError"
    put(s3, bucket, "o/a-b", "o/a/b")
    assert keys(s3, bucket, Prefix="o/") == ["o/a/b", "o/a-b"]


def test_seaweedfs_keeps_directories_that_have_become_empty(s3: Any, bucket: str) -> None:
    put(s3, bucket, "a/b/c", "a/d")
    s3.delete_object(Bucket=bucket, Key="a/b/c")
    listed = s3.list_objects_v2(Bucket=bucket, Prefix="a/", Delimiter="/")
    assert listed["CommonPrefixes"] == [{"Prefix": "a/b/"}]


def test_seaweedfs_goes_round_in_circles_at_a_delimiter_that_is_no_slash(s3: Any, bucket: str) -> None:
    put(s3, bucket, "a1/b", "a1/c/d", "a1/f", "c/g")
    whole = s3.list_objects_v2(Bucket=bucket, Delimiter="c")
    assert whole["CommonPrefixes"] == [{"Prefix": "c"}, {"Prefix": "a1/c"}]
    seen: list[str] = []
    more: dict[str, str] = {}
    for _ in range(6):
        page = s3.list_objects_v2(Bucket=bucket, Delimiter="c", MaxKeys=1, **more)
        seen += [found["Key"] for found in page.get("Contents", [])]
        more = {"ContinuationToken": page["NextContinuationToken"]}
    assert len(seen) > len(set(seen))


def test_seaweedfs_skips_a_directory_that_begins_with_start_after(s3: Any, bucket: str) -> None:
    put(s3, bucket, "a/c/d", "a/f")
    assert keys(s3, bucket, StartAfter="a/c") == ["a/f"]


def test_seaweedfs_drops_empty_metadata(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="key", Metadata={"empty": "", "full": "x"})
    assert s3.head_object(Bucket=bucket, Key="key")["Metadata"] == {"full": "x"}


def test_seaweedfs_does_not_look_at_version_ids_where_there_are_no_versions(s3: Any, bucket: str) -> None:
    put(s3, bucket, "key")
    version = "3HL4kqtJlcpXroDTDmJ"
    assert s3.get_object(Bucket=bucket, Key="key", VersionId=version)["Body"].read() == b"x"
    s3.delete_object(Bucket=bucket, Key="key", VersionId=version)


def test_seaweedfs_copies_with_the_old_checksum(s3: Any, bucket: str) -> None:
    s3.put_object(Bucket=bucket, Key="source", ChecksumAlgorithm="CRC32")
    s3.copy_object(Bucket=bucket, Key="target", CopySource=f"{bucket}/source", ChecksumAlgorithm="SHA256")
    head = s3.head_object(Bucket=bucket, Key="target", ChecksumMode="ENABLED")
    assert "ChecksumCRC32" in head
    assert "ChecksumSHA256" not in head


def test_seaweedfs_commits_a_part_that_was_replaced(s3: Any, bucket: str) -> None:
    upload, etags = opened(s3, bucket, "key", b"first")
    staged(s3, bucket, "key", upload, 1, b"second")
    committed(s3, bucket, "key", upload, etags)
    assert s3.get_object(Bucket=bucket, Key="key")["Body"].read() == b"first"


def test_seaweedfs_does_not_look_at_the_declared_size(s3: Any, bucket: str) -> None:
    upload, etags = opened(s3, bucket, "key", b"12345")
    committed(s3, bucket, "key", upload, etags, MpuObjectSize=6)


def test_seaweedfs_repeats_a_commit_with_other_parts(s3: Any, bucket: str) -> None:
    upload, etags = opened(s3, bucket, "key", PART, PART)
    whole = committed(s3, bucket, "key", upload, etags)
    assert committed(s3, bucket, "key", upload, etags[:1]) == whole


def test_seaweedfs_aborts_what_is_not_open(s3: Any, bucket: str) -> None:
    upload, etags = opened(s3, bucket, "key", b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=upload)
    s3.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=upload)
    upload, etags = opened(s3, bucket, "key", b"x")
    committed(s3, bucket, "key", upload, etags)
    s3.abort_multipart_upload(Bucket=bucket, Key="key", UploadId=upload)


def test_seaweedfs_lists_uploads_in_no_order(s3: Any, bucket: str) -> None:
    names = [f"key-{number:02}" for number in range(20)]
    for name in names:
        s3.create_multipart_upload(Bucket=bucket, Key=name)
    listed = [upload["Key"] for upload in s3.list_multipart_uploads(Bucket=bucket)["Uploads"]]
    assert sorted(listed) == names
    assert listed != names


def test_seaweedfs_forgets_the_checksums_of_parts(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(Bucket=bucket, Key="key", ChecksumAlgorithm="SHA256")["UploadId"]
    part = {"Bucket": bucket, "Key": "key", "UploadId": upload, "ChecksumAlgorithm": "SHA256", "Body": PART}
    answers = [s3.upload_part(PartNumber=number, **part) for number in (1, 2)]
    parts = [
        {"PartNumber": number, "ETag": answer["ETag"], "ChecksumSHA256": answer["ChecksumSHA256"]}
        for number, answer in enumerate(answers, start=1)
    ]
    s3.complete_multipart_upload(Bucket=bucket, Key="key", UploadId=upload, MultipartUpload={"Parts": parts})
    found = s3.get_object_attributes(Bucket=bucket, Key="key", ObjectAttributes=["ObjectParts"])
    assert [set(part) for part in found["ObjectParts"]["Parts"]] == [{"PartNumber", "Size"}] * 2


def test_seaweedfs_calls_a_wrong_checksum_of_a_part_a_bad_digest(s3: Any, bucket: str) -> None:
    upload = s3.create_multipart_upload(
        Bucket=bucket, Key="key", ChecksumAlgorithm="CRC32C", ChecksumType="FULL_OBJECT"
    )["UploadId"]
    part = {"Bucket": bucket, "Key": "key", "UploadId": upload, "ChecksumAlgorithm": "CRC32C", "Body": b"x"}
    etag = s3.upload_part(PartNumber=1, **part)["ETag"]
    wrong = {"Parts": [{"PartNumber": 1, "ETag": etag, "ChecksumCRC32C": "AAAAAA=="}]}
    answer = refusal(
        lambda: s3.complete_multipart_upload(Bucket=bucket, Key="key", UploadId=upload, MultipartUpload=wrong)
    )
    assert answer == "BadDigest"
