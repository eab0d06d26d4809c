"""A gateway in this process, over memory and on loopback, and a client that sends exactly what it is told."""

import asyncio
import hashlib
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from pydantic import SecretStr

from bridge_node.backends.base import Backend
from bridge_node.backends.memory import MemoryBackend
from bridge_node.catalog import (
    AccessKey,
    AccountAttachment,
    BackendSpec,
    BucketAttachment,
    Catalog,
    CatalogHolder,
    Repository,
)
from bridge_node.gateway.pipeline import Pipeline
from bridge_node.gateway.s3.frontend import S3Frontend
from bridge_node.gateway.server import Server
from bridge_node.operations import Access
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer
from bridge_node.settings import Gateway as GatewaySettings
from bridge_node.settings import Limits, S3Settings
from bridge_node.usage import Usage

REGION = "eu-central-1"
SECRET = "secret-of-the-tests-0123456789"

STORE = BackendSpec("store", "memory")
SANDBOX = BackendSpec("sandbox", "memory", region="sandbox")
SECOND = BackendSpec("second", "memory", region="second")

MAIN = Repository(
    "r-main",
    "main",
    "s3",
    bytes(range(32)),
    buckets=(
        BucketAttachment("a-photos", STORE, "photos", folder="pictures"),
        BucketAttachment("a-music", STORE, "music"),
        BucketAttachment("a-archive", SECOND, "archive-2026", folder="archive"),
    ),
)
OTHER = Repository(
    "r-other", "other", "s3", bytes(range(1, 33)), buckets=(BucketAttachment("a-secret", STORE, "secret"),)
)
ACCOUNT = Repository("r-account", "account", "s3", bytes(range(2, 34)), accounts=(AccountAttachment("c", SANDBOX),))

FULL = Access.READ | Access.WRITE | Access.ADMIN
READ_WRITE = Access.READ | Access.WRITE


def key(name: str, repository: str, access: Access, buckets: frozenset[str] | None = None) -> AccessKey:
    return AccessKey(name, SecretStr(SECRET), repository, access, buckets)


KEYS = {
    each.id: each
    for each in (
        key("READER", "r-main", Access.READ),
        key("WRITER", "r-main", READ_WRITE),
        key("DROPBOX", "r-main", Access.WRITE),
        key("ADMIN", "r-main", FULL),
        key("LIMITED", "r-main", READ_WRITE, frozenset({"pictures"})),
        key("STRANGER", "r-other", FULL),
        key("OWNER", "r-account", FULL),
        key("GUEST", "r-account", READ_WRITE),
    )
}


@dataclass
class Events:
    """Server events, kept."""

    told: list[str] = field(default_factory=list)

    def shed(self, reason: str) -> None:
        self.told.append(reason)

    def fault(self, reason: str, status: int) -> None:
        self.told.append(reason)


@dataclass
class Recorder:
    """A UsageSink that remembers."""

    usages: list[Usage] = field(default_factory=list)

    def record(self, usage: Usage) -> None:
        self.usages.append(usage)


@dataclass
class Backends:
    """A pool of given backends."""

    by_name: dict[str, Backend]

    def get(self, spec: BackendSpec) -> Backend:
        return self.by_name[spec.name]


@dataclass
class Answer:
    """A response as it came over the wire; header names in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The error code in the document."""
        return self.element("Code")

    def element(self, name: str) -> str:
        text = self.body.decode()
        start = text.find(f"<{name}>")
        return text[start + len(name) + 2 : text.index(f"</{name}>")] if start >= 0 else ""


