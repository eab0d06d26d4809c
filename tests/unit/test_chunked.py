"""Chunked and digested bodies: AWS's examples pass, nothing else does, and a refusal comes before the last byte."""

import base64
import json
from collections.abc import Sequence
from hashlib import md5, sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node import checksums
from bridge_node.body import ByteSource, BytesSource
from bridge_node.errors import (
    BadDigest,
    BridgeError,
    ChunkSignatureMismatch,
    ClientGone,
    ContentHashMismatch,
    IncompleteBody,
    InvalidArgument,
    InvalidDigest,
    InvalidRequest,
    MalformedFraming,
    MissingLength,
)
from bridge_node.objects import Checksum
from bridge_node.protocols.s3 import sigv4
from bridge_node.protocols.s3.chunked import MAX_LINE, ChunkedSource, ChunkSigning, FramedSource
from bridge_node.protocols.s3.payload import Declared, VerifiedSource, declared, verified_body
from bridge_node.protocols.s3.sigv4 import (
    EMPTY_SHA256,
    STREAMING_SIGNED,
    STREAMING_SIGNED_TRAILER,
    STREAMING_UNSIGNED_TRAILER,
    UNSIGNED_PAYLOAD,
    Authorization,
    SigningKey,
)
from tests.unit.pieces import Pieces, cut, drained

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "sigv4_s3_chunked.json").read_text())
KEY = SigningKey(VECTORS["secret"], "20130524", VECTORS["region"])
CRC32C = "x-amz-checksum-crc32c"


def authorization(payload: str, seed: str = "5" * 64) -> Authorization:
    return Authorization(
        VECTORS["access_key"], "20130524", VECTORS["region"], "s3", VECTORS["amz_date"], 0.0, ("host",), seed, payload
    )


def digest(data: bytes, algorithm: str = "crc32c") -> str:
    hasher = checksums.new(algorithm)
    hasher.update(data)
    return checksums.encoded(hasher)


def framed(chunks: Sequence[bytes], *, signed: bool, trailer: dict[str, str] | None = None) -> bytes:
    """A body as a client sends it."""
    signing = ChunkSigning(KEY, authorization(""))
    body = b""
    for chunk in (*chunks, b""):
        extension = f";chunk-signature={signing.chunk(sha256(chunk).hexdigest())}" if signed else ""
        body += f"{len(chunk):x}{extension}\r\n".encode() + chunk + (b"\r\n" if chunk else b"")
    for name, value in (trailer or {}).items():
        body += f"{name}:{value}\r\n".encode()
    if signed and trailer is not None:
        canonical = "".join(f"{name}:{value}\n" for name, value in sorted(trailer.items()))
        body += f"x-amz-trailer-signature:{signing.trailer(canonical.encode())}\r\n".encode()
    return body + b"\r\n"


def unframing(pieces: Sequence[bytes], size: int, *, signed: bool, trailer: bool = False) -> ChunkedSource:
    signing = ChunkSigning(KEY, authorization("")) if signed else None
    return ChunkedSource(Pieces(pieces), decoded_size=size, signing=signing, trailer=(CRC32C,) if trailer else None)


async def handed_out(source: ByteSource) -> tuple[bytes, BridgeError | None]:
    """What comes out of a source before it ends or refuses."""
    data = b""
    try:
        while piece := await source.read():
            data += piece
    except BridgeError as error:
        return data, error
    return data, None


# --- AWS's examples ------------------------------------------------------------------------------------------------


