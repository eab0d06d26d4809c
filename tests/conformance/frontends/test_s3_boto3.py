"""A client that nobody here wrote, through everything that the frontend offers."""

import asyncio
import io
import os
import socket
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from bridge_node.settings import S3Settings
from tests.conformance.frontends.harness import REGION, SECRET, Gateway, running

MIB = 1024 * 1024
Work = Callable[[Any], Any]


def client(gateway: Gateway, key: str = "WRITER", region: str = REGION, host: str = "127.0.0.1", **config: Any) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{gateway.port}",
        aws_access_key_id=key,
        aws_secret_access_key=SECRET,
        region_name=region,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


async def using(gateway: Gateway, work: Work, key: str = "WRITER", **config: Any) -> Any:
    """What `work` returns for a client, in a thread: the server lives on this event loop."""
    return await asyncio.to_thread(lambda: work(client(gateway, key, **config)))


def code_of(work: Callable[[], Any]) -> str:
    with pytest.raises(ClientError) as refused:
        work()
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.parametrize("signed", [True, False])
async def test_put_get_head_delete(gateway: Gateway, signed: bool) -> None:
    def work(s3: Any) -> None:
        s3.put_object(Bucket="photos", Key="a/ü +&<", Body=b"hello", Metadata={"a": "b"}, ContentType="text/plain")
        got = s3.get_object(Bucket="photos", Key="a/ü +&<")
        assert (got["Body"].read(), got["Metadata"], got["ContentType"]) == (b"hello", {"a": "b"}, "text/plain")
        assert s3.head_object(Bucket="photos", Key="a/ü +&<")["ContentLength"] == 5
        assert s3.get_object(Bucket="photos", Key="a/ü +&<", Range="bytes=1-2")["Body"].read() == b"el"
        s3.delete_object(Bucket="photos", Key="a/ü +&<")
        assert code_of(lambda: s3.get_object(Bucket="photos", Key="a/ü +&<")) == "NoSuchKey"

    await using(gateway, work, s3={"payload_signing_enabled": signed})