@dataclass
class Gateway:
    """What a test may want of a running gateway."""

    port: int
    backend: MemoryBackend
    backends: dict[str, Backend]
    holder: CatalogHolder
    pipeline: Pipeline
    recorder: Recorder
    clock: Callable[[], float]

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def usage(self) -> Usage:
        return self.recorder.usages[-1]

    async def send(self, raw: bytes) -> Answer:
        """Sends bytes as they are and reads one answer."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(raw)
            return await read_answer(reader, raw.startswith(b"HEAD "))
        finally:
            writer.close()

    async def call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        key: str = "WRITER",
        headers: Sequence[tuple[str, str]] = (),
        payload_hash: str | None = None,
        region: str = REGION,
        secret: str = SECRET,
        host: str | None = None,
        now: float | None = None,
    ) -> Answer:
        """A request signed in its header; `target` is raw, `payload_hash` the body's unless given."""
        path, _, query = target.partition("?")
        fields = [("Host", host or self.host), *headers]
        if payload_hash is None:
            payload_hash = hashlib.sha256(body or b"").hexdigest()
        signer = Signer(key, secret, region)
        fields = signer.sign(method, path, query, fields, payload_hash, self.clock() if now is None else now)
        return await self.send(raw_request(method, target, fields, body))

    def presigned(
        self, method: str, target: str, *, key: str = "WRITER", now: float | None = None, expires: int = 3600
    ) -> str:
        """The target with a signature in its query."""
        path, _, query = target.partition("?")
        signer = Signer(key, SECRET, REGION)
        signed = signer.presign(method, path, query, self.host, self.clock() if now is None else now, expires)
        return f"{path}?{signed}"

    async def plain(
        self, method: str, target: str, body: bytes | None = None, headers: Sequence[tuple[str, str]] = ()
    ) -> Answer:
        """A request without a signature in its header."""
        return await self.send(raw_request(method, target, [("Host", self.host), *headers], body))

    async def put(self, target: str, body: bytes = b"content", **more: str) -> Answer:
        answer = await self.call("PUT", target, body, payload_hash=UNSIGNED_PAYLOAD, **more)  # type: ignore[arg-type]  # as `call`
        assert answer.status == 200, answer
        return answer


def raw_request(method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes | None) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    names = {name.lower() for name, _ in headers}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


async def read_answer(reader: asyncio.StreamReader, is_head: bool = False) -> Answer:
    """One response; asserts that it is whole."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)).decode("latin-1")
    first, *lines = head[:-4].split("\r\n")
    status = int(first.split(" ")[1])
    if status == 100:
        return await read_answer(reader, is_head)
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        headers[name.lower()] = value
    if is_head or status in {204, 304}:
        return Answer(status, headers, b"")
    if "content-length" in headers:
        return Answer(status, headers, await reader.readexactly(int(headers["content-length"])))
    assert headers.get("transfer-encoding") == "chunked", headers
    return Answer(status, headers, await read_chunks(reader))


async def read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while True:
        size = int((await asyncio.wait_for(reader.readuntil(b"\r\n"), 20)), 16)
        data = await reader.readexactly(size + 2)
        if not size:
            return body
        body += data[:-2]


def catalog(*repositories: Repository, keys: dict[str, AccessKey] | None = None) -> Catalog:
    return Catalog(
        1, {each.id: each for each in repositories or (MAIN, OTHER, ACCOUNT)}, KEYS if keys is None else keys
    )


@asynccontextmanager
async def running(
    *,
    s3: S3Settings | None = None,
    settings: GatewaySettings | None = None,
    limits: Limits | None = None,
    serving: Catalog | None = None,
    clock: Callable[[], float] = time.time,
    patience: float = 3.0,
    keep_warm: float = 5.0,
    backends: dict[str, Backend] | None = None,
) -> AsyncIterator[Gateway]:
    """A gateway with `STORE`, `SECOND` and `SANDBOX` behind it."""
    limits = limits or Limits()
    backend = MemoryBackend(("photos", "music", "secret"), clock=clock)
    by_name: dict[str, Backend] = {
        "store": backend,
        "second": MemoryBackend(("archive-2026",), clock=clock),
        "sandbox": MemoryBackend(clock=clock),
        **(backends or {}),
    }
    holder = CatalogHolder(serving or catalog())
    recorder = Recorder()
    frontend = S3Frontend(
        s3 or S3Settings(region=REGION), settings or GatewaySettings(), limits, clock, keep_warm=keep_warm
    )
    pipeline = Pipeline(frontend, holder, Backends(by_name), recorder, limits, patience=patience)
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    server = Server(pipeline, limits, Events(), protocol_port=port)
    await server.listen(listening)
    try:
        yield Gateway(port, backend, by_name, holder, pipeline, recorder, clock)
    finally:
        await server.close()
        await pipeline.close()
