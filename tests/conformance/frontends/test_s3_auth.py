"""Who gets in: every form of Signature Version 4, and every way to get it wrong."""

import hashlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer, amz_date
from bridge_node.settings import Gateway as GatewaySettings
from bridge_node.settings import Limits, S3Settings
from tests.conformance.frontends.harness import (
    REGION,
    SECRET,
    Answer,
    Gateway,
    raw_request,
    running,
)

Fields = list[tuple[str, str]]


async def stored(gateway: Gateway, target: str = "/photos/k") -> bytes | None:
    answer = await gateway.call("GET", target)
    return answer.body if answer.status == 200 else None


def signed(gateway: Gateway, method: str, target: str, body: bytes = b"", *, host: str | None = None) -> Fields:
    path, _, query = target.partition("?")
    fields = [("Host", host or gateway.host)]
    return Signer("WRITER", SECRET, REGION).sign(
        method, path, query, fields, hashlib.sha256(body).hexdigest(), gateway.clock()
    )


# --- tampering -----------------------------------------------------------------------------------------------------


def changed(name: str, change: Callable[[str], str]) -> Callable[[Fields], Fields]:
    return lambda fields: [(field, change(value) if field.lower() == name else value) for field, value in fields]


@pytest.mark.parametrize(
    "tamper",
    [
        changed("authorization", lambda value: value[:-1] + ("0" if value[-1] != "0" else "1")),
        changed("authorization", lambda value: value.replace("Signature=", "Signature=" + "0" * 63 + "/")[:-64]),
        changed("host", lambda value: "elsewhere.example"),
        changed("x-amz-content-sha256", lambda value: UNSIGNED_PAYLOAD),
        changed("x-amz-date", lambda value: value[:-2] + ("0Z" if value[-2] != "0" else "1Z")),
    ],
    ids=["signature", "form of signature", "host", "payload hash", "date"],
)
async def test_a_changed_head_is_refused_and_stores_nothing(
    gateway: Gateway, tamper: Callable[[Fields], Fields]
) -> None:
    fields = tamper(signed(gateway, "PUT", "/photos/k", b"new"))
    answer = await gateway.send(raw_request("PUT", "/photos/k", fields, b"new"))
    assert answer.status in {400, 403}
    assert answer.code in {"SignatureDoesNotMatch", "AuthorizationHeaderMalformed"}
    assert await stored(gateway) is None


@pytest.mark.parametrize(
    ("signed_as", "sent_as"),
    [
        (("GET", "/photos/a"), ("GET", "/photos/b")),
        (("GET", "/photos/a"), ("HEAD", "/photos/a")),
        (("GET", "/photos/a"), ("DELETE", "/photos/a")),
        (("GET", "/photos/a"), ("GET", "/photos//a")),
        (("GET", "/photos/a"), ("GET", "/photos/./a")),
        (("GET", "/photos/a/b"), ("GET", "/photos/a%2Fb")),
        (("GET", "/photos/a"), ("GET", "/photos/a?versionId=1")),
        (("GET", "/photos?prefix=a"), ("GET", "/photos?prefix=b")),
        (("GET", "/photos?prefix=a"), ("GET", "/photos?prefix=a&prefix=b")),
        (("DELETE", "/photos/a?uploadId=u"), ("DELETE", "/photos/a")),
    ],
)
async def test_a_signature_is_good_for_one_method_path_and_query(
    gateway: Gateway, signed_as: tuple[str, str], sent_as: tuple[str, str]
) -> None:
    answer = await gateway.send(raw_request(*sent_as, signed(gateway, *signed_as), None))
    assert answer.status == 403
    if sent_as[0] != "HEAD":
        assert answer.code == "SignatureDoesNotMatch"


async def test_another_body_than_the_signed_one_is_refused_and_leaves_the_old_object(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"old content")
    fields = signed(gateway, "PUT", "/photos/k", b"new content")
    answer = await gateway.send(raw_request("PUT", "/photos/k", fields, b"bad content"))
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert await stored(gateway) == b"old content"


async def test_an_empty_body_instead_of_the_signed_one_leaves_the_old_object(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"old content")
    fields = signed(gateway, "PUT", "/photos/k", b"new content")
    answer = await gateway.send(raw_request("PUT", "/photos/k", fields, b""))
    assert (answer.status, answer.code) == (400, "XAmzContentSHA256Mismatch")
    assert await stored(gateway) == b"old content"


async def test_an_amz_header_that_is_not_signed_is_refused(gateway: Gateway) -> None:
    fields = [*signed(gateway, "PUT", "/photos/k", b"x"), ("x-amz-meta-planted", "1")]
    answer = await gateway.send(raw_request("PUT", "/photos/k", fields, b"x"))
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert answer.element("HeadersNotSigned") == "x-amz-meta-planted"
    assert await stored(gateway) is None