def _vector_body(vector: dict[str, Any]) -> bytes:
    body = b""
    for size, signature in zip(VECTORS["chunk_sizes"], vector["chunk_signatures"], strict=True):
        body += b"%x;chunk-signature=%s\r\n" % (size, signature.encode())
        body += b"a" * size + b"\r\n" if size else b""
    if vector["trailer"]:
        body += "{name}:{value}\r\nx-amz-trailer-signature:{signature}\r\n".format(**vector["trailer"]).encode()
    return body + b"\r\n"


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["payload"])
async def test_a_chunked_upload_of_aws_is_taken_byte_for_byte(vector: dict[str, Any]) -> None:
    scope = f"{VECTORS['access_key']}/20130524/us-east-1/s3/aws4_request"
    headers = {
        **VECTORS["headers"],
        **vector["headers"],
        "x-amz-content-sha256": vector["payload"],
        "authorization": f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders={vector['signed_headers']}, "
        f"Signature={vector['seed']}",
    }
    auth = sigv4.parse("", headers)
    canonical = sigv4.canonical_request(VECTORS["method"], VECTORS["path"], "", headers, auth)
    assert sigv4.signature(KEY, auth, canonical) == vector["seed"]

    body = _vector_body(vector)
    assert str(len(body)) == headers.get("content-length", "66946")
    source = verified_body(BytesSource(body), headers, auth, KEY)
    assert (source.size, source.started) == (66560, False)
    assert source.read_nowait() == b"a" * 66560
    assert source.read_nowait() == b""
    if vector["trailer"]:
        assert isinstance(source, VerifiedSource)
        assert source.checksum == Checksum("crc32c", "sOO8/Q==")


@pytest.mark.parametrize("vector", VECTORS["bodies"], ids=lambda vector: vector["payload"])
def test_chunks_are_signed_as_aws_signs_them(vector: dict[str, Any]) -> None:
    signing = ChunkSigning(KEY, authorization(vector["payload"], vector["seed"]))
    for size, signature in zip(VECTORS["chunk_sizes"], vector["chunk_signatures"], strict=True):
        assert signing.chunk(sha256(b"a" * size).hexdigest()) == signature
    if vector["trailer"]:
        assert signing.trailer(b"x-amz-checksum-crc32c:sOO8/Q==\n") == vector["trailer"]["signature"]


async def test_a_bare_line_feed_behind_a_trailing_value_is_taken_as_in_aws_examples() -> None:
    body = b"5\r\nhello\r\n0\r\n%s:%s\n\r\n\r\n" % (CRC32C.encode(), digest(b"hello").encode())
    source = unframing([body], 5, signed=False, trailer=True)
    assert await drained(source) == b"hello"
    assert source.trailers == {CRC32C: digest(b"hello")}


# --- however it is cut ---------------------------------------------------------------------------------------------

CHUNKS = st.lists(st.binary(min_size=1, max_size=40), max_size=4)


@given(CHUNKS, st.booleans(), st.booleans(), st.lists(st.integers(0, 500), max_size=12), st.booleans())
async def test_decoding_does_not_depend_on_how_the_body_is_cut(
    chunks: list[bytes], signed: bool, trailer: bool, cuts: list[int], waits: bool
) -> None:
    data = b"".join(chunks)
    fields = {CRC32C: digest(data)} if trailer else None
    body = framed(chunks, signed=signed, trailer=fields)
    source = unframing(cut(body, cuts, waits=waits), len(data), signed=signed, trailer=trailer)
    assert await drained(source) == data
    assert await source.read() == b""
    assert source.read_nowait() == b""
    assert source.trailers == (fields or {})
    assert source.started == bool(data)


async def test_every_byte_may_come_alone() -> None:
    data = bytes(range(256))
    body = framed([data[:100], data[100:]], signed=True, trailer={CRC32C: digest(data)})
    source = unframing(cut(body, range(len(body)), waits=True), 256, signed=True, trailer=True)
    assert await drained(source) == data


async def test_a_small_body_that_is_here_comes_out_verified_in_one_piece() -> None:
    body = framed([b"a" * 600, b"b" * 424], signed=True, trailer={CRC32C: digest(b"a" * 600 + b"b" * 424)})
    headers = {"x-amz-decoded-content-length": "1024", "x-amz-trailer": CRC32C}
    source = verified_body(BytesSource(body), headers, authorization(STREAMING_SIGNED_TRAILER), KEY)
    assert source.read_nowait() == b"a" * 600 + b"b" * 424
    assert source.started


# --- refusals come in time -----------------------------------------------------------------------------------------


