"""Reads of the S3 backend: what is asked, what an answer may be, and what becomes of one that breaks off."""

import asyncio

import pytest

from bridge_node.body import ByteSource, read_all
from bridge_node.errors import (
    BackendBusy,
    BackendFailure,
    BackendMisbehaved,
    BackendRefused,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    NoSuchVersion,
    NotModified,
)
from bridge_node.objects import ByteRange, Checksum, Conditions
from bridge_node.operations import GetAttributes, GetObject, HeadObject, ListObjects, ListUploads
from tests.peers import ok
from tests.unit.s3_store import Answer, Store, bare, error, found, store

DATA = b"0123456789"


async def everything(source: ByteSource) -> bytes:
    return await read_all(source, 1 << 20, AssertionError("too much"))


def broken_off(body: bytes, size: int, etag: str = "e", *headers: str, status: int = 200) -> bytes:
    """Announces `size` bytes, sends fewer and closes."""
    whole = found(bytes(size), etag, "Connection: close", *headers, status=status)
    return whole[: len(whole) - size] + body


# --- one read --------------------------------------------------------------------------------------------------------


async def test_an_object_is_what_its_headers_say_and_nothing_of_the_server() -> None:
    answer = found(
        DATA, "e", "Content-Type: text/plain", "Cache-Control: no-store", "x-amz-meta-colour: blue", "Server: nginx",
        "x-amz-version-id: v1", "x-amz-storage-class: GLACIER_IR", "x-amz-id-2: zzz", "Set-Cookie: a=b",
        "x-amz-checksum-crc32c: AAAAAA==", "x-amz-checksum-type: FULL_OBJECT", "x-amz-mp-parts-count: 3",
    )  # fmt: skip
    async with store(answer) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "key", checksum=True))
        assert await everything(stream.source) == DATA
        info = stream.info
        assert (stream.start, stream.stop, stream.partial) == (0, 10, False)
        assert (info.key, info.size, info.etag, info.pin, info.version_id) == ("key", 10, "e", "e", "v1")
        assert (info.last_modified, info.storage_class, info.part_count) == (1445412480.0, "GLACIER_IR", 3)
        assert info.content == {"content-type": "text/plain", "cache-control": "no-store"}
        assert info.metadata == {"colour": "blue"}
        assert info.checksum == Checksum("crc32c", "AAAAAA==")
        assert it.asked[0].headers["x-amz-checksum-mode"] == "ENABLED"


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a b+c", "/bucket/a%20b%2Bc"),
        ("a//b/../c/./", "/bucket/a//b/../c/./"),
        ("/lead", "/bucket//lead"),
        ("100%25", "/bucket/100%2525"),
        ("caf\xe9/\u8a9e", "/bucket/caf%C3%A9/%E8%AA%9E"),
        ("a?b#c&d=e", "/bucket/a%3Fb%23c%26d%3De"),
        ("~-._", "/bucket/~-._"),
        ("\x01\n", "/bucket/%01%0A"),
    ],
)
async def test_keys_go_on_the_wire_as_they_are(key: str, path: str) -> None:
    async with store(found(DATA)) as it:
        await it.backend.get_object("bucket", GetObject("b", key))
        assert it.lines == [f"GET {path}"]


async def test_a_range_is_asked_for_and_compared_with_the_answer() -> None:
    async with store(found(DATA[2:5], "e", "Content-Range: bytes 2-4/10", status=206)) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k", range=ByteRange(2, 4), checksum=True))
        assert (stream.start, stream.stop, stream.info.size, stream.partial) == (2, 5, 10, True)
        assert it.asked[0].headers["range"] == "bytes=2-4"
        assert "x-amz-checksum-mode" not in it.asked[0].headers


@pytest.mark.parametrize(
    "answer",
    [
        found(DATA[2:5], "e", "Content-Range: bytes 3-5/10", status=206),
        found(DATA[2:5], "e", "Content-Range: bytes 2-3/10", status=206),
        found(DATA[2:5], "e", "Content-Range: bytes 2-4/*", status=206),
        found(DATA[2:5], "e", "Content-Range: bytes 4-2/10", status=206),
        found(DATA[2:5], "e", status=206),
        found(DATA[2:5], "e", status=203),
        ok(DATA),
        b'HTTP/1.1 200 OK\r\nETag: "e"\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n',
        b'HTTP/1.1 200 OK\r\nETag: "e"\r\nConnection: close\r\n\r\nabc',
    ],
)
async def test_bytes_that_nobody_asked_for_are_refused(answer: bytes) -> None:
    async with store(answer) as it:
        with pytest.raises(BackendMisbehaved):
            await it.backend.get_object("bucket", GetObject("b", "k", range=ByteRange(2, 4)))


