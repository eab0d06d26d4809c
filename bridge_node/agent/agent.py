"""The node's part in a fleet: registers, keeps the catalog fresh, reports every minute what it saw and what moved.

It lives in the supervisor, beside everything that serves clients. Whatever a platform says, or a full disk does, ends
here: a task that breaks is counted and begun anew, and the node serves on.
"""

import asyncio
import logging
import secrets
import time
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from bridge_node.agent.aggregator import Aggregator
from bridge_node.agent.answers import Reader
from bridge_node.agent.client import PlatformAway, PlatformClient, PlatformRefused
from bridge_node.agent.documents import Terms
from bridge_node.agent.identity import IdentityStore, pinned_by_operator
from bridge_node.agent.probing import Prober
from bridge_node.agent.registration import STATES, Registrar
from bridge_node.agent.reporter import SPREAD, Collector, Reporter
from bridge_node.agent.sealedstore import SealedStore
from bridge_node.agent.spool import Spool
from bridge_node.agent.standing import Standing
from bridge_node.agent.sync import Hooks, Sync
from bridge_node.agent.tasks import Tasks
from bridge_node.catalog import Catalog, Repository
from bridge_node.messages import BucketStatus
from bridge_node.settings import Settings
from bridge_node.telemetry import metrics
from bridge_node.telemetry.exposition import Labels
from bridge_node.telemetry.metrics import Metric, Recorder
from bridge_node.telemetry.traffic import TrafficReader

SKEW_SECONDS = 30.0
"""From here on a clock that differs from the platform's is warned about; from 300 s on signatures are refused."""
SKEW_PERIOD = 60.0
STALE_SECONDS = 180.0
"""A probe that is older says nothing about now."""
LEAVING_SECONDS = 5.0
"""Longest time for the last report, and for saying good-bye."""
RESTART_SECONDS = 5.0

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the agent needs of the supervisor."""

    apply: Callable[[Catalog], Awaitable[None]]
    """Puts what the platform gave in force."""
    admit: Callable[[Repository], None]
    """Makes the backends of a repository, or raises ValueError or OSError."""
    own: Callable[[], Catalog]
    """What the operator's own configuration serves."""
    prober: Prober
    traffic: TrafficReader
    recorder: Recorder


