"""Objects through the S3 frontend: reads, writes, their headers, and what is refused."""

import base64
import hashlib

import pytest

from bridge_node import checksums
from bridge_node.protocols.s3.sigv4 import (
    STREAMING_SIGNED,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
)
from tests.conformance.frontends.harness import Gateway


def checksum(algorithm: str, data: bytes) -> str:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return checksums.encoded(hasher)


# --- keys ----------------------------------------------------------------------------------------------------------

KEYS = [
    "/photos/plain",
    "/photos/a%20b%2Bc%25",
    "/photos/a+b",
    "/photos//lead//double/",
    "/photos/dir/",
    "/photos/./a/../b",
    "/photos/a%2Fb",
    "/photos/%C3%A9-nfc",
    "/photos/e%CC%81-nfd",
    "/photos/%00%01%7F",
    "/photos/?",
    "/photos/%F0%9F%98%80" + "x" * 1000,
]


@pytest.mark.parametrize("target", [target for target in KEYS if not target.endswith("?")])
async def test_every_key_comes_back_as_it_was_given(gateway: Gateway, target: str) -> None:
    await gateway.put(target, target.encode())
    assert (await gateway.call("GET", target)).body == target.encode()
    listed = await gateway.call("GET", "/photos?list-type=2&encoding-type=url")
    assert listed.element("KeyCount") == "1"


async def test_keys_that_differ_in_their_form_are_different(gateway: Gateway) -> None:
    targets = ["/photos/a", "/photos//a", "/photos/a/", "/photos/./a", "/photos/%C3%A9", "/photos/e%CC%81"]
    for target in targets:
        await gateway.put(target, target.encode())
    for target in targets:
        assert (await gateway.call("GET", target)).body == target.encode()


async def test_a_key_above_1024_bytes_is_refused(gateway: Gateway) -> None:
    assert (await gateway.call("PUT", "/photos/" + "%C3%A9" * 512, b"")).status == 200
    answer = await gateway.call("PUT", "/photos/" + "%C3%A9" * 512 + "x", b"")
    assert (answer.status, answer.code) == (400, "KeyTooLongError")


async def test_a_key_that_is_not_utf8_is_refused(gateway: Gateway) -> None:
    answer = await gateway.call("PUT", "/photos/%FF", b"")
    assert answer.status == 400


# --- what is kept --------------------------------------------------------------------------------------------------


async def test_content_headers_and_metadata_are_kept(gateway: Gateway) -> None:
    said = {
        "content-type": "text/plain; charset=utf-8",
        "cache-control": "max-age=60",
        "content-disposition": 'attachment; filename="x"',
        "content-encoding": "gzip",
        "content-language": "de",
        "expires": "Thu, 01 Dec 2033 16:00:00 GMT",
        "x-amz-meta-colour": "blaugr\xfcn",
        "x-amz-meta-mixed": "Case Kept  inside",
    }
    await gateway.call("PUT", "/photos/k", b"x", headers=list(said.items()))
    for method in ("GET", "HEAD"):
        answer = await gateway.call(method, "/photos/k")
        assert {name: answer.headers[name] for name in said} == said


async def test_an_object_without_a_content_type_is_binary(gateway: Gateway) -> None:
    await gateway.put("/photos/k")
    assert (await gateway.call("GET", "/photos/k")).headers["content-type"] == "binary/octet-stream"


@pytest.mark.parametrize(
    ("sent", "kept"), [("aws-chunked", None), ("aws-chunked,gzip", "gzip"), ("gzip, aws-chunked", "gzip")]
)
async def test_only_the_transfers_own_coding_is_taken_off(gateway: Gateway, sent: str, kept: str | None) -> None:
    await gateway.call("PUT", "/photos/k", b"x", headers=[("Content-Encoding", sent)])
    assert (await gateway.call("HEAD", "/photos/k")).headers.get("content-encoding") == kept


async def test_metadata_ends_at_2_kb(gateway: Gateway) -> None:
    fits = [("x-amz-meta-a", "x" * 2047)]
    assert (await gateway.call("PUT", "/photos/k", b"", headers=fits)).status == 200
    answer = await gateway.call("PUT", "/photos/k", b"", headers=[("x-amz-meta-a", "x" * 2048)])
    assert (answer.status, answer.code) == (400, "MetadataTooLarge")