async def test_a_part_of_an_answer_to_a_whole_read_is_refused() -> None:
    async with store(found(DATA[:3], "e", "Content-Range: bytes 0-2/10", status=206)) as it:
        with pytest.raises(BackendMisbehaved):
            await it.backend.get_object("bucket", GetObject("b", "k"))


async def test_a_store_that_ignores_a_range_sends_the_whole_object() -> None:
    async with store(found(DATA)) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k", range=ByteRange(2, 4)))
        assert (stream.start, stream.stop, stream.partial) == (0, 10, False)


async def test_a_range_beyond_the_end_knows_the_size() -> None:
    async with store(error(416, "InvalidRange", "Content-Range: bytes */10")) as it:
        with pytest.raises(InvalidRange) as refused:
            await it.backend.get_object("bucket", GetObject("b", "k", range=ByteRange(10)))
        assert refused.value.size == 10


async def test_conditions_versions_and_parts_are_passed_on() -> None:
    conditions = Conditions(("a", "b"), ("*",), 1445412480.0, 1445412480.0)
    async with store(found(DATA)) as it:
        op = GetObject("b", "k", part=1, conditions=conditions, version_id="v/1")
        await it.backend.get_object("bucket", op)
        headers = it.asked[0].headers
        assert it.lines == ["GET /bucket/k?partNumber=1&versionId=v%2F1"]
        assert headers["if-match"] == '"a", "b"'
        assert headers["if-none-match"] == "*"
        assert headers["if-modified-since"] == headers["if-unmodified-since"] == "Wed, 21 Oct 2015 07:28:00 GMT"


async def test_a_pin_is_asked_for_instead_of_what_the_client_wanted() -> None:
    async with store(found(DATA)) as it:
        await it.backend.get_object("bucket", GetObject("b", "k", conditions=Conditions(("a",)), pin="e"))
        assert it.asked[0].headers["if-match"] == '"e"'


async def test_an_object_that_did_not_change_says_so_with_its_etag() -> None:
    async with store(bare(304, 'ETag: "e"', "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT")) as it:
        with pytest.raises(NotModified) as raised:
            await it.backend.get_object("bucket", GetObject("b", "k", conditions=Conditions(if_none_match=("e",))))
        assert (raised.value.etag, raised.value.last_modified) == ("e", 1445412480.0)


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "meaning"),
    [
        (error(404, "NoSuchKey"), NoSuchKey),
        (error(404, "NoSuchBucket"), NoSuchBucket),
        (ok(b"<html>not here</html>", status=404), BackendMisbehaved),
        (ok(b"", status=404), BackendMisbehaved),
        (error(403, "AccessDenied"), BackendRefused),
        (error(403, "SignatureDoesNotMatch"), BackendRefused),
        (ok(b"", "Location: http://elsewhere.test/", status=302), BackendMisbehaved),
        (ok(b"x" * 300_000, status=418), BackendMisbehaved),
    ],
)
async def test_only_no_such_key_means_absent(answer: bytes, meaning: type[Exception]) -> None:
    async with store(answer) as it:
        with pytest.raises(BackendFailure if meaning is BackendMisbehaved else meaning) as raised:
            await it.backend.get_object("bucket", GetObject("b", "k"))
        assert type(raised.value) is meaning


async def test_a_delete_marker_is_named() -> None:
    answer = error(404, "NoSuchKey", "x-amz-delete-marker: true", "x-amz-version-id: v7")
    async with store(answer) as it:
        with pytest.raises(NoSuchKey) as raised:
            await it.backend.get_object("bucket", GetObject("b", "k"))
        assert raised.value.delete_marker == "v7"


@pytest.mark.parametrize(
    ("bucket", "version", "meaning"),
    [
        (bare(200), None, NoSuchKey),
        (bare(403), None, NoSuchKey),
        (bare(200), "v1", NoSuchVersion),
        (bare(404), None, NoSuchBucket),
        (bare(400), None, BackendMisbehaved),
    ],
)
async def test_a_head_without_a_reason_asks_whether_the_bucket_is_there(
    bucket: bytes, version: str | None, meaning: type[Exception]
) -> None:
    async with store(bare(404), bucket) as it:
        with pytest.raises(meaning):
            await it.backend.head_object("bucket", HeadObject("b", "k", version_id=version))
        assert it.lines[1] == "HEAD /bucket"


async def test_a_bucket_that_was_there_is_not_asked_for_again_and_again() -> None:
    async with store(bare(404), bare(200), bare(404)) as it:
        for _ in range(2):
            with pytest.raises(NoSuchKey):
                await it.backend.head_object("bucket", HeadObject("b", "k"))


async def test_a_forbidden_head_is_an_error_and_not_absence() -> None:
    async with store(bare(403)) as it:
        with pytest.raises(BackendRefused):
            await it.backend.head_object("bucket", HeadObject("b", "k"))