async def test_a_copy_source_cannot_be_added_to_a_presigned_put(gateway: Gateway) -> None:
    await gateway.put("/music/private", b"private")
    target = gateway.presigned("PUT", "/photos/k")
    answer = await gateway.plain("PUT", target, b"", [("x-amz-copy-source", "/music/private")])
    assert (answer.status, answer.code) == (403, "AccessDenied")


# --- who -----------------------------------------------------------------------------------------------------------


async def test_nobody_gets_in_without_credentials(gateway: Gateway) -> None:
    for method, target in (("GET", "/"), ("GET", "/photos/k"), ("PUT", "/photos/k"), ("DELETE", "/photos")):
        answer = await gateway.plain(method, target, b"" if method == "PUT" else None)
        assert (answer.status, answer.code) == (403, "AccessDenied")


async def test_an_unknown_key_is_told_so(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/photos/k", key="NOBODY")
    assert (answer.status, answer.code) == (403, "InvalidAccessKeyId")
    assert answer.element("AWSAccessKeyId") == "NOBODY"


async def test_a_wrong_secret_is_told_so_and_nothing_more(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/photos/k", secret="wrong")
    assert (answer.status, answer.code) == (403, "SignatureDoesNotMatch")
    assert SECRET not in answer.body.decode()
    assert "CanonicalRequest" not in answer.body.decode()


async def test_a_key_that_left_the_catalog_no_longer_works(gateway: Gateway) -> None:
    assert (await gateway.call("GET", "/photos")).status == 200
    current = gateway.holder.current
    gateway.holder.swap(replace(current, keys={name: k for name, k in current.keys.items() if name != "WRITER"}))
    assert (await gateway.call("GET", "/photos")).code == "InvalidAccessKeyId"


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        ("AWS AKID:c2lnbmF0dXJl", 400),
        ("AWS4-ECDSA-P256-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00", 400),
        ("Basic YTpi", 400),
        ("AWS4-HMAC-SHA256", 400),
        ("AWS4-HMAC-SHA256 Credential=WRITER/20260101/eu-central-1/s3/aws4_request", 400),
        ("AWS4-HMAC-SHA256 Credential=/////, SignedHeaders=host, Signature=" + "0" * 64, 400),
    ],
)
async def test_other_authorizations_get_a_clear_error(gateway: Gateway, authorization: str, status: int) -> None:
    answer = await gateway.plain(
        "GET",
        "/photos",
        None,
        [
            ("Authorization", authorization),
            ("x-amz-date", amz_date(time.time())),
            ("x-amz-content-sha256", UNSIGNED_PAYLOAD),
        ],
    )
    assert answer.status == status
    assert answer.code


# --- where and when ------------------------------------------------------------------------------------------------


async def test_a_request_for_another_region_learns_the_right_one(gateway: Gateway) -> None:
    answer = await gateway.call("GET", "/photos/k", region="us-west-2")
    assert (answer.status, answer.code) == (400, "AuthorizationHeaderMalformed")
    assert answer.element("Region") == REGION
    assert answer.headers["x-amz-bucket-region"] == REGION


@pytest.mark.parametrize(("method", "target"), [("GET", "/photos?location"), ("HEAD", "/photos"), ("HEAD", "/photos/")])
async def test_the_region_may_be_asked_for_in_the_default_region(gateway: Gateway, method: str, target: str) -> None:
    assert (await gateway.call(method, target, region="us-east-1")).status == 200
    assert (await gateway.call(method, target, region="us-west-2")).status == 400


@pytest.mark.parametrize(("method", "target"), [("GET", "/photos"), ("HEAD", "/photos/k"), ("PUT", "/photos/k")])
async def test_nothing_else_is_served_in_the_default_region(gateway: Gateway, method: str, target: str) -> None:
    assert (await gateway.call(method, target, region="us-east-1")).status == 400


@pytest.mark.parametrize("skew", [-901, 901])
async def test_a_skewed_clock_is_told_the_time(gateway: Gateway, skew: int) -> None:
    answer = await gateway.call("GET", "/photos", now=time.time() + skew)
    assert (answer.status, answer.code) == (403, "RequestTimeTooSkewed")
    assert answer.element("MaxAllowedSkewMilliseconds") == "900000"
    assert answer.element("ServerTime").endswith("Z")
    assert answer.element("RequestTime")


@pytest.mark.parametrize("skew", [-890, 890])
async def test_quarter_of_an_hour_is_forgiven(gateway: Gateway, skew: int) -> None:
    assert (await gateway.call("GET", "/photos", now=time.time() + skew)).status == 200


# --- presigned -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
async def test_every_method_can_be_presigned(gateway: Gateway, method: str) -> None:
    await gateway.put("/photos/k%20%2B")
    answer = await gateway.plain(
        method, gateway.presigned(method, "/photos/k%20%2B"), b"x" if method == "PUT" else None
    )
    assert answer.status == (204 if method == "DELETE" else 200)


