"""Uploads in parts and copies through the S3 frontend, also when they take their time."""

import asyncio
import hashlib
import re
import socket
import struct

import pytest

from bridge_node.backends.memory import MemoryBackend
from bridge_node.errors import BackendBusy
from bridge_node.objects import Stored
from bridge_node.operations import CommitUpload, CopyObject
from bridge_node.protocols.s3.sigv4 import Signer
from tests.conformance.frontends.harness import REGION, SECRET, Answer, Gateway, raw_request, read_answer, running

MIB = 1024 * 1024


async def open_upload(gateway: Gateway, target: str = "/photos/big", **more: str) -> str:
    headers = list(more.items())
    answer = await gateway.call("POST", f"{target}?uploads", headers=headers)
    assert answer.status == 200, answer
    return answer.element("UploadId")


async def stage(gateway: Gateway, upload: str, number: int, data: bytes, target: str = "/photos/big") -> str:
    answer = await gateway.call("PUT", f"{target}?partNumber={number}&uploadId={upload}", data)
    assert answer.status == 200, answer
    return answer.headers["etag"]


def completion(*parts: tuple[int, str]) -> bytes:
    entries = "".join(f"<Part><PartNumber>{number}</PartNumber><ETag>{etag}</ETag></Part>" for number, etag in parts)
    return f"<CompleteMultipartUpload>{entries}</CompleteMultipartUpload>".encode()


async def complete(gateway: Gateway, upload: str, *parts: tuple[int, str], target: str = "/photos/big") -> Answer:
    return await gateway.call("POST", f"{target}?uploadId={upload}", completion(*parts))


async def finished_parts(gateway: Gateway, upload: str) -> list[tuple[int, str]]:
    return [(1, await stage(gateway, upload, 1, b"a" * 5 * MIB)), (2, await stage(gateway, upload, 2, b"end"))]


# --- parts ---------------------------------------------------------------------------------------------------------


async def test_parts_become_an_object(gateway: Gateway) -> None:
    headers = {"Content-Type": "text/x", "x-amz-meta-a": "b"}
    upload = await open_upload(gateway, **headers)
    parts = await finished_parts(gateway, upload)
    assert (await gateway.call("HEAD", "/photos/big")).status == 404
    answer = await complete(gateway, upload, *parts)
    assert (answer.status, answer.element("Bucket"), answer.element("Key")) == (200, "photos", "big")
    assert answer.element("Location").endswith("/photos/big")
    head = await gateway.call("HEAD", "/photos/big")
    assert head.headers["etag"] == answer.element("ETag").replace("&quot;", '"')
    assert head.headers["etag"].endswith('-2"')
    assert (head.headers["content-type"], head.headers["x-amz-meta-a"]) == ("text/x", "b")
    assert head.headers["content-length"] == str(5 * MIB + 3)