async def test_a_head_of_a_range_works_where_the_store_ignores_it() -> None:
    async with store(bare(200, "Content-Length: 10", 'ETag: "e"')) as it:
        stream = await it.backend.head_part("bucket", HeadObject("b", "k", range=ByteRange(2, 4)))
        assert (stream.start, stream.stop, stream.info.size, stream.partial) == (2, 5, 10, True)


# --- busy stores -----------------------------------------------------------------------------------------------------


async def test_a_busy_store_is_asked_again_within_the_budget() -> None:
    busy = error(503, "SlowDown")
    async with store(busy, busy, found(DATA)) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k"))
        assert await everything(stream.source) == DATA
        assert it.seen.retries == ["status_503", "status_503"]
    async with store(busy, busy, busy) as it:
        with pytest.raises(BackendBusy):
            await it.backend.get_object("bucket", GetObject("b", "k"))
    async with store(busy, retry_ratio=0.0) as it:
        with pytest.raises(BackendBusy):
            await it.backend.get_object("bucket", GetObject("b", "k"))


# --- regions ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "moved",
    [
        error(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1", "Location: http://169.254.169.254/"),
        error(400, "AuthorizationHeaderMalformed", more="<Region>eu-west-1</Region>"),
        error(307, "TemporaryRedirect", "x-amz-bucket-region: eu-west-1"),
    ],
)
async def test_a_bucket_in_another_region_is_found_and_remembered(moved: bytes) -> None:
    async with store(moved, found(DATA), found(DATA)) as it:
        for _ in range(2):
            await it.backend.get_object("bucket", GetObject("b", "k"))
        assert [one.region for one in it.asked] == ["us-east-1", "eu-west-1", "eu-west-1"]


async def test_the_endpoint_of_another_region_is_made_from_our_own() -> None:
    moved = error(301, "PermanentRedirect", "x-amz-bucket-region: eu-west-1")
    async with store(moved, found(DATA), endpoint="http://s3.us-east-1.store.test:PORT") as it:
        await it.backend.get_object("bucket", GetObject("b", "k"))
        assert [one.headers["host"].rpartition(":")[0] for one in it.asked] == [
            "s3.us-east-1.store.test",
            "s3.eu-west-1.store.test",
        ]


async def test_a_region_that_is_none_is_not_followed() -> None:
    async with store(error(301, "PermanentRedirect", "x-amz-bucket-region: evil.test/x?")) as it:
        with pytest.raises(BackendMisbehaved):
            await it.backend.get_object("bucket", GetObject("b", "k"))


async def test_redirects_in_a_circle_end() -> None:
    to = [error(301, "PermanentRedirect", f"x-amz-bucket-region: eu-west-{number}") for number in (1, 2, 1)]
    async with store(*to) as it:
        with pytest.raises(BackendFailure):
            await it.backend.get_object("bucket", GetObject("b", "k"))


@pytest.mark.parametrize(("bucket", "virtual"), [("bucket", True), ("with.dots", False), ("Upper", False)])
async def test_virtual_hosts_are_used_for_names_that_can_be_hosts(bucket: str, virtual: bool) -> None:
    async with store(found(DATA), endpoint="http://store.test:PORT", addressing="virtual") as it:
        await it.backend.get_object(bucket, GetObject("b", "k"))
        host = it.asked[0].headers["host"].rpartition(":")[0]
        assert (host, it.asked[0].path) == (
            (f"{bucket}.store.test", "/k") if virtual else ("store.test", f"/{bucket}/k")
        )


# --- answers that break off ------------------------------------------------------------------------------------------


async def test_a_read_that_breaks_off_goes_on_where_it_stopped_in_the_same_version() -> None:
    async with store(
        broken_off(DATA[:4], 10, "e", "x-amz-version-id: v1"),
        broken_off(DATA[4:7], 6, "e", "Content-Range: bytes 4-9/10", status=206),
        found(DATA[7:], "e", "Content-Range: bytes 7-9/10", status=206),
    ) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k"))
        assert await everything(stream.source) == DATA
        assert it.lines[1:] == ["GET /bucket/k?versionId=v1"] * 2
        assert [one.headers["range"] for one in it.asked[1:]] == ["bytes=4-9", "bytes=7-9"]
        assert [one.headers["if-match"] for one in it.asked[1:]] == ['"e"'] * 2
        assert it.seen.retries == ["broken_read"] * 2


async def test_a_range_that_breaks_off_goes_on_within_the_range() -> None:
    async with store(
        broken_off(DATA[2:4], 5, "e", "Content-Range: bytes 2-6/10", status=206),
        found(DATA[4:7], "e", "Content-Range: bytes 4-6/10", status=206),
    ) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k", range=ByteRange(2, 6)))
        assert await everything(stream.source) == DATA[2:7]
        assert it.asked[1].headers["range"] == "bytes=4-6"