async def test_a_presigned_request_expires(gateway: Gateway) -> None:
    target = gateway.presigned("GET", "/photos", now=time.time() - 100, expires=60)
    answer = await gateway.plain("GET", target)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    assert "expired" in answer.element("Message")
    assert answer.element("X-Amz-Expires") == "60"


async def test_a_presigned_request_of_last_week_works_until_it_expires(gateway: Gateway) -> None:
    target = gateway.presigned("GET", "/photos", now=time.time() - 6 * 86_400, expires=604_800)
    assert (await gateway.plain("GET", target)).status == 200


async def test_a_presigned_request_for_later_is_refused(gateway: Gateway) -> None:
    answer = await gateway.plain("GET", gateway.presigned("GET", "/photos", now=time.time() + 1000))
    assert (answer.status, answer.code) == (403, "AccessDenied")


@pytest.mark.parametrize("expires", [0, -1, 604_801])
async def test_a_presigned_request_lives_a_second_to_a_week(gateway: Gateway, expires: int) -> None:
    answer = await gateway.plain("GET", gateway.presigned("GET", "/photos", expires=expires))
    assert (answer.status, answer.code) == (400, "AuthorizationQueryParametersError")


async def test_a_presigned_query_cannot_be_extended(gateway: Gateway) -> None:
    target = gateway.presigned("GET", "/photos/k") + "&response-content-type=text/html"
    assert (await gateway.plain("GET", target)).code == "SignatureDoesNotMatch"


async def test_headers_in_a_presigned_query_mean_what_they_mean_as_headers(gateway: Gateway) -> None:
    target = gateway.presigned("PUT", "/photos/k?x-amz-meta-colour=r%C3%A9d&X-Amz-Meta-Size=2&x-id=PutObject")
    assert (await gateway.plain("PUT", target, b"x")).status == 200
    head = (await gateway.call("HEAD", "/photos/k")).headers
    assert (head["x-amz-meta-colour"].encode("latin-1").decode(), head["x-amz-meta-size"]) == ("réd", "2")


async def test_a_presigned_copy_with_its_source_in_the_query_copies(gateway: Gateway) -> None:
    await gateway.put("/music/source", b"source")
    target = gateway.presigned("PUT", "/photos/k?x-amz-copy-source=music%2Fsource")
    assert (await gateway.plain("PUT", target)).status == 200
    assert await stored(gateway) == b"source"


async def test_a_presigned_copy_needs_read_on_the_source_in_the_query(gateway: Gateway) -> None:
    await gateway.put("/music/source", b"source")
    target = gateway.presigned("PUT", "/photos/k?x-amz-copy-source=music%2Fsource", key="DROPBOX")
    assert (await gateway.plain("PUT", target)).status == 403
    assert await stored(gateway) is None


async def test_presigned_attributes_are_those_that_the_query_names(gateway: Gateway) -> None:
    await gateway.put("/photos/k", b"12345")
    target = gateway.presigned("GET", "/photos/k?attributes&x-amz-object-attributes=ObjectSize")
    assert (await gateway.plain("GET", target)).element("ObjectSize") == "5"


@pytest.mark.parametrize(
    "query",
    [
        "x-amz-acl=public-read",
        "x-amz-object-lock-mode=GOVERNANCE",
        "x-amz-storage-class=GLACIER",
        "x-amz-tagging=a%3Db",
    ],
)
async def test_what_is_refused_as_a_header_is_refused_in_a_presigned_query(gateway: Gateway, query: str) -> None:
    answer = await gateway.plain("PUT", gateway.presigned("PUT", f"/photos/k?{query}"), b"x")
    assert (answer.status, answer.code) == (501, "NotImplemented")
    assert await stored(gateway) is None


@pytest.mark.parametrize("query", ["x-amz-meta-a=1%0D%0AX%3A2", "x-amz-meta-a=1&X-Amz-Meta-A=2"])
async def test_a_header_in_a_presigned_query_must_be_one_header(gateway: Gateway, query: str) -> None:
    answer = await gateway.plain("PUT", gateway.presigned("PUT", f"/photos/k?{query}"), b"x")
    assert (answer.status, answer.code) == (400, "InvalidArgument")


async def test_the_checksum_of_no_body_in_a_presigned_query_is_ignored_as_by_s3(gateway: Gateway) -> None:
    query = "x-amz-checksum-crc32=AAAAAA%3D%3D&x-amz-sdk-checksum-algorithm=CRC32&x-id=PutObject"
    assert (await gateway.plain("PUT", gateway.presigned("PUT", f"/photos/k?{query}"), b"x")).status == 200