@given(st.data())
async def test_no_flipped_bit_of_a_signed_body_is_accepted(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=20), max_size=3))
    plain = b"".join(chunks)
    body = bytearray(framed(chunks, signed=True, trailer={CRC32C: digest(plain)}))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    pieces = cut(bytes(body), data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    seen, error = await handed_out(unframing(pieces, len(plain), signed=True, trailer=True))
    if error is None:
        # Only the case of a hexadecimal digit or of a trailer's name may change, and nothing comes of it.
        assert seen == plain
        assert chr(body[at]).isalpha()
    else:
        assert plain == b"" or len(seen) < len(plain)


@given(st.data())
async def test_no_flipped_bit_of_data_under_an_unsigned_trailer_is_accepted(data: st.DataObject) -> None:
    chunks = data.draw(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=3))
    plain = b"".join(chunks)
    body = bytearray(framed(chunks, signed=False, trailer={CRC32C: digest(plain)}))
    at = data.draw(st.integers(0, len(body) - 1))
    body[at] ^= 1 << data.draw(st.integers(0, 7))
    headers = {"x-amz-decoded-content-length": str(len(plain)), "x-amz-trailer": CRC32C}
    source = verified_body(BytesSource(bytes(body)), headers, authorization(STREAMING_UNSIGNED_TRAILER), KEY)
    seen, error = await handed_out(source)
    assert seen == plain if error is None else len(seen) < len(plain)


@given(CHUNKS, st.booleans(), st.booleans(), st.data())
async def test_a_body_that_ends_early_is_incomplete_wherever_it_ends(
    chunks: list[bytes], signed: bool, trailer: bool, data: st.DataObject
) -> None:
    plain = b"".join(chunks)
    body = framed(chunks, signed=signed, trailer={CRC32C: digest(plain)} if trailer else None)
    end = data.draw(st.integers(0, len(body) - 1))
    cuts = data.draw(st.lists(st.integers(0, end), max_size=4))
    source = unframing(cut(body[:end], cuts), len(plain), signed=signed, trailer=trailer)
    seen, error = await handed_out(source)
    assert isinstance(error, IncompleteBody)
    assert plain == b"" or len(seen) < len(plain)


@given(st.binary(max_size=200), st.booleans(), st.booleans(), st.integers(0, 50))
async def test_garbage_is_refused_without_a_crash(body: bytes, signed: bool, trailer: bool, size: int) -> None:
    _, error = await handed_out(unframing([body], size, signed=signed, trailer=trailer))
    assert isinstance(error, MalformedFraming | IncompleteBody | ChunkSignatureMismatch)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"zz\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"-5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"0x5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b" 5\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"5 \r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"5;name=value\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"5\nhello\n0\n\n", IncompleteBody),
        (b"5\r\nhelloo\r\n0\r\n\r\n", MalformedFraming),
        (b"4\r\nhello\r\n0\r\n\r\n", MalformedFraming),
        (b"4\r\nhell\r\n0\r\n\r\n", IncompleteBody),
        (b"6\r\nhello!\r\n0\r\n\r\n", IncompleteBody),
        (b"ffffffffffffffff\r\nhello", IncompleteBody),
        (b"0" * 17 + b"5\r\nhello", MalformedFraming),
        (b"5\r\nhello\r\n", IncompleteBody),
        (b"5\r\nhello\r\n0\r\n", IncompleteBody),
        (b"5\r\nhello\r\n0\r\n\r\nmore", MalformedFraming),
        (b"5\r\nhello\r\n0\r\n\r\n0\r\n\r\n", MalformedFraming),
        (b"5\r\nhello\r\n0\r\nx-amz-checksum-crc32c:AAAAAA==\r\n\r\n", MalformedFraming),
        (b"", IncompleteBody),
    ],
)
async def test_malformed_framing_is_refused_before_the_last_byte(body: bytes, kind: type[BridgeError]) -> None:
    source = unframing([body], 5, signed=False)
    seen, error = await handed_out(source)
    assert type(error) is kind
    assert len(seen) < 5


