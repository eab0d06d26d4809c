"""The platform in this process: schema, socket, uvicorn, and an end that leaves no node waiting."""

import asyncio
import ipaddress
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import structlog
import uvicorn

from bridge_node.platform import migrations
from bridge_node.platform.app import create_app
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.database import Database
from bridge_node.platform.figures import served
from bridge_node.platform.settings import PlatformSettings

log = structlog.get_logger()

DRAIN_SECONDS = 20
KEEPALIVE_SECONDS = 75
CONCURRENT_REQUESTS = 20_000
BACKLOG = 2048


class CannotServe(Exception):
    """The application did not start; why is in the log."""


async def serve(
    settings: PlatformSettings,
    *,
    migrate: bool = False,
    on_ready: Callable[[str], None] | None = None,
    stop: asyncio.Event | None = None,
    listening: socket.socket | None = None,
) -> None:
    """Serves until `stop` is set; without one, until SIGTERM or SIGINT. `on_ready` gets the URL once it answers.

    `listening` is a socket that is open already, in place of the one that the settings name.

    With `migrate`, brings the schema up to date before; else raises WrongSchema when it is not. Raises OSError when
    the port cannot be had, CannotServe, and what `context.assemble` raises.
    """
    ending = stop or _set_by_signals()
    await _prepare_schema(settings, migrate=migrate)
    with closing(listening or _bound(settings)) as bound:
        url = _url(bound)
        if not settings.external_urls:
            settings = settings.model_copy(update={"external_urls": (url,)})
        platform = assemble(settings)
        server = PlatformServer(platform, lambda: on_ready(url) if on_ready else None)
        async with served(platform.figures, settings.metrics), asyncio.TaskGroup() as group:
            watching = group.create_task(server.exit_after(ending), name="platform stop")
            await server.serve(sockets=[bound])
            watching.cancel()
    if not server.started:
        raise CannotServe("the platform could not start; the log says why")


def _set_by_signals() -> asyncio.Event:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    return ending


async def _prepare_schema(settings: PlatformSettings, *, migrate: bool) -> None:
    database = Database.open(settings.database_url, statement_seconds=migrations.PATIENCE_SECONDS)
    try:
        await (migrations.upgrade(database) if migrate else migrations.check(database))
    finally:
        await database.close()


def _bound(settings: PlatformSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((settings.host, settings.port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening


def _url(listening: socket.socket) -> str:
    """Where it is reached from this host: a wildcard address means loopback, too."""
    host, port = listening.getsockname()[:2]
    address = ipaddress.ip_address(host)
    if address.is_unspecified:
        address = ipaddress.ip_address("127.0.0.1" if address.version == 4 else "::1")
    return f"http://[{address}]:{port}" if address.version == 6 else f"http://{address}:{port}"


class PlatformServer(uvicorn.Server):
    """uvicorn, which waits for its connections when it stops: so the waiting polls are answered first."""

    def __init__(self, platform: Platform, on_ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                create_app(platform),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                proxy_headers=bool(platform.settings.trusted_proxies),
                forwarded_allow_ips=list(platform.settings.trusted_proxies),
                timeout_keep_alive=KEEPALIVE_SECONDS,
                timeout_graceful_shutdown=DRAIN_SECONDS,
                limit_concurrency=CONCURRENT_REQUESTS,
                backlog=BACKLOG,
            )
        )
        self._platform = platform
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are for whoever runs this server: `exit_after`."""
        yield

    async def exit_after(self, ending: asyncio.Event) -> None:
        await ending.wait()
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            log.info("platform_ready", host=self._platform.settings.host)
            self._on_ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._platform.polls.close()
        await super().shutdown(sockets)
        log.info("platform_stopped")
