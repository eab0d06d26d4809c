"""The gateway processes: one per slot, watched, replaced when they die, renewed one after the other.

A slot is a set of listening sockets, one per listener, that the supervisor opened and keeps; whichever worker stands in
the slot accepts from them. Connections therefore queue while there is none, and nothing is reset (promise 23).
"""

import asyncio
import os
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import structlog

from bridge_node.catalog import Catalog
from bridge_node.channel import Applied, Channel, ChannelError, Drain, Ready, ReopenLogs, Start, Update
from bridge_node.settings import Platform, Settings
from bridge_node.telemetry import counters, metrics, traffic
from bridge_node.telemetry.counters import CountersReader
from bridge_node.telemetry.exposition import Figures

START_SECONDS = 30.0
"""Longest time for a new worker to become ready."""
SILENCE_SECONDS = 10.0
"""A worker whose event loop did not turn for so long is hung."""
ACKNOWLEDGE_SECONDS = 2.0
"""Longest time for a worker to take up a catalog (promise 23)."""
OVERTIME_SECONDS = 5.0
"""How long after its drain limit a worker may take to be gone."""
STABLE_SECONDS = 2.0
"""A worker that served for so long and died did not die of starting."""
LONGEST_PAUSE = 10.0
"""Between two starts in a slot whose workers die of starting."""

REASONS = ("died", "hung", "lagging", "renewed")
"""Why a worker is replaced."""