async def test_every_answer_has_a_request_id_of_its_own(gateway: Gateway) -> None:
    ids = {(await gateway.call(method, "/photos/k")).headers["x-amz-request-id"] for method in ("GET", "HEAD", "GET")}
    assert len(ids) == 3
    missing = await gateway.call("GET", "/photos/k")
    assert missing.element("RequestId") == missing.headers["x-amz-request-id"]
    assert missing.element("Resource") == "/photos/k"
    assert missing.element("Key") == "k"


# --- bodies --------------------------------------------------------------------------------------------------------


async def test_an_empty_object_is_an_object(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"")
    got = await gateway.call("GET", "/photos/k")
    assert (got.status, got.body, got.headers["content-length"]) == (200, b"", "0")


async def test_a_put_without_a_length_is_refused(gateway: Gateway) -> None:
    for headers in ([], [("Transfer-Encoding", "chunked")]):
        answer = await gateway.call("PUT", "/photos/k", headers=headers, payload_hash=UNSIGNED_PAYLOAD)
        assert (answer.status, answer.code) == (411, "MissingContentLength")


async def test_a_chunked_transfer_is_taken_when_the_decoded_length_is_known(gateway: Gateway) -> None:
    body = b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:" + checksum("crc32", b"hello").encode() + b"\r\n\r\n"
    framed = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    headers = [
        ("Transfer-Encoding", "chunked"),
        ("x-amz-decoded-content-length", "5"),
        ("x-amz-trailer", "x-amz-checksum-crc32"),
    ]
    answer = await gateway.call("PUT", "/photos/k", framed, headers=headers, payload_hash=STREAMING_UNSIGNED_TRAILER)
    assert answer.status == 200, answer
    assert (await gateway.call("GET", "/photos/k")).body == b"hello"


async def test_the_decoded_length_is_needed_for_chunks(gateway: Gateway) -> None:
    answer = await gateway.call("PUT", "/photos/k", b"0\r\n\r\n", payload_hash=STREAMING_UNSIGNED_TRAILER)
    assert (answer.status, answer.code) == (411, "MissingContentLength")


@pytest.mark.parametrize("data", [b"hello", b""])
async def test_a_wrong_trailer_leaves_the_old_object(gateway: Gateway, data: bytes) -> None:
    await gateway.put("/photos/k", b"old")
    chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
    body = chunk + b"0\r\nx-amz-checksum-crc32c:AAAAAQ==\r\n\r\n"
    headers = [("x-amz-decoded-content-length", str(len(data))), ("x-amz-trailer", "x-amz-checksum-crc32c")]
    answer = await gateway.call("PUT", "/photos/k", body, headers=headers, payload_hash=STREAMING_UNSIGNED_TRAILER)
    assert (answer.status, answer.code) == (400, "BadDigest")
    assert (await gateway.call("GET", "/photos/k")).body == b"old"


async def test_a_chunk_with_a_wrong_signature_leaves_the_old_object(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"old")
    body = b"5;chunk-signature=" + b"0" * 64 + b"\r\nhello\r\n0;chunk-signature=" + b"0" * 64 + b"\r\n\r\n"
    headers = [("x-amz-decoded-content-length", "5")]
    answer = await gateway.call("PUT", "/photos/k", body, headers=headers, payload_hash=STREAMING_SIGNED)
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert (await gateway.call("GET", "/photos/k")).body == b"old"


@pytest.mark.parametrize("algorithm", sorted(checksums.ALGORITHMS))
async def test_a_declared_checksum_is_verified_kept_and_told(gateway: Gateway, algorithm: str) -> None:
    name, right = f"x-amz-checksum-{algorithm}", checksum(algorithm, b"data")
    wrong = await gateway.call("PUT", "/photos/k", b"data", headers=[(name, checksum(algorithm, b"other"))])
    assert (wrong.status, wrong.code) == (400, "BadDigest")
    put = await gateway.call("PUT", "/photos/k", b"data", headers=[(name, right)])
    assert (put.status, put.headers[name]) == (200, right)
    asked = await gateway.call("GET", "/photos/k", headers=[("x-amz-checksum-mode", "ENABLED")])
    assert (asked.headers[name], asked.headers["x-amz-checksum-type"]) == (right, "FULL_OBJECT")
    assert name not in (await gateway.call("GET", "/photos/k")).headers