class Agent:
    """`restore` before workers start, `run` beside them, `leave` when they are gone.

    Raises IdentityError, OSError or sqlite3.Error when made, for what an operator has to mend. Making it blocks.
    """

    def __init__(self, settings: Settings, around: Surroundings, now: Callable[[], float] = time.time) -> None:
        platform = self._settings = settings.platform
        self._around = around
        self._now = now
        identities = IdentityStore(settings.state_directory)
        self.identity, enrolment = identities.load(platform)
        pinned = pinned_by_operator(platform.platform_keys) if platform.platform_keys else {}
        limit = platform.retry_limit
        self.registrar = Registrar(
            self.identity, enrolment, platform.url, pinned, identities, retry_limit=limit, now=now
        )
        self._tasks = Tasks(around.prober, self.identity.keys, self._reader)
        self._terms = Terms(
            platform.allow_private_addresses,
            {name: path for name, path in settings.local_roots.items() if name in platform.local_roots},
        )
        self._hooks = Hooks(around.apply, around.admit, lambda: around.own().keys, self._tasks.take, self._lost)
        self.sync = Sync(platform, SealedStore(identities.directory / "catalog"), around.recorder, self._hooks, now)
        self._spool = Spool(
            identities.directory,
            _new_id,
            most_bytes=platform.spool_bytes,
            most_seconds=platform.spool_days * 86400,
        )
        self.collector = Collector(
            Aggregator(platform.external_url or self.identity.node, _new_id),
            around.traffic,
            self._statuses,
            self._spool,
            around.recorder,
            now,
        )
        self.reporter = Reporter(
            self.identity, self.registrar, self._spool, around.recorder, retry_limit=limit, now=now
        )
        self._own_ids = frozenset(
            bucket.id for repository in settings.repositories.values() for bucket in repository.buckets if bucket.id
        )
        self.client = PlatformClient(
            platform.url, self.identity.version, timeout=platform.call_timeout, ca_file=platform.ca_file, now=now
        )

    def restore(self) -> Catalog:
        """What the platform gave in an earlier life, while its lease lasts. Blocks."""
        reader = self._reader()
        return self.sync.restore(reader) if reader else Catalog()

    async def run(self) -> None:
        """For ever."""
        async with self.client, asyncio.TaskGroup() as group:
            works: Mapping[str, Callable[[], Awaitable[None]]] = {
                "registration": lambda: self.registrar.run(self.client),
                "configuration": self._follow,
                "lease": self.sync.watch_lease,
                "tasks": lambda: self._tasks.run(self.client),
                "collection": lambda: self.collector.run(self._settings.report_seconds),
                "reports": self._report,
                "clock": self._watch_clock,
            }
            for name, work in works.items():
                group.create_task(self._lasting(name, work), name=f"platform {name}")

    async def leave(self) -> None:
        """Reports what is left and, where the operator wants it, takes the node off the platform's list.

        To be called when `run` has ended and no worker counts any more. What cannot be sent in time stays on disk.
        """
        await self.collector.close_period()
        try:
            async with asyncio.timeout(LEAVING_SECONDS), self.client:
                if self.registrar.registered.is_set():
                    await self.reporter.send_all(self.client)
                    if self._settings.unregister_on_drain:
                        await self.registrar.unregister(self.client)
                        log.info("platform_registration", state="left")
        except (TimeoutError, PlatformAway, PlatformRefused) as error:
            log.warning("platform_not_told", reason=str(error) or "no answer in time")

    async def close(self) -> None:
        """Puts on disk what is not there yet."""
        await self.collector.close_period()
        await asyncio.to_thread(self._spool.close)

    # --- tasks -----------------------------------------------------------------------------------------------------

    async def _lasting(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await work()
            except Exception:  # whatever it was, clients must not notice
                log.exception("platform_agent_failed", task=name)
                self._around.recorder.add(metrics.PLATFORM_FAILURES, name)
            await asyncio.sleep(RESTART_SECONDS)

    async def _follow(self) -> None:
        """Keeps the catalog, of a platform that gives one, while it knows this node."""
        while True:
            await self.registrar.registered.wait()
            reader = self._reader()
            if reader is None:
                await asyncio.sleep(RESTART_SECONDS)  # the contract alone: the catalog is the file's
                continue
            await self.sync.run(self.client, reader, self.identity.keys.signing, self.registrar.registered)

    async def _report(self) -> None:
        period = self._settings.report_seconds
        delay = zlib.crc32(self.identity.node.encode()) / 2**32 * period * SPREAD
        await self.reporter.run(self.client, self.collector.written, delay)

    async def _watch_clock(self) -> None:
        clock = Standing("platform_clock", "agrees")
        while True:
            skew = self.client.skew or 0.0
            if abs(skew) > SKEW_SECONDS:
                how = "ahead" if skew > 0 else "behind"
                clock.became(
                    "differs", level=logging.WARNING, reason=f"the platform is {round(abs(skew), -1):.0f} s {how}"
                )
            else:
                clock.became("agrees")
            await asyncio.sleep(SKEW_PERIOD)

    def _lost(self) -> None:
        """A node that was revoked does not come back by itself: that is for people to decide."""
        if not self.sync.revoked:
            self.registrar.lost()

    def _reader(self) -> Reader | None:
        enrolment, identity = self.registrar.enrolment, self.identity
        if enrolment is None:
            return None
        return Reader(identity.organisation, identity.node, identity.keys.seal, enrolment.keys, self._terms)

    # --- what is told of it ----------------------------------------------------------------------------------------

    def _statuses(self) -> Iterator[BucketStatus]:
        """The platform's own buckets as the last probes found them."""
        wanted = self._own_ids if self.registrar.enrolment is None else self.sync.attachments
        for name, health in self._around.prober.view.attachments.items():
            if name in wanted and self._now() - health.checked_at < STALE_SECONDS:
                yield BucketStatus(
                    bucket_id=name,
                    status="ONLINE" if health.found else "DISCONNECTED",
                    latency_ms=round(health.seconds * 1000, 3),
                    createdAt=_iso(health.checked_at),
                )

    @property
    def ready(self) -> bool:
        """A node that has nothing to serve yet, or no longer, is not ready."""
        contract = self.registrar.standing.state == "contract"
        return self.sync.serves or contract or bool(self._around.own().repositories)

    def summary(self) -> str:
        """One line."""
        how = f"{self.registrar.standing.state}, configuration {self.sync.standing.state}"
        return f"{how} for {self._lease_left():.0f} s" if self.sync.serves else how

    def status(self) -> Mapping[str, object]:
        return {
            "node": self.identity.node,
            "registration": self.registrar.standing.state,
            "configuration": self.sync.standing.state,
            "catalog_version": self.sync.version,
            "lease_seconds": round(self._lease_left(), 1),
            "reports": self.reporter.standing.state,
            "spool_batches": self.collector.depth.batches,
        }

    def gauges(self) -> Iterator[tuple[Metric, Labels, float]]:
        for state in STATES:
            yield metrics.PLATFORM_REGISTRATION, (state,), state == self.registrar.standing.state
        yield metrics.PLATFORM_CATALOG_VERSION, (), self.sync.version
        if self.sync.answered_at:
            yield metrics.PLATFORM_CATALOG_AGE, (), max(0.0, self._now() - self.sync.answered_at)
        yield metrics.PLATFORM_LEASE, (), self._lease_left()
        if self.client.skew is not None:
            yield metrics.PLATFORM_CLOCK_SKEW, (), self.client.skew
        depth = self.collector.depth
        yield metrics.SPOOL_BATCHES, (), depth.batches
        yield metrics.SPOOL_BYTES, (), depth.bytes
        yield metrics.SPOOL_AGE, (), max(0.0, self._now() - depth.oldest) if depth.batches else 0.0
        yield metrics.SPOOL_UNWRITTEN, (), len(self.collector.unwritten)

    def _lease_left(self) -> float:
        return max(0.0, self.sync.lease_left)


def _new_id() -> str:
    return secrets.token_hex(16)


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
