"""From the workers' counters to the platform, every minute once: count, freeze, write, send, acknowledge.

Each step hands over to the next only when the next has it for good. What fails is repeated under the same batch id.
"""

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import structlog

from bridge_node.agent.aggregator import Aggregator
from bridge_node.agent.backoff import Backoff
from bridge_node.agent.batches import Batch
from bridge_node.agent.client import Call, PlatformAway, PlatformClient, PlatformRefused
from bridge_node.agent.identity import Identity
from bridge_node.agent.registration import Registrar
from bridge_node.agent.spool import Depth, Spool
from bridge_node.agent.standing import Standing
from bridge_node.messages import BadMessage, BucketStatus, RegistrationAnswer
from bridge_node.telemetry import metrics
from bridge_node.telemetry.metrics import Recorder
from bridge_node.telemetry.traffic import TrafficReader

ROUTE = "/status"
SPREAD = 1 / 6
"""Share of a period over which nodes spread their reports."""

ENDED_SECONDS = 1.0
"""A period that is closed a little after its end counts for the minute that it lies in."""

log = structlog.get_logger()


class Collector:
    """Closes a period after the other and puts it on disk. A disk that takes nothing delays reports, nothing else."""

    def __init__(
        self,
        aggregator: Aggregator,
        traffic: TrafficReader,
        statuses: Callable[[], Iterable[BucketStatus]],
        spool: Spool,
        recorder: Recorder,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.depth = Depth()
        self.unwritten: Sequence[Batch] = ()
        """Batches that have their ids and are not known to be on disk."""
        self.written = asyncio.Event()
        self._aggregator = aggregator
        self._traffic = traffic
        self._statuses = statuses
        self._spool = spool
        self._recorder = recorder
        self._now = now
        self._disk = Standing("spool", "writable")

    async def run(self, period: float) -> None:
        """Closes periods at their ends by the clock, so that the minutes of a row are those of its traffic."""
        while True:
            await asyncio.sleep(period - self._now() % period)
            await self.close_period(self._statuses())

    async def close_period(self, statuses: Iterable[BucketStatus] = ()) -> None:
        """Counts what moved since the last time; `statuses` are reported along with it."""
        self._aggregator.count(self._now() - ENDED_SECONDS, self._traffic.take())
        self._aggregator.note(statuses)
        if not self.unwritten:
            self.unwritten = self._aggregator.freeze()
        await self._write()

    async def _write(self) -> None:
        now = self._now()
        try:
            if self.unwritten:
                await asyncio.to_thread(self._spool.write, self.unwritten, now)
            self.unwritten = ()
            dropped = await asyncio.to_thread(self._spool.keep_within_bounds, now)
            self.depth = await asyncio.to_thread(self._spool.depth)
        except sqlite3.Error as error:
            self._disk.became("unwritable", level=logging.ERROR, reason=str(error))
            return
        self._disk.became("writable")
        if dropped:
            self._recorder.add(metrics.SPOOL_DROPPED, amount=dropped)
            log.error("usage_dropped", rows=dropped)
        self.written.set()


class Reporter:
    """Sends what is on disk, the oldest first, and forgets only what the platform says it has."""

    def __init__(
        self,
        identity: Identity,
        registrar: Registrar,
        spool: Spool,
        recorder: Recorder,
        *,
        retry_limit: float,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.standing = Standing("platform_reports", "none")
        self._identity = identity
        self._registrar = registrar
        self._spool = spool
        self._recorder = recorder
        self._backoff = Backoff(retry_limit)
        self._now = now
        for result in ("sent", "failed", "rejected"):
            recorder.add(metrics.REPORTS, result, amount=0)

    async def run(self, client: PlatformClient, written: asyncio.Event, delay: float) -> None:
        """`delay` spreads the reports of many nodes."""
        while True:
            await written.wait()
            await asyncio.sleep(delay)
            written.clear()
            await self._registrar.registered.wait()
            while (pause := await self.send_all(client)) is not None:
                await asyncio.sleep(pause)
                await self._registrar.registered.wait()

    async def send_all(self, client: PlatformClient) -> float | None:
        """None when nothing is left, else when to try again."""
        try:
            while (batch := await asyncio.to_thread(self._spool.next, self._now())) is not None:
                await self._send(client, batch)
                self._backoff.succeeded()
        except PlatformAway as error:
            self._failed("away", error)
        except PlatformRefused as error:
            self._failed("refused", error)
            if error.status in (401, 403):
                self._registrar.lost()
        except sqlite3.Error as error:
            self._failed("disk", error)
        else:
            return None
        return self._backoff.failed()

    async def _send(self, client: PlatformClient, batch: Batch) -> None:
        try:
            answer = await client.post(self._call(batch))
        except PlatformRefused as error:
            if not error.for_good:
                raise
            log.error("report_rejected", batch=batch.id, reason=str(error))
            self._recorder.add(metrics.REPORTS, "rejected")
            await asyncio.to_thread(self._spool.reject, batch)
            if error.status == 404:
                self._registrar.lost()
            return
        _check(answer)
        await asyncio.to_thread(self._spool.acknowledge, batch.id)
        self._recorder.add(metrics.REPORTS, "sent")
        self.standing.became("taken")

    def _call(self, batch: Batch) -> Call:
        """Signed by the node's own key; by the contract's text, and without usage, where that is all there is."""
        said: dict[str, Any] = {**self._identity.said(), "buckets": batch.buckets}
        if self._registrar.enrolment is None:
            return Call(ROUTE, _json(said | self._registrar.plain.fields()), None)
        said |= {"usage": batch.usage, "batchId": batch.id}
        return Call(ROUTE, _json(said), self._identity.keys.signing)

    def _failed(self, state: str, error: Exception) -> None:
        self._recorder.add(metrics.REPORTS, "failed")
        self.standing.became(state, level=logging.WARNING, reason=str(error))


def _check(answer: bytes) -> None:
    """A 2xx alone says little: what a captive portal answers must not cost a minute."""
    try:
        if RegistrationAnswer.decode(answer).success:
            return
    except BadMessage as error:
        raise PlatformAway("an answer that is none") from error
    raise PlatformAway("an answer without success")


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
