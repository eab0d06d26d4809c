"""Connections under churn, cancellation and limits: none leaks, none is used in doubt."""

import asyncio
import random

import pytest

from bridge_node.backends.breaker import Breaker, RetryBudget
from bridge_node.body import BytesSource
from bridge_node.errors import BackendTimeout, BackendUnreachable, BridgeError, Overloaded
from tests.peers import Peer, Script, answering, ok, peer, until
from tests.unit.transports import Clock, PushedSource, out


def held(release: asyncio.Event) -> Script:
    """Answers every request, but not before `release`."""

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await one.read_request(reader)
            await release.wait()
            writer.write(ok(b"x"))

    return script


async def test_the_connection_used_last_is_used_first() -> None:
    release = asyncio.Event()
    async with peer(held(release)) as one, out() as way:
        many = [asyncio.ensure_future(way.fetch(one)) for _ in range(3)]
        await until(lambda: len(one.requests) == 3)
        release.set()
        await asyncio.gather(*many)
        assert (one.connections, way.idle) == (3, 3)
        way.clock.now += 3
        await way.fetch(one)
        way.clock.now += 2  # only the one just used is younger than keepalive_seconds
        way.transport.sweep()
        assert way.idle == 1


async def test_an_idle_connection_is_not_used_beyond_its_time() -> None:
    async with peer(answering(ok(b"x"))) as one, out(keepalive_seconds=4.0) as way:
        await way.fetch(one)
        way.clock.now += 4.1
        await way.fetch(one)
        assert one.connections == 2
        assert way.sockets == 1


async def test_connections_stay_within_their_limit_and_callers_wait_for_them() -> None:
    release = asyncio.Event()
    async with peer(held(release)) as one, out(connections=2, wait_seconds=30.0) as way:
        many = [asyncio.ensure_future(way.fetch(one)) for _ in range(6)]
        await until(lambda: len(one.requests) == 2)
        release.set()
        assert await asyncio.gather(*many) == [b"x"] * 6
        assert one.connections == 2


async def test_a_full_queue_refuses_at_once() -> None:
    release = asyncio.Event()
    async with peer(held(release)) as one, out(connections=1, waiting=1, wait_seconds=30.0) as way:
        first, second = asyncio.ensure_future(way.fetch(one)), asyncio.ensure_future(way.fetch(one))
        await until(lambda: len(one.requests) == 1)
        with pytest.raises(Overloaded):
            await way.fetch(one)
        assert way.seen.sheds == ["queue_full"]
        release.set()
        assert [await first, await second] == [b"x", b"x"]


async def test_nobody_waits_longer_than_allowed() -> None:
    release = asyncio.Event()
    async with peer(held(release)) as one, out(connections=1, wait_seconds=0.01) as way:
        first = asyncio.ensure_future(way.fetch(one))
        await until(lambda: len(one.requests) == 1)
        source = PushedSource(3)
        with pytest.raises(Overloaded):
            await way.send(one, "PUT", source)
        assert source.aborted
        assert not source.started
        assert way.seen.sheds == ["queue_slow"]
        release.set()
        assert await first == b"x"


async def test_a_slot_given_to_one_who_just_left_goes_to_the_next() -> None:
    async with peer(answering(ok(bytes(1024 * 1024)))) as one, out(connections=1, wait_seconds=30.0) as way:
        answer = await way.send(one)
        second, third = asyncio.ensure_future(way.fetch(one)), asyncio.ensure_future(way.fetch(one))
        await until(lambda: len(way.transport._queue) == 2)
        answer.body.abort(asyncio.CancelledError())  # the second's turn comes ...
        second.cancel()  # ... in the moment in which it leaves
        assert len(await third) == 1024 * 1024
        assert second.cancelled()


async def test_reading_or_aborting_an_answer_frees_its_connection() -> None:
    async with peer(answering(ok(bytes(4 * 1024 * 1024)))) as one, out(connections=1, wait_seconds=30.0) as way:
        for _ in range(3):
            answer = await way.send(one)
            assert way.free == 0
            answer.body.abort(asyncio.CancelledError())
            answer.body.abort(asyncio.CancelledError())
            assert way.free == 1
            with pytest.raises(asyncio.CancelledError):
                await answer.body.read()
        assert one.connections == 3


async def test_cancelling_at_any_moment_leaks_nothing() -> None:
    """Random cancellations at every step of exchanges of all shapes; `out` counts slots and sockets in the end."""
    dice = random.Random(11)  # noqa: S311 - the same churn in every run

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await one.read_request(reader)
            for piece in (b"HTTP/1.1 200 OK\r\nContent-", b"Length: 10\r\n\r\n12345", b"67890"):
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)

    async def exchange(number: int) -> bytes:
        if number % 3 == 0:
            return await way.fetch(one)
        if number % 3 == 1:
            return await way.fetch(one, "PUT", BytesSource(b"small"))
        source = PushedSource(20)
        feeding = asyncio.ensure_future(feed(source))
        try:
            return await way.fetch(one, "PUT", source)
        finally:
            feeding.cancel()

    async def feed(source: PushedSource) -> None:
        for _ in range(4):
            await asyncio.sleep(0)
            source.push(b"12345")

    async with peer(script) as one, out(connections=5, waiting=100, wait_seconds=30.0) as way:
        for round_ in range(30):
            tasks = [asyncio.ensure_future(exchange(number)) for number in range(12)]
            for _ in range(dice.randrange(25)):
                await asyncio.sleep(0)
                if dice.random() < 0.4:
                    dice.choice(tasks).cancel()
            done = await asyncio.gather(*tasks, return_exceptions=True)
            assert {type(one) for one in done} <= {bytes, asyncio.CancelledError}, round_
            assert {one for one in done if isinstance(one, bytes)} <= {b"1234567890"}
            assert way.sockets <= 5
        await until(lambda: one.open == way.sockets)
        assert await way.fetch(one) == b"1234567890"


