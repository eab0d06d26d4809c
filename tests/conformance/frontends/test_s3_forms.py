"""Form uploads of browsers: signed policies, and everything that they must not let through."""

import base64
import json
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import pytest

from bridge_node.protocols.s3.form import SMALL_FILE
from bridge_node.protocols.s3.sigv4 import SigningKey, amz_date
from tests.conformance.frontends.harness import REGION, SECRET, Answer, Gateway

BOUNDARY = "----boundary"
Condition = list[object] | dict[str, str]


def signed_fields(
    fields: Mapping[str, str], *conditions: Condition, key: str = "WRITER", lives: float = 60.0
) -> dict[str, str]:
    """`fields` with a policy over all of them, and its signature; of a key only what stands before `${`."""
    now = time.time()
    date = amz_date(now)
    governed = {
        **fields,
        "x-amz-algorithm": "AWS4-HMAC-SHA256",
        "x-amz-credential": f"{key}/{date[:8]}/{REGION}/s3/aws4_request",
        "x-amz-date": date,
    }
    allowed: list[Condition] = [
        ["starts-with", f"${name}", value.partition("${")[0]] if "${" in value else {name: value}
        for name, value in governed.items()
    ]
    policy = {
        "expiration": datetime.fromtimestamp(now + lives, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z"),
        "conditions": [{"bucket": "photos"}, *allowed, *conditions],
    }
    text = base64.b64encode(json.dumps(policy).encode()).decode()
    signature = SigningKey(SECRET, date[:8], REGION).sign(text.encode())
    return {**governed, "policy": text, "x-amz-signature": signature}


def form(fields: Mapping[str, str], data: bytes, filename: str = "photo.jpg") -> bytes:
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    parts.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\n\r\n')
    return "".join(parts).encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


async def post(
    gateway: Gateway, fields: Mapping[str, str], data: bytes = b"picture", *, target: str = "/photos"
) -> Answer:
    headers: Sequence[tuple[str, str]] = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    return await gateway.plain("POST", target, form(fields, data), headers)


async def test_a_browser_uploads_what_its_policy_allows(gateway: Gateway) -> None:
    fields = signed_fields({"key": "up/${filename}", "Content-Type": "image/jpeg", "x-amz-meta-by": "grün"})
    answer = await post(gateway, fields)
    assert answer.status == 204, answer
    got = await gateway.call("GET", "/photos/up/photo.jpg")
    assert (got.body, got.headers["content-type"]) == (b"picture", "image/jpeg")
    assert got.headers["x-amz-meta-by"].encode("latin-1").decode() == "grün"
    assert answer.headers["etag"] == got.headers["etag"]
    assert answer.headers["location"].endswith("/photos/up/photo.jpg")


@pytest.mark.parametrize(
    "ending", ["--", "--\r\n", '\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n--x--\r\n']
)
async def test_what_follows_a_small_file_is_ignored(gateway: Gateway, ending: str) -> None:
    fields = signed_fields({"key": "k"}, ["content-length-range", 7, 7])
    body = form(fields, b"picture").removesuffix(b"--\r\n") + ending.encode()
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    assert (await gateway.plain("POST", "/photos", body, headers)).status == 204
    assert (await gateway.call("GET", "/photos/k")).body == b"picture"


async def test_fields_behind_a_large_file_are_refused_and_store_nothing(gateway: Gateway) -> None:
    field = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="submit"\r\n\r\nUpload\r\n--{BOUNDARY}--\r\n'
    body = form(signed_fields({"key": "large"}), bytes(SMALL_FILE)).removesuffix(f"--{BOUNDARY}--\r\n".encode())
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    answer = await gateway.plain("POST", "/photos", body + field.encode(), headers)
    assert (answer.status, answer.code) == (400, "MalformedPOSTRequest")
    assert (await gateway.call("GET", "/photos/large")).status == 404


async def test_a_form_may_choose_how_it_is_answered(gateway: Gateway) -> None:
    created = await post(gateway, signed_fields({"key": "k", "success_action_status": "201"}))
    assert (created.status, created.element("Key"), created.element("Bucket")) == (201, "k", "photos")
    assert (await post(gateway, signed_fields({"key": "k", "success_action_status": "302"}))).status == 204
    redirect = await post(gateway, signed_fields({"key": "k", "success_action_redirect": "https://example.com/done"}))
    assert redirect.status == 303
    assert redirect.headers["location"].startswith("https://example.com/done?bucket=photos&key=k&etag=%22")


async def test_a_redirect_goes_nowhere_but_to_a_page(gateway: Gateway) -> None:
    answer = await post(gateway, signed_fields({"key": "k", "success_action_redirect": "javascript:alert(1)"}))
    assert answer.status == 204


@pytest.mark.parametrize(
    "change",
    [
        {"key": "elsewhere"},
        {"x-amz-signature": "0" * 64},
        {"policy": base64.b64encode(b"{}").decode()},
        {"acl": "private"},
        {"x-amz-credential": f"ADMIN/20260101/{REGION}/s3/aws4_request"},
    ],
    ids=["key", "signature", "policy", "extra field", "credential"],
)
async def test_a_changed_form_stores_nothing(gateway: Gateway, change: dict[str, str]) -> None:
    answer = await post(gateway, {**signed_fields({"key": "k"}), **change})
    assert answer.status in {400, 403}
    for key in ("k", "elsewhere"):
        assert (await gateway.call("HEAD", f"/photos/{key}")).status == 404


async def test_a_policy_is_good_for_its_bucket(gateway: Gateway) -> None:
    assert (await post(gateway, signed_fields({"key": "k"}), target="/music")).code == "AccessDenied"
    assert (await gateway.call("HEAD", "/music/k")).status == 404


async def test_a_policy_expires(gateway: Gateway) -> None:
    assert (await post(gateway, signed_fields({"key": "k"}, lives=-1))).code == "AccessDenied"


@pytest.mark.parametrize(("size", "code"), [(1, "EntityTooSmall"), (2, ""), (4, ""), (5, "EntityTooLarge")])
async def test_a_policy_bounds_the_size(gateway: Gateway, size: int, code: str) -> None:
    fields = signed_fields({"key": "k"}, ["content-length-range", 2, 4])
    assert (await post(gateway, fields, b"x" * size)).code == code
    assert (await gateway.call("HEAD", "/photos/k")).status == (404 if code else 200)


@pytest.mark.parametrize(("key", "code"), [("READER", "AccessDenied"), ("DROPBOX", ""), ("STRANGER", "NoSuchBucket")])
async def test_a_form_needs_write(gateway: Gateway, key: str, code: str) -> None:
    assert (await post(gateway, signed_fields({"key": "k"}, key=key))).code == code


async def test_a_form_without_credentials_is_anonymous(gateway: Gateway) -> None:
    assert (await post(gateway, {"key": "k"})).code == "AccessDenied"


@pytest.mark.parametrize("extra", [{"acl": "public-read"}, {"x-amz-storage-class": "GLACIER"}, {"tagging": "<x/>"}])
async def test_a_form_that_asks_for_more_is_refused(gateway: Gateway, extra: dict[str, str]) -> None:
    assert (await post(gateway, signed_fields({"key": "k", **extra}))).code == "NotImplemented"


async def test_a_field_that_cannot_be_a_header_is_refused(gateway: Gateway) -> None:
    answer = await post(gateway, signed_fields({"key": "k", "Content-Type": "a\nSet-Cookie: x"}))
    assert answer.code == "InvalidArgument"
    assert (await gateway.call("HEAD", "/photos/k")).status == 404


async def test_a_declared_checksum_of_the_file_is_verified(gateway: Gateway) -> None:
    wrong = await post(gateway, signed_fields({"key": "k", "x-amz-checksum-crc32": "AAAAAA=="}))
    assert wrong.code == "BadDigest"
    assert (await gateway.call("HEAD", "/photos/k")).status == 404


async def test_a_form_goes_to_a_bucket_only(gateway: Gateway) -> None:
    assert (await post(gateway, signed_fields({"key": "k"}), target="/photos/k")).code == "MethodNotAllowed"


@pytest.mark.parametrize("body", [b"", b"garbage", b"--" + BOUNDARY.encode() + b"--\r\n"])
async def test_a_form_that_is_none_is_refused(gateway: Gateway, body: bytes) -> None:
    headers = [("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")]
    answer = await gateway.plain("POST", "/photos", body, headers)
    assert 400 <= answer.status < 500