async def test_a_part_of_an_object_does_not_carry_the_checksum_of_the_whole(gateway: Gateway) -> None:
    name = "x-amz-checksum-crc32"
    await gateway.call("PUT", "/photos/k", b"data", headers=[(name, checksum("crc32", b"data"))])
    headers = [("x-amz-checksum-mode", "ENABLED"), ("Range", "bytes=0-1")]
    answer = await gateway.call("GET", "/photos/k", headers=headers)
    assert answer.status == 206
    assert name not in answer.headers


async def test_content_md5_is_verified(gateway: Gateway) -> None:
    right = base64.b64encode(hashlib.md5(b"data").digest()).decode()  # noqa: S324 - the protocol's digest
    assert (await gateway.call("PUT", "/photos/k", b"data", headers=[("Content-MD5", right)])).status == 200
    wrong = base64.b64encode(bytes(16)).decode()
    assert (await gateway.call("PUT", "/photos/k", b"data", headers=[("Content-MD5", wrong)])).code == "BadDigest"
    assert (await gateway.call("PUT", "/photos/k", b"data", headers=[("Content-MD5", "x")])).code == "InvalidDigest"


async def test_a_put_above_5_gib_is_refused_unread(gateway: Gateway) -> None:
    headers = [("Content-Length", str(5 * 1024**3 + 1)), ("Expect", "100-continue")]
    answer = await gateway.call("PUT", "/photos/k", headers=headers, payload_hash=UNSIGNED_PAYLOAD)
    assert (answer.status, answer.code) == (400, "EntityTooLarge")
    assert answer.element("MaxSizeAllowed") == str(5 * 1024**3)


async def test_a_refused_put_uploads_nothing(gateway: Gateway) -> None:
    headers = [("Content-Length", "1000000"), ("Expect", "100-continue")]
    answer = await gateway.call("PUT", "/photos/k", headers=headers, payload_hash=UNSIGNED_PAYLOAD, key="READER")
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert gateway.usage.received == 0


# --- ranges --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "body", "content_range"),
    [
        ("bytes=2-4", b"234", "bytes 2-4/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-3", b"789", "bytes 7-9/10"),
        ("bytes=-30", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-500", b"56789", "bytes 5-9/10"),
        ("bytes=0-9", b"0123456789", "bytes 0-9/10"),
    ],
)
async def test_a_range_is_answered_with_206(gateway: Gateway, asked: str, body: bytes, content_range: str) -> None:
    await gateway.put("/photos/k", b"0123456789")
    answer = await gateway.call("GET", "/photos/k", headers=[("Range", asked)])
    assert (answer.status, answer.body, answer.headers["content-range"]) == (206, body, content_range)
    head = await gateway.call("HEAD", "/photos/k", headers=[("Range", asked)])
    assert (head.status, head.headers["content-length"]) == (206, str(len(body)))


@pytest.mark.parametrize("asked", ["bytes=4-2", "bytes=0-1,3-4", "lines=1-2", "bytes=", "bytes=a-b"])
async def test_a_range_that_is_none_is_ignored(gateway: Gateway, asked: str) -> None:
    await gateway.put("/photos/k", b"0123456789")
    answer = await gateway.call("GET", "/photos/k", headers=[("Range", asked)])
    assert (answer.status, answer.body) == (200, b"0123456789")


@pytest.mark.parametrize(("data", "asked"), [(b"0123456789", "bytes=10-"), (b"", "bytes=0-"), (b"x", "bytes=-0")])
async def test_a_range_beyond_the_end_is_416(gateway: Gateway, data: bytes, asked: str) -> None:
    await gateway.put("/photos/k", data)
    answer = await gateway.call("GET", "/photos/k", headers=[("Range", asked)])
    assert (answer.status, answer.code) == (416, "InvalidRange")
    assert answer.headers["content-range"] == f"bytes */{len(data)}"


