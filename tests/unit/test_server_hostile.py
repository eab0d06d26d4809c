"""The server against peers that do not speak HTTP as they should."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_node.errors import MalformedFraming
from bridge_node.gateway.request_body import ChunkedFraming
from bridge_node.settings import Limits
from tests.unit.http_corpus import CHUNKED_CORPUS, CHUNKED_HEAD, CORPUS, Hostile
from tests.unit.http_peer import Peer, serving

GET = b"GET /b/k HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
async def test_a_head_that_is_not_plain_http_is_refused_and_ends_the_connection(hostile: Hostile) -> None:
    async with serving() as running, running.peer() as peer:
        await peer.send(hostile.data + GET)
        reply = await peer.reply()
        assert reply.status == hostile.status
        assert reply.body.decode() == hostile.reason or not hostile.reason
        assert reply.headers["connection"] == "close"
        assert await peer.closed()
        assert running.handler.requests == []
        assert running.events.faults == [(reply.body.decode(), hostile.status)]


@pytest.mark.parametrize("hostile", CORPUS, ids=lambda hostile: hostile.name)
async def test_a_hostile_head_is_refused_alike_byte_by_byte(hostile: Hostile) -> None:
    async with serving() as running, running.peer() as peer:
        for start in range(0, len(hostile.data), max(1, len(hostile.data) // 16)):
            await peer.send(hostile.data[start : start + max(1, len(hostile.data) // 16)])
            await asyncio.sleep(0)
        await peer.send(GET)
        reply = await peer.reply()
        assert reply.status in {hostile.status, 400}
        assert await peer.closed()
        assert running.handler.requests == []


@pytest.mark.parametrize(("body", "reason"), CHUNKED_CORPUS)
async def test_a_chunked_body_that_cannot_be_read_fails_its_request_and_no_other_follows(
    body: bytes, reason: str
) -> None:
    async with serving() as running, running.peer() as peer:
        await peer.send(CHUNKED_HEAD + body + GET)
        peer.half_close()
        reply = await peer.reply()
        assert (reply.status, reply.headers["connection"]) == (400, "close")
        assert reply.body.decode() == reason
        assert await peer.closed()
        assert len(running.handler.requests) == 1


async def test_a_head_that_never_ends_is_answered_408() -> None:
    async with serving(limits=Limits(header_seconds=0.1)) as running, running.peer() as peer:
        await peer.send(b"GET /b/k HTTP/1.1\r\nHost:")
        reply = await peer.reply()
        assert (reply.status, reply.body) == (408, b"head_too_slow")
        assert await peer.closed()
        assert running.events.faults == [("head_too_slow", 408)]


async def test_dripping_bytes_does_not_extend_the_time_for_a_head() -> None:
    async def drip(peer: Peer) -> None:
        await peer.send(b"GET /b/k HTTP/1.1\r\n")
        while True:
            await peer.send(b"X-A: a\r\n")
            await asyncio.sleep(0.01)

    async with serving(limits=Limits(header_seconds=0.2)) as running, running.peer() as peer:
        dripping = asyncio.create_task(drip(peer))
        assert (await peer.reply()).status == 408
        dripping.cancel()
        await asyncio.gather(dripping, return_exceptions=True)


async def test_a_connection_that_says_nothing_is_closed_without_a_word() -> None:
    async with serving(limits=Limits(header_seconds=0.1)) as running, running.peer() as peer:
        assert await peer.closed()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.sampled_from(
                [
                    GET,
                    b"PUT /a HTTP/1.1\r\n",
                    b"Host: a\r\n",
                    b"Content-Length: 3\r\n",
                    b"Transfer-Encoding: chunked\r\n",
                    b"Expect: 100-continue\r\n",
                    b"Connection: upgrade\r\nUpgrade: x\r\n",
                    b"\r\n",
                    b"\n",
                    b"\r",
                    b" ",
                    b"abc",
                    b"3\r\nabc\r\n",
                    b"0\r\n\r\n",
                ]
            ),
        ),
        max_size=12,
    )
)
def test_no_bytes_crash_the_server_or_make_more_requests_than_heads(pieces: list[bytes]) -> None:
    data = b"".join(pieces)

    async def run() -> None:
        async with serving(limits=Limits(body_idle_seconds=1)) as running, running.peer() as peer:
            asyncio.get_running_loop().set_exception_handler(lambda _, context: pytest.fail(str(context)))
            await peer.send(data)
            peer.half_close()
            answer = await peer.rest()
            assert len(running.handler.requests) <= data.count(b" HTTP/1.1\r\n") + data.count(b" HTTP/1.0\r\n")
            assert_well_formed(answer, head_only=b"HEAD " in data)

    asyncio.run(run())


def assert_well_formed(stream: bytes, *, head_only: bool) -> None:
    """`stream` is a sequence of whole answers, each of which the echo or a refusal explains."""
    while stream:
        head, separator, stream = stream.partition(b"\r\n\r\n")
        assert separator
        status = int(head.split(b" ")[1])
        assert status in {100, 200, 400, 408, 414, 417, 431, 501, 505}
        if status == 100:
            continue
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if head_only and (not stream or stream.startswith(b"HTTP/1.1 ")):
            continue
        assert len(stream) >= length
        stream = stream[length:]


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=8), st.binary(max_size=20), st.randoms())
def test_chunks_are_joined_however_they_are_cut(chunks: list[bytes], beyond: bytes, random: object) -> None:
    wire = (
        b"".join(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\nTrailer: x\r\n\r\n" + beyond
    )
    framing, pieces, left = ChunkedFraming(), [], b""
    while wire and not framing.complete:
        cut = 1 + random.randrange(len(wire))  # type: ignore[attr-defined]  # hypothesis gives a Random
        got, left = framing.feed(wire[:cut])
        pieces += got
        wire = wire[cut:]
    assert framing.complete
    assert b"".join(pieces) == b"".join(chunks)
    assert left + wire == beyond


@given(st.binary(max_size=200))
def test_no_bytes_crash_the_chunk_reader(data: bytes) -> None:
    framing = ChunkedFraming()
    try:
        pieces, beyond = framing.feed(data)
    except MalformedFraming:
        return
    assert sum(map(len, pieces)) + len(beyond) <= len(data)
