"""A raw HTTP peer and the handlers that server tests put behind the server."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from bridge_node.errors import BridgeError
from bridge_node.gateway import listeners
from bridge_node.gateway.http import HttpFault, Request, Responder, Response, Sent
from bridge_node.gateway.server import Server
from bridge_node.settings import Limits

Answer = Callable[[Request, Responder], Awaitable[None]]


@dataclass
class Events:
    """Counts what the server tells."""

    sheds: list[str] = field(default_factory=list)
    faults: list[tuple[str, int]] = field(default_factory=list)

    def shed(self, reason: str) -> None:
        self.sheds.append(reason)

    def fault(self, reason: str, status: int) -> None:
        self.faults.append((reason, status))


class ScriptedHandler:
    """Answers as the test says, and remembers what it was asked and what went wrong."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.requests: list[Request] = []
        self.errors: list[BaseException] = []
        self.cancelled = asyncio.Event()

    async def answer(self, request: Request, responder: Responder) -> None:
        self.requests.append(request)
        try:
            await self._answer(request, responder)
        except BridgeError as error:
            self.errors.append(error)
            raise
        except asyncio.CancelledError:
            self.cancelled.set()
            raise

    def fault(self, fault: HttpFault, request_id: str, peer: str) -> Response:
        assert peer == "127.0.0.1"
        return Response.document(fault.status, [("x-amz-request-id", request_id)], fault.reason.encode())


async def echo(request: Request, responder: Responder) -> None:
    """Answers with the method, target and body that arrived; a body that fails is answered 400 with the reason."""
    body = b""
    try:
        while data := await request.body.read():
            body += data
    except BridgeError as error:
        await responder.send(Response.document(400, [], error.reason.encode()), Sent())
        return
    await responder.send(
        Response.document(200, [], b"%b %b %b" % (request.method.encode(), request.path.encode(), body)), Sent()
    )


@dataclass
class Running:
    """A server under test on a loopback port."""

    server: Server
    handler: ScriptedHandler
    events: Events
    port: int
    tls: ssl.SSLContext | None = None

    @asynccontextmanager
    async def peer(self) -> AsyncIterator["Peer"]:
        name = "localhost" if self.tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self.tls, server_hostname=name)
        try:
            yield Peer(reader, writer)
        finally:
            writer.transport.abort()


async def until(condition: Callable[[], bool]) -> None:
    """Waits for what happens by itself, soon; fails the test where it does not."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - counts are plain numbers and tell nobody that they change
            await asyncio.sleep(0.01)


@asynccontextmanager
async def serving(
    answer: Answer = echo,
    limits: Limits | None = None,
    *,
    tls: ssl.SSLContext | None = None,
    listening: socket.socket | None = None,
    proxies: frozenset[str] = frozenset(),
) -> AsyncIterator[Running]:
    """A server with `answer` behind it; afterwards nothing of it is left."""
    handler, events = ScriptedHandler(answer), Events()
    listening = listening or listeners.bind("127.0.0.1", 0, 1)[0]
    port = listening.getsockname()[1]
    server = Server(handler, limits or Limits(), events, is_proxy=proxies.__contains__)
    await server.listen(listening, tls)
    try:
        yield Running(server, handler, events, port)
    finally:
        await server.close()
        assert (server.connections, server.in_flight, server.buffered) == (0, 0, 0)


@dataclass
class Reply:
    """An answer as the peer read it."""

    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """One raw connection: bytes out, answers in. Every wait is bounded, so that a silent server fails the test."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        async with asyncio.timeout(5):
            await self.writer.drain()

    def half_close(self) -> None:
        self.writer.write_eof()

    def reset(self) -> None:
        """Vanishes: the server sees a connection reset, not an end."""
        linger = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.writer.transport.abort()

    async def rest(self) -> bytes:
        """Everything up to the server's end of the connection."""
        async with asyncio.timeout(5):
            return await self.reader.read()

    async def exactly(self, count: int) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readexactly(count)

    async def head(self) -> tuple[int, dict[str, str]]:
        async with asyncio.timeout(5):
            lines = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")[:-2]
        assert lines[0].startswith("HTTP/1.1 ")
        return int(lines[0].split(" ")[1]), {
            name.lower(): value for name, value in (x.split(": ", 1) for x in lines[1:])
        }

    async def reply(self, *, bodiless: bool = False) -> Reply:
        """The next answer, which says its length."""
        status, headers = await self.head()
        count = 0 if bodiless else int(headers["content-length"])
        return Reply(status, headers, await self.exactly(count))

    async def ask(self, data: bytes) -> Reply:
        await self.send(data)
        return await self.reply()

    async def closed(self) -> bool:
        """Waits for the end of the connection; whether nothing came before it."""
        return await self.rest() == b""
