"""SigV4 against AWS's own examples, against botocore, and against forgers."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.errors import (
    AccessDenied,
    BridgeError,
    InvalidArgument,
    InvalidRequest,
    MalformedCredentials,
    MissingCredentials,
    SignatureMismatch,
    UnsupportedSignature,
)
from bridge_node.protocols.s3 import sigv4
from bridge_node.protocols.s3.errors import to_wire
from bridge_node.protocols.s3.sigv4 import EMPTY_SHA256, Authorization, Signer, SigningKey, SigningKeys

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sigv4_s3.json").read_text())
ACCESS_KEY, SECRET, REGION, HOST = (VECTORS[name] for name in ("access_key", "secret", "region", "host"))
NOW = 1369353600.0
KEY = SigningKey(SECRET, "20130524", REGION)
SIGNER = Signer(ACCESS_KEY, SECRET, REGION)


def verifies(method: str, path: str, query: str, headers: dict[str, str], host: str | None = None) -> bool:
    auth = sigv4.parse(query, headers)
    canonical = sigv4.canonical_request(method, path, query, headers, auth, host)
    return sigv4.signature(SigningKey(SECRET, auth.date, REGION), auth, canonical) == auth.signature


def signed(
    method: str = "GET", path: str = "/k", query: str = "", extra: dict[str, str] | None = None
) -> dict[str, str]:
    pairs = SIGNER.sign(method, path, query, [("Host", HOST), *(extra or {}).items()], EMPTY_SHA256, NOW)
    return {name.lower(): value for name, value in pairs}


# --- AWS's examples ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_the_signer_signs_as_aws_does(vector: dict[str, Any]) -> None:
    payload = sha256(vector["payload"].encode()).hexdigest()
    headers = [("Host", HOST), *vector["headers"].items()]
    added = dict(SIGNER.sign(vector["method"], vector["path"], vector["query"], headers, payload, NOW))
    assert added["Authorization"] == (
        f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders={vector['signed_headers']}, Signature={vector['signature']}"
    )


@pytest.mark.parametrize("separator", [", ", ",", " , "])
@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_a_request_of_aws_verifies_byte_for_byte(vector: dict[str, Any], separator: str) -> None:
    parts = (
        f"Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request",
        f"SignedHeaders={vector['signed_headers']}",
        f"Signature={vector['signature']}",
    )
    headers = {
        **{name.lower(): value for name, value in vector["headers"].items()},
        "host": HOST,
        "x-amz-date": VECTORS["amz_date"],
        "x-amz-content-sha256": sha256(vector["payload"].encode()).hexdigest(),
        "authorization": "AWS4-HMAC-SHA256 " + separator.join(parts),
    }
    auth = sigv4.parse(vector["query"], headers)
    canonical = sigv4.canonical_request(vector["method"], vector["path"], vector["query"], headers, auth)
    assert sha256(canonical).hexdigest() == vector["canonical_sha256"]
    assert sigv4.signature(KEY, auth, canonical) == vector["signature"]


def test_the_fields_of_an_authorization_come_in_any_order() -> None:
    headers = signed()
    algorithm, _, fields = headers["authorization"].partition(" ")
    for order in ((2, 0, 1), (1, 2, 0), (0, 2, 1)):
        parts = fields.split(", ")
        headers["authorization"] = f"{algorithm} {', '.join(parts[i] for i in order)}"
        assert verifies("GET", "/k", "", headers)


def test_the_presigned_example_of_aws_is_made_and_verified() -> None:
    vector = VECTORS["presigned"]
    assert SIGNER.presign("GET", vector["path"], "", HOST, NOW, vector["expires"]) == vector["query"]
    auth = sigv4.parse(vector["query"], {"host": HOST})
    assert (auth.expires, auth.timestamp, auth.payload_hash) == (86400, NOW, "UNSIGNED-PAYLOAD")
    canonical = sigv4.canonical_request("GET", vector["path"], vector["query"], {"host": HOST}, auth)
    assert sha256(canonical).hexdigest() == vector["canonical_sha256"]
    assert verifies("GET", vector["path"], vector["query"], {"host": HOST})


# --- an independent signer -----------------------------------------------------------------------------------------

KEYS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30)


def _request(method: str, key: str, query: dict[str, str]) -> tuple[AWSRequest, str, str]:
    path = "/bucket/" + quote(key, safe="/~")
    raw = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query.items())
    return AWSRequest(method, f"http://{HOST}{path}?{raw}" if raw else f"http://{HOST}{path}"), path, raw


@given(KEYS, st.dictionaries(KEYS, KEYS, max_size=4), st.text("az  \t", max_size=12))
def test_what_botocore_signs_verifies(key: str, query: dict[str, str], value: str) -> None:
    request, path, raw = _request("PUT", key, query)
    request.headers["x-amz-meta-v"] = value.strip()
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", REGION).add_auth(request)
    assert verifies("PUT", path, raw, {"host": HOST, **{name.lower(): text for name, text in request.headers.items()}})


@given(KEYS, st.dictionaries(KEYS, KEYS, max_size=3))
def test_what_botocore_presigns_verifies(key: str, query: dict[str, str]) -> None:
    request, path, _ = _request("GET", key, query)
    S3SigV4QueryAuth(Credentials(ACCESS_KEY, SECRET), "s3", REGION, 600).add_auth(request)
    assert verifies("GET", path, str(request.url).partition("?")[2], {"host": HOST})


# --- the signed text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("/a//b/./../c", "/a//b/./../c"),
        ("/a%2Fb%25%20c", "/a%2Fb%25%20c"),
        ("/a%2fb", "/a%2Fb"),
        ("/a+b(c)$", "/a%2Bb%28c%29%24"),
        ("/%7Euser/%41", "/~user/A"),
        ("/\xc3\xa9", "/%C3%A9"),
        ("/100%", "/100%25"),
        ("/%zz", "/%25zz"),
    ],
)
def test_a_path_is_escaped_as_aws_escapes_it_and_otherwise_left_alone(raw: str, canonical: str) -> None:
    assert sigv4.canonical_path(raw) == canonical
    assert sigv4.canonical_path(canonical) == canonical


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("b=2&a=1", "a=1&b=2"),
        ("acl", "acl="),
        ("a=%2f&a=.&A=x", "A=x&a=%2F&a=."),
        ("prefix=a+b%2Bc", "prefix=a%20b%2Bc"),
        ("a=b=c&&d", "a=b%3Dc&d="),
        ("b%C3%A9=1&b=2", "b=2&b%C3%A9=1"),
    ],
)
def test_a_query_is_sorted_after_encoding(raw: str, canonical: str) -> None:
    assert sigv4.canonical_query(raw) == canonical


def test_white_space_in_signed_values_counts_once() -> None:
    headers = signed(extra={"x-amz-meta-note": "a b"})
    headers["x-amz-meta-note"] = "  a    b "
    assert verifies("GET", "/k", "", headers)


def test_another_host_can_be_tried() -> None:
    headers = signed()
    headers["host"] = HOST + ":9000"
    assert not verifies("GET", "/k", "", headers)
    assert verifies("GET", "/k", "", headers, host=HOST)


def test_the_date_header_alone_dates_a_request() -> None:
    headers = {
        "host": HOST,
        "date": "Fri, 24 May 2013 00:00:00 GMT",
        "x-amz-content-sha256": EMPTY_SHA256,
        "authorization": f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20130524/us-east-1/s3/aws4_request, "
        f"SignedHeaders=date;host;x-amz-content-sha256, Signature={'0' * 64}",
    }
    auth = sigv4.parse("", headers)
    assert (auth.amz_date, auth.timestamp) == ("20130524T000000Z", NOW)


# --- refusals ------------------------------------------------------------------------------------------------------


def _error(headers: dict[str, str], query: str = "") -> BridgeError:
    with pytest.raises(BridgeError) as caught:
        sigv4.parse(query, headers)
    return caught.value


def _code(error: BridgeError) -> str:
    return to_wire(error).code


@pytest.mark.parametrize(
    ("authorization", "kind", "code"),
    [
        ("AWS AK:c2ln", UnsupportedSignature, "InvalidRequest"),
        ("AWS4-ECDSA-P256-SHA256 Credential=AK/20130524/s3/aws4_request", UnsupportedSignature, "InvalidRequest"),
        ("Bearer x", InvalidArgument, "InvalidArgument"),
        ("", InvalidArgument, "InvalidArgument"),
        ("AWS4-HMAC-SHA256", MalformedCredentials, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential=AK", MalformedCredentials, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential={c}, SignedHeaders=host", MalformedCredentials, "AuthorizationHeaderMalformed"),
        ("AWS4-HMAC-SHA256 Credential={c}, Signature={s}", MalformedCredentials, "AuthorizationHeaderMalformed"),
        (
            "AWS4-HMAC-SHA256 Credential={c}, SignedHeaders=host, Signature=zz",
            MalformedCredentials,
            "AuthorizationHeaderMalformed",
        ),
        ("AWS4-HMAC-SHA256 Credential={c}, SignedHeaders=date, Signature={s}", AccessDenied, "AccessDenied"),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20130525/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={s}",
            MalformedCredentials,
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/iam/aws4_request, SignedHeaders=host, Signature={s}",
            MalformedCredentials,
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=AK/20130524/us-east-1/s3/aws5, SignedHeaders=host, Signature={s}",
            MalformedCredentials,
            "AuthorizationHeaderMalformed",
        ),
        (
            "AWS4-HMAC-SHA256 Credential=/20130524/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={s}",
            MalformedCredentials,
            "AuthorizationHeaderMalformed",
        ),
    ],
)
def test_a_malformed_authorization_is_refused_in_aws_own_words(
    authorization: str, kind: type[BridgeError], code: str
) -> None:
    scope = "AK/20130524/us-east-1/s3/aws4_request"
    headers = {**signed(), "authorization": authorization.format(c=scope, s="0" * 64)}
    error = _error(headers)
    assert isinstance(error, kind)
    assert _code(error) == code


def test_an_anonymous_request_has_no_credentials() -> None:
    assert isinstance(_error({"host": HOST}, "list-type=2"), MissingCredentials)


def test_signature_version_2_in_the_query_is_refused() -> None:
    assert isinstance(_error({}, "AWSAccessKeyId=AK&Expires=1&Signature=x"), UnsupportedSignature)


def test_header_and_query_may_not_both_authorise() -> None:
    assert isinstance(_error(signed(), VECTORS["presigned"]["query"]), InvalidArgument)


@pytest.mark.parametrize("name", ["x-amz-acl", "x-amz-copy-source", "x-amz-decoded-content-length"])
def test_amz_headers_that_are_not_signed_are_refused(name: str) -> None:
    for query, headers in (("", signed()), (VECTORS["presigned"]["query"], {"host": HOST})):
        error = _error({**headers, name: "x"}, query)
        assert isinstance(error, AccessDenied)
        assert error.details == {"HeadersNotSigned": name}


@pytest.mark.parametrize("date", [None, "", "20130524", "20130524T250000Z", "2013052٤T000000Z", "20131324T000000Z"])
def test_a_request_without_a_valid_date_is_refused(date: str | None) -> None:
    headers = signed()
    del headers["x-amz-date"]
    if date is not None:
        headers["x-amz-date"] = date
    assert _error(headers).reason == "no_valid_date"


def test_a_request_without_a_payload_hash_is_refused() -> None:
    headers = signed()
    del headers["x-amz-content-sha256"]
    assert type(_error(headers)) is InvalidRequest
    assert type(_error({**headers, "x-amz-content-sha256": "STREAMING-SOMETHING"})) is InvalidArgument


def test_a_header_that_is_listed_and_absent_is_a_mismatch() -> None:
    headers = signed(extra={"x-amz-meta-a": "1"})
    del headers["x-amz-meta-a"]
    with pytest.raises(SignatureMismatch):
        verifies("GET", "/k", "", headers)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("X-Amz-Expires=86400", "X-Amz-Expires=604801"),
        ("X-Amz-Expires=86400", "X-Amz-Expires=0"),
        ("X-Amz-Expires=86400", "X-Amz-Expires=-1"),
        ("X-Amz-Expires=86400", "X-Amz-Expires=1d"),
        ("X-Amz-Expires=86400", "X-Amz-Expires=" + "9" * 5000),
        ("X-Amz-Expires=86400&", ""),
        ("X-Amz-Expires=86400", "X-Amz-Expires=86400&X-Amz-Expires=1"),
        ("X-Amz-Date=20130524", "X-Amz-Date=20130525"),
        ("X-Amz-Date=20130524T000000Z", "X-Amz-Date=now"),
        ("%2Fus-east-1", ""),
        ("X-Amz-Signature=", "X-Amz-Signature=0"),
    ],
)
def test_a_malformed_presigned_query_is_refused_in_aws_own_words(old: str, new: str) -> None:
    query = VECTORS["presigned"]["query"]
    assert old in query
    assert _code(_error({"host": HOST}, query.replace(old, new))) == "AuthorizationQueryParametersError"


def test_a_presigned_sigv4a_is_refused() -> None:
    query = VECTORS["presigned"]["query"].replace("AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256")
    assert _error({"host": HOST}, query).reason == "signature_v4a"


def test_a_prefix_that_looks_like_a_signature_is_a_prefix() -> None:
    assert not sigv4.is_presigned("prefix=X-Amz-Signature%3D")
    assert not sigv4.is_presigned("prefix=X-Amz-Signature")
    assert sigv4.is_presigned("prefix=a&X-Amz-Signature=b")


# --- no crash, no false acceptance -----------------------------------------------------------------------------------

LATIN1 = st.text(st.characters(max_codepoint=255), max_size=60)


@given(LATIN1, LATIN1)
def test_nothing_but_a_bridge_error_comes_out_of_the_parser(authorization: str, query: str) -> None:
    headers = {**signed(), "authorization": "AWS4-HMAC-SHA256 " + authorization}
    for parts in ((query, {"host": HOST}), ("X-Amz-Date=" + query, {"host": HOST}), ("", headers)):
        try:
            auth = sigv4.parse(*parts)
        except BridgeError:
            continue
        assert isinstance(sigv4.canonical_request("GET", "/", parts[0], parts[1], auth), bytes)


@given(LATIN1, LATIN1)
def test_any_path_and_query_have_one_canonical_form(path: str, query: str) -> None:
    once = sigv4.canonical_path(path), sigv4.canonical_query(query)
    assert once == (sigv4.canonical_path(once[0]), sigv4.canonical_query(once[1]))
    assert all(text.isascii() for text in once)


@given(st.data())
def test_a_changed_request_never_verifies(data: st.DataObject) -> None:
    headers = signed("PUT", "/bucket/key", "partNumber=1&uploadId=u", {"x-amz-meta-a": "value"})
    parts = {"method": "PUT", "path": "/bucket/key", "query": "partNumber=1&uploadId=u"}
    assert verifies(**parts, headers=headers)
    what = data.draw(st.sampled_from([*parts, "host", "x-amz-meta-a", "x-amz-content-sha256", "x-amz-date"]))
    where = headers if what in headers else parts
    text = where[what]
    at = data.draw(st.integers(0, len(text) - 1))
    new = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[at]))
    where[what] = text[:at] + new + text[at + 1 :]
    try:
        accepted = verifies(**parts, headers=headers)
    except BridgeError:
        accepted = False
    assert not accepted


def test_equal_forms_of_one_request_verify_alike() -> None:
    headers = signed("GET", "/b/%7Ekey", "a=%41&b")
    assert verifies("GET", "/b/~key", "b=&a=A", headers)


# --- keys ------------------------------------------------------------------------------------------------------------


def test_derived_keys_are_kept_and_bounded() -> None:
    keys = SigningKeys(limit=2)
    first = keys.get("AK", "secret", "20130524", "us-east-1")
    assert keys.get("AK", "secret", "20130524", "us-east-1") is first
    assert keys.get("AK", "other", "20130524", "us-east-1") is not first
    keys.get("AK", "secret", "20130525", "us-east-1")
    assert keys.get("AK", "secret", "20130524", "us-east-1") is not first


def test_the_signer_turns_to_the_next_day() -> None:
    signer = Signer(ACCESS_KEY, SECRET, REGION)
    for day in range(3):
        pairs = signer.sign("GET", "/k", "", [("Host", HOST)], EMPTY_SHA256, NOW + day * 86400 + 0.7)
        headers = {name.lower(): value for name, value in pairs}
        auth = sigv4.parse("", headers)
        key = SigningKey(SECRET, auth.date, REGION)
        canonical = sigv4.canonical_request("GET", "/k", "", headers, auth)
        assert sigv4.signature(key, auth, canonical) == auth.signature
        assert auth.timestamp == NOW + day * 86400


def test_a_session_token_is_sent_and_signed() -> None:
    signer = Signer(ACCESS_KEY, SECRET, REGION, "token")
    headers = {k.lower(): v for k, v in signer.sign("GET", "/k", "", [("Host", HOST)], EMPTY_SHA256, NOW)}
    assert headers["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in sigv4.parse("", headers).signed_headers
    assert "X-Amz-Security-Token=token" in signer.presign("GET", "/k", "", HOST, NOW)


def test_an_authorization_knows_its_scope() -> None:
    auth = Authorization("AK", "20130524", "eu-west-1", "s3", "20130524T000000Z", NOW, ("host",), "", EMPTY_SHA256)
    assert auth.scope == "20130524/eu-west-1/s3/aws4_request"