async def test_being_cancelled_after_the_answer_came_does_not_hurt_who_uses_the_connection_next() -> None:
    async with peer(answering(ok(b"x"))) as one, out() as way:
        await way.fetch(one)
        first = asyncio.ensure_future(way.fetch(one))
        await until(lambda: way.idle == 0)
        await until(lambda: way.idle == 1)  # the answer is here, `first` has not run yet
        second = asyncio.ensure_future(way.fetch(one))
        first.cancel()
        assert await second == b"x"
        assert one.connections == 1


async def test_a_connection_that_dies_while_the_client_is_awaited_is_replaced_before_anything_is_sent() -> None:
    die = asyncio.Event()

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        writer.write(ok())
        if one.connections == 1:
            await die.wait()

    async with peer(script) as one, out() as way:
        await way.fetch(one)
        source = PushedSource(3)
        sending = asyncio.ensure_future(way.send(one, "PUT", source))
        await until(lambda: way.idle == 0)
        die.set()
        await until(lambda: way.sockets == 0)
        source.push(b"abc")
        assert (await sending).status == 200
        assert (one.connections, one.bodies[-1], way.seen.retries) == (2, b"abc", [])


async def test_the_limit_counts_idle_connections_to_other_origins_too() -> None:
    async with peer(answering(ok(b"x"))) as one, peer(answering(ok(b"y"))) as other, out(connections=1) as way:
        assert await way.fetch(one) == b"x"
        assert await way.fetch(other) == b"y"
        assert way.sockets == 1
        await one.gone.wait()


async def test_origins_without_connections_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge_node.backends.transport.MAX_ROUTES", 2)
    async with out() as way:
        for _ in range(4):
            async with peer(answering(ok(b"x", "Connection: close"))) as one:
                await way.fetch(one)
        assert len(way.transport._routes) == 2


async def test_closing_waits_for_what_runs() -> None:
    release = asyncio.Event()
    async with peer(held(release)) as one, out() as way:
        idle = asyncio.ensure_future(way.fetch(one))
        running = asyncio.ensure_future(way.fetch(one))
        await until(lambda: len(one.requests) == 2)
        release.set()
        assert await idle == b"x"
        release.clear()
        closing = asyncio.ensure_future(way.transport.close())
        release.set()
        assert await running == b"x"
        await closing
        assert way.sockets == 0


async def test_outcomes_are_observed() -> None:
    async with peer(answering(ok(status=404))) as one, out() as way:
        await way.fetch(one)
        with pytest.raises(BridgeError):
            await way.transport.send(one.origin, "GET", "/", [("a", "\n")], operation="Test")
        assert way.seen.outcomes == ["404", "header_with_line_break"]


# --- brakes ----------------------------------------------------------------------------------------------------------


async def test_a_backend_that_never_answers_is_left_alone_for_a_while() -> None:
    async with peer(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as one:
        origin = one.origin
    async with out() as way:
        for _ in range(5):
            with pytest.raises(BackendUnreachable, match="Service"):
                await way.transport.send(origin, "GET", "/", [], operation="Test")
        assert way.seen.sheds == []
        with pytest.raises(BackendUnreachable) as shed:
            await way.transport.send(origin, "GET", "/", [], operation="Test")
        assert shed.value.reason == "breaker_open"
        assert way.seen.sheds == ["breaker_open"]


async def test_an_error_answer_is_an_answer() -> None:
    async with peer(answering(ok(status=500))) as one, out() as way:
        for _ in range(10):
            assert (await way.send(one)).status == 500


def test_an_open_breaker_admits_one_probe_per_pause_and_closes_when_it_succeeds() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(1))  # noqa: S311 - jitter
    for _ in range(5):
        assert breaker.admits()
        breaker.failed()
    assert not breaker.admits()
    clock.now += 12.1
    assert [breaker.admits(), breaker.admits()] == [True, False]
    breaker.succeeded()
    assert breaker.admits()
    assert breaker.admits()


def test_pauses_grow_to_a_minute_and_no_further() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(1))  # noqa: S311 - jitter
    for _ in range(5):
        breaker.failed()
    pauses = []
    for _ in range(6):
        began = clock.now
        while not breaker.admits():
            clock.now += 1
        pauses.append(clock.now - began)
        breaker.failed()
    assert all(8 <= pause <= 73 for pause in pauses)
    assert pauses[0] <= 13 < pauses[1] < pauses[2] <= 49


def test_requests_that_were_under_way_do_not_lengthen_a_pause() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(1))  # noqa: S311 - jitter
    for _ in range(50):
        breaker.failed()
    clock.now += 12.1
    assert breaker.admits()


def test_a_probe_that_never_reports_back_blocks_nothing() -> None:
    clock = Clock()
    breaker = Breaker(clock, random.Random(1))  # noqa: S311 - jitter
    for _ in range(5):
        breaker.failed()
    clock.now += 12.1
    assert breaker.admits()
    clock.now += 12.1
    assert breaker.admits()


def test_retries_are_a_share_of_the_requests() -> None:
    budget = RetryBudget(0.1)
    while budget.spend():
        pass
    granted = 0
    for _ in range(1000):
        budget.earn()
        granted += budget.spend()
    assert 95 <= granted <= 100
    assert not RetryBudget(0.0).spend()


async def test_a_connection_that_does_not_open_in_time_is_a_time_out() -> None:
    async def never(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    async with peer(answering(ok())) as one, out(never, connect_seconds=0.01) as way:
        origin = one.origin._replace(host="name.test")
        with pytest.raises(BackendTimeout):
            await way.transport.send(origin, "GET", "/", [], operation="Test")