async def test_header_and_query_together_are_refused(gateway: Gateway) -> None:
    target = gateway.presigned("GET", "/photos")
    answer = await gateway.send(raw_request("GET", target, signed(gateway, "GET", target), None))
    assert (answer.status, answer.code) == (400, "InvalidArgument")


# --- behind a proxy ------------------------------------------------------------------------------------------------


@pytest.fixture
async def proxied() -> AsyncIterator[Gateway]:
    """A node whose peers are trusted proxies, known as https://s3.example.com and for virtual-host buckets."""
    settings = GatewaySettings(trusted_proxies=("127.0.0.0/8",))
    s3 = S3Settings(region=REGION, domains=("s3.example.com",), external_urls=("https://s3.example.com",))
    async with running(s3=s3, settings=settings) as fresh:
        yield fresh


async def call_as(gateway: Gateway, signed_host: str, sent_host: str, *more: tuple[str, str], target: str) -> Answer:
    fields = [
        (name, sent_host if name == "Host" else value)
        for name, value in signed(gateway, "GET", target, host=signed_host)
    ]
    return await gateway.send(raw_request("GET", target, [*fields, *more], None))


async def test_a_proxy_may_drop_or_add_the_port(gateway: Gateway) -> None:
    assert (await call_as(gateway, gateway.host, "127.0.0.1", target="/photos")).status == 200
    assert (await call_as(gateway, "127.0.0.1", gateway.host, target="/photos")).status == 200
    assert (await call_as(gateway, "127.0.0.1:1", gateway.host, target="/photos")).status == 403


async def test_a_proxy_may_rewrite_the_host_of_an_external_url(proxied: Gateway) -> None:
    assert (await call_as(proxied, "s3.example.com", "backend:9000", target="/photos")).status == 200
    assert (await call_as(proxied, "evil.example.com", "backend:9000", target="/photos")).status == 403


async def test_a_trusted_proxy_names_the_host(proxied: Gateway) -> None:
    forwarded = ("X-Forwarded-Host", "storage.example.org")
    assert (await call_as(proxied, "storage.example.org", "backend", forwarded, target="/photos")).status == 200


async def test_nobody_else_names_the_host(gateway: Gateway) -> None:
    forwarded = ("X-Forwarded-Host", "storage.example.org")
    assert (await call_as(gateway, "storage.example.org", "backend", forwarded, target="/photos")).status == 403


async def test_the_host_that_was_signed_chooses_the_bucket(proxied: Gateway) -> None:
    await proxied.put("/photos/k", b"photos")
    await proxied.put("/music/k", b"music")
    signed_for_photos = await call_as(proxied, "photos.s3.example.com", "photos.s3.example.com", target="/k")
    assert signed_for_photos.body == b"photos"
    # A request for the node itself, sent on under a bucket's host name, still means what was signed.
    redirected = await call_as(proxied, "s3.example.com", "music.s3.example.com", target="/photos/k")
    assert redirected.body == b"photos"
    forwarded = ("X-Forwarded-Host", "photos.s3.example.com")
    assert (await call_as(proxied, "photos.s3.example.com", "backend", forwarded, target="/k")).body == b"photos"


# --- too many failures ---------------------------------------------------------------------------------------------


async def test_an_address_that_keeps_failing_is_turned_away_unchecked_until_the_second_is_over() -> None:
    now = [1_800_000_000.0]
    async with running(limits=Limits(failed_authentications_per_second=3), clock=lambda: now[0]) as gateway:
        for _ in range(3):
            assert (await gateway.call("GET", "/photos", secret="wrong")).status == 403
        assert (await gateway.call("GET", "/photos")).code == "SlowDown"
        now[0] += 1
        assert (await gateway.call("GET", "/photos")).status == 200


async def test_failures_count_for_the_client_behind_a_trusted_proxy() -> None:
    now = [1_800_000_000.0]
    async with running(
        limits=Limits(failed_authentications_per_second=2),
        settings=GatewaySettings(trusted_proxies=("127.0.0.1",)),
        clock=lambda: now[0],
    ) as gateway:

        async def come_from(address: str, secret: str) -> int:
            more = [("X-Forwarded-For", address)]
            return (await gateway.call("GET", "/photos", secret=secret, headers=more)).status

        for _ in range(2):
            assert await come_from("192.0.2.1, 198.51.100.7", "wrong") == 403
        assert await come_from("198.51.100.7", SECRET) == 503
        assert await come_from("192.0.2.1", SECRET) == 200


async def test_anonymous_requests_are_no_failed_attempts() -> None:
    async with running(limits=Limits(failed_authentications_per_second=1), clock=lambda: 1_800_000_000.0) as gateway:
        for _ in range(3):
            assert (await gateway.plain("GET", "/photos")).status == 403
        assert (await gateway.call("GET", "/photos")).status == 200