@pytest.mark.parametrize(
    ("version", "asked", "status"),
    [
        ("{etag}", "bytes=1-2", 206),
        ("{modified}", "bytes=1-2", 206),
        ('"other"', "bytes=1-2", 200),
        ('W/"weak"', "bytes=1-2", 200),
        ("garbage", "bytes=1-2", 200),
        ("Mon, 01 Jan 2001 00:00:00 GMT", "bytes=1-2", 200),
        ("{etag}", "bytes=10-", 416),
        ('"other"', "bytes=10-", 200),
    ],
)
async def test_a_range_of_another_version_is_the_whole_object(
    gateway: Gateway, version: str, asked: str, status: int
) -> None:
    await gateway.put("/photos/k", b"0123456789")
    head = (await gateway.call("HEAD", "/photos/k")).headers
    version = version.replace("{etag}", head["etag"]).replace("{modified}", head["last-modified"])
    answer = await gateway.call("GET", "/photos/k", headers=[("Range", asked), ("If-Range", version)])
    assert answer.status == status
    if status != 416:
        assert answer.body == (b"12" if status == 206 else b"0123456789")


async def test_part_1_of_an_object_that_has_no_parts_is_all_of_it(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"0123456789")
    answer = await gateway.call("GET", "/photos/k?partNumber=1")
    assert (answer.status, answer.headers["content-range"]) == (206, "bytes 0-9/10")


@pytest.mark.parametrize("number", ["0", "10001", "x", "-1", ""])
async def test_a_part_number_is_1_to_10000(gateway: Gateway, number: str) -> None:
    await gateway.put("/photos/k")
    assert (await gateway.call("GET", f"/photos/k?partNumber={number}")).code == "InvalidArgument"


