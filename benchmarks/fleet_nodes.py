"""Many nodes in one process, for `python -m benchmarks.fleet`, which starts this with what `Orders` says.

Each node is the agent's own code: its keys and its client, its registration, its long poll with every check of what
comes. Two things are simulated: a catalog that would be put in force is only looked at, and reports are made up
instead of being counted and spooled. Answers and documents are kept on disk as ever.

Commands come by standard input, a line each, and are answered by a line of JSON: `measure` when all nodes serve,
`stop` for the figures since then.
"""

import asyncio
import contextlib
import json
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog
import uvloop
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from joserfc.jwk import OKPKey
from pydantic import SecretStr

from benchmarks.cores import cost
from bridge_node.agent import reporter
from bridge_node.agent.answers import Reader
from bridge_node.agent.client import Call, PlatformAway, PlatformClient, PlatformRefused
from bridge_node.agent.documents import Terms
from bridge_node.agent.identity import IdentityStore
from bridge_node.agent.registration import Registrar
from bridge_node.agent.sealedstore import SealedStore
from bridge_node.agent.sync import Hooks, Sync
from bridge_node.catalog import AccessKey, Catalog
from bridge_node.crypto import orgkey
from bridge_node.messages import BucketStatus, ConfigAnswer, StatusReport, UsageRow
from bridge_node.platform.identifiers import new_id
from bridge_node.settings import Platform
from bridge_node.telemetry import counters
from bridge_node.telemetry.metrics import Recorder

AT_ONCE = 32
"""So many nodes enrol at a time; as many others wait as there are."""
LOG_LEVEL = 40


@dataclass(frozen=True, slots=True)
class Orders:
    """What the nodes are told by a file; `organisation_key` is PEM."""

    url: str
    organisation: str
    organisation_key: str
    nodes: int
    rows: int
    report_seconds: float
    directory: str
    ca_file: str


@dataclass(slots=True)
class Tally:
    """What all nodes together saw since the last `begin`. Times are of the clock that all processes share."""

    calls: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    took: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    documents: list[int] = field(default_factory=list)
    """How many each answer had that was not empty."""
    appeared: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    vanished: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def begin(self) -> None:
        for figures in (self.calls, self.errors, self.took, self.appeared, self.vanished):
            figures.clear()
        self.documents.clear()


class CountingClient(PlatformClient):
    """The agent's client; what its calls come to is counted."""

    tally: Tally

    async def post(self, call: Call) -> bytes:
        begun = time.monotonic()
        self.tally.calls[call.path] += 1
        try:
            return await super().post(call)
        except (PlatformAway, PlatformRefused) as error:
            self.tally.errors[f"{call.path} {error}"] += 1
            raise
        finally:
            self.tally.took[call.path].append(time.monotonic() - begun)


@dataclass(frozen=True)
class CountingReader(Reader):
    """The agent's reader; the documents of answers are counted."""

    tally: Tally

    def fresh_answer(self, token: bytes, now: float, floor: int) -> ConfigAnswer:
        answer = super().fresh_answer(token, now, floor)
        if answer.documents:
            self.tally.documents.append(len(answer.documents))  # by several threads at once
        return answer


