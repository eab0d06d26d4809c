"""The supervisor: start, run, reload, drain, in the order it happens.

It opens the ports and keeps them, starts the workers that serve them, watches workers and backends, and answers the
operator. It serves no client itself. Every task lives in one group: one that dies ends the process, for the service
manager to restart.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path

import structlog
import uvloop

from bridge_node import configuration, cores, standalone
from bridge_node.admin import Admin
from bridge_node.agent.agent import LEAVING_SECONDS, Agent, Surroundings
from bridge_node.agent.identity import IdentityError
from bridge_node.agent.probing import Prober
from bridge_node.backends.base import Unobserved
from bridge_node.backends.local import RootUnusable, hold_root
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import Catalog, Repository, joined
from bridge_node.configuration import ConfigurationError
from bridge_node.fleet import Fleet, WorkersDoNotStart
from bridge_node.gateway.listeners import CannotListen, Certificates, bind
from bridge_node.hardening import keep_secrets_in_memory
from bridge_node.reporting import Report
from bridge_node.settings import Log, Settings
from bridge_node.systemd import Notifier
from bridge_node.telemetry import access, counters, logging, metrics
from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.telemetry.exposition import Figures, Totals
from bridge_node.telemetry.traffic import TrafficReader

TICK_SECONDS = 1.0
LOAD_SECONDS = 30.0
"""Longest time to read the configuration anew."""
CERTIFICATE_SECONDS = 60.0
"""How often the supervisor looks at certificate files, for their days; workers look more often."""

UNUSABLE = (access.Unwritable, RootUnusable, ValueError, OSError)
"""What is raised by what a configuration names and this machine does not have."""

log = structlog.get_logger()


class CannotStart(Exception):
    """Something that the node needs cannot be had; the message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Sockets that are open already, in place of those that the settings name."""

    slots: Sequence[Sequence[socket.socket]]
    """For each listener one a worker: `gateway.listeners.bind`."""
    admin: socket.socket


def run(
    config: Path,
    environment: Mapping[str, str],
    *,
    ports: Ports | None = None,
    around: AbstractAsyncContextManager[object] | None = None,
) -> int:
    """Runs a node until signals end it, and returns the exit code: 0 when it drained, 1 when it was made to stop.

    `around` is entered before the node starts, and left when it is gone. Raises ConfigurationError or CannotStart when
    the node cannot be started.
    """
    keep_secrets_in_memory()
    logging.configure(Log())  # until the settings say how; structlog's own default prints variables of errors
    settings = configuration.load(config, environment).settings
    catalog = standalone.from_settings(settings)
    logging.configure(settings.log, journal_stream=environment.get("JOURNAL_STREAM", ""), process="supervisor")

    async def live() -> int:
        async with around or nullcontext():
            return await Daemon(config, environment, settings, catalog, ports).live()

    try:
        return uvloop.run(live())
    except BaseExceptionGroup as group:
        cause = _first(group)
        if isinstance(cause, CannotStart | WorkersDoNotStart):
            raise CannotStart(str(cause)) from None
        log.critical("supervisor_failed", exc_info=group)
        return 1


class Daemon:
    """One life of the supervisor."""

    def __init__(
        self,
        config: Path,
        environment: Mapping[str, str],
        settings: Settings,
        catalog: Catalog,
        ports: Ports | None = None,
    ) -> None:
        self._config = config
        self._ports = ports
        self._environment = environment
        self._settings = settings
        self._own = catalog
        self._given = Catalog()
        self._catalog = catalog
        self._changing = asyncio.Lock()
        self._roots: set[str] = set()
        self._signals: asyncio.Queue[int] = asyncio.Queue()
        self._notifier = Notifier(environment.get("NOTIFY_SOCKET", ""))
        counts = counters.create()
        self._recorder = metrics.Recorder(Counters(counts))
        self._totals = Totals(settings.admin.bucket_labels)
        self._totals.join(CountersReader(counts))
        self._pool = BackendPool(Unobserved())  # probes have figures of their own
        self._traffic = TrafficReader()
        node = settings.platform.node_id or socket.gethostname()
        self._prober = Prober(self._pool, catalog, settings.admin, node, self._bucket_requests)
        self._agent: Agent | None = None
        self._side: set[asyncio.Task[None]] = set()

    async def live(self) -> int:
        async with AsyncExitStack() as self._held, asyncio.TaskGroup() as self._tasks:
            self._held.push_async_callback(self._pool.close)
            await self._start()
            await self._run()
            code = await self._drain()
            for task in tuple(self._side):
                task.cancel()
        return code

    # --- start -----------------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._signals.put_nowait, number)
        try:
            access.check(self._settings.log.access)
            self._make_backends(self._catalog)
            self._recall_platform()
            slots, urls = self._open_ports()
            certificates = self._load_certificates()
        except (*UNUSABLE, CannotListen, IdentityError) as refusal:
            raise CannotStart(str(refusal)) from refusal
        figures = Figures(self._totals, self._recorder, self._traffic)
        self._fleet = Fleet(self._settings, self._catalog, slots, self._tasks, figures, self._environment)
        self._report = Report(self._catalog, self._fleet, self._prober, certificates, urls, figures, self._agent)
        admin_url = await self._open_admin()
        self._keep_running("watch", self._watch())
        self._keep_running("probes", self._prober.run())
        for each in certificates:
            self._keep_running("certificates", each.watch(CERTIFICATE_SECONDS))
        await self._fleet.start()
        if self._agent:
            self._agent_task = self._keep_running("platform", self._agent.run())
        self._notifier.ready()
        log.info("serving", listeners=urls, admin=admin_url, workers=len(slots))

    def _make_backends(self, catalog: Catalog) -> None:
        """Shows that each can be used, and keeps other nodes off our directories for as long as we live."""
        for root in {spec.root for spec in catalog.backends() if spec.kind == "local"} - self._roots:
            self._held.callback(hold_root(Path(root)).close)
            self._roots.add(root)
        for spec in catalog.backends():
            self._pool.get(spec)

    def _recall_platform(self) -> None:
        """Takes up what a platform gave in an earlier life. It is asked itself once the workers serve."""
        if not self._settings.platform.url:
            return
        self._agent = Agent(
            self._settings,
            Surroundings(
                apply=self._serve_given,
                admit=self._admit,
                own=lambda: self._own,
                prober=self._prober,
                traffic=self._traffic,
                recorder=self._recorder,
            ),
        )
        self._held.push_async_callback(self._agent.close)
        self._given = self._agent.restore()
        self._catalog = joined(self._own, self._given, self._catalog.version)
        self._prober.apply(self._catalog, self._settings.admin)

    def _bucket_requests(self) -> Mapping[tuple[str, ...], float]:
        rows = self._totals.sums().get(metrics.BUCKET_REQUESTS, {})
        return {labels: values[0] for labels, values in rows.items()}

    def _admit(self, repository: Repository) -> None:
        """Raises ValueError for what cannot be served from here."""
        try:
            self._make_backends(Catalog(repositories={repository.id: repository}))
        except UNUSABLE as error:
            raise ValueError(str(error)) from error

    def _open_ports(self) -> tuple[Sequence[Sequence[socket.socket]], Sequence[str]]:
        """The sockets of each slot, and where clients reach them."""
        workers = self._settings.gateway.workers or cores.available()
        by_listener, urls = [], []
        for index, listener in enumerate(self._settings.gateway.listeners):
            sockets = self._ports.slots[index] if self._ports else bind(listener.host, listener.port, workers)
            for each in sockets:
                self._held.callback(each.close)
            by_listener.append(sockets)
            urls.append(_url("https" if listener.tls else "http", listener.host, sockets[0].getsockname()[1]))
        return list(zip(*by_listener, strict=True)), urls

    def _load_certificates(self) -> Sequence[Certificates]:
        """For their days only: it is the workers who show them, and who report a file that is no good."""
        listeners = self._settings.gateway.listeners
        return [Certificates(listener.tls, lambda path, error: None) for listener in listeners if listener.tls]

    async def _open_admin(self) -> str:
        """The operator's port comes first, so that the health of a node that does not come up can be asked."""
        settings = self._settings.admin
        if not settings.enabled:
            return ""
        admin = Admin(self._report)
        self._held.push_async_callback(admin.close)
        try:
            port = await admin.open(settings.host, settings.port, self._ports.admin if self._ports else None)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise CannotStart(f"admin port {settings.host}:{settings.port}: {reason}") from error
        return _url("http", settings.host, port)

    def _keep_running(self, name: str, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(work, name=name)
        self._side.add(task)
        task.add_done_callback(self._side.discard)
        return task

    # --- run -------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Until a signal asks to leave."""
        while True:
            match await self._signals.get():
                case signal.SIGHUP:
                    await self._reload()
                case signal.SIGUSR1:
                    self._fleet.reopen_logs()
                case signal.SIGUSR2:
                    self._renew_workers()
                case signal.SIGTERM | signal.SIGINT:
                    return

    async def _watch(self) -> None:
        """What hangs is ended; systemd's watchdog is fed only while every worker's event loop turns."""
        while True:
            self._fleet.inspect()
            if self._fleet.lively:
                self._notifier.alive()
            self._notifier.status(self._report.summary())
            await asyncio.sleep(TICK_SECONDS)

    def _renew_workers(self) -> None:
        if _in_memory(self._catalog):
            log.warning("workers_not_renewed", reason="objects in memory would be lost")
            return
        self._keep_running("renewal", self._fleet.renew())

    # --- reload ----------------------------------------------------------------------------------------------------

    async def _reload(self) -> None:
        """Reads everything anew. What is not right in every part changes nothing."""
        self._notifier.reloading()
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                settings, own = await asyncio.to_thread(self._read_again)
            self._make_backends(own)
        except (ConfigurationError, TimeoutError, *UNUSABLE) as error:
            log.error("reload_failed", reason=str(error) or "reading took too long", kept=self._catalog.version)
            self._report.reloaded(None)
        else:
            await self._take_up(settings, own)
        self._notifier.ready()

    def _read_again(self) -> tuple[Settings, Catalog]:
        settings, waiting = configuration.reload(self._config, self._environment, self._settings)
        if waiting:
            log.warning("restart_needed", settings=waiting)
        access.check(settings.log.access)
        return settings, standalone.from_settings(settings)

    async def _take_up(self, settings: Settings, own: Catalog) -> None:
        old, self._settings, self._own = self._settings, settings, own
        logging.configure(
            settings.log, journal_stream=self._environment.get("JOURNAL_STREAM", ""), process="supervisor"
        )
        self._totals.bucket_labels = settings.admin.bucket_labels
        await self._publish()
        self._report.reloaded(self._catalog)
        log.info("reloaded", version=self._catalog.version)
        if _seen_by_workers(settings) != _seen_by_workers(old):
            self._renew_workers()

    async def _serve_given(self, given: Catalog) -> None:
        """Puts in force what the platform gave; returns when every worker serves it."""
        self._given = given
        await self._publish()
        log.info("platform_catalog_in_force", version=self._catalog.version, repositories=len(given.repositories))

    async def _publish(self) -> None:
        """One version after the other, whoever changed what."""
        async with self._changing:
            self._catalog = joined(self._own, self._given, self._catalog.version + 1)
            self._report.catalog = self._catalog
            self._prober.apply(self._catalog, self._settings.admin)
            await self._fleet.publish(self._settings, self._catalog)

    # --- drain -----------------------------------------------------------------------------------------------------

    async def _drain(self) -> int:
        """Leaves in good order (promise 24); a second signal ends it at once."""
        gateway = self._settings.gateway
        log.info("draining", wait=gateway.drain_wait, limit=gateway.drain_limit)
        self._report.draining = True
        self._notifier.stopping(within=gateway.drain_wait + gateway.drain_limit + LEAVING_SECONDS)
        leaving = self._tasks.create_task(self._leave(), name="drain")
        second = self._tasks.create_task(self._second_signal(), name="second signal")
        await asyncio.wait((leaving, second), return_when=asyncio.FIRST_COMPLETED)
        drained = leaving.done()
        leaving.cancel()
        second.cancel()
        log.info("stopped", drained=drained)
        return 0 if drained else 1

    async def _leave(self) -> None:
        await asyncio.sleep(self._settings.gateway.drain_wait)
        await self._fleet.drain(self._settings.gateway.drain_limit)
        if self._agent:
            self._agent_task.cancel()
            await asyncio.wait([self._agent_task])
            await self._agent.leave()

    async def _second_signal(self) -> None:
        while await self._signals.get() not in (signal.SIGTERM, signal.SIGINT):
            pass
        self._fleet.kill()


def _in_memory(catalog: Catalog) -> bool:
    return any(spec.kind == "memory" for spec in catalog.backends())


def _seen_by_workers(settings: Settings) -> tuple[object, ...]:
    """What a worker reads once, when it starts: a change of it renews the workers."""
    return settings.gateway, settings.s3, settings.limits, settings.log, settings.admin.bucket_labels


def _url(scheme: str, host: str, port: int) -> str:
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The plain exception that a group of groups holds."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