@pytest.mark.parametrize(
    "trailer",
    [
        b"",
        b"x-amz-checksum-crc32:AAAAAA==\r\n",
        b"x-amz-checksum-crc32c:AAAAAA==\r\nx-amz-checksum-crc32c:AAAAAA==\r\n",
        b"x-amz-checksum-crc32c:AAAAAA==\r\nx-amz-checksum-crc32:AAAAAA==\r\n",
        b"x-amz-checksum-crc32c\r\n",
        b"x-amz-checksum-crc32c:\r\n",
        b": AAAAAA==\r\n",
        b"x-amz-checksum-crc32c:AAAA\x00==\r\n",
        b"x-amz-checksum-crc32c:AAAAAA==\r\nx-amz-trailer-signature:" + b"0" * 64 + b"\r\n",
    ],
)
async def test_a_trailer_must_be_what_was_announced(trailer: bytes) -> None:
    source = unframing([b"5\r\nhello\r\n0\r\n" + trailer + b"\r\n"], 5, signed=False, trailer=True)
    seen, error = await handed_out(source)
    assert (seen, type(error)) == (b"", MalformedFraming)
    assert error is not None
    assert error.reason == "malformed_trailer"


async def test_a_signed_trailer_needs_its_signature() -> None:
    body = framed([b"hello"], signed=True, trailer={CRC32C: digest(b"hello")})
    cut_out = body[: body.index(b"x-amz-trailer-signature")] + b"\r\n"
    _, error = await handed_out(unframing([cut_out], 5, signed=True, trailer=True))
    assert isinstance(error, ChunkSignatureMismatch)


async def test_chunks_cannot_be_swapped_left_out_or_repeated() -> None:
    signing = ChunkSigning(KEY, authorization(""))
    pieces = [
        b"%x;chunk-signature=%s\r\n%s" % (len(c), signing.chunk(sha256(c).hexdigest()).encode(), c and c + b"\r\n")
        for c in (b"one", b"two", b"")
    ]
    first, second, last = pieces
    for order in ((second, first, last), (first, first, last), (first, last), (second, last)):
        size = 3 * (len(order) - 1)
        seen, error = await handed_out(unframing([b"".join(order) + b"\r\n"], size, signed=True))
        assert isinstance(error, ChunkSignatureMismatch)
        assert len(seen) < size


async def test_lines_and_trailers_are_bounded() -> None:
    for body in (b"5" * (MAX_LINE + 10), b"5\r\nhello\r\n0\r\n" + CRC32C.encode() + b":" + b"A" * MAX_LINE * 2):
        _, error = await handed_out(unframing(cut(body, range(0, len(body), 100)), 5, signed=False, trailer=True))
        assert isinstance(error, MalformedFraming)


async def test_a_huge_chunk_is_passed_on_as_it_comes() -> None:
    piece = b"x" * 65536
    pieces = [b"40000000000\r\n", *[piece] * 50]
    source = unframing(pieces, 0x40000000000, signed=False)
    assert [source.read_nowait() for _ in range(49)] == [piece] * 49
    with pytest.raises(IncompleteBody):
        source.read_nowait()


async def test_a_refused_body_aborts_what_stands_behind_and_stays_refused() -> None:
    behind = Pieces([b"zz\r\n", b""])
    source = ChunkedSource(behind, decoded_size=5)
    for _ in range(2):
        with pytest.raises(MalformedFraming) as caught:
            source.read_nowait()
    assert behind.aborted is caught.value
    assert not source.started


async def test_an_error_of_the_connection_comes_through() -> None:
    class Gone(BytesSource):
        def read_nowait(self) -> bytes:
            if self._data:
                return super().read_nowait()
            raise ClientGone

    source = VerifiedSource(Gone(b"hello"), sha256=sha256(b"hello").hexdigest())
    for _ in range(2):
        seen, error = await handed_out(source)
        assert (seen, type(error)) == (b"", ClientGone)


# --- digests -------------------------------------------------------------------------------------------------------

ALGORITHMS = sorted(checksums.ALGORITHMS)


