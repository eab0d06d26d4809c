"""The one way out over HTTP/1.1: connections kept per origin, requests sent once, repeated only where that is safe.

`send` is the story: a brake may refuse, a slot is taken, a connection is found or opened, head and first body bytes go
out in one write, the rest follows while the answer is already listened for.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable

from bridge_node.backends.base import Observer
from bridge_node.backends.breaker import Breaker, RetryBudget
from bridge_node.backends.connection import Connection, UpstreamResponse
from bridge_node.backends.dialing import Clock, Dialer, Origin, Resolve, resolve
from bridge_node.body import ByteSource
from bridge_node.catalog import BackendSpec
from bridge_node.errors import (
    BackendFailure,
    BackendUnreachable,
    IncompleteBody,
    InvalidArgument,
    MissingLength,
    OutcomeUnknown,
    Overloaded,
)

ONE_WRITE = 64 * 1024
"""Body bytes up to here are collected before the head is sent, so that small requests are one write."""
SWEEP_SECONDS = 1.0
MAX_ROUTES = 256
"""Origins remembered; beyond it, those without a connection are forgotten."""
HARMLESS = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing: a lost answer to one is a failure, never an unknown outcome."""


class Route:
    """What is kept for one origin: its connections, the last used in front, and its brake."""

    __slots__ = ("_head", "_on_free", "_prefix", "breaker", "idle", "keeps", "open", "origin", "refreshing", "users")

    def __init__(
        self, origin: Origin, breaker: Breaker, on_free: Callable[[], None], proxy_authorization: str | None
    ) -> None:
        """`proxy_authorization` is None where connections reach the origin itself, and no proxy reads the head."""
        self.origin = origin
        self.breaker = breaker
        self.idle: list[Connection] = []
        self.open: set[Connection] = set()
        self.users = 0
        self.keeps = True
        """False once the transport closes: connections then end with their exchange."""
        self.refreshing: asyncio.Task[None] | None = None
        self._on_free = on_free
        self._prefix = "" if proxy_authorization is None else f"http://{origin.authority}"
        login = f"Proxy-Authorization: {proxy_authorization}\r\n" if proxy_authorization else ""
        self._head = f" HTTP/1.1\r\nHost: {origin.authority}\r\n{login}"

    def take(self, newest: float) -> Connection | None:
        """The idle connection used last, unless its last sign of life is older than `newest`."""
        while self.idle:
            connection = self.idle.pop()
            if connection.touched >= newest:
                return connection
            connection.close()
        return None

    def freed(self, connection: Connection) -> None:
        if connection.closed:
            self.open.discard(connection)
        elif self.keeps:
            self.idle.append(connection)
        else:
            connection.close()
        self._on_free()

    def lost(self, connection: Connection) -> None:
        self.open.discard(connection)
        if connection in self.idle:
            self.idle.remove(connection)

    def head_of(self, method: str, target: str, headers: Iterable[tuple[str, str]], size: int | None) -> bytes:
        """A request's head. Raises InvalidArgument for a header that cannot be sent as one line."""
        lines = [f"{name}: {value}\r\n" for name, value in headers]
        if size is not None:
            lines.append(f"Content-Length: {size}\r\n")
        text = "".join(lines)
        if text.count("\n") != len(lines) or text.count("\r") != len(lines) or "\0" in text:
            raise InvalidArgument(reason="header_with_line_break")
        try:
            return f"{method} {self._prefix}{target}{self._head}{text}\r\n".encode("latin-1")
        except UnicodeEncodeError as error:
            raise InvalidArgument(reason="header_beyond_latin1") from error