@pytest.mark.parametrize(
    "answer",
    [
        error(412, "PreconditionFailed"),
        error(404, "NoSuchKey"),
        found(DATA[4:], "other", "Content-Range: bytes 4-9/10", status=206),
        found(DATA[4:], "e", "Content-Range: bytes 4-9/11", status=206),
        found(DATA, "e"),
    ],
)
async def test_versions_are_never_mixed(answer: bytes) -> None:
    async with store(broken_off(DATA[:4], 10), answer, retry_ratio=0.1) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k"))
        assert await stream.source.read() == DATA[:4]
        with pytest.raises(BackendMisbehaved):
            await stream.source.read()


async def test_going_on_ends_after_some_tries() -> None:
    again: list[Answer] = [broken_off(b"", 6, "e", "Content-Range: bytes 4-9/10", status=206) for _ in range(3)]
    async with store(broken_off(DATA[:4], 10), *again) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k"))
        with pytest.raises(BackendMisbehaved):
            await everything(stream.source)


async def test_a_stream_that_nobody_wants_frees_its_connection() -> None:
    async with store(found(bytes(4 * 1024 * 1024))) as it:
        stream = await it.backend.get_object("bucket", GetObject("b", "k"))
        await stream.source.read()
        stream.source.abort(asyncio.CancelledError())
        with pytest.raises(asyncio.CancelledError):
            await stream.source.read()


# --- listings --------------------------------------------------------------------------------------------------------


def listing(token: str = "", marker: str = "") -> bytes:
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    following += f"<NextMarker>{marker}</NextMarker>" if marker else ""
    cut = "true" if token or marker else "false"
    return ok(
        f"<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>{cut}</IsTruncated>{following}"
        "<Contents><Key>a%2Bb</Key><Size>1</Size><ETag>&quot;e&quot;</ETag>"
        "<LastModified>2015-10-21T07:28:00.000Z</LastModified></Contents></ListBucketResult>".encode()
    )


async def list_all(it: Store, op: ListObjects) -> None:
    page = await it.backend.list_objects("bucket", op)
    assert [info.key for info in page.objects] == ["a+b"]
    while page.token is not None:
        page = await it.backend.list_objects("bucket", ListObjects("b", op.prefix, op.delimiter, token=page.token))


async def test_pages_are_asked_for_by_the_stores_own_token() -> None:
    async with store(listing(token="t/1"), listing()) as it:
        await list_all(it, ListObjects("b", "p", "/", after="x"))
        assert it.lines == [
            "GET /bucket?delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=p&start-after=x",
            "GET /bucket?continuation-token=t%2F1&delimiter=%2F&encoding-type=url&list-type=2&max-keys=1000&prefix=p",
        ]


async def test_a_common_prefix_is_skipped_by_a_marker() -> None:
    async with store(listing(marker="q/"), listing()) as it:
        await list_all(it, ListObjects("b", "p/", "/", after="p/x/"))
        assert it.lines == [
            "GET /bucket?delimiter=%2F&encoding-type=url&marker=p%2Fx%2F&max-keys=1000&prefix=p%2F",
            "GET /bucket?delimiter=%2F&encoding-type=url&marker=q%2F&max-keys=1000&prefix=p%2F",
        ]


@pytest.mark.parametrize("data", [b"", b"<html/>", b"<ListBucketResult>", b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"])
async def test_a_listing_that_cannot_be_read_is_the_stores_fault(data: bytes) -> None:
    async with store(ok(data), ok(data)) as it:
        with pytest.raises(BackendMisbehaved):
            await it.backend.list_objects("bucket", ListObjects("b"))
        with pytest.raises(BackendMisbehaved):
            await it.backend.list_uploads("bucket", ListUploads("b"))


async def test_buckets_are_listed_to_the_last_page() -> None:
    def page(name: str, token: str) -> bytes:
        return ok(
            f"<ListAllMyBucketsResult><Buckets><Bucket><Name>{name}</Name></Bucket></Buckets>"
            f"<ContinuationToken>{token}</ContinuationToken></ListAllMyBucketsResult>".encode()
        )

    async with store(page("b", "t"), page("a", "")) as it:
        assert [bucket.name for bucket in await it.backend.list_buckets()] == ["a", "b"]
        assert it.lines == ["GET /", "GET /?continuation-token=t"]


async def test_attributes_work_where_the_store_does_not_know_them() -> None:
    head = bare(200, "Content-Length: 10", 'ETag: "e-2"')
    async with store(head, error(501, "NotImplemented")) as it:
        info, parts = await it.backend.get_attributes("bucket", GetAttributes("b", "k", parts=True))
        assert (info.size, info.part_count, parts) == (10, 2, ())