@given(st.binary(max_size=100), st.lists(st.integers(0, 100), max_size=5), st.sampled_from(ALGORITHMS), st.booleans())
async def test_a_body_that_agrees_with_all_its_digests_passes(
    data: bytes, cuts: list[int], algorithm: str, waits: bool
) -> None:
    source = VerifiedSource(
        Pieces(cut(data, cuts, waits=waits), len(data)),
        sha256=sha256(data).hexdigest(),
        md5=digest(data, "md5"),
        checksum=Checksum(algorithm, digest(data, algorithm)),
    )
    assert source.size == len(data)
    assert await drained(source) == data


@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=5), st.sampled_from(["md5", *ALGORITHMS]))
async def test_a_body_that_disagrees_with_a_digest_is_refused_before_its_last_byte(
    data: bytes, cuts: list[int], algorithm: str
) -> None:
    wrong = digest(data + b"x", algorithm)
    declared_digest: dict[str, Any] = {"md5": wrong} if algorithm == "md5" else {"checksum": Checksum(algorithm, wrong)}
    seen, error = await handed_out(VerifiedSource(Pieces(cut(data, cuts)), **declared_digest))
    assert isinstance(error, BadDigest)
    assert data == b"" or len(seen) < len(data)


async def test_a_body_that_disagrees_with_its_payload_hash_is_refused() -> None:
    _, error = await handed_out(VerifiedSource(BytesSource(b"hello"), sha256=EMPTY_SHA256))
    assert isinstance(error, ContentHashMismatch)


async def test_an_empty_body_is_refused_as_soon_as_it_is_asked_for() -> None:
    source = VerifiedSource(BytesSource(b""), md5=digest(b"x", "md5"))
    with pytest.raises(BadDigest):
        source.read_nowait()


async def test_a_trailing_checksum_is_compared_at_the_end() -> None:
    headers = {"x-amz-decoded-content-length": "5", "x-amz-trailer": CRC32C}
    auth = authorization(STREAMING_UNSIGNED_TRAILER)
    for value, kind in ((digest(b"hello"), None), (digest(b"hell"), BadDigest), ("AAAA", InvalidDigest)):
        body = framed([b"hello"], signed=False, trailer={CRC32C: value})
        source = verified_body(Pieces(cut(body, [3, 6, 9])), headers, auth, KEY)
        seen, error = await handed_out(source)
        assert (seen == b"hello") == (kind is None)
        assert error is None if kind is None else isinstance(error, kind)


# --- what headers declare ------------------------------------------------------------------------------------------


def test_declared_digests_are_read() -> None:
    md5_value = base64.b64encode(md5(b"", usedforsecurity=False).digest()).decode()
    assert declared({"content-md5": md5_value}) == Declared(md5_value)
    assert declared({CRC32C: "AAAAAA==", "x-amz-sdk-checksum-algorithm": "CRC32C"}) == Declared(
        None, Checksum("crc32c", "AAAAAA==")
    )
    assert declared({"x-amz-trailer": "X-Amz-Checksum-Sha256"}).algorithm == "sha256"
    assert declared({"x-amz-checksum-mode": "ENABLED", "x-amz-checksum-type": "COMPOSITE"}) == Declared()


@pytest.mark.parametrize(
    ("headers", "kind"),
    [
        ({"content-md5": "x"}, InvalidDigest),
        ({"content-md5": "AAAAAA=="}, InvalidDigest),
        ({"content-md5": "é"}, InvalidDigest),
        ({CRC32C: "AAAA"}, InvalidDigest),
        ({CRC32C: "not base64"}, InvalidDigest),
        ({"x-amz-checksum-crc65": "AAAAAA=="}, InvalidRequest),
        ({"x-amz-checksum-md5": "AAAAAA=="}, InvalidRequest),
        ({CRC32C: "AAAAAA==", "x-amz-checksum-crc32": "AAAAAA=="}, InvalidRequest),
        ({CRC32C: "AAAAAA==", "x-amz-trailer": CRC32C}, InvalidRequest),
        ({"x-amz-trailer": "x-amz-checksum-xxhash3"}, InvalidRequest),
        ({"x-amz-trailer": "x-amz-meta-a"}, InvalidRequest),
        ({"x-amz-trailer": CRC32C + ",x-amz-checksum-crc32"}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "CRC32"}, InvalidRequest),
        ({"x-amz-sdk-checksum-algorithm": "SHA512"}, InvalidRequest),
    ],
)
def test_digests_that_cannot_be_checked_are_refused(headers: dict[str, str], kind: type[BridgeError]) -> None:
    with pytest.raises(kind):
        declared(headers)