async def test_one_part_of_the_object_can_be_read(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    await complete(gateway, upload, *await finished_parts(gateway, upload))
    answer = await gateway.call("GET", "/photos/big?partNumber=2")
    assert (answer.status, answer.body, answer.headers["x-amz-mp-parts-count"]) == (206, b"end", "2")
    assert answer.headers["content-range"] == f"bytes {5 * MIB}-{5 * MIB + 2}/{5 * MIB + 3}"


async def test_parts_and_uploads_are_listed(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    await stage(gateway, upload, 7, b"seven")
    await stage(gateway, upload, 3, b"three")
    first = await gateway.call("GET", f"/photos/big?uploadId={upload}&max-parts=1")
    assert (first.element("PartNumber"), first.element("IsTruncated")) == ("3", "true")
    marker = first.element("NextPartNumberMarker")
    rest = await gateway.call("GET", f"/photos/big?uploadId={upload}&part-number-marker={marker}")
    assert (rest.element("PartNumber"), rest.element("Size"), rest.element("IsTruncated")) == ("7", "5", "false")
    uploads = await gateway.call("GET", "/photos?uploads")
    assert uploads.element("UploadId") == upload


async def test_uploads_of_one_key_are_listed_in_pages(gateway: Gateway) -> None:
    opened = {await open_upload(gateway) for _ in range(3)}
    found: list[str] = []
    query = "uploads&max-uploads=1"
    for _ in range(3):
        page = await gateway.call("GET", f"/photos?{query}")
        found += re.findall("<UploadId>([^<]+)</UploadId>", page.body.decode())
        marker = f"&key-marker={page.element('NextKeyMarker')}&upload-id-marker={page.element('NextUploadIdMarker')}"
        query = "uploads&max-uploads=1" + marker
    assert set(found) == opened
    assert page.element("IsTruncated") == "false"


async def test_an_aborted_upload_is_gone(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    parts = await finished_parts(gateway, upload)
    assert (await gateway.call("DELETE", f"/photos/big?uploadId={upload}")).status == 204
    assert (await complete(gateway, upload, *parts)).code == "NoSuchUpload"
    assert (await gateway.call("DELETE", f"/photos/big?uploadId={upload}")).code == "NoSuchUpload"


@pytest.mark.parametrize("upload", ["garbage", "", "%00", "A" * 500])
async def test_an_id_that_is_none_is_no_upload(gateway: Gateway, upload: str) -> None:
    assert (await complete(gateway, upload, (1, "e"))).code == "NoSuchUpload"
    assert (await gateway.call("PUT", f"/photos/big?partNumber=1&uploadId={upload}", b"x")).code == "NoSuchUpload"
    assert (await gateway.call("GET", f"/photos/big?uploadId={upload}")).code == "NoSuchUpload"


async def test_an_upload_belongs_to_its_key(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    assert (await gateway.call("DELETE", f"/photos/other?uploadId={upload}")).code == "NoSuchUpload"


@pytest.mark.parametrize("query", ["partNumber=0", "partNumber=10001", "partNumber=x", "partNumber=", ""])
async def test_a_part_needs_a_number_from_1_to_10000(gateway: Gateway, query: str) -> None:
    upload = await open_upload(gateway)
    answer = await gateway.call("PUT", f"/photos/big?{query}{query and '&'}uploadId={upload}", b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


async def test_parts_are_named_in_order_with_their_etags(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    one, two = await finished_parts(gateway, upload)
    assert (await complete(gateway, upload, two, one)).code == "InvalidPartOrder"
    assert (await complete(gateway, upload, one, (2, '"other"'))).code == "InvalidPart"
    assert (await complete(gateway, upload, one, (3, two[1]))).code == "InvalidPart"
    assert (await complete(gateway, upload)).code == "MalformedXML"
    assert (await complete(gateway, upload, (0, one[1]))).code == "InvalidArgument"
    assert (await complete(gateway, upload, one, two)).status == 200


async def test_only_the_last_part_may_be_small(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    parts = [(number, await stage(gateway, upload, number, b"small")) for number in (1, 2)]
    assert (await complete(gateway, upload, *parts)).code == "EntityTooSmall"


async def test_completing_on_a_condition_is_atomic(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    parts = await finished_parts(gateway, upload)
    await gateway.put("/photos/big", b"there")
    target = f"/photos/big?uploadId={upload}"
    answer = await gateway.call("POST", target, completion(*parts), headers=[("If-None-Match", "*")])
    assert (answer.status, answer.code) == (412, "PreconditionFailed")
    assert (await gateway.call("GET", "/photos/big")).body == b"there"


async def test_an_announced_size_is_held_to(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    parts = await finished_parts(gateway, upload)
    target = f"/photos/big?uploadId={upload}"
    wrong = await gateway.call("POST", target, completion(*parts), headers=[("x-amz-mp-object-size", "1")])
    assert wrong.status == 400
    size = str(5 * MIB + 3)
    right = await gateway.call("POST", target, completion(*parts), headers=[("x-amz-mp-object-size", size)])
    assert right.status == 200


@pytest.mark.parametrize(
    ("algorithm", "kind", "status"),
    [
        ("CRC32", "COMPOSITE", 200),
        ("CRC64NVME", "FULL_OBJECT", 200),
        ("SHA256", "COMPOSITE", 200),
        ("SHA256", "FULL_OBJECT", 400),
        ("CRC64NVME", "COMPOSITE", 400),
        ("MD5", "COMPOSITE", 400),
    ],
)
async def test_an_upload_may_choose_its_checksum(gateway: Gateway, algorithm: str, kind: str, status: int) -> None:
    headers = [("x-amz-checksum-algorithm", algorithm), ("x-amz-checksum-type", kind)]
    answer = await gateway.call("POST", "/photos/big?uploads", headers=headers)
    assert answer.status == status
    if status == 200:
        assert answer.headers["x-amz-checksum-algorithm"] == algorithm


# --- copies --------------------------------------------------------------------------------------------------------


async def copy(gateway: Gateway, source: str, target: str, *headers: tuple[str, str], key: str = "WRITER") -> Answer:
    return await gateway.call("PUT", target, headers=[("x-amz-copy-source", source), *headers], key=key)


@pytest.mark.parametrize("source", ["/photos/a%20b", "photos/a%20b", "photos%2Fa%20b", "pictures/a%20b"])
@pytest.mark.parametrize("target", ["/music/copy", "/archive/copy"])
async def test_a_copy_keeps_bytes_and_metadata(gateway: Gateway, source: str, target: str) -> None:
    await gateway.call("PUT", "/photos/a%20b", b"bytes", headers=[("x-amz-meta-a", "b"), ("Content-Type", "x/y")])
    answer = await copy(gateway, source, target)
    assert answer.status == 200
    assert "<LastModified>20" in answer.body.decode()
    got = await gateway.call("GET", target)
    assert (got.body, got.headers["x-amz-meta-a"], got.headers["content-type"]) == (b"bytes", "b", "x/y")


async def test_a_copy_replaces_metadata_when_told_to(gateway: Gateway) -> None:
    await gateway.call("PUT", "/photos/k", b"bytes", headers=[("x-amz-meta-a", "b")])
    replace = [("x-amz-metadata-directive", "REPLACE"), ("x-amz-meta-c", "d")]
    assert (await copy(gateway, "/photos/k", "/photos/k", *replace)).status == 200
    got = await gateway.call("GET", "/photos/k")
    assert (got.body, got.headers.get("x-amz-meta-a"), got.headers["x-amz-meta-c"]) == (b"bytes", None, "d")
    assert (await copy(gateway, "/photos/k", "/photos/k")).code == "InvalidRequest"
    assert (await copy(gateway, "/photos/k", "/photos/j", ("x-amz-metadata-directive", "X"))).code == "InvalidArgument"


@pytest.mark.parametrize(
    ("key", "source", "target", "code"),
    [
        ("DROPBOX", "/photos/k", "/music/copy", "AccessDenied"),
        ("READER", "/photos/k", "/music/copy", "AccessDenied"),
        ("WRITER", "/secret/k", "/music/copy", "AccessDenied"),
        ("WRITER", "/nowhere/k", "/music/copy", "AccessDenied"),
        ("WRITER", "/photos/k", "/secret/copy", "NoSuchBucket"),
        ("LIMITED", "/music/k", "/photos/copy", "AccessDenied"),
        ("LIMITED", "/photos/k", "/music/copy", "AccessDenied"),
        ("LIMITED", "/photos/k", "/pictures/copy", ""),
    ],
)
async def test_a_copy_needs_read_at_its_source_and_write_at_its_target(
    gateway: Gateway, key: str, source: str, target: str, code: str
) -> None:
    for bucket in ("photos", "music"):
        await gateway.put(f"/{bucket}/k")
    await gateway.call("PUT", "/secret/k", b"secret", key="STRANGER")
    assert (await copy(gateway, source, target, key=key)).code == code
    upload = await gateway.call("POST", "/photos/copy?uploads")
    part = f"{target}?partNumber=1&uploadId={upload.element('UploadId')}"
    refused = await copy(gateway, source, part, key=key)
    assert refused.code == (code or refused.code)


@pytest.mark.parametrize(
    "source",
    ["", "/", "photos", "/photos", "/photos/", "http://example.com/x", "arn:aws:s3:x:y:accesspoint/z/object/k"],
)
async def test_a_copy_source_is_a_bucket_and_a_key_and_never_fetched(gateway: Gateway, source: str) -> None:
    assert (await copy(gateway, source, "/photos/k")).code in {"InvalidArgument", "AccessDenied"}


async def test_a_version_of_the_source_is_not_dropped(gateway: Gateway) -> None:
    await gateway.put("/photos/k")
    assert (await copy(gateway, "/photos/k?versionId=null", "/music/k")).status == 200
    for target in ("/music/k", "/archive/k"):
        assert (await copy(gateway, "/photos/k?versionId=other", target)).code == "NoSuchVersion"


@pytest.mark.parametrize("target", ["/music/k", "/archive/k"])
async def test_conditions_on_the_source_are_412(gateway: Gateway, target: str) -> None:
    etag = (await gateway.put("/photos/k")).headers["etag"]
    for condition in (("x-amz-copy-source-if-none-match", etag), ("x-amz-copy-source-if-match", '"x"')):
        assert (await copy(gateway, "/photos/k", target, condition)).code == "PreconditionFailed"
    assert (await copy(gateway, "/photos/k", target, ("x-amz-copy-source-if-match", etag))).status == 200


@pytest.mark.parametrize("target", ["/photos/big", "/archive/big"])
async def test_parts_are_copied_from_ranges(gateway: Gateway, target: str) -> None:
    await gateway.put("/photos/k", b"0123456789")
    upload = await open_upload(gateway, target)
    part = f"{target}?partNumber=1&uploadId={upload}"
    copied = await copy(gateway, "/photos/k", part, ("x-amz-copy-source-range", "bytes=3-5"))
    assert copied.status == 200, copied
    etag = copied.element("ETag").replace("&quot;", '"')
    for wrong in ("bytes=3-", "bytes=-3", "3-5"):
        refused = await copy(gateway, "/photos/k", part, ("x-amz-copy-source-range", wrong))
        assert refused.code == "InvalidArgument"
    assert (await complete(gateway, upload, (1, etag), target=target)).status == 200
    assert (await gateway.call("GET", target)).body == b"345"


# --- what takes its time -------------------------------------------------------------------------------------------


class Slow(MemoryBackend):
    """Commits and copies only when told to."""

    def __init__(self) -> None:
        super().__init__(("photos", "music"))
        self.go = asyncio.Event()
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.error: Exception | None = None

    async def commit_upload(self, bucket: str, op: CommitUpload) -> Stored:
        await self._wait()
        return await super().commit_upload(bucket, op)

    async def copy_object(self, bucket: str, op: CopyObject, source_bucket: str) -> Stored:
        await self._wait()
        return await super().copy_object(bucket, op, source_bucket)

    async def _wait(self) -> None:
        self.begun.set()
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            raise
        if self.error is not None:
            raise self.error


async def begin_complete(gateway: Gateway) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Sends a Complete, and returns when its answer has begun."""
    upload = await open_upload(gateway)
    parts = await finished_parts(gateway, upload)
    target = f"/photos/big?uploadId={upload}"
    body = completion(*parts)
    return await send(gateway, "POST", target, body)


async def send(
    gateway: Gateway, method: str, target: str, body: bytes | None, *headers: tuple[str, str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path, _, query = target.partition("?")
    fields = Signer("WRITER", SECRET, REGION).sign(
        method,
        path,
        query,
        [("Host", gateway.host), *headers],
        hashlib.sha256(body or b"").hexdigest(),
        gateway.clock(),
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(raw_request(method, target, fields, body))
    return reader, writer


def leave(writer: asyncio.StreamWriter) -> None:
    """Resets the connection: a mere close could be a client that only has nothing more to say."""
    linger = struct.pack("ii", 1, 0)
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()


async def test_a_slow_complete_is_answered_at_once_and_kept_warm() -> None:
    slow = Slow()
    async with running(backends={"store": slow}, patience=0.01, keep_warm=0.01) as gateway:
        reader, writer = await begin_complete(gateway)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK")
        beginning = await reader.readexactly(60)
        assert b"<?xml" in beginning
        assert b"\r\n1\r\n \r\n" in beginning
        slow.go.set()
        rest = await reader.readuntil(b"0\r\n\r\n")
        assert rest.count(b"<?xml") == 0
        assert b"<CompleteMultipartUploadResult" in rest
        writer.close()
        assert gateway.usage.operation == "CommitUpload"
        assert gateway.usage.size_change == 5 * MIB + 3


async def test_a_slow_complete_that_fails_says_so_in_its_document() -> None:
    slow = Slow()
    slow.error = BackendBusy()
    async with running(backends={"store": slow}, patience=0.01, keep_warm=0.01) as gateway:
        reader, writer = await begin_complete(gateway)
        asyncio.get_running_loop().call_later(0.05, slow.go.set)
        answer = await read_answer(reader)
        writer.close()
        assert (answer.status, answer.code) == (200, "SlowDown")
        assert answer.body.startswith(b"<?xml")
        assert answer.element("RequestId") == answer.headers["x-amz-request-id"]
        assert gateway.usage.size_change == 0


async def test_a_quick_failure_keeps_its_status(gateway: Gateway) -> None:
    upload = await open_upload(gateway)
    answer = await complete(gateway, upload, (1, '"missing"'))
    assert (answer.status, answer.code) == (400, "InvalidPart")


@pytest.mark.parametrize("patience", [0.01, 5.0])
async def test_a_complete_goes_on_when_its_client_leaves(patience: float) -> None:
    slow = Slow()
    async with running(backends={"store": slow}, patience=patience, keep_warm=0.01) as gateway:
        _, writer = await begin_complete(gateway)
        await slow.begun.wait()
        records = len(gateway.recorder.usages)
        leave(writer)
        await asyncio.sleep(0.05)
        assert len(gateway.recorder.usages) == records
        slow.go.set()
        await gateway.pipeline.close()
        await asyncio.sleep(0)
        assert (await gateway.call("HEAD", "/photos/big")).status == 200
        committed = [usage for usage in gateway.recorder.usages if usage.operation == "CommitUpload"]
        assert [(usage.aborted, usage.size_change) for usage in committed] == [(True, 5 * MIB + 3)]


@pytest.mark.parametrize("patience", [0.01, 5.0])
async def test_a_copy_ends_when_its_client_leaves(patience: float) -> None:
    slow = Slow()
    async with running(backends={"store": slow}, patience=patience, keep_warm=0.01) as gateway:
        await gateway.put("/photos/k")
        _, writer = await send(gateway, "PUT", "/music/k", None, ("x-amz-copy-source", "/photos/k"))
        await slow.begun.wait()
        leave(writer)
        async with asyncio.timeout(5):
            await slow.cancelled.wait()
            await gateway.pipeline.close()
        copies = [usage for usage in gateway.recorder.usages if usage.operation == "CopyObject"]
        assert [usage.aborted for usage in copies] == [True]