_KEPT_VARIABLES = frozenset(
    {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH", "SSL_CERT_DIR", "SSL_CERT_FILE", "TZ"}
)

log = structlog.get_logger()


class WorkersDoNotStart(Exception):
    """A worker died before the node was first ready: another try would only die again."""


class State(Enum):
    STARTING = "starting"
    READY = "ready"
    LEAVING = "leaving"


@dataclass(eq=False)
class Worker:
    """One process, as the supervisor knows it. Times are those of the monotonic clock."""

    slot: "Slot"
    process: Process
    channel: Channel
    counts: CountersReader
    traffic: CountersReader
    started: float
    heard: float
    state: State = State.STARTING
    version: int = 0
    """Version of the catalog that it last acknowledged."""
    deadline: float = float("inf")
    """When it is killed, if it is still there."""
    verdict: str = "died"
    """What its end will be counted as."""
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is ready or gone."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    """Set whenever it acknowledges a catalog."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class Slot:
    """A place for one worker."""

    index: int
    sockets: Sequence[socket.socket]
    worker: Worker | None = None
    failures: int = 0
    """Workers in a row that died soon after they were started."""


class Fleet:
    """All workers of the node, as many as there are `slots`. What it starts lives in `tasks`."""

    def __init__(
        self,
        settings: Settings,
        catalog: Catalog,
        slots: Sequence[Sequence[socket.socket]],
        tasks: asyncio.TaskGroup,
        figures: Figures,
        environment: Mapping[str, str],
    ) -> None:
        self.slots = [Slot(index, sockets) for index, sockets in enumerate(slots)]
        self.workers: set[Worker] = set()
        self._settings = settings
        self._catalog = catalog
        self._tasks = tasks
        self._totals = figures.totals
        self._traffic = figures.traffic
        self._recorder = figures.own
        self._environment = _environment(environment)
        self._journal_stream = environment.get("JOURNAL_STREAM", "")
        self._renewing = asyncio.Lock()
        self._started = False
        self._draining = False
        self._inspected = time.monotonic()
        for reason in REASONS:
            self._recorder.add(metrics.WORKER_RESTARTS, reason, amount=0)  # so that an alert sees the first one

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Returns when every slot has a worker that listens."""
        for slot in self.slots:
            slot.worker = await self._spawn(slot)
        for worker in tuple(self.workers):
            await worker.settled.wait()
        self._started = True

    async def publish(self, settings: Settings, catalog: Catalog) -> None:
        """Puts a catalog in force on every worker; who lags is replaced. New workers start with `settings`."""
        self._settings, self._catalog = settings, catalog
        await asyncio.gather(*(self._update(worker) for worker in tuple(self.workers)))

    async def renew(self, reason: str = "renewed") -> None:
        """Replaces the workers one by one: the new one listens before the old one drains, so no request fails.

        Stops at a slot whose new worker does not start, and leaves the old one where it is.
        """
        async with self._renewing:
            for slot in self.slots:
                if self._draining or not await self._replace(slot, reason):
                    return

    def reopen_logs(self) -> None:
        for worker in self.workers:
            worker.channel.post(ReopenLogs())

    async def drain(self, limit: float) -> None:
        """Returns when every worker is gone: by itself within `limit` seconds, or else killed."""
        self._draining = True
        for worker in self.workers:
            self._retire(worker, limit)
        for slot in self.slots:
            for listening in slot.sockets:
                listening.close()  # once the workers have closed theirs, who comes is refused rather than kept waiting
        while self.workers:
            await next(iter(self.workers)).gone.wait()

    def kill(self) -> None:
        """Ends every worker at once."""
        self._draining = True
        for worker in self.workers:
            _kill(worker)

    # --- what is seen of it ----------------------------------------------------------------------------------------

    @property
    def ready(self) -> int:
        """How many slots are served."""
        return sum(slot.worker is not None and slot.worker.state is State.READY for slot in self.slots)

    @property
    def lively(self) -> bool:
        """Whether the event loop of every worker turns."""
        now = time.monotonic()
        return all(now - worker.heard < SILENCE_SECONDS for worker in self.workers if worker.state is State.READY)

    def inspect(self) -> None:
        """Kills what is hung, does not start or does not leave. To be called every second or so."""
        now, before, self._inspected = time.monotonic(), self._inspected, time.monotonic()
        if now - before > SILENCE_SECONDS / 2:
            return  # it was us who were held up: what the workers said meanwhile is still to be read
        for worker in self.workers:
            if worker.state is State.READY and now - worker.heard > SILENCE_SECONDS:
                worker.verdict = "hung"
                worker.deadline = now
            if now >= worker.deadline:
                log.error("worker_killed", slot=worker.slot.index, pid=worker.process.pid, state=worker.state.value)
                _kill(worker)

    # --- one worker ------------------------------------------------------------------------------------------------

    async def _spawn(self, slot: Slot) -> Worker:
        ours, theirs = socket.socketpair()
        counts = counters.create(series=16_384 + 3 * self._settings.admin.bucket_labels)
        moved = counters.create(series=traffic.SERIES)
        sockets = tuple(listening.fileno() for listening in slot.sockets)
        try:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "bridge_node.worker", str(theirs.fileno())),
                stdin=DEVNULL,
                pass_fds=(theirs.fileno(), counts, moved, *sockets),
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the supervisor
            )
            readers = CountersReader(counts), CountersReader(moved)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(counts)
            os.close(moved)
        now = time.monotonic()
        worker = Worker(slot, process, await Channel.open(ours), *readers, now, now, deadline=now + START_SECONDS)
        settings = _without_secrets(self._settings)
        worker.channel.post(Start(slot.index, settings, self._catalog, sockets, counts, moved, self._journal_stream))
        self._totals.join(worker.counts)
        self._traffic.join(worker.traffic)
        self.workers.add(worker)
        self._tasks.create_task(self._attend(worker), name=f"worker {slot.index}")
        if self._draining:
            self._retire(worker, 0)
        return worker

    async def _attend(self, worker: Worker) -> None:
        """From the first message of a worker to what follows from its end."""
        try:
            async for message in worker.channel:
                worker.heard = time.monotonic()
                match message:
                    case Ready(version):
                        self._became_ready(worker, version)
                    case Applied(version):
                        worker.version = version
                        worker.changed.set()
        except ChannelError as error:
            log.error("worker_not_understood", slot=worker.slot.index, reason=str(error))
            _kill(worker)
        worker.deadline = min(worker.deadline, time.monotonic() + OVERTIME_SECONDS)
        code = await worker.process.wait()
        await worker.channel.close()
        self._totals.leave(worker.counts)
        self._traffic.leave(worker.traffic)
        self.workers.discard(worker)
        worker.gone.set()
        worker.settled.set()
        worker.changed.set()
        if worker.slot.worker is worker and not self._draining:
            await self._refill(worker, code)
        elif worker.state is State.LEAVING:
            log.info("worker_left", slot=worker.slot.index, pid=worker.process.pid, code=code)

    def _became_ready(self, worker: Worker, version: int) -> None:
        worker.version = version
        if worker.state is State.STARTING:
            worker.state = State.READY
            worker.deadline = float("inf")
        worker.settled.set()

    async def _refill(self, lost: Worker, code: int) -> None:
        slot, lived = lost.slot, time.monotonic() - lost.started
        log.error("worker_lost", slot=slot.index, pid=lost.process.pid, code=code, verdict=lost.verdict, lived=lived)
        if not self._started:
            raise WorkersDoNotStart(f"a worker ended with {code} before it was ready")
        self._recorder.add(metrics.WORKER_RESTARTS, lost.verdict)
        slot.failures = 0 if lost.state is not State.STARTING and lived > STABLE_SECONDS else slot.failures + 1
        while True:
            if slot.failures > 1:
                await asyncio.sleep(min(LONGEST_PAUSE, 0.125 * 2**slot.failures))
            if slot.worker is not lost or self._draining:
                return
            try:
                slot.worker = await self._spawn(slot)
            except OSError as error:  # no memory, no process, no descriptor: there may be some again
                slot.failures += 1
                log.error("worker_not_started", slot=slot.index, reason=error.strerror)

    async def _replace(self, slot: Slot, reason: str) -> bool:
        try:
            successor = await self._spawn(slot)
        except OSError as error:
            log.error("worker_not_started", slot=slot.index, reason=error.strerror)
            return False
        await successor.settled.wait()
        if successor.gone.is_set():
            log.error("worker_not_started", slot=slot.index, reason="it ended before it was ready")
            return False
        predecessor, slot.worker = slot.worker, successor
        self._recorder.add(metrics.WORKER_RESTARTS, reason)
        log.info("worker_replaced", slot=slot.index, pid=successor.process.pid, reason=reason)
        if predecessor is not None:
            self._retire(predecessor, self._settings.gateway.drain_limit)
        return True

    async def _update(self, worker: Worker) -> None:
        version = self._catalog.version
        worker.channel.post(Update(self._catalog))
        if worker.state is not State.READY:
            return
        try:
            async with asyncio.timeout(ACKNOWLEDGE_SECONDS):
                while worker.version < version and not worker.gone.is_set():
                    worker.changed.clear()
                    await worker.changed.wait()
        except TimeoutError:
            log.error("worker_lags", slot=worker.slot.index, pid=worker.process.pid, version=worker.version)
            if worker.slot.worker is worker:
                await self._replace(worker.slot, "lagging")

    def _retire(self, worker: Worker, limit: float) -> None:
        worker.state = State.LEAVING
        worker.deadline = min(worker.deadline, time.monotonic() + limit + OVERTIME_SECONDS)
        worker.channel.post(Drain(limit))


def _kill(worker: Worker) -> None:
    if worker.process.returncode is None:
        worker.process.kill()


def _without_secrets(settings: Settings) -> Settings:
    """What a worker needs beside the catalog."""
    return settings.model_copy(update={"backends": {}, "repositories": {}, "platform": Platform()})


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    """A worker's variables: few, because secrets may come in any of them (promise 21)."""
    kept = {name: value for name, value in environment.items() if name in _KEPT_VARIABLES or name.startswith("LC_")}
    place = Path(__file__).parents[1]
    if place.name not in ("site-packages", "dist-packages"):  # run from a source tree
        kept["PYTHONPATH"] = str(place)
    return kept
