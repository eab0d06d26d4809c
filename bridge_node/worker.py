"""One gateway process: takes its orders from the supervisor, serves on inherited sockets, drains, leaves.

Started as `python -m bridge_node.worker DESCRIPTOR`: everything else, secrets first of all, comes over the channel.
"""

import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog
import uvloop

from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import CatalogHolder
from bridge_node.channel import Applied, Channel, ChannelError, Drain, Heartbeat, Ready, ReopenLogs, Start, Update
from bridge_node.gateway.listeners import Certificates
from bridge_node.gateway.pipeline import Pipeline
from bridge_node.gateway.proxies import Proxies
from bridge_node.gateway.s3.frontend import S3Frontend
from bridge_node.gateway.server import Server
from bridge_node.hardening import keep_secrets_in_memory
from bridge_node.settings import Log
from bridge_node.telemetry import logging, metrics
from bridge_node.telemetry.access import AccessLogFile
from bridge_node.telemetry.counters import Counters
from bridge_node.telemetry.traffic import TrafficRecorder

HEARTBEAT_SECONDS = 1.0
GAUGE_SECONDS = 0.25
"""How often the event loop's lag and what is open are measured."""
CERTIFICATE_SECONDS = 10.0
"""How often certificate files are looked at."""
ORPHAN_SECONDS = 30.0
"""When a worker without a supervisor is gone at the latest (promise 23)."""
ORPHAN_DRAIN_SECONDS = 25.0
"""How long of these its requests may run."""

log = structlog.get_logger()


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)  # these are for the supervisor, who tells us what follows from them
    keep_secrets_in_memory()
    logging.configure(Log())  # until the supervisor has said how; structlog's own default prints variables of errors
    sys.exit(uvloop.run(_work(socket.socket(fileno=int(sys.argv[1])))))


async def _work(end: socket.socket) -> int:
    """The exit code."""
    channel = await Channel.open(end)
    try:
        start = await channel.receive()
        if isinstance(start, Start):
            await Worker(channel, start).live()
    except ChannelError as error:
        log.error("supervisor_not_understood", reason=str(error))
        return 1
    except Exception:
        log.exception("worker_failed")  # the supervisor's next worker may do better
        return 1
    await channel.close()
    return 0


class Worker:
    """The life of the process, in the order it happens."""

    def __init__(self, channel: Channel, start: Start) -> None:
        self._channel = channel
        self._name = f"worker-{start.slot}"
        settings = start.settings
        logging.configure(settings.log, journal_stream=start.journal_stream, process=self._name)
        self._recorder = metrics.Recorder(Counters(start.counters))
        self._access = self._open_access_log(start)
        self._holder = CatalogHolder(start.catalog)
        self._pool = BackendPool(metrics.UpstreamRecorder(self._recorder))
        self._holder.subscribe(self._pool.apply)
        self._pipeline = Pipeline(
            S3Frontend(settings.s3, settings.gateway, settings.limits),
            self._holder,
            self._pool,
            TrafficRecorder(
                Counters(start.traffic), metrics.RequestRecorder(self._recorder, settings.admin.bucket_labels)
            ),
            settings.limits,
            access_log=self._access,
        )
        events = metrics.ServerRecorder(self._recorder)
        self._sockets = [socket.socket(fileno=descriptor) for descriptor in start.sockets]
        proxies = Proxies(settings.gateway.trusted_proxies)
        self._server = Server(self._pipeline, settings.limits, events, is_proxy=proxies.trusts)
        self._certificates = [
            Certificates(listener.tls, _report_certificate) if listener.tls else None
            for listener in settings.gateway.listeners
        ]
        self._leave = asyncio.get_running_loop().create_future()

    async def live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            await self._listen()
            side = [tasks.create_task(self._obey(), name="orders"), *self._side_tasks(tasks)]
            gc.freeze()  # what is here now stays for good: the collector need not look at it again
            await self._channel.send(Ready(self._holder.current.version))
            await self._drain(await self._leave)
            await self._pipeline.close()
            await self._pool.close()
            for task in side:
                task.cancel()
        if self._access is not None:
            await self._access.close()

    async def _listen(self) -> None:
        for listening, certificates in zip(self._sockets, self._certificates, strict=True):
            await self._server.listen(listening, certificates.context if certificates else None)

    def _side_tasks(self, tasks: asyncio.TaskGroup) -> Sequence[asyncio.Task[None]]:
        side = [
            tasks.create_task(self._beat(), name="heartbeat"),
            tasks.create_task(self._gauge(), name="gauges"),
        ]
        if self._access is not None:
            side.append(tasks.create_task(self._flush(self._access), name="access log"))
        watches = [certificates.watch(CERTIFICATE_SECONDS) for certificates in self._certificates if certificates]
        return [*side, *(tasks.create_task(watch, name="certificates") for watch in watches)]

    async def _obey(self) -> None:
        async for message in self._channel:
            match message:
                case Update(catalog):
                    self._holder.swap(catalog)
                    await self._channel.send(Applied(catalog.version))
                case ReopenLogs() if self._access is not None:
                    await self._access.reopen()
                case Drain(limit) if not self._leave.done():
                    self._leave.set_result(limit)
        log.error("supervisor_gone")
        asyncio.get_running_loop().call_later(ORPHAN_SECONDS, os._exit, 1)  # there is nobody left to kill us
        if not self._leave.done():
            self._leave.set_result(ORPHAN_DRAIN_SECONDS)
        await self._drain(ORPHAN_DRAIN_SECONDS)  # also where a longer drain has begun

    async def _drain(self, limit: float) -> None:
        await self._server.drain(limit)

    async def _beat(self) -> None:
        while True:
            metrics.record_process(self._recorder, self._name)
            await self._channel.send(Heartbeat())
            await asyncio.sleep(HEARTBEAT_SECONDS)

    async def _gauge(self) -> None:
        recorder, server, clock = self._recorder, self._server, asyncio.get_running_loop().time
        while True:
            due = clock() + GAUGE_SECONDS
            await asyncio.sleep(GAUGE_SECONDS)
            recorder.observe(metrics.LOOP_LAG, value=max(0.0, clock() - due))
            recorder.set(metrics.CONNECTIONS, value=server.connections)
            recorder.set(metrics.IN_FLIGHT, value=server.in_flight)
            recorder.set(metrics.BUFFERED_BYTES, value=server.buffered)

    async def _flush(self, access: AccessLogFile) -> None:
        while True:
            await asyncio.sleep(1)
            await access.flush()

    def _open_access_log(self, start: Start) -> AccessLogFile | None:
        if not start.settings.log.access.enabled:
            return None
        return AccessLogFile(
            start.settings.log.access, lambda lines: self._recorder.add(metrics.ACCESS_LOG_DROPPED, amount=lines)
        )


def _report_certificate(path: Path, error: Exception) -> None:
    log.error("certificate_not_taken_up", certificate=str(path), reason=str(error))


if __name__ == "__main__":
    main()