async def test_virtual_host_style(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve = socket.getaddrinfo

    def everywhere_here(host: Any, *more: Any, **named: Any) -> Any:
        return resolve("127.0.0.1" if str(host).endswith("s3.test") else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", everywhere_here)

    async with running(s3=S3Settings(region=REGION, domains=("s3.test",))) as gateway:

        def work(_: Any) -> None:
            s3 = client(gateway, host="s3.test", s3={"addressing_style": "virtual"})
            s3.put_object(Bucket="photos", Key="a/b", Body=b"x")
            assert [entry["Key"] for entry in s3.list_objects_v2(Bucket="photos")["Contents"]] == ["a/b"]
            assert len(s3.list_buckets()["Buckets"]) == 3

        await using(gateway, work)
        assert (await gateway.call("GET", "/photos/a/b")).body == b"x"


async def test_empty_objects_one_after_another(gateway: Gateway) -> None:
    """Each comes with `Expect: 100-continue`, and botocore before 1.41 wants its 100 even without a body."""

    def work(s3: Any) -> None:
        for body in (b"", b"", b"x", b""):
            s3.put_object(Bucket="photos", Key="k", Body=body)

    await using(gateway, work)


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
async def test_checksums_are_sent_in_trailers_and_come_back(gateway: Gateway, algorithm: str) -> None:
    def work(s3: Any) -> None:
        put = s3.put_object(Bucket="photos", Key="k", Body=io.BytesIO(b"x" * 100_000), ChecksumAlgorithm=algorithm)
        got = s3.get_object(Bucket="photos", Key="k", ChecksumMode="ENABLED")
        assert got["Body"].read() == b"x" * 100_000
        assert got[f"Checksum{algorithm}"] == put[f"Checksum{algorithm}"]

    await using(gateway, work)


async def test_a_large_object_in_parts(gateway: Gateway) -> None:
    data = os.urandom(17 * MIB + 1)

    def work(s3: Any) -> None:
        transfer = TransferConfig(multipart_threshold=6 * MIB, multipart_chunksize=6 * MIB, max_concurrency=3)
        s3.upload_fileobj(io.BytesIO(data), "photos", "big", Config=transfer)
        out = io.BytesIO()
        s3.download_fileobj("photos", "big", out, Config=transfer)
        assert out.getvalue() == data
        wanted = ["ETag", "Checksum", "ObjectParts", "ObjectSize"]
        told = s3.get_object_attributes(Bucket="photos", Key="big", ObjectAttributes=wanted)
        assert (told["ObjectSize"], told["ObjectParts"]["TotalPartsCount"]) == (len(data), 3)
        s3.copy({"Bucket": "photos", "Key": "big"}, "archive", "copy", Config=transfer)
        out = io.BytesIO()
        s3.download_fileobj("archive", "copy", out, Config=transfer)
        assert out.getvalue() == data

    await using(gateway, work)


async def test_listings_in_pages(gateway: Gateway) -> None:
    keys = [f"d/{number:02} ü" for number in range(7)]

    def work(s3: Any) -> None:
        for key in keys:
            s3.put_object(Bucket="photos", Key=key, Body=b"")
        for name in ("list_objects_v2", "list_objects", "list_object_versions"):
            pages = s3.get_paginator(name).paginate(Bucket="photos", PaginationConfig={"PageSize": 3})
            entries = "Versions" if name == "list_object_versions" else "Contents"
            assert [entry["Key"] for page in pages for entry in page.get(entries, [])] == keys
        grouped = s3.list_objects_v2(Bucket="photos", Delimiter="/")
        assert grouped["CommonPrefixes"] == [{"Prefix": "d/"}]
        s3.delete_objects(Bucket="photos", Delete={"Objects": [{"Key": key} for key in keys]})
        assert s3.list_objects_v2(Bucket="photos")["KeyCount"] == 0

    await using(gateway, work)


async def test_uploads_that_stay_open(gateway: Gateway) -> None:
    def work(s3: Any) -> None:
        upload = s3.create_multipart_upload(Bucket="photos", Key="k")["UploadId"]
        s3.upload_part(Bucket="photos", Key="k", UploadId=upload, PartNumber=1, Body=b"x")
        assert [each["UploadId"] for each in s3.list_multipart_uploads(Bucket="photos")["Uploads"]] == [upload]
        (part,) = s3.list_parts(Bucket="photos", Key="k", UploadId=upload)["Parts"]
        assert (part["PartNumber"], part["Size"]) == (1, 1)
        s3.abort_multipart_upload(Bucket="photos", Key="k", UploadId=upload)
        assert "Uploads" not in s3.list_multipart_uploads(Bucket="photos")

    await using(gateway, work)


async def test_buckets_of_an_account(gateway: Gateway) -> None:
    def work(s3: Any) -> None:
        s3.create_bucket(Bucket="fresh", CreateBucketConfiguration={"LocationConstraint": REGION})
        assert [bucket["Name"] for bucket in s3.list_buckets()["Buckets"]] == ["fresh"]
        assert s3.head_bucket(Bucket="fresh")["BucketRegion"] == REGION
        assert s3.get_bucket_location(Bucket="fresh")["LocationConstraint"] == REGION
        s3.delete_bucket(Bucket="fresh")
        assert code_of(lambda: s3.head_bucket(Bucket="fresh")) == "404"

    await using(gateway, work, "OWNER")


async def test_conditional_writes(gateway: Gateway) -> None:
    def work(s3: Any) -> None:
        etag = s3.put_object(Bucket="photos", Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
        again = {"Bucket": "photos", "Key": "k", "Body": b"2"}
        assert code_of(lambda: s3.put_object(IfNoneMatch="*", **again)) == "PreconditionFailed"
        s3.put_object(IfMatch=etag, **again)
        assert code_of(lambda: s3.put_object(IfMatch=etag, **again)) == "PreconditionFailed"

    await using(gateway, work)


async def test_a_client_of_another_region_is_led_to_the_right_one(gateway: Gateway) -> None:
    def work(_: Any) -> None:
        astray = client(gateway, region="us-west-2")
        assert astray.list_objects_v2(Bucket="photos")["KeyCount"] == 0

    await using(gateway, work)
    assert [usage.status for usage in gateway.recorder.usages][:1] == [400]
