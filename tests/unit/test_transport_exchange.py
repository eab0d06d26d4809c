"""One exchange over HTTP/1.1, against peers that break every rule on real sockets."""

import asyncio

import pytest

from bridge_node.body import BytesSource
from bridge_node.errors import (
    BackendMisbehaved,
    BackendTimeout,
    BackendUnreachable,
    BadDigest,
    IncompleteBody,
    InvalidArgument,
    MissingLength,
    OutcomeUnknown,
)
from tests.peers import Peer, answering, ok, peer, until
from tests.unit.transports import PushedSource, out

MEBI = 1024 * 1024


# --- answers ---------------------------------------------------------------------------------------------------------


async def test_an_answer_has_a_status_lower_case_headers_and_its_body() -> None:
    async with peer(answering(ok(b"hello", "ETag: x", "X-Amz-Meta-Name: caf\xe9", status=206))) as one, out() as way:
        answer = await way.send(one)
        assert (answer.status, answer.headers["etag"], answer.headers["x-amz-meta-name"]) == (206, "x", "cafÃ©")
        assert answer.body.size == 5
        assert not answer.body.started
        assert await answer.body.read() == b"hello"
        assert await answer.body.read() == b""
        assert answer.body.started


async def test_repeated_headers_are_joined() -> None:
    async with peer(answering(ok(b"", "A: 1", "a: 2"))) as one, out() as way:
        assert (await way.send(one)).headers["a"] == "1, 2"


async def test_connections_are_used_again() -> None:
    async with peer(answering(ok(b"one"), ok(b""), ok(b"three"))) as one, out() as way:
        assert [await way.fetch(one) for _ in range(3)] == [b"one", b"", b"three"]
        assert (one.connections, way.idle) == (1, 1)


async def test_a_large_body_arrives_whole_and_the_connection_is_used_again() -> None:
    body = bytes(range(256)) * 4096 * 8
    async with peer(answering(ok(body))) as one, out() as way:
        assert await way.fetch(one) == body
        assert await way.fetch(one) == body
        assert one.connections == 1


async def test_a_slow_reader_stops_the_backend_instead_of_filling_memory() -> None:
    async with peer(answering(ok(bytes(32 * MEBI)))) as one, out() as way:
        answer = await way.send(one)
        await until(lambda: answer.body._connection is not None and answer.body._connection._paused)
        assert answer.body._buffered < MEBI
        way.clock.now += 3600
        way.transport.sweep()  # a slow client is not a silent backend
        moved = 0
        while data := await answer.body.read():
            moved += len(data)
        assert moved == 32 * MEBI
        assert way.idle == 1


@pytest.mark.parametrize(
    "tail", [b"5\r\nhello\r\n0\r\n\r\n", b"2\r\nhe\r\n3;ext=1\r\nllo\r\n0\r\nX-Checksum: abc\r\nY: z\r\n\r\n"]
)
async def test_chunked_answers_are_read_to_their_end_with_or_without_trailers(tail: bytes) -> None:
    async with peer(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + tail)) as one, out() as way:
        answer = await way.send(one)
        assert answer.body.size is None
        assert b"".join([await answer.body.read(), await answer.body.read(), await answer.body.read()]) == b"hello"
        assert "x-checksum" not in answer.headers
        assert await way.fetch(one) == b"hello"
        assert one.connections == 1


async def test_a_body_that_ends_with_the_connection_has_no_size_and_is_the_connections_last() -> None:
    async with (
        peer(answering(b"HTTP/1.1 200 OK\r\n\r\nhello", then=lambda writer: writer.write_eof())) as one,
        out() as way,
    ):
        answer = await way.send(one)
        assert answer.body.size is None
        assert await answer.body.read() == b"hello"
        assert await answer.body.read() == b""
        assert way.sockets == 0


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_without_a_body_may_still_announce_its_length(status: int) -> None:
    async with peer(answering(b"HTTP/1.1 %d X\r\nContent-Length: 7\r\n\r\n" % status)) as one, out() as way:
        answer = await way.send(one)
        assert (answer.body.size, answer.headers["content-length"]) == (0, "7")
        assert await answer.body.read() == b""
        assert await way.fetch(one) == b""
        assert one.connections == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 7", b"Transfer-Encoding: chunked", b"X: y"])
