"""Whatever a backend sends, and wherever it stops: an answer is right, or it is an error; nothing hangs or leaks."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge_node.body import BytesSource
from bridge_node.errors import BackendFailure, BackendMisbehaved, BackendUnreachable, OutcomeUnknown
from tests.peers import Peer, Script, ok, peer
from tests.unit.transports import Out, out

BODY = b"0123456789"
SHAPES = {
    "length": ok(BODY, "ETag: x"),
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n6\r\n456789\r\n0\r\nT: r\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\n" + ok(BODY),
}


def stopping(answer: bytes, *, reset: bool) -> Script:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        writer.write(answer)
        await writer.drain()
        if reset:
            writer.transport.abort()

    return script


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_cut_at_any_byte_is_never_taken_for_whole(shape: str, reset: bool) -> None:
    answer = SHAPES[shape]
    for cut in range(len(answer)):
        async with peer(stopping(answer[:cut], reset=reset)) as one, out() as way:
            with pytest.raises((BackendUnreachable, BackendMisbehaved)):
                await way.fetch(one)
            assert way.sockets == 0


@pytest.mark.parametrize("reset", [False, True])
async def test_a_write_whose_answer_is_cut_at_any_byte_of_its_head_is_an_unknown_outcome(reset: bool) -> None:
    answer = ok(b"")
    for cut in range(len(answer)):
        async with peer(stopping(answer[:cut], reset=reset)) as one, out() as way:
            with pytest.raises(OutcomeUnknown):
                await way.send(one, "PUT", BytesSource(BODY))


async def test_a_request_cut_at_any_byte_is_no_success() -> None:
    """The backend stops reading after so many bytes and resets."""
    whole = len("PUT /key HTTP/1.1\r\nHost: 127.0.0.1:12345\r\nContent-Length: 10\r\n\r\n") + len(BODY)
    for cut in range(1, whole):

        async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: int = cut) -> None:
            await reader.readexactly(cut)
            writer.transport.abort()

        async with peer(script) as one, out() as way:
            with pytest.raises((OutcomeUnknown, BackendUnreachable)):
                await way.send(one, "PUT", BytesSource(BODY))
            assert way.sockets == 0


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_that_comes_byte_by_byte_is_the_same_answer(shape: str) -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await one.read_request(reader)
            for byte in SHAPES[shape]:
                writer.write(bytes([byte]))
                await writer.drain()
                await asyncio.sleep(0)

    async with peer(script) as one, out() as way:
        assert [await way.fetch(one), await way.fetch(one)] == [BODY, BODY]
        assert one.connections == 1


TOKENS = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 204 No\r\n",
        b"Content-Length: 10\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"ETag: x\r\n",
        b"Connection: close\r\n", b"Upgrade: h2c\r\nConnection: Upgrade\r\n", b"\r\n", b"\n", b"\r", b" ", b":",
        b"\0", b"\xff", b"a\r\n", b"3\r\nabc\r\n", b"0\r\n\r\n", BODY,
    ]
)  # fmt: skip
ANSWERS = st.one_of(
    st.binary(max_size=200),
    st.lists(TOKENS, max_size=12).map(b"".join),
    st.builds(
        lambda answer, at, noise: answer[:at] + noise + answer[at + len(noise) :],
        st.sampled_from(sorted(SHAPES.values())),
        st.integers(0, 80),
        st.binary(max_size=4),
    ),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(answer=ANSWERS, method=st.sampled_from(["GET", "HEAD", "PUT"]))
def test_no_answer_crashes_hangs_or_leaks(answer: bytes, method: str) -> None:
    async def scenario() -> None:
        async with peer(stopping(answer, reset=False)) as one, out() as way:
            await exchange(way, one, method)

    asyncio.run(asyncio.wait_for(scenario(), 10))


async def exchange(way: Out, one: Peer, method: str) -> None:
    body = BytesSource(BODY) if method == "PUT" else None
    try:
        answer = await way.send(one, method, body)
        announced = answer.body.size
        length = 0
        while data := await answer.body.read():
            length += len(data)
    except (BackendFailure, OutcomeUnknown):
        return
    assert announced is None or announced == length
