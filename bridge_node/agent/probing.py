"""Reaches every backend now and then, so that readiness and metrics know which ones answer."""

import asyncio
import logging
import time
from collections.abc import Mapping

import structlog

from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import BackendSpec, Catalog
from bridge_node.errors import BackendFailure, BridgeError
from bridge_node.health import BackendHealth, HealthView
from bridge_node.settings import Admin

AT_ONCE = 16
"""Probes that run at the same time."""
RETRY_SECONDS = 5.0
"""A backend that did not answer is asked again after so long, if that is sooner than the next round."""

NOT_ASKED = "breaker_open"
"""The reason of a probe that our own breaker held back: it says nothing new."""

log = structlog.get_logger()


class Prober:
    """Probes the backends of the catalog for ever; `view` is how they stand.

    A probe is a HeadBucket of one attached bucket, or ListBuckets where an account is attached whole. A backend that
    answers is reachable, also when it answers that the bucket is missing (which `reason` then says); one that refuses
    our credentials is not.
    """

    def __init__(self, pool: BackendPool, catalog: Catalog, admin: Admin) -> None:
        self.view = HealthView()
        self._pool = pool
        self._admin = admin
        self._targets = _targets(catalog)
        self._due = dict.fromkeys(self._targets, 0.0)
        self._changed = asyncio.Event()
        self._limit = asyncio.Semaphore(AT_ONCE)

    def apply(self, catalog: Catalog, admin: Admin) -> None:
        """Probes another catalog's backends from now on, new ones at once."""
        self._admin = admin
        self._targets = _targets(catalog)
        self._pool.apply(catalog)
        names = {spec.name for spec in self._targets}
        self.view = HealthView({name: health for name, health in self.view.backends.items() if name in names})
        self._due = {spec: self._due.get(spec, 0.0) for spec in self._targets}
        self._changed.set()

    @property
    def backends(self) -> int:
        """How many backends there are to reach."""
        return len({spec.name for spec in self._targets})

    async def run(self) -> None:
        while True:
            now = time.monotonic()
            due = [spec for spec, at in self._due.items() if at <= now]
            await asyncio.gather(*(self._probe(spec, self._targets[spec]) for spec in due))
            await self._until_next()

    async def _until_next(self) -> None:
        self._changed.clear()
        wait = max(0.0, min(self._due.values(), default=3600.0) - time.monotonic())
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _probe(self, spec: BackendSpec, bucket: str | None) -> None:
        async with self._limit:
            begun = time.monotonic()
            reachable, reason = await self._reach(spec, bucket)
        if spec not in self._targets:  # a reload has taken it away meanwhile
            return
        pause = self._admin.probe_seconds if reachable else min(RETRY_SECONDS, self._admin.probe_seconds)
        self._due[spec] = time.monotonic() + pause
        before = self.view.backends.get(spec.name)
        if before is not None and reason == NOT_ASKED:
            return
        if before is None or (before.reachable, before.reason) != (reachable, reason):
            level = logging.INFO if reachable and not reason else logging.WARNING
            log.log(level, "backend_probed", backend=spec.name, reachable=reachable, reason=reason)
        health = BackendHealth(reachable, time.monotonic() - begun, time.time(), reason)
        self.view = HealthView({**self.view.backends, spec.name: health})

    async def _reach(self, spec: BackendSpec, bucket: str | None) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(self._admin.probe_timeout):
                backend = self._pool.get(spec)
                await (backend.list_buckets() if bucket is None else backend.head_bucket(bucket))
        except TimeoutError:
            return False, "probe_timeout"
        except BackendFailure as error:
            return False, error.reason
        except BridgeError as error:
            return True, error.reason
        return True, ""


def _targets(catalog: Catalog) -> Mapping[BackendSpec, str | None]:
    """What to ask each backend for: its whole account where it is attached so, else one bucket."""
    targets: dict[BackendSpec, str | None] = {}
    for repository in catalog.repositories.values():
        targets.update({attachment.backend: attachment.bucket for attachment in repository.buckets})
    for repository in catalog.repositories.values():
        targets.update({attachment.backend: None for attachment in repository.accounts})
    return targets
