"""Reading S3's requests: whatever comes, an operation or one of our own errors."""

import asyncio
import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from bridge_node.body import BytesSource
from bridge_node.catalog import AccessKey, Catalog, Repository
from bridge_node.errors import AuthenticationFailed, BridgeError, InvalidArgument, NotSupported
from bridge_node.gateway.frontend import Caller, WithDocument
from bridge_node.gateway.http import Request, Response
from bridge_node.gateway.proxies import Proxies
from bridge_node.gateway.s3.addressing import Addressing, without_port
from bridge_node.gateway.s3.fields import copy_source
from bridge_node.gateway.s3.frontend import S3Frontend
from bridge_node.gateway.s3.requests import Parser
from bridge_node.operations import Access, CopySource, GetObject, ListObjects, Operation
from bridge_node.protocols.s3.sigv4 import ALGORITHM
from bridge_node.settings import Cors, Gateway, Limits, S3Settings

KEY = AccessKey("AK", SecretStr("s"), "r", Access.READ | Access.WRITE | Access.ADMIN)
REPOSITORY = Repository("r", "r", "s3", bytes(32))
PARSER = Parser(Addressing(("s3.example.com",)), "us-east-1")
FRONTEND = S3Frontend(
    S3Settings(domains=("s3.example.com",), external_urls=("https://s3.example.com",)),
    Gateway(trusted_proxies=("192.0.2.0/24",), cors=Cors(origins=("https://*.example.com",))),
    Limits(),
    lambda: 1_800_000_000.0,
)

NAMES = (
    "authorization", "content-type", "content-length", "content-md5", "content-encoding", "expires", "range", "date",
    "if-match", "if-none-match", "if-modified-since", "host", "origin", "access-control-request-method",
    "x-forwarded-host", "x-forwarded-for", "x-amz-date", "x-amz-content-sha256", "x-amz-copy-source",
    "x-amz-copy-source-range", "x-amz-metadata-directive", "x-amz-acl", "x-amz-meta-a", "x-amz-checksum-crc32",
    "x-amz-checksum-algorithm", "x-amz-checksum-type", "x-amz-trailer", "x-amz-decoded-content-length",
    "x-amz-mp-object-size", "x-amz-object-attributes", "x-amz-max-parts", "x-amz-sdk-checksum-algorithm",
)  # fmt: skip
PARAMETERS = (
    "acl", "uploads", "uploadId", "partNumber", "versionId", "versions", "delete", "location", "list-type", "prefix",
    "delimiter", "max-keys", "continuation-token", "encoding-type", "attributes", "response-content-type", "marker",
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
    "key-marker", "upload-id-marker", "max-uploads", "max-parts", "x-id", "tagging", "policy", "nonsense",
)  # fmt: skip

latin1 = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=40)
values = st.one_of(
    latin1,
    st.sampled_from(
        [
            "", "*", '"etag"', "bytes=0-1", "bytes=-5", "2", "url", "0", "-1", "10001", "9" * 20, "REPLACE", "²", "١",
            "bucket/key?versionId=1", "%2Fb%2Fk", "%FF", "UNSIGNED-PAYLOAD", "CRC32", "FULL_OBJECT", "a" * 2100,
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "multipart/form-data; boundary=x", "20270115T080000Z",
            f"{ALGORITHM} Credential=AK/20270115/us-east-1/s3/aws4_request, SignedHeaders=host, Signature={'0' * 64}",
        ]
    ),
)  # fmt: skip
targets = st.text(st.sampled_from("/abZ09%.~-_+ ?&=;:@\xff\x80é"), max_size=60).map(lambda text: "/" + text)
headers_of_requests = st.dictionaries(st.one_of(st.sampled_from(NAMES), latin1.map(str.lower)), values, max_size=8)
queries = st.one_of(
    latin1,
    st.lists(st.tuples(st.sampled_from(PARAMETERS), values), max_size=5).map(
        lambda pairs: "&".join(f"{name}={value}" if value else name for name, value in pairs)
    ),
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "POST", "DELETE", "OPTIONS", "PATCH"])


@st.composite
def requests(draw: st.DrawFn) -> Request:
    body = draw(st.binary(max_size=200))
    host = draw(st.sampled_from(["s3.example.com", "b.s3.example.com:80", "", "[::1]:9"]))
    return Request(
        draw(methods),
        draw(targets),
        draw(queries),
        {"host": host, **draw(headers_of_requests)},
        BytesSource(body),
        id="0" * 16,
        peer=draw(st.sampled_from(["192.0.2.1", "198.51.100.1", ""])),
        local_port=9000,
        has_length=draw(st.booleans()),
    )


def caller(request: Request) -> Caller:
    return Caller(KEY, REPOSITORY, request.body, request.headers["host"])


@settings(max_examples=600, deadline=None)
@given(request=requests(), document=st.binary(max_size=100))
def test_any_request_is_an_operation_or_one_of_our_errors(request: Request, document: bytes) -> None:
    with contextlib.suppress(BridgeError):
        parsed = PARSER.parse(request, caller(request))
        if isinstance(parsed, WithDocument):
            parsed = parsed.finish(document)
        assert isinstance(parsed, Operation)


