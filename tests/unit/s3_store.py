"""A scripted S3 store on a loopback port: it answers what a test says, and every signature must be right."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import SecretStr

from bridge_node.backends.s3 import S3Backend
from bridge_node.backends.transport import Transport
from bridge_node.catalog import BackendSpec
from bridge_node.protocols.s3 import sigv4
from tests.peers import Peer, ok, peer
from tests.unit.transports import Clock, Counted

SECRET = "a-secret"


@dataclass(frozen=True)
class Asked:
    """One request as the store read it."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    region: str
    """The region that it was signed for."""

    @property
    def line(self) -> str:
        return f"{self.method} {self.path}" + (f"?{self.query}" if self.query else "")


Answer = bytes | Callable[[Asked], bytes]


@dataclass
class Store:
    """Answers in order; `backend` speaks to it."""

    answers: list[Answer]
    backend: S3Backend
    seen: Counted
    clock: Clock
    asked: list[Asked] = field(default_factory=list)

    @property
    def lines(self) -> list[str]:
        return [one.line for one in self.asked]

    def next(self, asked: Asked) -> bytes:
        self.asked.append(asked)
        if not self.answers:
            return error(500, "NothingMoreIsExpected")
        answer = self.answers.pop(0)
        return answer if isinstance(answer, bytes) else answer(asked)


@contextlib.asynccontextmanager
async def store(*answers: Answer, **settings: Any) -> AsyncIterator[Store]:
    """A store with these answers, and a backend on it whose back-off takes no time."""
    holder: list[Store] = []

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            body = await one.read_request(reader)
            answer = holder[0].next(read(one.requests[-1], body))
            writer.write(answer)
            if b"Connection: close" in answer:
                return

    async with peer(script) as one:
        options = {
            "name": "store", "kind": "s3", "endpoint": f"http://127.0.0.1:{one.port}", "access_key": "AK",
            "secret_key": SecretStr(SECRET), **settings,
        }  # fmt: skip
        options["endpoint"] = options["endpoint"].replace("PORT", str(one.port))
        spec = BackendSpec(**options)
        seen, clock = Counted(), Clock()
        transport = Transport(spec, seen, clock=clock, resolve=everything_here)
        backend = S3Backend(spec, observer=seen, sleep=no_time, transport=transport)
        holder.append(Store(list(answers), backend, seen, clock))
        yield holder[0]
        await backend.close()
        assert not holder[0].answers, "the store was not asked for everything"


async def everything_here(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


async def no_time(seconds: float) -> None:
    await asyncio.sleep(0)


def read(head: bytes, body: bytes) -> Asked:
    """A request, whose signature must be right."""
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    path, _, query = target.partition("?")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines if line)}
    auth = sigv4.parse_header(headers)
    key = sigv4.SigningKey(SECRET, auth.date, auth.region, "s3")
    canonical = sigv4.canonical_request(method, path, query, headers, auth)
    assert sigv4.signature(key, auth, canonical) == auth.signature
    return Asked(method, path, query, headers, body, auth.region)


def error(status: int, code: str, *headers: str, more: str = "") -> bytes:
    return ok(f"<Error><Code>{code}</Code><Message>m</Message>{more}</Error>".encode(), *headers, status=status)


def bare(status: int, *headers: str) -> bytes:
    """An answer to HEAD."""
    lines = "".join(f"{line}\r\n" for line in headers)
    return f"HTTP/1.1 {status} X\r\n{lines}\r\n".encode()


def stored(etag: str, *headers: str) -> bytes:
    return ok(b"", f'ETag: "{etag}"', *headers)


def found(body: bytes, etag: str = "e", *headers: str, status: int = 200) -> bytes:
    return ok(body, f'ETag: "{etag}"', "Last-Modified: Wed, 21 Oct 2015 07:28:00 GMT", *headers, status=status)