class Transport:
    """Connections to one backend, under its limits and its brakes. Everything runs on one event loop.

    `clock` gives monotonic seconds; `resolve` stands in for DNS. Call `close` when done.
    """

    def __init__(
        self,
        spec: BackendSpec,
        observer: Observer,
        *,
        clock: Clock = time.monotonic,
        rng: random.Random | None = None,
        resolve: Resolve = resolve,
    ) -> None:
        self.budget = RetryBudget(spec.retry_ratio)
        self._spec = spec
        self._observer = observer
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, guards nothing
        self._dialer = Dialer(
            connect_seconds=spec.connect_seconds,
            ca_file=spec.ca_file,
            proxy=spec.proxy,
            allow_private=spec.allow_private_addresses,
            resolve=resolve,
            clock=clock,
            rng=self._rng,
        )
        self._routes: dict[Origin, Route] = {}
        self._free = spec.connections
        self._queue: deque[asyncio.Future[None]] = deque()
        self._sweeper: asyncio.TimerHandle | None = None
        self._closing: asyncio.Future[None] | None = None

    async def send(
        self,
        origin: Origin,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]],
        body: ByteSource | None = None,
        *,
        operation: str,
        repeatable: bool = True,
    ) -> UpstreamResponse:
        """Sends one request; returns when the answer's head is here, whatever its status.

        `target` is the raw path and query. `headers` are sent as they are, behind Host and before Content-Length,
        which comes from `body.size` and must be known. `operation` names the request for the observer. `repeatable`
        says that doing it twice is doing it once; only then, and without a body, is it sent again when a kept
        connection turns out to be dead (promise 5).

        An answer of 300 and above may come before the body was sent whole; the rest of the body is then aborted.

        Raises Overloaded, BackendUnreachable, BackendTimeout, BackendMisbehaved; OutcomeUnknown when a request that
        changes something was sent whole and its answer was lost (promise 3); and whatever the body raises. The body
        has been read to its end or aborted in any case.
        """
        began = self._clock()
        outcome = "cancelled"
        route = self._routes.get(origin) or self._route(origin)
        route.users += 1
        try:
            head = route.head_of(method, target, headers, _size(method, body))
            self._brake(route)
            connection = self._kept(route) or await self._connection(route)
            try:
                answer = await self._exchange(route, connection, method, head, body)
            except (BackendFailure, OutcomeUnknown):
                if not (repeatable and body is None and connection.was_stale and self.budget.spend()):
                    raise
                self._observer.retried(self._spec.name, "stale_connection")
                answer = await self._exchange(route, await self._connection(route, fresh=True), method, head, None)
            outcome = str(answer.status)
        except BaseException as error:
            if body is not None:
                body.abort(error)
            outcome = getattr(error, "reason", outcome)
            raise
        else:
            return answer
        finally:
            route.users -= 1
            self._observer.upstream(self._spec.name, operation, self._clock() - began, outcome)

    async def close(self) -> None:
        """Ends idle connections now and the others when their exchanges have ended."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
        for route in self._routes.values():
            route.keeps = False
            for connection in list(route.open):
                connection.retire()
            if route.refreshing is not None:
                route.refreshing.cancel()
        if self._free < self._spec.connections:
            await self._closing
        if self._sweeper is not None:
            self._sweeper.cancel()

    # one request

    def _brake(self, route: Route) -> None:
        if not route.breaker.admits():
            self._observer.shed(self._spec.name, "breaker_open")
            raise BackendUnreachable(reason="breaker_open")
        self.budget.earn()

    async def _exchange(
        self, route: Route, connection: Connection, method: str, head: bytes, body: ByteSource | None
    ) -> UpstreamResponse:
        """One try on one connection, which is freed or closed when this raises."""
        first = b""
        if body is not None:
            try:
                first = await _first_bytes(body)
            except BaseException:
                route.freed(connection)
                raise
            if connection.closed:  # while the client made us wait; nothing was sent
                connection = await self._open(route)
        unsent = 0 if body is None else (body.size or 0) - len(first)
        waiting = connection.begin(method, head, first, unsent)
        try:
            answer = await (waiting if body is None or not unsent else _while_sending(connection, waiting, body))
        except asyncio.CancelledError:
            connection.abandon(waiting)
            raise
        except BackendFailure as failure:
            if connection.source_failed:
                raise
            route.breaker.failed()
            if method not in HARMLESS and not connection.unsent:
                raise OutcomeUnknown(reason=f"answer_lost_{failure.reason}") from failure
            raise
        route.breaker.succeeded()
        if connection.early and body is not None:
            stopped = BackendUnreachable(reason="answered_early")
            body.abort(stopped)
            if answer.status < 300:
                answer.body.abort(stopped)
                raise OutcomeUnknown(reason="answered_early")
        return answer

    # slots and connections

    def _kept(self, route: Route) -> Connection | None:
        """A slot and a connection for it, if both are at hand."""
        connection = route.take(self._clock() - self._spec.keepalive_seconds) if self._free else None
        if connection is not None:
            self._free -= 1
        return connection

    async def _connection(self, route: Route, *, fresh: bool = False) -> Connection:
        """Takes a slot and a connection for it; `fresh` asks for one that was never used."""
        if self._free:
            self._free -= 1
        else:
            await self._turn()
        return await self._open(route, fresh=fresh)

    async def _open(self, route: Route, *, fresh: bool = False) -> Connection:
        """A connection for a slot that is held; gives the slot back when there is none."""
        connection = None if fresh else route.take(self._clock() - self._spec.keepalive_seconds)
        if connection is not None:
            return connection
        self._make_room()
        try:
            connection = await self._dialer.dial(
                route.origin, lambda address: Connection(address, owner=route, clock=self._clock)
            )
        except BaseException as error:
            if isinstance(error, BackendFailure):
                route.breaker.failed()
            self._release()
            raise
        route.open.add(connection)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_on)
        return connection

    def _make_room(self) -> None:
        """Closes idle connections, those of other origins too, until one more is within the limit."""
        excess = 1 + sum(len(route.open) for route in self._routes.values()) - self._spec.connections
        for route in self._routes.values():
            while excess > 0 and route.idle:
                route.idle[0].close()
                excess -= 1

    async def _turn(self) -> None:
        """Waits for a slot; raises Overloaded when the queue is full or does not move."""
        if len(self._queue) >= self._spec.waiting:
            self._observer.shed(self._spec.name, "queue_full")
            raise Overloaded(reason="backend_queue_full")
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._spec.wait_seconds):
                await turn
        except TimeoutError as error:
            self._leave(turn)
            self._observer.shed(self._spec.name, "queue_slow")
            raise Overloaded(reason="backend_queue_slow") from error
        except BaseException:
            self._leave(turn)
            raise

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        """Out of the queue; a slot that was given in the same moment goes to the next."""
        if turn.done() and not turn.cancelled():
            self._release()
        elif turn in self._queue:
            self._queue.remove(turn)

    def _release(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
        if self._closing is not None and self._free == self._spec.connections and not self._closing.done():
            self._closing.set_result(None)

    def _route(self, origin: Origin) -> Route:
        if len(self._routes) >= MAX_ROUTES:
            for other in [one for one in self._routes.values() if not one.open and not one.users]:
                del self._routes[other.origin]
                self._dialer.forget(other.origin)
        through_proxy = not self._dialer.tunnels(origin)
        route = self._routes[origin] = Route(
            origin,
            Breaker(self._clock, self._rng),
            self._release,
            self._dialer.proxy_authorization if through_proxy else None,
        )
        route.keeps = self._closing is None
        return route

    # once a second

    def sweep(self) -> None:
        """Ends what has been silent or idle for too long, and follows DNS. Runs by itself while anything is open."""
        oldest = self._clock() - self._spec.keepalive_seconds
        for route in self._routes.values():
            for connection in list(route.open):
                connection.check_silence(self._spec.idle_seconds)
                if not self._dialer.serves(route.origin, connection.address):
                    connection.retire()
            for connection in [one for one in route.idle if one.touched < oldest]:
                connection.close()
            if route.open and self._dialer.is_stale(route.origin):
                route.refreshing = asyncio.get_running_loop().create_task(
                    self._dialer.refresh(route.origin), name=f"resolve {route.origin.host}"
                )

    def _sweep_on(self) -> None:
        self.sweep()
        busy = any(route.open for route in self._routes.values())
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_SECONDS, self._sweep_on) if busy else None


async def _while_sending(
    connection: Connection, answer: "asyncio.Future[UpstreamResponse]", body: ByteSource
) -> UpstreamResponse:
    """Sends and listens at the same time, so that a refusal in mid-upload is seen at once."""
    pump = asyncio.get_running_loop().create_task(connection.pump(body), name="request body")
    try:
        return await answer
    finally:
        if not pump.done():
            pump.cancel()
            await asyncio.wait((pump,))


async def _first_bytes(body: ByteSource) -> bytes:
    """What is here of the body, at least one byte unless it is empty: an empty body is verified by this, too."""
    size = body.size or 0
    first = body.read_nowait()
    if first is None:
        first = await body.read()
    while first and len(first) < min(size, ONE_WRITE):
        more = body.read_nowait()
        if not more:
            break
        first += more
    if len(first) > size or (size and not first):
        raise IncompleteBody
    return first


def _size(method: str, body: ByteSource | None) -> int | None:
    """What Content-Length says; servers may refuse a PUT or POST that does not say it (RFC 9110 §8.6)."""
    if body is None:
        return 0 if method in {"PUT", "POST"} else None
    if body.size is None:
        raise MissingLength
    return body.size
