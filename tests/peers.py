"""Peers for the transport's tests: real loopback sockets that do exactly what a test says, right or wrong."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from bridge_node.backends.dialing import Origin

Script = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Peer:
    """A server that runs a script per connection, and what it saw."""

    script: Script
    scheme: str = "http"
    connections: int = 0
    open: int = 0
    requests: list[bytes] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    port: int = 0
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a connection of the other side has ended."""

    @property
    def origin(self) -> Origin:
        return Origin(self.scheme, "127.0.0.1", self.port)

    async def read_head(self, reader: asyncio.StreamReader) -> bytes:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head)
        return head

    async def read_request(self, reader: asyncio.StreamReader) -> bytes:
        """One whole request; returns its body."""
        head = await self.read_head(reader)
        length = 0
        for line in head.decode("latin-1").lower().split("\r\n"):
            if line.startswith("content-length:"):
                length = int(line.partition(":")[2])
        body = await reader.readexactly(length)
        self.bodies.append(body)
        return body

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
                await self.script(self, reader, writer)
        finally:
            self.open -= 1
            self.gone.set()
            writer.close()


@contextlib.asynccontextmanager
async def peer(script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Peer]:
    """Runs `script` for every connection; ends what is left of them."""
    one = Peer(script, scheme="https" if tls else "http")
    tasks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(one.accept(reader, writer))
        tasks[task] = writer
        task.add_done_callback(tasks.pop)

    server = await asyncio.start_server(accept, host, 0, ssl=tls)
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        for task, writer in tasks.items():
            task.cancel()
            writer.close()
        if tasks:
            await asyncio.wait(tasks)


def answering(*answers: bytes, then: Callable[[asyncio.StreamWriter], None] | None = None) -> Script:
    """Answers whole requests with these bytes, one after another, the last one again and again."""

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for count in range(1_000_000):
            await one.read_request(reader)
            writer.write(answers[min(count, len(answers) - 1)])
            await writer.drain()
            if then is not None:
                then(writer)
                return

    return script


def ok(body: bytes = b"", *headers: str, status: int = 200) -> bytes:
    """A whole answer."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} Whatever\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body


async def until(condition: Callable[[], bool]) -> None:
    """Lets the event loop run until something that is under way has happened; the test's time limit ends it."""
    while not condition():  # noqa: ASYNC110 - conditions on sockets have no event to wait for
        await asyncio.sleep(0)
