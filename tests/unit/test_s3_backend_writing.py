"""Writes of the S3 backend: acknowledged by digest, refused without a trace, unknown only where nobody can know."""

import asyncio
import base64
import hashlib
from dataclasses import replace

import pytest

from bridge_node import checksums
from bridge_node.body import BytesSource
from bridge_node.errors import (
    BackendBusy,
    BackendFailure,
    BackendMisbehaved,
    BadDigest,
    ConcurrentChange,
    IncompleteBody,
    InvalidPartOrder,
    InvalidRequest,
    NoSuchUpload,
    NotSupported,
    OutcomeUnknown,
    PreconditionFailed,
    StoredWrongly,
)
from bridge_node.objects import Checksum, Conditions, Deleted, DeleteFailure, Receipt
from bridge_node.operations import (
    AbortUpload,
    CommitUpload,
    CopyObject,
    CopySource,
    DeleteObject,
    DeleteObjects,
    ListParts,
    OpenUpload,
    PutObject,
    StageCopy,
    StagePart,
)
from tests.peers import ok
from tests.unit.s3_store import Asked, bare, error, store, stored
from tests.unit.transports import PushedSource

SMALL = b"0123456789"
LARGE = bytes(range(256)) * 5000
CLOSE = "Connection: close"
LOST = b""


def digest(data: bytes, algorithm: str) -> str:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return checksums.encoded(hasher)


def md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def put(data: bytes, **options: object) -> PutObject:
    return replace(PutObject("b", "k", BytesSource(data)), **options)  # type: ignore[arg-type]  # fields of the test's


# --- one write -------------------------------------------------------------------------------------------------------


async def test_a_small_object_goes_with_its_digest_in_the_head() -> None:
    op = put(SMALL, content={"content-type": "text/plain"}, metadata={"colour": "blue"})
    async with store(stored(md5(SMALL), "x-amz-version-id: v1")) as it:
        done = await it.backend.put_object("bucket", op)
        asked = it.asked[0]
        assert (asked.body, asked.headers["x-amz-checksum-crc32c"]) == (SMALL, digest(SMALL, "crc32c"))
        assert (asked.headers["content-type"], asked.headers["x-amz-meta-colour"]) == ("text/plain", "blue")
        assert asked.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"
        assert (done.etag, done.pin, done.version_id, done.size) == (md5(SMALL), md5(SMALL), "v1", 10)
        assert done.checksum == Checksum("crc32c", digest(SMALL, "crc32c"))


@pytest.mark.parametrize("algorithm", ["crc32c", "crc64nvme"])
async def test_a_large_object_is_followed_by_its_digest(algorithm: str) -> None:
    async with store(stored(md5(LARGE)), checksum=algorithm) as it:
        await it.backend.put_object("bucket", put(LARGE))
        asked = it.asked[0]
        assert asked.headers["x-amz-content-sha256"] == "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
        assert asked.headers["x-amz-decoded-content-length"] == str(len(LARGE))
        assert asked.headers["x-amz-trailer"] == f"x-amz-checksum-{algorithm}"
        assert asked.body.endswith(f"0\r\nx-amz-checksum-{algorithm}:{digest(LARGE, algorithm)}\r\n\r\n".encode())


@pytest.mark.parametrize(("policy", "header"), [("md5", "content-md5"), ("none", None)])
async def test_stores_without_trailers_get_none(policy: str, header: str | None) -> None:
    async with store(stored(md5(SMALL)), stored(md5(LARGE)), checksum=policy) as it:
        await it.backend.put_object("bucket", put(SMALL, checksum_algorithm="sha256"))
        await it.backend.put_object("bucket", put(LARGE, checksum_algorithm="sha256"))
        assert [one.body for one in it.asked] == [SMALL, LARGE]
        assert {one.headers["x-amz-content-sha256"] for one in it.asked} == {"UNSIGNED-PAYLOAD"}
        assert (it.asked[0].headers.get("content-md5") is not None) == (header is not None)