async def test_answers_to_head_have_no_body_and_leave_the_connection_usable(framing: bytes) -> None:
    async with peer(answering(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n")) as one, out() as way:
        assert (await way.send(one, "HEAD")).body.size == 0
        assert await way.fetch(one, "HEAD") == b""
        assert one.connections == 1


async def test_interim_answers_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"
    async with peer(answering(interim + ok(b"x", "A: b"))) as one, out() as way:
        answer = await way.send(one)
        assert (answer.status, answer.headers) == (200, {"content-length": "1", "a": "b"})
        assert await answer.body.read() == b"x"


@pytest.mark.parametrize("last", [b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\nx", ok(b"x", "Connection: Close")])
async def test_a_connection_that_will_be_closed_is_not_used_again(last: bytes) -> None:
    async with peer(answering(last)) as one, out() as way:
        assert await way.fetch(one) == b"x"
        assert way.sockets == 0
        assert await way.fetch(one) == b"x"
        assert one.connections == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n folded\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000,
        b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000,
    ],
)
async def test_an_answer_that_is_not_http_is_the_backends_fault(answer: bytes) -> None:
    async with peer(answering(answer)) as one, out() as way:
        with pytest.raises(BackendMisbehaved):
            await way.send(one)
        assert way.sockets == 0


@pytest.mark.parametrize(
    "answer",
    [
        ok(b"abc") + b"d",
        ok(b"") + ok(b""),
        b"HTTP/1.1 204 No\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nx\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;" + b"e" * 200_000,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n" + b"t: t\r\n" * 50_000,
    ],
)
async def test_more_bytes_than_announced_make_the_answer_unusable(answer: bytes) -> None:
    async with peer(answering(answer)) as one, out() as way:
        with pytest.raises(BackendMisbehaved):
            await way.fetch(one)
        assert way.sockets == 0


async def test_a_body_on_an_answer_to_head_is_refused() -> None:
    async with peer(answering(ok(b"abc"))) as one, out() as way:
        with pytest.raises(BackendMisbehaved):
            await way.fetch(one, "HEAD")
        assert way.sockets == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
    ],
)
async def test_fewer_bytes_than_announced_are_never_a_clean_end(answer: bytes) -> None:
    async with peer(answering(answer, then=lambda writer: writer.close())) as one, out() as way:
        with pytest.raises(BackendMisbehaved):
            await way.fetch(one)
        assert way.sockets == 0


async def test_what_arrived_before_a_failure_is_read_first() -> None:
    script = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc", then=lambda writer: writer.close())
    async with peer(script) as one, out() as way:
        answer = await way.send(one)
        assert await answer.body.read() == b"abc"
        with pytest.raises(BackendMisbehaved):
            await answer.body.read()
        with pytest.raises(BackendMisbehaved):
            answer.body.read_nowait()


async def test_bytes_on_an_idle_connection_end_it() -> None:
    said_too_much = asyncio.Event()

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        writer.write(ok(b"x"))
        await said_too_much.wait()
        writer.write(ok(b"poison"))
        await reader.read()

    async with peer(script) as one, out() as way:
        assert await way.fetch(one) == b"x"
        assert way.idle == 1
        said_too_much.set()
        await until(lambda: way.sockets == 0)


async def test_the_end_of_an_idle_connection_is_noticed() -> None:
    async with peer(answering(ok(b"x"), then=lambda writer: writer.close())) as one, out() as way:
        assert await way.fetch(one) == b"x"
        await until(lambda: way.sockets == 0)
        assert await way.fetch(one) == b"x"
        assert way.seen.retries == []