def test_a_body_about_which_nothing_is_declared_is_left_alone() -> None:
    source = BytesSource(b"hello")
    assert verified_body(source, {}, authorization(UNSIGNED_PAYLOAD), KEY) is source


def test_chunks_need_a_decoded_length() -> None:
    auth = authorization(STREAMING_SIGNED)
    with pytest.raises(MissingLength):
        verified_body(BytesSource(b""), {}, auth, KEY)
    for length in ("", "-1", "1e3", "٣", "9" * 30):
        with pytest.raises(InvalidArgument):
            verified_body(BytesSource(b""), {"x-amz-decoded-content-length": length}, auth, KEY)


@pytest.mark.parametrize("payload", [UNSIGNED_PAYLOAD, EMPTY_SHA256, STREAMING_SIGNED])
def test_a_trailer_that_cannot_come_is_refused(payload: str) -> None:
    headers = {"x-amz-trailer": CRC32C, "x-amz-decoded-content-length": "0"}
    with pytest.raises(InvalidRequest):
        verified_body(BytesSource(b""), headers, authorization(payload), KEY)


async def test_a_checksum_of_something_else_is_not_compared_with_the_body() -> None:
    headers = {CRC32C: digest(b"the whole object") + "-3"}
    auth = authorization(sha256(b"<Complete/>").hexdigest())
    source = verified_body(BytesSource(b"<Complete/>"), headers, auth, KEY, checksum_of_body=False)
    assert await drained(source) == b"<Complete/>"


# --- written and read again ----------------------------------------------------------------------------------------


@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=5), st.sampled_from(ALGORITHMS), st.booleans())
async def test_what_is_framed_is_read_back(data: bytes, cuts: list[int], algorithm: str, waits: bool) -> None:
    written = FramedSource(Pieces(cut(data, cuts, waits=waits), len(data)), algorithm)
    assert not written.started
    body = await drained(written)
    assert len(body) == written.size
    headers = {"x-amz-decoded-content-length": str(len(data)), "x-amz-trailer": f"x-amz-checksum-{algorithm}"}
    source = verified_body(BytesSource(body), headers, authorization(STREAMING_UNSIGNED_TRAILER), KEY)
    assert await drained(source) == data


def test_a_framed_body_aborts_what_stands_behind() -> None:
    behind = Pieces([b"hello"], 5)
    error = ClientGone()
    FramedSource(behind, "crc32c").abort(error)
    assert behind.aborted is error


async def test_a_large_body_is_framed_in_chunks_of_bounded_size() -> None:
    data = bytes(range(256)) * 4096 * 2 + b"the rest"
    written = FramedSource(Pieces([data[:700_000], data[700_000:]], len(data)), "crc32c")
    body = await drained(written)
    assert len(body) == written.size
    assert body.startswith(b"100000\r\n")
    assert body.count(b"100000\r\n") == 2
    headers = {"x-amz-decoded-content-length": str(len(data)), "x-amz-trailer": "x-amz-checksum-crc32c"}
    source = verified_body(BytesSource(body), headers, authorization(STREAMING_UNSIGNED_TRAILER), KEY)
    assert await drained(source) == data
    assert written.checksum.value == digest(data)


@pytest.mark.parametrize("announced", [4, 6])
async def test_a_body_of_another_length_is_never_given_an_end(announced: int) -> None:
    written = FramedSource(Pieces([b"hello"], announced), "crc32c")
    with pytest.raises(IncompleteBody):
        await drained(written)
