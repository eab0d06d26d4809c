"""The operator's port: reading only, on loopback by default, never a client port (promise 22)."""

import json
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import web

from bridge_node.telemetry import exposition

CLOSING_SECONDS = 1.0
"""How long a scrape that runs when the node leaves may take to its end."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that readiness asks for; `detail` tells how it stands."""

    name: str
    passed: bool
    detail: str


class Reporter(Protocol):
    """What the supervisor tells its operator. None of it holds a secret or a key."""

    def readiness(self) -> Sequence[Check]:
        """Ready when every check has passed."""

    def status(self) -> Mapping[str, object]:
        """The node as a JSON object."""

    def metrics(self) -> exposition.Sums:
        """Every count as of now."""


class Admin:
    """Serves the reporter's answers from `open` to `close`."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        application = web.Application()
        application.add_routes(
            [
                web.get("/healthz", self._healthz),
                web.get("/readyz", self._readyz),
                web.get("/metrics", self._metrics),
                web.get("/status", self._status),
            ]
        )
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSING_SECONDS)

    async def open(self, host: str, port: int, opened: socket.socket | None = None) -> int:
        """Returns the port, that of a socket which is `opened` already. Raises OSError when it cannot be had."""
        await self._runner.setup()
        site = web.SockSite(self._runner, opened) if opened else web.TCPSite(self._runner, host, port)
        await site.start()
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, request: web.Request) -> web.Response:
        """Alive: the supervisor's loop turns. Backends and workers do not matter here (checklist 78)."""
        return web.Response(text="ok\n")

    async def _readyz(self, request: web.Request) -> web.Response:
        checks = self._reporter.readiness()
        missing = [check for check in checks if not check.passed]
        status = 503 if missing else 200
        if "verbose" not in request.query:
            return web.Response(status=status, text="not ready\n" if missing else "ready\n")
        lines = [f"[{'+' if check.passed else '-'}] {check.name}: {check.detail}" for check in checks]
        return web.Response(status=status, text="\n".join([*lines, "not ready" if missing else "ready", ""]))

    async def _metrics(self, request: web.Request) -> web.Response:
        openmetrics = "application/openmetrics-text" in request.headers.get("Accept", "")
        body = exposition.render(self._reporter.metrics(), openmetrics=openmetrics)
        kind = exposition.OPENMETRICS if openmetrics else exposition.TEXT
        return web.Response(body=body, headers={"Content-Type": kind})

    async def _status(self, request: web.Request) -> web.Response:
        text = json.dumps(self._reporter.status(), indent=2)
        return web.Response(text=text + "\n", content_type="application/json")