class SimulatedNode:
    """One node. `live` lasts until it is cancelled; `serving` is set when it has a catalog."""

    def __init__(self, number: int, orders: Orders, key: RSAPrivateKey, tally: Tally, recorder: Recorder) -> None:
        self.serving = asyncio.Event()
        self.catalog = Catalog()
        self._tally = tally
        self._settings = Platform(
            url=orders.url,
            organisation=orders.organisation,
            organisation_key=SecretStr(""),
            node_id=f"node-{number:05}",
            allow_private_addresses=True,
        )
        store = IdentityStore(Path(orders.directory) / f"node-{number:05}")
        identity, _ = store.load(self._settings)
        self.identity = replace(identity, organisation_key=key)  # read once for all: that takes its time
        self._registrar = Registrar(self.identity, None, orders.url, {}, store, retry_limit=self._settings.retry_limit)
        hooks = Hooks(self._apply, lambda _: None, lambda: (), lambda _: None, self._registrar.lost)
        self._sync = Sync(self._settings, SealedStore(store.directory / "catalog"), recorder, hooks)
        self.client = CountingClient(
            orders.url, identity.version, timeout=self._settings.call_timeout, ca_file=Path(orders.ca_file)
        )
        self.client.tally = tally

    async def live(self, entrance: asyncio.Semaphore) -> None:
        async with self.client, asyncio.TaskGroup() as group, entrance:
            group.create_task(self._registrar.run(self.client), name="registration")
            await self._registrar.registered.wait()
            group.create_task(self._follow(), name="configuration")
            await self.serving.wait()

    async def _follow(self) -> None:
        while True:
            await self._registrar.registered.wait()
            keys = self.identity.keys
            reader = self._reader(keys.seal)
            await self._sync.run(self.client, reader, keys.signing, self._registrar.registered)

    def _reader(self, seal: OKPKey) -> Reader:
        if self._registrar.enrolment is None:
            raise RuntimeError("the platform knows the vendor's contract alone")
        pinned = self._registrar.enrolment.keys
        me = self.identity
        return CountingReader(me.organisation, me.node, seal, pinned, Terms(True), self._tally)

    async def _apply(self, catalog: Catalog) -> None:
        now = time.monotonic()
        for name in catalog.keys.keys() - self.catalog.keys.keys():
            self._tally.appeared[name].append(now)
        for name in self.catalog.keys.keys() - catalog.keys.keys():
            self._tally.vanished[name].append(now)
        self.catalog = catalog
        self.serving.set()

    async def report(self, rows: int) -> None:
        """A status report as a node that serves `rows` of its access keys makes one."""
        now = time.time()
        served = list(self.catalog.keys.values())[:rows]
        report = StatusReport(
            **self.identity.said(),
            batchId=new_id(int(now * 1000)),
            buckets=tuple(self._statuses(now)),
            usage=tuple(self._usage(key, int(now) // 60 * 60) for key in served),
        )
        with contextlib.suppress(PlatformAway, PlatformRefused):  # which are counted
            await self.send(report.encode())

    async def send(self, report: bytes) -> None:
        """Signed by the node; raises PlatformAway and PlatformRefused."""
        await self.client.post(Call(reporter.ROUTE, report, self.identity.keys.signing))

    def _statuses(self, now: float) -> list[BucketStatus]:
        seen = datetime.fromtimestamp(now, UTC).isoformat()
        found = {bucket.id for repository in self.catalog.repositories.values() for bucket in repository.buckets}
        return [
            BucketStatus(bucket_id=name, status="ONLINE", latency_ms=12.5, createdAt=seen) for name in sorted(found)
        ]

    def _usage(self, key: AccessKey, minute: int) -> UsageRow:
        repository = self.catalog.repositories[key.repository]
        return UsageRow(
            minute=minute,
            repoId=repository.id,
            bucketId=repository.buckets[0].id,
            apiKeyId=key.platform_id,
            protocol="s3",
            requests=100,
            upl_bytes=1_000_000,
            dwl_bytes=9_000_000,
            latency_ms=1200,
            host=self.identity.node,
        )


class Fleet:
    """All nodes, and what they are told to do."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._tally = Tally()
        key = orgkey.load_private(orders.organisation_key)
        recorder = Recorder(counters.Counters(counters.create()))
        self._nodes = [SimulatedNode(number, orders, key, self._tally, recorder) for number in range(orders.nodes)]

    async def run(self) -> None:
        begun = time.monotonic()
        entrance = asyncio.Semaphore(AT_ONCE)
        lines = _lines()
        async with asyncio.TaskGroup() as group:
            lives = [group.create_task(node.live(entrance), name="node") for node in self._nodes]
            for node in self._nodes:
                await node.serving.wait()
            serves = sorted(self._nodes[0].catalog.repositories)
            _say(seconds=time.monotonic() - begun, serves=serves, **self._figures())
            await anext(lines)
            self._tally.begin()
            lives += [group.create_task(self._reports(), name="reports")]
            begun = time.monotonic()
            await anext(lines)
            _say(seconds=time.monotonic() - begun, **self._figures())
            for life in lives:
                life.cancel()

    async def _reports(self) -> None:
        """Every node once in each period, one after the other: as many nodes come to do by their spread."""
        period = self._orders.report_seconds
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for number in range(sys.maxsize):
                due = begun + number * period / len(self._nodes)
                await asyncio.sleep(due - asyncio.get_running_loop().time())
                node = self._nodes[number % len(self._nodes)]
                group.create_task(node.report(self._orders.rows), name="report")

    def _figures(self) -> dict[str, Any]:
        return {one.name: getattr(self._tally, one.name) for one in fields(self._tally)} | {
            "resident": (used := cost([os.getpid()])).resident,
            "cpu": used.cpu,
        }


async def _lines() -> AsyncIterator[str]:
    """Commands; the end of them ends this process."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        yield line.strip()
    raise RuntimeError("whoever started these nodes is gone")


def _say(**figures: Any) -> None:
    print(json.dumps(figures), flush=True)


def main(arguments: Sequence[str]) -> None:
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVEL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    orders = Orders(**json.loads(Path(arguments[0]).read_bytes()))
    uvloop.run(Fleet(orders).run())


if __name__ == "__main__":
    main(sys.argv[1:])
