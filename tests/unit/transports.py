"""What the transport's tests share: transports that are closed in the end, a clock to turn, an observer that counts."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bridge_node.backends.connection import UpstreamResponse
from bridge_node.backends.dialing import Resolve, resolve
from bridge_node.backends.transport import Transport
from bridge_node.body import ByteSource, read_all
from bridge_node.catalog import BackendSpec
from tests.peers import Peer


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Counted:
    """An observer that remembers."""

    outcomes: list[str] = field(default_factory=list)
    retries: list[str] = field(default_factory=list)
    sheds: list[str] = field(default_factory=list)

    def upstream(self, backend: str, operation: str, seconds: float, outcome: str) -> None:
        self.outcomes.append(outcome)

    def retried(self, backend: str, reason: str) -> None:
        self.retries.append(reason)

    def shed(self, backend: str, reason: str) -> None:
        self.sheds.append(reason)


@dataclass
class Out:
    """A transport with everything around it in a test's hands."""

    transport: Transport
    clock: Clock
    seen: Counted

    async def send(
        self, peer: Peer, method: str = "GET", body: ByteSource | None = None, **options: Any
    ) -> UpstreamResponse:
        return await self.transport.send(peer.origin, method, "/key", [], body, operation="Test", **options)

    async def fetch(self, peer: Peer, method: str = "GET", body: ByteSource | None = None, **options: Any) -> bytes:
        """Sends and reads the whole answer."""
        answer = await self.send(peer, method, body, **options)
        return await read_all(answer.body, 1 << 30, AssertionError("larger than any test's answer"))

    @property
    def sockets(self) -> int:
        """Connections that the transport counts as open."""
        return sum(len(route.open) for route in self.transport._routes.values())

    @property
    def idle(self) -> int:
        return sum(len(route.idle) for route in self.transport._routes.values())

    @property
    def free(self) -> int:
        return self.transport._free


@contextlib.asynccontextmanager
async def out(resolve: Resolve = resolve, **settings: Any) -> AsyncIterator[Out]:
    """A transport with `settings` of its BackendSpec; in the end nothing of it may be left open."""
    spec = BackendSpec(name="backend", kind="s3", **settings)
    clock, seen = Clock(), Counted()
    rng = random.Random(7)  # noqa: S311 - the same jitter in every run
    one = Out(Transport(spec, seen, clock=clock, rng=rng, resolve=resolve), clock, seen)
    yield one
    await one.transport.close()
    assert one.free == spec.connections, "a slot was lost"
    assert one.sockets == 0, "a socket was left open"


class PushedSource:
    """A body whose pieces a test hands out, and which remembers its end."""

    def __init__(self, size: int | None) -> None:
        self.size = size
        self.started = False
        self.aborted: BaseException | None = None
        self._pieces: asyncio.Queue[bytes | Exception] = asyncio.Queue()

    def push(self, piece: bytes | Exception) -> None:
        self._pieces.put_nowait(piece)

    def read_nowait(self) -> bytes | None:
        if self._pieces.empty():
            return None
        return self._given(self._pieces.get_nowait())

    async def read(self) -> bytes:
        return self._given(await self._pieces.get())

    def abort(self, error: BaseException) -> None:
        self.aborted = self.aborted or error

    def _given(self, piece: bytes | Exception) -> bytes:
        if isinstance(piece, Exception):
            raise piece
        if not piece:
            self.push(b"")  # the end, and ever after
        self.started = self.started or bool(piece)
        return piece