# --- requests --------------------------------------------------------------------------------------------------------


async def test_a_request_is_one_head_with_host_and_length() -> None:
    async with peer(answering(ok())) as one, out() as way:
        await way.transport.send(
            one.origin, "PUT", "/a%20b?x=%2B", [("X-Name", "v\xe9")], BytesSource(b"abc"), operation="Test"
        )
        host = f"127.0.0.1:{one.port}"
        head = f"PUT /a%20b?x=%2B HTTP/1.1\r\nHost: {host}\r\nX-Name: v\xe9\r\nContent-Length: 3\r\n\r\n"
        assert one.requests == [head.encode("latin-1")]
        assert one.bodies == [b"abc"]


async def test_an_empty_body_still_announces_its_length() -> None:
    async with peer(answering(ok())) as one, out() as way:
        await way.send(one, "PUT", BytesSource(b""))
        assert b"Content-Length: 0\r\n" in one.requests[0]


async def test_a_request_without_a_body_announces_none() -> None:
    async with peer(answering(ok())) as one, out() as way:
        await way.send(one)
        assert b"Content-Length" not in one.requests[0]


@pytest.mark.parametrize("value", ["a\r\nInjected: yes", "a\nb", "a\rb", "a\0b", "snow \u2603"])
async def test_a_header_can_never_become_two(value: str) -> None:
    async with peer(answering(ok())) as one, out() as way:
        with pytest.raises(InvalidArgument):
            await way.transport.send(one.origin, "GET", "/", [("A", value)], operation="Test")
        assert one.connections == 0


async def test_a_body_of_unknown_size_is_refused_before_it_is_read() -> None:
    async with peer(answering(ok())) as one, out() as way:
        source = PushedSource(None)
        with pytest.raises(MissingLength):
            await way.send(one, "PUT", source)
        assert not source.started
        assert source.aborted
        assert one.connections == 0


async def test_a_large_body_is_streamed_as_it_comes() -> None:
    async with peer(answering(ok())) as one, out() as way:
        source = PushedSource(3 * MEBI)
        for _ in range(3):
            source.push(bytes(MEBI))
        answer = await way.send(one, "PUT", source)
        assert answer.status == 200
        assert [len(body) for body in one.bodies] == [3 * MEBI]
        assert way.idle == 1


async def test_a_backend_that_does_not_read_stops_the_upload_instead_of_filling_memory() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_head(reader)
        await go_on.wait()
        await reader.readexactly(64 * MEBI)
        writer.write(ok())

    go_on = asyncio.Event()
    async with peer(script) as one, out() as way:
        source = Counting(64)
        sending = asyncio.ensure_future(way.send(one, "PUT", source))
        await until(lambda: bool(way.transport._routes) and stuck(way.transport))
        assert source.left > 32
        go_on.set()
        assert (await sending).status == 200
        assert source.left == 0


class Counting:
    """A body of so many mebibytes, all of it at hand."""

    def __init__(self, mebibytes: int) -> None:
        self.size = mebibytes * MEBI
        self.left = mebibytes
        self.started = False

    def read_nowait(self) -> bytes:
        self.started = True
        self.left -= 1
        return bytes(MEBI)

    async def read(self) -> bytes:
        return self.read_nowait()

    def abort(self, error: BaseException) -> None:
        self.left = -1


def stuck(transport: object) -> bool:
    routes = transport._routes.values()  # type: ignore[attr-defined]  # white box
    return any(connection._drained is not None for route in routes for connection in route.open)


@pytest.mark.parametrize("pieces", [[b"ab", b""], [b"ab", b"cdef"], [b"", b""], [b"abcdef"]])
async def test_a_body_of_another_length_than_announced_is_never_completed(pieces: list[bytes]) -> None:
    async with peer(answering(ok())) as one, out() as way:
        source = PushedSource(5)
        sending = asyncio.ensure_future(way.send(one, "PUT", source))
        for piece in pieces:
            await asyncio.sleep(0)
            source.push(piece)
        with pytest.raises(IncompleteBody):
            await sending
        assert source.aborted
        assert one.bodies == []


