"""What the server does for clients that behave, and what it promises about bodies, answers and connections."""

import asyncio
import email.utils
import re
import time
from collections.abc import Callable

import pytest

from bridge_node.body import BytesSource
from bridge_node.errors import BackendMisbehaved, BackendUnreachable, ClientGone, ClientTooSlow, IncompleteBody
from bridge_node.gateway.http import Request, Responder, Response, Sent
from bridge_node.gateway.server import new_request_id
from bridge_node.settings import Limits
from tests.unit.http_peer import Answer, Peer, echo, serving, until

GET = b"GET /b/k HTTP/1.1\r\nHost: a\r\n\r\n"


def put(body: bytes, *fields: bytes) -> bytes:
    head = [b"PUT /b/k HTTP/1.1", b"Host: a", b"Content-Length: %d" % len(body), *fields]
    return b"\r\n".join(head) + b"\r\n\r\n" + body


class Pieces:
    """A source of given pieces; an exception among them is raised. `size` is what it claims, true or not."""

    def __init__(self, size: int | None, *pieces: bytes | Exception) -> None:
        self.size = size
        self.started = False
        self.aborted: BaseException | None = None
        self._pieces = list(pieces)

    def read_nowait(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        piece = self._pieces.pop(0) if self._pieces else b""
        if isinstance(piece, Exception):
            raise piece
        return piece

    def abort(self, error: BaseException) -> None:
        self.aborted = error


def answering(make: Callable[[], Response], sent: Sent | None = None) -> Answer:
    """A handler that ignores the request's body."""

    async def answer(_: Request, responder: Responder) -> None:
        await responder.send(make(), sent or Sent())

    return answer


# Requests


async def test_a_get_is_answered_and_the_connection_kept() -> None:
    async with serving() as running, running.peer() as peer:
        for _ in range(3):
            reply = await peer.ask(GET)
            assert (reply.status, reply.body) == (200, b"GET /b/k ")
            assert "connection" not in reply.headers
            assert abs(email.utils.parsedate_to_datetime(reply.headers["date"]).timestamp() - time.time()) < 3
        assert running.server.connections == 1
        assert running.server.in_flight == 0


async def test_the_date_of_an_answer_is_of_its_own_second() -> None:
    await asyncio.sleep(1.5 - time.time() % 1)  # a server that started within a second turns with the clock
    async with serving() as running, running.peer() as peer:
        await asyncio.sleep(1.1 - time.time() % 1)
        second = int(time.time())
        reply = await peer.ask(GET)
        assert email.utils.parsedate_to_datetime(reply.headers["date"]).timestamp() >= second


async def test_a_request_arrives_as_it_was_sent() -> None:
    async with serving() as running, running.peer() as peer:
        await peer.ask(
            b"GET /b/a%2Fb//../c?x=1&y=%20?z HTTP/1.1\r\nHost: a:9000\r\nX-Amz-Meta-A: one \r\n"
            b"x-amz-meta-a:\ttwo\r\nEmpty:\r\nx-amz-meta-u: \xc3\xa4\r\n\r\n"
        )
        request = running.handler.requests[0]
        assert (request.method, request.path, request.query) == ("GET", "/b/a%2Fb//../c", "x=1&y=%20?z")
        assert request.headers == {"host": "a:9000", "x-amz-meta-a": "one,two", "empty": "", "x-amz-meta-u": "Ã¤"}
        assert (request.peer, request.local_port, request.tls) == ("127.0.0.1", running.port, False)
        assert (request.version, request.keep_alive, request.has_length) == ("1.1", True, False)
        assert await request.body.read() == b""


async def test_every_request_has_an_id_of_its_own() -> None:
    async with serving() as running, running.peer() as peer:
        await peer.ask(GET)
        await peer.ask(GET)
        first, second = (request.id for request in running.handler.requests)
        assert first != second
        assert all(re.fullmatch("[0-9A-F]{16}", name) for name in (first, second, new_request_id()))


async def test_empty_lines_before_a_request_are_ignored() -> None:
    async with serving() as running, running.peer() as peer:
        assert (await peer.ask(b"\r\n\r\n" + GET)).status == 200
        await peer.send(b"\r")
        assert (await peer.ask(b"\n" + GET)).status == 200


async def test_a_head_may_come_byte_by_byte() -> None:
    async with serving() as running, running.peer() as peer:
        for octet in put(b"hello"):
            await peer.send(bytes([octet]))
            await asyncio.sleep(0)
        assert (await peer.reply()).body == b"PUT /b/k hello"


async def test_pipelined_requests_are_answered_in_order_each_with_its_own_body() -> None:
    chunked = (
        b"PUT /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nth\r\n3\r\nree\r\n0\r\nT: x\r\n\r\n"
    )
    stream = put(b"one") + GET + chunked + put(b"") + GET.replace(b"/b/k", b"/5")
    async with serving() as running, running.peer() as peer:
        await peer.send(stream)
        bodies = [(await peer.reply()).body for _ in range(5)]
        assert bodies == [b"PUT /b/k one", b"GET /b/k ", b"PUT /3 three", b"PUT /b/k ", b"GET /5 "]


async def test_what_is_pipelined_behind_a_slow_request_waits_within_bounds() -> None:
    released = asyncio.Event()

    async def slow(request: Request, responder: Responder) -> None:
        await released.wait()
        await echo(request, responder)

    async with serving(slow) as running, running.peer() as peer:
        peer.writer.write(GET * 100_000)
        await asyncio.sleep(0.2)
        assert len(running.handler.requests) == 1
        assert running.server.buffered < 512 * 1024
        released.set()
        for _ in range(1000):
            assert (await peer.reply()).status == 200


async def test_a_client_that_pipelines_does_not_keep_others_waiting() -> None:
    async with serving() as running, running.peer() as greedy, running.peer() as modest:
        await greedy.ask(GET)
        greedy.writer.write(GET.replace(b"/b/k", b"/g") * 2000)
        await modest.ask(GET.replace(b"/b/k", b"/m"))
        paths = [request.path for request in running.handler.requests]
        assert paths.index("/m") < 500


async def test_an_offered_upgrade_is_ignored() -> None:
    fields = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk")
    async with serving() as running, running.peer() as peer:
        assert (await peer.ask(put(b"hello", *fields) + GET)).body == b"PUT /b/k hello"
        assert (await peer.reply()).body == b"GET /b/k "


# Bodies


@pytest.mark.parametrize("size", [0, 1, 1000, 200_000, 5_000_000])
async def test_a_body_arrives_whole_and_the_next_request_after_it(size: int) -> None:
    body = (b"0123456789" * (size // 10 + 1))[:size]
    async with serving() as running, running.peer() as peer:
        assert (await peer.ask(put(body) + GET)).body == b"PUT /b/k " + body
        assert (await peer.reply()).body == b"GET /b/k "
        assert running.handler.requests[0].has_length
        assert running.handler.requests[0].body.size == size
        assert running.server.buffered == 0


async def test_a_body_that_nobody_pulls_is_held_back_at_the_client() -> None:
    pulled = asyncio.Event()

    async def late(request: Request, responder: Responder) -> None:
        await pulled.wait()
        await echo(request, responder)

    body = b"x" * 20_000_000
    async with serving(late, Limits(stream_buffer=64 * 1024)) as running, running.peer() as peer:
        peer.writer.write(put(body))
        await asyncio.sleep(0.2)
        assert 64 * 1024 < running.server.buffered < 1024 * 1024
        pulled.set()
        assert (await peer.reply()).body == b"PUT /b/k " + body


async def test_100_continue_is_sent_at_the_first_pull_of_the_body() -> None:
    asked = asyncio.Event()

    async def later(request: Request, responder: Responder) -> None:
        await asked.wait()
        await echo(request, responder)

    async with serving(later) as running, running.peer() as peer:
        await peer.send(b"PUT /b/k HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await peer.reader.read(1)
        asked.set()
        assert await peer.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await peer.ask(b"hello")).body == b"PUT /b/k hello"
        assert (await peer.ask(GET)).status == 200


async def test_100_continue_is_left_out_when_the_body_is_already_here() -> None:
    async with serving() as running, running.peer() as peer:
        assert (await peer.ask(put(b"hello", b"Expect: 100-continue"))).body == b"PUT /b/k hello"


async def test_an_expectation_without_a_body_gets_its_100_before_the_answer() -> None:
    async with serving() as running, running.peer() as peer:
        await peer.send(put(b"", b"Expect: 100-continue"))
        assert await peer.exactly(25) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert (await peer.reply()).body == b"PUT /b/k "
        assert (await peer.ask(GET)).status == 200


async def test_a_refused_expectation_uploads_nothing_and_ends_the_connection() -> None:
    async with serving(answering(lambda: Response.document(403, [], b"no"))) as running, running.peer() as peer:
        reply = await peer.ask(b"PUT /b/k HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (reply.status, reply.headers["connection"]) == (403, "close")
        assert await peer.closed()
        peer.half_close()


async def test_an_early_answer_reaches_a_client_that_is_still_sending() -> None:
    async with serving(answering(lambda: Response.document(403, [], b"no"))) as running, running.peer() as peer:
        peer.writer.write(put(b"x" * 30_000_000))
        reply = await peer.reply()
        assert (reply.status, reply.body, reply.headers["connection"]) == (403, b"no", "close")
        assert await peer.closed()
        assert running.server.buffered == 0


async def test_an_early_answer_keeps_the_connection_when_the_whole_body_has_come() -> None:
    async with serving(answering(lambda: Response.document(403, [], b"no"))) as running, running.peer() as peer:
        assert (await peer.ask(put(b"x" * 100) + GET)).status == 403
        assert (await peer.reply()).status == 403
        assert len(running.handler.requests) == 2


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 10\r\n\r\nhello", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello"]
)
async def test_a_client_that_stops_before_the_end_of_its_body_gets_an_error(framing: bytes) -> None:
    async with serving() as running, running.peer() as peer:
        await peer.send(b"PUT /b/k HTTP/1.1\r\nHost: a\r\n" + framing)
        peer.half_close()
        assert (await peer.reply()).body == b"client_stopped_early"
        with pytest.raises(IncompleteBody):
            await running.handler.requests[0].body.read()
        assert await peer.closed()


async def test_a_half_closed_client_still_gets_all_its_answers() -> None:
    async with serving() as running, running.peer() as peer:
        await peer.send(put(b"hello") + GET)
        peer.half_close()
        assert (await peer.reply()).body == b"PUT /b/k hello"
        assert (await peer.reply()).body == b"GET /b/k "
        assert await peer.closed()


async def test_a_client_that_vanishes_cancels_its_request_and_frees_the_slot() -> None:
    async def forever(_: Request, __: Responder) -> None:
        await asyncio.Event().wait()

    async with serving(forever) as running:
        async with running.peer() as peer:
            await peer.send(b"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel")
            await until(lambda: running.server.in_flight == 1)
            peer.reset()
        await running.handler.cancelled.wait()
        await until(lambda: not running.server.connections)
        assert running.server.in_flight == 0
        with pytest.raises(ClientGone):
            running.handler.requests[0].body.read_nowait()


async def test_a_client_that_vanishes_in_the_middle_of_an_answer_is_no_fault_of_the_node() -> None:
    endings: list[BaseException] = []

    async def download(_: Request, responder: Responder) -> None:
        try:
            await responder.send(Response.document(200, [], b"x" * 50_000_000), Sent())
        except BaseException as error:
            endings.append(error)
            raise

    async with serving(download) as running:
        async with running.peer() as peer:
            await peer.send(GET)
            await until(lambda: running.server.in_flight == 1)
            peer.reset()
        await until(lambda: bool(endings))
    assert [type(error) for error in endings] == [asyncio.CancelledError]


async def test_a_client_that_stops_in_its_body_is_too_slow_but_one_that_drips_is_not() -> None:
    failures: list[BaseException] = []

    async def pull(request: Request, responder: Responder) -> None:
        try:
            while await request.body.read():
                pass
        except ClientTooSlow as error:
            failures.append(error)
        await responder.send(Response.document(200 if not failures else 400, [], b""), Sent())

    async with serving(pull, Limits(body_idle_seconds=0.2)) as running:
        async with running.peer() as peer:
            await peer.send(put(b"x" * 10)[:-10])
            for _ in range(10):
                await asyncio.sleep(0.06)
                await peer.send(b"x")
            assert (await peer.reply()).status == 200
            assert not failures
        async with running.peer() as peer:
            await peer.send(put(b"x" * 10)[:-1])
            assert (await peer.reply()).status == 400
            assert failures


async def test_a_slow_handler_does_not_make_the_client_too_slow() -> None:
    async def slow(request: Request, responder: Responder) -> None:
        await asyncio.sleep(0.5)
        await echo(request, responder)

    async with serving(slow, Limits(body_idle_seconds=0.1)) as running, running.peer() as peer:
        assert (await peer.ask(put(b"hello"))).status == 200


async def test_a_body_that_lost_its_framing_never_becomes_a_second_request() -> None:
    refused = asyncio.Event()

    async def refuse_late(request: Request, responder: Responder) -> None:
        request.body.abort(IncompleteBody())
        await refused.wait()
        await responder.send(Response(403), Sent())

    async with serving(refuse_late) as running, running.peer() as peer:
        await peer.send(b"PUT /b/k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n")
        await until(lambda: running.server.in_flight == 1)
        await peer.send(b"0\r\n\r\n" + GET)
        await asyncio.sleep(0.05)
        refused.set()
        assert (await peer.reply()).headers["connection"] == "close"
        assert await peer.closed()
        assert len(running.handler.requests) == 1


async def test_a_task_that_still_pulls_when_its_request_has_ended_is_woken() -> None:
    pulls: list[asyncio.Task[bytes]] = []

    async def forget(request: Request, responder: Responder) -> None:
        pulls.append(asyncio.create_task(request.body.read()))
        await asyncio.sleep(0)
        await responder.send(Response(403), Sent())

    async with serving(forget) as running, running.peer() as peer:
        await peer.ask(put(b"x" * 10)[:-10])
        with pytest.raises(ClientGone):
            await pulls[0]


# Answers


async def test_a_body_of_unknown_size_is_chunked() -> None:
    sent = Sent()
    answer = answering(lambda: Response(200, [], Pieces(None, b"hello", b"x" * 100_000)), sent)
    async with serving(answer) as running, running.peer() as peer:
        await peer.send(GET)
        _, headers = await peer.head()
        assert headers["transfer-encoding"] == "chunked"
        assert "content-length" not in headers
        chunks = b"5\r\nhello\r\n186a0\r\n" + b"x" * 100_000 + b"\r\n0\r\n\r\n"
        assert await peer.exactly(len(chunks)) == chunks
        assert (sent.bytes, sent.complete) == (100_005, True)
        await peer.send(GET)
        assert (await peer.head())[0] == 200


async def test_http_1_0_gets_no_chunks_and_one_answer() -> None:
    answer = answering(lambda: Response(200, [], Pieces(None, b"hello")))
    async with serving(answer) as running, running.peer() as peer:
        await peer.send(b"GET /b/k HTTP/1.0\r\n\r\n" + GET)
        _, headers = await peer.head()
        assert headers["connection"] == "close"
        assert not {"transfer-encoding", "content-length"} & headers.keys()
        assert await peer.rest() == b"hello"
        assert len(running.handler.requests) == 1


async def test_http_1_0_may_keep_the_connection_by_asking_for_it() -> None:
    async with serving() as running, running.peer() as peer:
        for _ in range(2):
            reply = await peer.ask(b"GET /b/k HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n")
            assert reply.headers["connection"] == "keep-alive"


async def test_connection_close_is_honoured_both_ways() -> None:
    async with serving() as running, running.peer() as peer:
        reply = await peer.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n")
        assert reply.headers["connection"] == "close"
        assert await peer.closed()
    async with serving(answering(lambda: Response(200, close=True))) as running, running.peer() as peer:
        assert (await peer.ask(GET)).headers["connection"] == "close"
        assert await peer.closed()


@pytest.mark.parametrize(
    ("method", "response", "length"),
    [
        ("HEAD", Response(200, [], None, length=10**12), "1000000000000"),
        ("HEAD", Response.document(404, [], b"error"), "5"),
        ("HEAD", Response(200), None),
        ("GET", Response(204), None),
        ("GET", Response(304, [], None, length=7), "7"),
        ("GET", Response(304), None),
    ],
)
async def test_an_answer_without_a_body_says_its_length_and_keeps_the_connection(
    method: str, response: Response, length: str | None
) -> None:
    async with serving(answering(lambda: response)) as running, running.peer() as peer:
        for _ in range(2):
            await peer.send(GET.replace(b"GET", method.encode()))
            reply = await peer.reply(bodiless=True)
            assert (reply.status, reply.headers.get("content-length")) == (response.status, length)
            assert "connection" not in reply.headers


async def test_an_answer_without_a_source_is_empty() -> None:
    async with serving(answering(lambda: Response(200))) as running, running.peer() as peer:
        assert (await peer.ask(GET)).headers["content-length"] == "0"


async def test_a_large_answer_arrives_whole_with_backpressure() -> None:
    sent = Sent()
    pieces = [bytes([n % 256]) * 1_000_000 for n in range(20)]
    answer = answering(lambda: Response(200, [], Pieces(20_000_000, *pieces)), sent)
    async with serving(answer) as running, running.peer() as peer:
        await peer.send(GET)
        await asyncio.sleep(0.1)
        assert sent.bytes < 20_000_000
        assert running.server.buffered > 0
        assert (await peer.reply()).body == b"".join(pieces)
        assert (sent.bytes, sent.complete) == (20_000_000, True)


@pytest.mark.parametrize(
    "source",
    [
        Pieces(10, b"hello"),
        Pieces(10, b"hello", BackendUnreachable()),
        Pieces(None, b"hello", BackendUnreachable()),
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_an_answer_that_breaks_off_is_never_a_clean_end(source: Pieces, version: bytes) -> None:
    sent = Sent()
    fresh = Pieces(source.size, *source._pieces)
    raised: list[Exception] = []

    async def answer(_: Request, responder: Responder) -> None:
        try:
            await responder.send(Response(200, [], fresh), sent)
        except (BackendUnreachable, BackendMisbehaved) as error:
            raised.append(error)

    async with serving(answer) as running, running.peer() as peer:
        await peer.send(GET.replace(b"1.1", version))
        with pytest.raises(ConnectionResetError):
            await peer.rest()
        assert raised
        assert (sent.bytes, sent.complete) == (5, False)


async def test_a_source_longer_than_it_said_breaks_off_before_the_surplus() -> None:
    fresh = Pieces(5, b"hello", b"GET")

    async def answer(_: Request, responder: Responder) -> None:
        with pytest.raises(BackendMisbehaved):
            await responder.send(Response(200, [], fresh), Sent())

    async with serving(answer) as running, running.peer() as peer:
        await peer.send(GET)
        with pytest.raises(ConnectionResetError):
            await peer.rest()
        assert isinstance(fresh.aborted, BackendMisbehaved)


async def test_a_source_that_fails_before_its_first_byte_leaves_room_for_an_error() -> None:
    async def answer(_: Request, responder: Responder) -> None:
        try:
            await responder.send(Response(200, [], Pieces(10, BackendUnreachable())), Sent())
        except BackendUnreachable:
            await responder.send(Response.document(503, [], b"later"), Sent())

    async with serving(answer) as running, running.peer() as peer:
        reply = await peer.ask(GET)
        assert (reply.status, reply.body) == (503, b"later")
        assert (await peer.ask(GET)).status == 503


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b"])
async def test_a_header_that_would_break_out_of_its_line_is_never_sent(value: str) -> None:
    unsent = Pieces(5, b"hello")

    async def answer(_: Request, responder: Responder) -> None:
        with pytest.raises(ValueError, match="line break"):
            await responder.send(Response(200, [("x-amz-meta-a", value)], unsent), Sent())
        await responder.send(Response(500), Sent())

    async with serving(answer) as running, running.peer() as peer:
        assert (await peer.ask(GET)).status == 500
        assert isinstance(unsent.aborted, ValueError)


async def test_a_client_that_does_not_read_is_broken_off_when_it_idles() -> None:
    raised: list[Exception] = []

    async def answer(_: Request, responder: Responder) -> None:
        try:
            await responder.send(Response(200, [], BytesSource(b"x" * 50_000_000)), Sent())
        except ClientTooSlow as error:
            raised.append(error)
            raise

    async with serving(answer, Limits(body_idle_seconds=0.2)) as running, running.peer() as peer:
        peer.reader._transport.pause_reading()  # type: ignore[attr-defined]  # the peer's reader has no such switch
        await peer.send(GET)
        await until(lambda: bool(raised) and not running.server.connections)


async def test_a_client_that_reads_slowly_but_steadily_is_served_to_the_end() -> None:
    answer = answering(lambda: Response(200, [], BytesSource(b"x" * 20_000_000)))
    async with serving(answer, Limits(body_idle_seconds=0.2)) as running, running.peer() as peer:
        await peer.send(GET)
        _, headers = await peer.head()
        left = int(headers["content-length"])
        while left:
            await asyncio.sleep(0.02)
            left -= len(await peer.reader.read(500_000))


async def test_a_handler_that_fails_or_forgets_to_answer_ends_the_connection_and_is_reported() -> None:
    reported: list[dict[str, object]] = []

    async def fail(request: Request, _: Responder) -> None:
        if request.path == "/b/k":
            raise LookupError("a bug")

    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    async with serving(fail) as running:
        for request in (GET, GET.replace(b"/b/k", b"/")):
            async with running.peer() as peer:
                await peer.send(request)
                with pytest.raises(ConnectionResetError):
                    await peer.rest()
    assert [type(context["exception"]) for context in reported] == [LookupError, RuntimeError]


# Keep-alive, limits, drain


async def test_an_idle_connection_is_closed_after_its_time() -> None:
    async with serving(limits=Limits(keepalive_seconds=0.1)) as running, running.peer() as peer:
        await peer.ask(GET)
        assert await peer.closed()


async def test_a_connection_serves_a_limited_number_of_requests() -> None:
    async with serving(limits=Limits(keepalive_requests=2)) as running, running.peer() as peer:
        assert "connection" not in (await peer.ask(GET)).headers
        assert (await peer.ask(GET)).headers["connection"] == "close"
        assert await peer.closed()


async def shed_reason(peer: Peer) -> str:
    reply = await peer.reply()
    assert (reply.status, reply.headers["connection"]) == (503, "close")
    assert await peer.closed()
    return reply.body.decode()


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(connections=2), "connections"),
        (Limits(connections_per_address=2), "connections_per_address"),
    ],
)
async def test_connections_beyond_the_limit_are_shed_and_leave_their_place(limits: Limits, reason: str) -> None:
    async with serving(limits=limits) as running, running.peer() as first:
        await first.ask(GET)
        async with running.peer() as second, running.peer() as third:
            await second.ask(GET)
            assert await shed_reason(third) == reason
        await until(lambda: running.server.connections == 1)
        async with running.peer() as fourth:
            assert (await fourth.ask(GET)).status == 200
        assert running.events.sheds == [reason]


async def test_a_trusted_proxy_may_bring_the_connections_of_many_clients() -> None:
    async with (
        serving(limits=Limits(connections_per_address=1), proxies=frozenset({"127.0.0.1"})) as running,
        running.peer() as first,
        running.peer() as second,
    ):
        assert [(await first.ask(GET)).status, (await second.ask(GET)).status] == [200, 200]


async def test_a_crowd_beyond_twice_the_limit_gets_no_answer_at_all() -> None:
    async with serving(limits=Limits(connections=1)) as running, running.peer() as first:
        await first.ask(GET)
        async with running.peer() as second, running.peer() as third:
            assert (await second.reply()).status == 503
            assert await third.closed()


async def test_requests_in_flight_beyond_the_limit_are_shed() -> None:
    released = asyncio.Event()

    async def slow(request: Request, responder: Responder) -> None:
        await released.wait()
        await echo(request, responder)

    async with serving(slow, Limits(requests_in_flight=1)) as running, running.peer() as one, running.peer() as two:
        await one.send(GET)
        await until(lambda: running.server.in_flight == 1)
        await two.send(put(b"x" * 1000))
        assert await shed_reason(two) == "requests_in_flight"
        released.set()
        assert (await one.reply()).status == 200
        assert running.events.sheds == ["requests_in_flight"]


async def test_requests_are_shed_when_buffers_take_most_of_the_memory() -> None:
    async def never(_: Request, __: Responder) -> None:
        await asyncio.Event().wait()

    limits = Limits(memory=16 * 1024 * 1024, stream_buffer=14 * 1024 * 1024)
    async with serving(never, limits) as running, running.peer() as one, running.peer() as two:
        one.writer.write(put(b"x" * 20_000_000))
        await until(lambda: running.server.buffered > 13_500_000)
        await two.send(GET)
        assert await shed_reason(two) == "memory"


async def test_connections_are_shed_when_descriptors_run_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resource.getrlimit", lambda _: (10, 10))
    async with serving() as running, running.peer() as peer:
        assert await shed_reason(peer) == "descriptors"


async def test_a_drain_finishes_what_runs_and_says_connection_close() -> None:
    released = asyncio.Event()

    async def slow(request: Request, responder: Responder) -> None:
        await released.wait()
        await echo(request, responder)

    async with serving(slow) as running, running.peer() as busy, running.peer() as idle:
        released.set()
        await idle.ask(GET)
        released.clear()
        await busy.send(GET)
        await until(lambda: running.server.in_flight == 1)
        draining = asyncio.create_task(running.server.drain(10))
        await asyncio.sleep(0)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", running.port)
        released.set()
        assert (await busy.reply()).headers["connection"] == "close"
        assert await busy.closed()
        assert (await idle.ask(GET)).headers["connection"] == "close"
        assert await idle.closed()
        busy.half_close()
        idle.half_close()
        await draining
        assert running.server.connections == 0


async def test_a_drain_closes_connections_between_requests() -> None:
    async with serving() as running, running.peer() as idle, running.peer() as new:
        await idle.ask(GET)
        await until(lambda: running.server.connections == 2)
        await running.server.drain(10)
        assert await idle.closed()
        assert await new.closed()


async def test_a_drain_aborts_what_is_left_at_its_limit() -> None:
    async def forever(_: Request, __: Responder) -> None:
        await asyncio.Event().wait()

    async with serving(forever) as running, running.peer() as peer:
        await peer.send(GET)
        await until(lambda: running.server.in_flight == 1)
        await running.server.drain(0.05)
        assert running.handler.cancelled.is_set()
        with pytest.raises(ConnectionResetError):
            await peer.rest()
