"""Clients that put and get without pause, each on its own kept-alive connection, and count what became of it."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

from bridge_node.protocols.s3.sigv4 import Signer
from tests.servers import S3Server

REQUEST_SECONDS = 20.0
PAUSE_SECONDS = 0.01


@dataclass
class Load:
    """What the clients saw so far. `failures` are requests that got no answer or another one than 200."""

    succeeded: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    refused: int = 0
    """Connections that could not even be made."""
    acknowledged: dict[str, bytes] = field(default_factory=dict)
    """The last acknowledged body of each key."""

    @property
    def total(self) -> int:
        return self.succeeded.total()


@contextlib.asynccontextmanager
async def load(server: S3Server, bucket: str, clients: int = 8) -> AsyncIterator[Load]:
    """Keeps `clients` clients busy until the block ends; the requests that run then are finished.

    Between two requests they wait a moment, to leave the processor to those who are being tested.
    """
    seen, stop = Load(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        for number in range(clients):
            tasks.create_task(_client(server, f"/{bucket}/client-{number}", seen, stop), name=f"client {number}")
        try:
            yield seen
        finally:
            stop.set()


async def _client(server: S3Server, path: str, seen: Load, stop: asyncio.Event) -> None:
    async with Connection(server) as connection:
        for number in range(1_000_000):
            for method, body in (("PUT", f"{path} {number}".encode()), ("GET", b"")):
                if stop.is_set():
                    return
                await _request(connection, method, path, body, seen)
                await asyncio.sleep(PAUSE_SECONDS)


async def _request(connection: "Connection", method: str, path: str, body: bytes, seen: Load) -> None:
    try:
        status, answer = await connection.request(method, path, body)
    except ConnectionRefusedError:
        seen.refused += 1
        await asyncio.sleep(0.01)
    except (OSError, EOFError, TimeoutError) as error:
        seen.failures.append(f"{method}: {error!r}")
    else:
        if status != 200:
            seen.failures.append(f"{method}: {status} {answer[:200]!r}")
            return
        seen.succeeded[method] += 1
        if method == "PUT":
            seen.acknowledged[path] = body


async def once(server: S3Server, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
    """One request on a connection of its own."""
    async with Connection(server) as client:
        return await client.request(method, path, body)


class Connection:
    """A kept-alive connection of an S3 client that knows just enough HTTP, and never tries anything twice."""

    def __init__(self, server: S3Server) -> None:
        url = urlsplit(server.endpoint)
        self._address = url.hostname or "", url.port or 80
        self._signer = Signer(server.access_key, server.secret_key, server.region)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """Status and body of the answer. Raises OSError or EOFError when there is none."""
        async with asyncio.timeout(REQUEST_SECONDS):
            await self.begin(method, path, len(body))
            return await self.finish(body)

    async def begin(self, method: str, path: str, size: int) -> None:
        """Sends the head of a request."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        headers = [("Host", "{}:{}".format(*self._address)), ("Content-Length", str(size))]
        signed = self._signer.sign(method, path, "", headers, "UNSIGNED-PAYLOAD", time.time())
        head = "".join(f"{name}: {value}\r\n" for name, value in signed)
        self._streams[1].write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode())

    async def send(self, data: bytes) -> None:
        """Sends a part of the body."""
        assert self._streams is not None
        self._streams[1].write(data)
        await self._streams[1].drain()

    async def finish(self, rest: bytes) -> tuple[int, bytes]:
        """Sends the rest of the body and reads the answer."""
        assert self._streams is not None
        reader = self._streams[0]
        try:
            await self.send(rest)
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower().split("\r\n")
            fields = dict(line.split(": ", 1) for line in head[1:] if line)
            answer = await reader.readexactly(int(fields.get("content-length", 0)))
        except BaseException:
            await self.close()
            raise
        if fields.get("connection") == "close":
            await self.close()
        return int(head[0].split()[1]), answer

    async def close(self) -> None:
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