async def test_an_error_of_the_body_comes_through_and_resets_the_upload() -> None:
    async with peer(answering(ok())) as one, out() as way:
        source = PushedSource(MEBI)
        refused = BadDigest()
        source.push(bytes(1000))
        sending = asyncio.ensure_future(way.send(one, "PUT", source))
        await until(lambda: len(one.requests) == 1)
        source.push(refused)
        with pytest.raises(BadDigest) as raised:
            await sending
        assert raised.value is refused
        await one.gone.wait()
        assert one.bodies == []
        assert way.sockets == 0


async def test_an_error_before_the_first_byte_sends_nothing_and_keeps_the_connection() -> None:
    async with peer(answering(ok())) as one, out() as way:
        await way.fetch(one)
        source = PushedSource(0)
        source.push(BadDigest())
        with pytest.raises(BadDigest):
            await way.send(one, "PUT", source)
        assert len(one.requests) == 1
        assert way.idle == 1


async def test_a_refusal_in_mid_upload_is_seen_at_once_and_stops_the_upload() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_head(reader)
        writer.write(ok(b"<Error/>", status=403))
        await reader.read()

    async with peer(script) as one, out() as way:
        source = PushedSource(100 * MEBI)
        source.push(bytes(10))
        answer = await way.send(one, "PUT", source)
        assert answer.status == 403
        assert await answer.body.read() == b"<Error/>"
        assert source.aborted
        await until(lambda: way.sockets == 0)
        await one.gone.wait()


async def test_success_before_the_body_was_sent_is_no_success() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_head(reader)
        writer.write(ok())
        await reader.read()

    async with peer(script) as one, out() as way:
        source = PushedSource(MEBI)
        source.push(bytes(10))
        with pytest.raises(OutcomeUnknown):
            await way.send(one, "PUT", source)
        assert source.aborted
        assert way.sockets == 0


# --- lost answers ----------------------------------------------------------------------------------------------------


def closing(writer: asyncio.StreamWriter) -> None:
    writer.close()