@settings(max_examples=600, deadline=None)
@given(request=requests())
def test_nobody_gets_in_by_chance_and_every_refusal_can_be_rendered(request: Request) -> None:
    async def authenticate() -> Response:
        try:
            early = FRONTEND.preflight(request)
            if early is not None:
                return early
            await FRONTEND.authenticate(request, Catalog(1, {"r": REPOSITORY}, {"AK": KEY}))
        except BridgeError as error:
            return FRONTEND.render_error(request, error, None)
        raise AssertionError("a request without a good signature was let in")

    response = asyncio.run(authenticate())
    assert 200 <= response.status < 600
    assert ("x-amz-request-id", request.id) in response.headers
    for name, value in response.headers:
        assert not set(name + value) & {"\r", "\n", "\0"}
        f"{name}: {value}".encode("latin-1")


@given(request=requests())
def test_a_caller_of_a_form_is_refused_without_credentials(request: Request) -> None:
    request.method = "POST"
    request.headers["content-type"] = "multipart/form-data; boundary=x"
    request.headers.pop("authorization", None)
    with pytest.raises(BridgeError) as refused:
        asyncio.run(FRONTEND.authenticate(request, Catalog(1, {"r": REPOSITORY}, {"AK": KEY})))
    assert not isinstance(refused.value, AuthenticationFailed) or refused.value.reason


# --- single readings -----------------------------------------------------------------------------------------------


def parsed(method: str, path: str, query: str = "", **headers: str) -> object:
    fields = {"host": "node", **{name.replace("_", "-"): value for name, value in headers.items()}}
    request = Request(method, path, query, fields, BytesSource(b""), id="1", peer="", local_port=1)
    return PARSER.parse(request, caller(request))


def test_the_path_is_decoded_once_and_nothing_in_it_collapses() -> None:
    for raw, key in (
        ("a%252Fb", "a%2Fb"),
        ("a%2Fb", "a/b"),
        ("a+b", "a+b"),
        ("/a//b/", "/a//b/"),
        ("../x/./y", "../x/./y"),
        ("%E2%82%AC", "€"),
        ("\xe2\x82\xac", "€"),
    ):
        operation = parsed("GET", f"/bucket/{raw}")
        assert isinstance(operation, GetObject)
        assert operation.key == key


def test_the_query_is_parsed_and_never_searched() -> None:
    operation = parsed("GET", "/bucket", "prefix=uploads&delimiter=%26acl")
    assert isinstance(operation, ListObjects)
    assert (operation.prefix, operation.delimiter) == ("uploads", "&acl")


def test_two_sub_resources_at_once_are_refused() -> None:
    with pytest.raises(NotSupported):
        parsed("GET", "/bucket/key", "acl&tagging")
    with pytest.raises(NotSupported):
        parsed("DELETE", "/bucket/key", "uploadId=1&tagging")


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("/b/k", CopySource("b", "k")),
        ("b/k", CopySource("b", "k")),
        ("b/a%2Fb%20c", CopySource("b", "a/b c")),
        ("b/a+b", CopySource("b", "a+b")),
        ("b/k?versionId=3%2F4", CopySource("b", "k", "3/4")),
        ("b/k%3FversionId=3", CopySource("b", "k?versionId=3")),
        ("b//k", CopySource("b", "/k")),
        ("%2Fb%2Fk", CopySource("b", "k")),
    ],
)
def test_a_copy_source_is_split_before_it_is_decoded(text: str, source: CopySource) -> None:
    assert copy_source({"x-amz-copy-source": text}) == source


@pytest.mark.parametrize("text", ["", "/", "b", "b/", "/b/", "//k", "arn:aws:s3:::b/k"])
def test_a_copy_source_without_bucket_or_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        copy_source({"x-amz-copy-source": text})


@pytest.mark.parametrize(
    ("host", "bare"),
    [("a:80", "a"), ("a", "a"), ("[::1]:80", "[::1]"), ("[::1]", "[::1]"), ("a:", "a:"), ("a:b", "a:b"), ("", "")],
)
def test_a_port_is_told_from_an_address(host: str, bare: str) -> None:
    assert without_port(host) == bare


def from_peer(peer: str, **headers: str) -> Request:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/", "", fields, BytesSource(b""), id="1", peer=peer, local_port=1)


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", "198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "203.0.113.9, 198.51.100.7", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7, 192.0.2.2", "198.51.100.7"),
        ("192.0.2.1", "198.51.100.7, garbage", "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        ("198.51.100.1", "203.0.113.9", "198.51.100.1"),
    ],
)
def test_only_trusted_proxies_say_who_the_client_is(peer: str, forwarded: str, client: str) -> None:
    proxies = Proxies(("192.0.2.0/24",))
    assert proxies.client_of(from_peer(peer, x_forwarded_for=forwarded)) == client


def test_only_trusted_proxies_say_what_host_was_asked_for() -> None:
    proxies = Proxies(("192.0.2.1",))
    assert proxies.forwarded_host(from_peer("192.0.2.1", x_forwarded_host="a, b")) == "b"
    assert proxies.forwarded_host(from_peer("192.0.2.2", x_forwarded_host="a")) is None
    assert proxies.forwarded_host(from_peer("192.0.2.1")) is None