async def test_what_the_client_declared_is_passed_on() -> None:
    declared = Checksum("sha256", digest(LARGE, "sha256"))
    content_md5 = base64.b64encode(bytes.fromhex(md5(LARGE))).decode()
    async with store(stored(md5(LARGE)), stored(md5(LARGE)), stored(md5(LARGE))) as it:
        await it.backend.put_object("bucket", put(LARGE, checksum=declared, checksum_algorithm="sha256"))
        await it.backend.put_object("bucket", put(LARGE, md5=content_md5))
        await it.backend.put_object("bucket", put(LARGE, checksum_algorithm="sha1"))
        first, second, third = it.asked
        assert (first.headers["x-amz-checksum-sha256"], first.body) == (declared.value, LARGE)
        assert (second.headers["content-md5"], second.body) == (content_md5, LARGE)
        assert third.headers["x-amz-trailer"] == "x-amz-checksum-sha1"


@pytest.mark.parametrize("code", ["BadDigest", "XAmzContentChecksumMismatch"])
async def test_a_digest_that_the_client_declared_wrongly_is_the_clients_fault(code: str) -> None:
    async with store(error(400, code), error(400, code)) as it:
        with pytest.raises(BadDigest):
            await it.backend.put_object("bucket", put(SMALL, md5="AAAAAAAAAAAAAAAAAAAAAA=="))
        with pytest.raises(BackendMisbehaved):  # our own digest: the way between us and the store is at fault
            await it.backend.put_object("bucket", put(SMALL))


@pytest.mark.parametrize("conditions", [Conditions(if_none_match=("*",)), Conditions(if_match=("e",))])
async def test_conditions_are_the_stores_own(conditions: Conditions) -> None:
    async with store(error(412, "PreconditionFailed"), error(409, "ConditionalRequestConflict")) as it:
        with pytest.raises(PreconditionFailed):
            await it.backend.put_object("bucket", put(SMALL, conditions=conditions))
        with pytest.raises(ConcurrentChange):
            await it.backend.put_object("bucket", put(SMALL, conditions=conditions))
        headers = it.asked[0].headers
        assert headers.get("if-none-match", "") + headers.get("if-match", "") in {"*", '"e"'}


async def test_conditions_that_s3_does_not_decide_are_refused() -> None:
    async with store() as it:
        source = PushedSource(3)
        op = replace(put(b""), source=source, conditions=Conditions(if_unmodified_since=1.0))
        with pytest.raises(NotSupported):
            await it.backend.put_object("bucket", op)
        assert source.aborted
        with pytest.raises(NotSupported):
            await it.backend.delete_object("bucket", DeleteObject("b", "k", conditions=Conditions(("e",))))
        copy = CopyObject("b", "k", CopySource("b", "s"), conditions=Conditions(("e",)))
        with pytest.raises(NotSupported):
            await it.backend.copy_object("bucket", copy, "bucket")


# --- promise 1 -------------------------------------------------------------------------------------------------------


async def test_a_version_with_other_bytes_is_removed_and_only_that() -> None:
    wrong = stored(md5(SMALL), "x-amz-version-id: v1", "x-amz-checksum-crc32c: AAAAAA==")
    async with store(wrong, ok(b"", status=204)) as it:
        with pytest.raises(StoredWrongly):
            await it.backend.put_object("bucket", put(SMALL))
        assert it.lines == ["PUT /bucket/k", "DELETE /bucket/k?versionId=v1"]


async def test_without_versions_other_bytes_are_removed_while_they_are_what_is_there() -> None:
    wrong = stored(md5(b"other"))
    async with store(wrong, bare(200, "Content-Length: 5", f'ETag: "{md5(b"other")}"'), ok(b""), checksum="md5") as it:
        with pytest.raises(StoredWrongly):
            await it.backend.put_object("bucket", put(LARGE))
        assert it.lines == ["PUT /bucket/k", "HEAD /bucket/k", "DELETE /bucket/k"]
        assert it.asked[2].headers["if-match"] == f'"{md5(b"other")}"'
    async with store(wrong, bare(200, "Content-Length: 5", 'ETag: "someone-elses"'), checksum="md5") as it:
        with pytest.raises(StoredWrongly):
            await it.backend.put_object("bucket", put(LARGE))


