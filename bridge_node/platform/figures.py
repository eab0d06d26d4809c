"""What one platform process counts about itself, for Prometheus. Labels are bounded; docs/metrics.md has the list.

Several processes count for themselves: whoever asks all of them adds up.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from bridge_node.platform.settings import Metrics
from bridge_node.version import running_version

OTHER = "other"
"""The route of calls that have none."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Figures:
    """Counted on the event loop, read by a thread of `served`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "bridge_platform_requests",
            "Requests answered, by route and status code.",
            ("method", "route", "code"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "bridge_platform_request_seconds",
            "Time from a request to the end of its answer; /node/config waits for news.",
            ("route",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._refused = Counter(
            "bridge_platform_node_calls_refused",
            "Calls of nodes that were not believed: signatures, nonces, enrolments.",
            ("route",),
            registry=self.registry,
        )
        self._rows = Counter(
            "bridge_platform_report_rows",
            "Rows of nodes' reports: taken, or dropped as none of the node's business.",
            ("outcome",),
            registry=self.registry,
        )
        build = Gauge("bridge_platform_build_info", "1, labelled with what runs.", ("version",), registry=self.registry)
        build.labels(running_version()).set(1)

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """A figure that is looked up when somebody asks; `value` is called in a thread."""
        Gauge(f"bridge_platform_{name}", text, registry=self.registry).set_function(value)

    def answered(self, method: str, route: str, code: int, began: float) -> None:
        """`began` is what `perf_counter` said when the request came."""
        self._requests.labels(method, route, str(code)).inc()
        self._seconds.labels(route).observe(perf_counter() - began)

    def refused(self, route: str) -> None:
        self._refused.labels(route).inc()

    def reported(self, *, taken: int, dropped: int) -> None:
        self._rows.labels("taken").inc(taken)
        self._rows.labels("dropped").inc(dropped)


@asynccontextmanager
async def served(figures: Figures, settings: Metrics) -> AsyncIterator[None]:
    """Answers `GET /metrics` at a port of its own, if one is set. Raises OSError when it cannot be had."""
    if not settings.port:
        yield
        return
    server, thread = await asyncio.to_thread(start_http_server, settings.port, settings.host, figures.registry)
    try:
        yield
    finally:
        await asyncio.to_thread(server.shutdown)
        server.server_close()
        await asyncio.to_thread(thread.join)