async def test_a_part_and_a_range_contradict_each_other(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/photos/k?partNumber=1", headers=[("Range", "bytes=0-1")])
    assert (answer.status, answer.code) == (400, "InvalidRequest")


# --- conditions ----------------------------------------------------------------------------------------------------

OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.mark.parametrize(
    ("conditions", "status"),
    [
        ([("If-Match", "{etag}")], 200),
        ([("If-Match", "*")], 200),
        ([("If-Match", '"other"')], 412),
        ([("If-None-Match", "{etag}")], 304),
        ([("If-None-Match", "*")], 304),
        ([("If-None-Match", '"other"')], 200),
        ([("If-Modified-Since", OLD)], 200),
        ([("If-Unmodified-Since", OLD)], 412),
        ([("If-Match", "{etag}"), ("If-Unmodified-Since", OLD)], 200),
        ([("If-None-Match", '"other"'), ("If-Modified-Since", NEW)], 200),
        ([("If-Match", '"other"'), ("If-None-Match", "{etag}")], 412),
    ],
)
async def test_conditions_of_a_read_hold_in_the_order_of_rfc_9110(
    gateway: Gateway, conditions: list[tuple[str, str]], status: int
) -> None:
    etag = (await gateway.put("/photos/k")).headers["etag"]
    headers = [(name, value.replace("{etag}", etag)) for name, value in conditions]
    for method in ("GET", "HEAD"):
        answer = await gateway.call(method, "/photos/k", headers=headers)
        assert answer.status == status
        if status == 304:
            assert (answer.headers["etag"], answer.body) == (etag, b"")


async def test_if_none_match_any_puts_once(gateway: Gateway) -> None:
    condition = [("If-None-Match", "*")]
    assert (await gateway.call("PUT", "/photos/k", b"one", headers=condition)).status == 200
    again = await gateway.call("PUT", "/photos/k", b"two", headers=condition)
    assert (again.status, again.code) == (412, "PreconditionFailed")
    assert (await gateway.call("GET", "/photos/k")).body == b"one"


async def test_if_match_puts_over_what_it_names(gateway: Gateway) -> None:
    etag = (await gateway.put("/photos/k", b"one")).headers["etag"]
    assert (await gateway.call("PUT", "/photos/k", b"two", headers=[("If-Match", etag)])).status == 200
    assert (await gateway.call("PUT", "/photos/k", b"three", headers=[("If-Match", etag)])).status == 412
    assert (await gateway.call("DELETE", "/photos/k", headers=[("If-Match", etag)])).status == 412
    assert (await gateway.call("GET", "/photos/k")).body == b"two"


@pytest.mark.parametrize(
    "condition", [("If-None-Match", '"tag"'), ("If-Modified-Since", OLD), ("If-Unmodified-Since", NEW)]
)
async def test_conditions_that_s3_does_not_know_for_writes_are_refused(
    gateway: Gateway, condition: tuple[str, str]
) -> None:
    answer = await gateway.call("PUT", "/photos/k", b"x", headers=[condition])
    assert (answer.status, answer.code) == (501, "NotImplemented")


# --- overrides, versions, deletes ----------------------------------------------------------------------------------


async def test_a_signed_request_may_replace_headers_of_the_answer(gateway: Gateway) -> None:
    await gateway.put("/photos/k")
    query = "response-content-type=text%2Fplain&response-content-disposition=attachment%3B%20filename%3Dx"
    for answer in (
        await gateway.call("GET", f"/photos/k?{query}"),
        await gateway.plain("GET", gateway.presigned("GET", f"/photos/k?{query}")),
    ):
        assert answer.headers["content-type"] == "text/plain"
        assert answer.headers["content-disposition"] == "attachment; filename=x"


@pytest.mark.parametrize("value", ["a%0D%0ASet-Cookie:%20x", "a%00", "%E2%82%AC"])
async def test_a_replaced_header_cannot_break_out_of_its_line(gateway: Gateway, value: str) -> None:
    await gateway.put("/photos/k")
    answer = await gateway.call("GET", f"/photos/k?response-content-type={value}")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


async def test_without_versions_only_null_is_known(gateway: Gateway) -> None:
    await gateway.put("/photos/k")
    assert (await gateway.call("GET", "/photos/k?versionId=null")).status == 200
    assert (await gateway.call("GET", "/photos/k?versionId=other")).code == "NoSuchVersion"
    assert (await gateway.call("GET", "/photos/k?versionId=")).code == "InvalidArgument"
    assert (await gateway.call("DELETE", "/photos/k?versionId=other")).status != 204
    assert (await gateway.call("HEAD", "/photos/k")).status == 200


async def test_a_delete_answers_204_whether_or_not_the_key_was_there(gateway: Gateway) -> None:
    await gateway.put("/photos/k")
    assert [(await gateway.call("DELETE", "/photos/k")).status for _ in range(2)] == [204, 204]
    assert (await gateway.call("GET", "/photos/k")).code == "NoSuchKey"


async def test_an_error_of_a_head_has_no_body(gateway: Gateway) -> None:
    raw = await gateway.call("HEAD", "/photos/missing")
    assert (raw.status, raw.body) == (404, b"")
    assert "x-amz-request-id" in raw.headers


async def test_attributes_are_told_by_name(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"12345")
    answer = await gateway.call("GET", "/photos/k?attributes", headers=[("x-amz-object-attributes", "ETag,ObjectSize")])
    assert (answer.element("ObjectSize"), answer.element("StorageClass")) == ("5", "")
    for wrong in ("", "Colour"):
        headers = [("x-amz-object-attributes", wrong)]
        assert (await gateway.call("GET", "/photos/k?attributes", headers=headers)).code == "InvalidArgument"


# --- what would be a broken promise --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-acl", "public-read"),
        ("x-amz-grant-read", "id=x"),
        ("x-amz-storage-class", "GLACIER"),
        ("x-amz-tagging", "a=b"),
        ("x-amz-server-side-encryption", "AES256"),
        ("x-amz-server-side-encryption", "aws:kms"),
        ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
        ("x-amz-object-lock-mode", "COMPLIANCE"),
        ("x-amz-object-lock-legal-hold", "ON"),
        ("x-amz-website-redirect-location", "/x"),
        ("x-amz-write-offset-bytes", "5"),
        ("x-amz-expected-bucket-owner", "123456789012"),
        ("x-amz-security-token", "token"),
        ("x-amz-something-new", "1"),
    ],
)
async def test_a_header_that_asks_for_more_is_refused(gateway: Gateway, name: str, value: str) -> None:
    answer = await gateway.call("PUT", "/photos/k", b"x", headers=[(name, value)])
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert (await gateway.call("GET", "/photos/k")).status == 404


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("x-amz-acl", "private"),
        ("x-amz-acl", "bucket-owner-full-control"),
        ("x-amz-storage-class", "STANDARD"),
        ("x-amz-tagging", ""),
        ("x-amz-request-payer", "requester"),
    ],
)
async def test_a_header_that_names_the_default_is_accepted(gateway: Gateway, name: str, value: str) -> None:
    assert (await gateway.call("PUT", "/photos/k", b"x", headers=[(name, value)])).status == 200