async def test_an_etag_that_is_no_md5_is_not_compared() -> None:
    kms = stored(md5(b"encrypted"), "x-amz-server-side-encryption: aws:kms")
    async with store(kms, stored("not-md5"), checksum="md5") as it:
        await it.backend.put_object("bucket", put(LARGE))
        await it.backend.put_object("bucket", put(SMALL))


async def test_a_part_with_other_bytes_is_no_part() -> None:
    async with store(stored("e", "x-amz-checksum-crc32c: AAAAAA==")) as it:
        with pytest.raises(StoredWrongly):
            await it.backend.stage_part("bucket", StagePart("b", "k", "u", 1, BytesSource(SMALL)))


# --- promises 2, 3 and 5 ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [10, 200_000])
async def test_a_body_that_fails_stores_nothing(size: int) -> None:
    async with store() as it:
        source = PushedSource(size)
        source.push(bytes(size // 2))
        writing = asyncio.ensure_future(it.backend.put_object("bucket", replace(put(b""), source=source)))
        await asyncio.sleep(0)
        source.push(BadDigest())
        with pytest.raises(BadDigest):
            await writing
        assert source.aborted
        assert it.asked == []


async def test_a_body_that_ends_early_is_incomplete() -> None:
    async with store() as it:
        source = PushedSource(10)
        source.push(b"123")
        source.push(b"")
        with pytest.raises(IncompleteBody):
            await it.backend.put_object("bucket", replace(put(b""), source=source))


async def test_a_lost_answer_to_a_put_is_unknown_and_not_repeated() -> None:
    def lost(asked: Asked) -> bytes:
        return f"HTTP/1.1 200 OK\r\n{CLOSE}".encode()

    async with store(lost) as it:
        with pytest.raises(OutcomeUnknown):
            await it.backend.put_object("bucket", put(SMALL))
        assert it.seen.retries == []


@pytest.mark.parametrize(("answer", "meaning"), [(error(500, "InternalError"), OutcomeUnknown)])
async def test_a_put_that_ended_in_an_internal_error_is_unknown(answer: bytes, meaning: type[Exception]) -> None:
    async with store(answer) as it:
        with pytest.raises(meaning):
            await it.backend.put_object("bucket", put(SMALL))


async def test_a_put_to_a_busy_store_is_not_repeated() -> None:
    async with store(error(503, "SlowDown")) as it:
        with pytest.raises(BackendBusy):
            await it.backend.put_object("bucket", put(SMALL))


async def test_a_put_to_a_bucket_elsewhere_is_not_repeated_but_the_place_is_remembered() -> None:
    moved = error(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1")
    async with store(moved, stored(md5(SMALL))) as it:
        with pytest.raises(BackendFailure):
            await it.backend.put_object("bucket", put(SMALL))
        await it.backend.put_object("bucket", put(SMALL))
        assert [one.region for one in it.asked] == ["us-east-1", "eu-west-1"]


# --- uploads in parts ------------------------------------------------------------------------------------------------

RECEIPTS = (Receipt(1, md5(b"a"), size=1), Receipt(2, md5(b"b"), size=1))
WHOLE = md5(bytes.fromhex(md5(b"a") + md5(b"b"))) + "-2"
COMMIT = CommitUpload("b", "k", "u", RECEIPTS)
COMPLETED = f"<CompleteMultipartUploadResult><ETag>&quot;{WHOLE}&quot;</ETag></CompleteMultipartUploadResult>".encode()


def opened(upload: str = "u+1") -> bytes:
    return ok(f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>".encode())


async def test_an_upload_gets_the_nodes_checksum_unless_the_client_chose_one() -> None:
    async with store(opened(), stored("e"), opened(), stored("e"), stored("e")) as it:
        own = await it.backend.open_upload("bucket", OpenUpload("b", "k"))
        await it.backend.stage_part(
            "bucket", StagePart("b", "k", own, 1, BytesSource(SMALL), checksum_algorithm="crc32")
        )
        chosen = await it.backend.open_upload("bucket", OpenUpload("b", "k", checksum_algorithm="sha256"))
        part = Checksum("sha256", digest(SMALL, "sha256"))
        op = StagePart("b", "k", chosen, 1, BytesSource(SMALL), checksum=part, checksum_algorithm="sha256")
        await it.backend.stage_part("bucket", op)
        await it.backend.stage_part("bucket", StagePart("b", "k", chosen, 2, BytesSource(SMALL)))
        assert own == "u+1"
        first, staged, second, third, fourth = (one.headers for one in it.asked)
        assert (first["x-amz-checksum-algorithm"], first["x-amz-checksum-type"]) == ("CRC32C", "FULL_OBJECT")
        assert staged["x-amz-checksum-crc32c"] == digest(SMALL, "crc32c")
        assert (second["x-amz-checksum-algorithm"], "x-amz-checksum-type" in second) == ("SHA256", False)
        assert third["x-amz-checksum-sha256"] == fourth["x-amz-checksum-sha256"] == part.value
        assert it.lines[1] == "PUT /bucket/k?partNumber=1&uploadId=u%2B1"


async def test_a_commit_names_its_parts_and_what_the_client_demands_of_the_whole() -> None:
    checksum = Checksum("crc64nvme", "AAAAAAAAAAA=")
    op = replace(COMMIT, upload="crc64nvme:u", checksum=checksum, size=2, conditions=Conditions(if_none_match=("*",)))
    async with store(ok(b"  \n <?xml version='1.0'?>" + COMPLETED, "x-amz-version-id: v1")) as it:
        done = await it.backend.commit_upload("bucket", op)
        assert (done.etag, done.version_id, done.size) == (WHOLE, "v1", 2)
        headers = it.asked[0].headers
        assert it.lines == ["POST /bucket/k?uploadId=u"]
        assert (headers["x-amz-checksum-crc64nvme"], headers["x-amz-checksum-type"]) == (checksum.value, "FULL_OBJECT")
        assert (headers["x-amz-mp-object-size"], headers["if-none-match"]) == ("2", "*")
        assert it.asked[0].body.count(b"<Part>") == 2


async def test_a_checksum_that_nobody_could_verify_is_refused() -> None:
    async with store() as it:
        with pytest.raises(InvalidRequest):
            await it.backend.commit_upload("bucket", replace(COMMIT, checksum=Checksum("sha1", "AAAA")))


async def test_parts_out_of_order_are_refused() -> None:
    async with store() as it:
        for receipts in (RECEIPTS[::-1], RECEIPTS[:1] * 2):
            with pytest.raises(InvalidPartOrder):
                await it.backend.commit_upload("bucket", replace(COMMIT, receipts=receipts))


@pytest.mark.parametrize(
    "answer",
    [
        error(500, "InternalError"),
        ok(b"<Error><Code>InternalError</Code><Message>m</Message></Error>"),
        ok(b"<CompleteMultipartUploadResult/>"),
        ok(b"   "),
        f"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n{CLOSE}\r\n\r\n<Comp".encode(),
        f"HTTP/1.1 2\r\n{CLOSE}".encode(),
        error(404, "NoSuchUpload"),
    ],
)
async def test_a_commit_in_doubt_is_success_only_by_proof(answer: bytes) -> None:
    there = bare(200, "Content-Length: 2", f'ETag: "{WHOLE}"', "x-amz-version-id: v1")
    async with store(answer, there) as it:
        done = await it.backend.commit_upload("bucket", COMMIT)
        assert (done.etag, done.version_id, done.size) == (WHOLE, "v1", 2)
    for unproven in (bare(200, "Content-Length: 2", 'ETag: "other"'), bare(500)):
        async with store(answer, unproven, retry_ratio=0.0) as it:
            with pytest.raises((OutcomeUnknown, NoSuchUpload)):
                await it.backend.commit_upload("bucket", COMMIT)


async def test_etags_that_are_no_md5_prove_nothing() -> None:
    receipts = (Receipt(1, "not-md5"),)
    async with store(error(500, "InternalError")) as it:
        with pytest.raises(OutcomeUnknown):
            await it.backend.commit_upload("bucket", replace(COMMIT, receipts=receipts))


async def test_an_upload_that_is_gone_is_no_such_upload() -> None:
    gone = error(404, "NoSuchUpload")
    async with store(gone, gone, gone) as it:
        with pytest.raises(NoSuchUpload):
            await it.backend.abort_upload("bucket", AbortUpload("b", "k", "u"))
        with pytest.raises(NoSuchUpload):
            await it.backend.list_parts("bucket", ListParts("b", "k", "u"))
        with pytest.raises(NoSuchUpload):
            await it.backend.stage_part("bucket", StagePart("b", "k", "u", 1, BytesSource(SMALL)))


# --- copies ----------------------------------------------------------------------------------------------------------

COPIED = b"<CopyObjectResult><ETag>e</ETag><LastModified>2015-10-21T07:28:00.000Z</LastModified></CopyObjectResult>"


async def test_a_copy_is_the_stores_own() -> None:
    source = CopySource("wire", "a b/\xe9", "v 1", Conditions(if_none_match=("x",)))
    async with store(ok(COPIED, "x-amz-version-id: v2")) as it:
        done = await it.backend.copy_object("bucket", CopyObject("b", "k", source), "from")
        assert (done.etag, done.version_id, done.last_modified) == ("e", "v2", 1445412480.0)
        headers = it.asked[0].headers
        assert headers["x-amz-copy-source"] == "/from/a%20b/%C3%A9?versionId=v%201"
        assert headers["x-amz-copy-source-if-none-match"] == '"x"'
        assert "x-amz-metadata-directive" not in headers
        assert headers["content-length"] == "0"


async def test_a_copy_with_other_metadata_keeps_the_content_headers_that_are_not_replaced() -> None:
    head = bare(200, "Content-Length: 1", 'ETag: "e"', "Content-Type: text/plain")
    async with store(head, ok(COPIED)) as it:
        op = CopyObject("b", "k", CopySource("b", "s"), metadata={"colour": "blue"})
        await it.backend.copy_object("bucket", op, "from")
        headers = it.asked[1].headers
        assert headers["x-amz-metadata-directive"] == "REPLACE"
        assert (headers["content-type"], headers["x-amz-meta-colour"]) == ("text/plain", "blue")


async def test_an_error_in_a_200_is_an_error() -> None:
    async with store(ok(b"<Error><Code>SlowDown</Code></Error>"), ok(b"garbage")) as it:
        op = CopyObject("b", "k", CopySource("b", "s"))
        with pytest.raises(BackendBusy):
            await it.backend.copy_object("bucket", op, "from")
        with pytest.raises(OutcomeUnknown):
            await it.backend.copy_object("bucket", op, "from")


async def test_a_source_above_5_gib_is_copied_by_parts_of_one_version() -> None:
    size = 5 * 1024**3 + 1

    def part(asked: Asked) -> bytes:
        assert asked.headers["x-amz-copy-source-if-match"] == '"e"'
        etag = md5(asked.headers["x-amz-copy-source-range"].encode())
        return ok(f"<CopyPartResult><ETag>{etag}</ETag></CopyPartResult>".encode())

    head = bare(200, f"Content-Length: {size}", 'ETag: "e"', "Content-Type: text/plain", "x-amz-meta-a: b")
    async with store(error(400, "InvalidRequest"), head, opened("u"), *[part] * 6, ok(COMPLETED)) as it:
        await it.backend.copy_object("bucket", CopyObject("b", "k", CopySource("b", "s")), "from")
        ranges = sorted(one.headers["x-amz-copy-source-range"] for one in it.asked[3:9])
        assert ranges[0] == "bytes=0-1073741823"
        assert ranges[-1] == f"bytes={size - 1}-{size - 1}"
        assert (it.asked[2].headers["content-type"], it.asked[2].headers["x-amz-meta-a"]) == ("text/plain", "b")


async def test_a_copy_by_parts_that_fails_leaves_no_upload() -> None:
    size = 5 * 1024**3 + 1
    head = bare(200, f"Content-Length: {size}", 'ETag: "e"')
    changed = error(412, "PreconditionFailed")
    answers = [error(400, "EntityTooLarge"), head, opened("u"), *[changed] * 4, ok(b"", status=204)]
    async with store(*answers) as it:
        with pytest.raises(PreconditionFailed):
            await it.backend.copy_object("bucket", CopyObject("b", "k", CopySource("b", "s")), "from")
        assert it.lines[-1] == "DELETE /bucket/k?uploadId=u"


async def test_a_part_may_be_copied() -> None:
    answer = ok(b"<CopyPartResult><ETag>e</ETag><LastModified>2015-10-21T07:28:00.000Z</LastModified></CopyPartResult>")
    async with store(answer) as it:
        op = StageCopy("b", "k", "u", 3, CopySource("b", "s"))
        receipt, modified = await it.backend.stage_copy("bucket", op, "from")
        assert (receipt.label, receipt.etag, modified) == (3, "e", 1445412480.0)
        assert it.lines == ["PUT /bucket/k?partNumber=3&uploadId=u"]


# --- deletes ---------------------------------------------------------------------------------------------------------


async def test_a_delete_tells_of_its_marker() -> None:
    marker = ok(b"", "x-amz-delete-marker: true", "x-amz-version-id: v2", status=204)
    async with store(marker, marker, error(404, "NoSuchKey")) as it:
        assert await it.backend.delete_object("bucket", DeleteObject("b", "k")) == Deleted("k", None, True, "v2")
        removed = await it.backend.delete_object("bucket", DeleteObject("b", "k", version_id="v2"))
        assert removed == Deleted("k", "v2", True, "v2")
        assert await it.backend.delete_object("bucket", DeleteObject("b", "gone")) == Deleted("gone")


async def test_many_deletes_are_one_request_with_an_outcome_each() -> None:
    answer = ok(
        b"<DeleteResult><Deleted><Key>a</Key></Deleted>"
        b"<Error><Key>b</Key><Code>AccessDenied</Code><Message>m</Message></Error></DeleteResult>"
    )
    items = tuple(DeleteObject("b", key) for key in ("a", "b", "\x01", "c"))
    async with store(answer, ok(b"", status=204)) as it:
        outcomes = await it.backend.delete_objects("bucket", DeleteObjects("b", items))
        assert [type(one) for one in outcomes] == [Deleted, DeleteFailure, Deleted, DeleteFailure]
        assert [one.key for one in outcomes] == ["a", "b", "\x01", "c"]
        assert it.lines == ["POST /bucket?delete=", "DELETE /bucket/%01"]
        body, headers = it.asked[0].body, it.asked[0].headers
        assert headers["content-md5"] == digest(body, "md5")
        assert headers["x-amz-checksum-crc32c"] == digest(body, "crc32c")


async def test_a_lost_answer_to_many_deletes_is_unknown() -> None:
    async with store(ok(b"garbage")) as it:
        with pytest.raises(OutcomeUnknown):
            await it.backend.delete_objects("bucket", DeleteObjects("b", (DeleteObject("b", "a"),)))


async def test_a_bucket_is_made_in_the_accounts_region() -> None:
    async with store(ok(), ok(), region="eu-west-1") as it:
        await it.backend.create_bucket("bucket")
        await it.backend.delete_bucket("bucket")
        assert b"<LocationConstraint>eu-west-1</LocationConstraint>" in it.asked[0].body
        assert it.lines == ["PUT /bucket", "DELETE /bucket"]