def resetting(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


@pytest.mark.parametrize("end", [closing, resetting])
async def test_a_lost_answer_to_a_write_is_an_unknown_outcome(end: object) -> None:
    async with peer(answering(b"", then=end)) as one, out() as way:  # type: ignore[arg-type]  # one of two above
        for method in ("PUT", "POST", "DELETE"):
            with pytest.raises(OutcomeUnknown):
                await way.send(one, method, BytesSource(b"abc"))
        assert len(one.bodies) == 3
        assert way.seen.retries == []


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_lost_answer_to_a_read_is_a_failure(method: str) -> None:
    async with peer(answering(b"", then=closing)) as one, out() as way:
        with pytest.raises(BackendUnreachable):
            await way.send(one, method)


async def test_a_connection_lost_in_mid_upload_changed_nothing() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_head(reader)
        writer.transport.abort()

    async with peer(script) as one, out() as way:
        source = PushedSource(MEBI)
        source.push(b"x")
        with pytest.raises(BackendUnreachable):
            await way.send(one, "PUT", source)
        assert source.aborted


def once_then_dead(*, after: bytes = b"") -> object:
    """The first connection answers once and dies at the second request; later ones answer on."""

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = one.connections == 1
        await one.read_request(reader)
        writer.write(ok(b"x"))
        while True:
            await one.read_request(reader)
            if first:
                writer.write(after)
                return
            writer.write(ok(b"x"))

    return script


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE"])
async def test_a_request_without_a_body_is_sent_again_when_a_kept_connection_was_dead(method: str) -> None:
    async with peer(once_then_dead()) as one, out() as way:  # type: ignore[arg-type]  # a script
        await way.fetch(one)
        answer = await way.send(one, method)
        answer.body.abort(asyncio.CancelledError())
        assert answer.status == 200
        assert (one.connections, way.seen.retries) == (2, ["stale_connection"])


async def test_nothing_with_a_body_is_sent_again() -> None:
    async with peer(once_then_dead()) as one, out() as way:  # type: ignore[arg-type]  # a script
        await way.fetch(one)
        with pytest.raises(OutcomeUnknown):
            await way.send(one, "PUT", BytesSource(b"abc"))
        assert (one.connections, way.seen.retries) == (1, [])


async def test_nothing_that_must_happen_once_is_sent_again() -> None:
    async with peer(once_then_dead()) as one, out() as way:  # type: ignore[arg-type]  # a script
        await way.fetch(one)
        with pytest.raises(OutcomeUnknown):
            await way.send(one, "POST", repeatable=False)
        assert way.seen.retries == []


async def test_nothing_is_sent_again_once_an_answer_began() -> None:
    async with peer(once_then_dead(after=b"HTTP/1.1 2")) as one, out() as way:  # type: ignore[arg-type]  # a script
        await way.fetch(one)
        with pytest.raises(BackendMisbehaved):
            await way.send(one)
        assert way.seen.retries == []


async def test_nothing_is_sent_again_without_a_budget() -> None:
    async with peer(once_then_dead()) as one, out(retry_ratio=0.0) as way:  # type: ignore[arg-type]  # a script
        await way.fetch(one)
        with pytest.raises(BackendUnreachable):
            await way.send(one)


async def test_a_request_is_sent_again_only_once() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        if one.connections == 1:
            writer.write(ok(b"x"))
            await one.read_request(reader)

    async with peer(script) as one, out() as way:
        await way.fetch(one)
        with pytest.raises(BackendUnreachable):
            await way.send(one)
        assert one.connections == 2


# --- silence ---------------------------------------------------------------------------------------------------------


async def test_a_silent_backend_is_given_up() -> None:
    async with peer(answering(b"")) as one, out(idle_seconds=60.0) as way:
        reading = asyncio.ensure_future(way.send(one))
        writing = asyncio.ensure_future(way.send(one, "PUT", BytesSource(b"abc")))
        await until(lambda: len(one.requests) == 2)
        way.clock.now += 59
        way.transport.sweep()
        await asyncio.sleep(0)
        assert not reading.done()
        way.clock.now += 2
        way.transport.sweep()
        with pytest.raises(BackendTimeout):
            await reading
        with pytest.raises(OutcomeUnknown):
            await writing


async def test_silence_is_measured_from_the_last_byte_not_from_the_first() -> None:
    more = asyncio.Event()

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")
        await more.wait()
        writer.write(b"b")
        await reader.read()

    async with peer(script) as one, out(idle_seconds=60.0) as way:
        way.clock.now += 59
        answer = await way.send(one)
        assert await answer.body.read() == b"a"
        way.clock.now += 59
        way.transport.sweep()
        more.set()
        assert await answer.body.read() == b"b"


async def test_silence_in_the_middle_of_a_body_is_an_error_for_its_reader() -> None:
    async with peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na")) as one, out() as way:
        answer = await way.send(one)
        assert await answer.body.read() == b"a"
        way.clock.now += 61
        way.transport.sweep()
        with pytest.raises(BackendTimeout):
            await answer.body.read()


async def test_a_slow_client_is_not_a_silent_backend() -> None:
    async with peer(answering(ok())) as one, out() as way:
        source = PushedSource(4)
        source.push(b"ab")
        sending = asyncio.ensure_future(way.send(one, "PUT", source))
        await until(lambda: len(one.requests) == 1)
        way.clock.now += 3600
        way.transport.sweep()
        source.push(b"cd")
        assert (await sending).status == 200
