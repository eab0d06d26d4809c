"""Reaches every backend and attached bucket now and then, so that readiness, metrics and reports know which answer."""

import asyncio
import logging
import time
import zlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import structlog

from bridge_node.backends.base import Unobserved
from bridge_node.backends.local import RootUnusable
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import BackendSpec, Catalog, Repository
from bridge_node.errors import BackendFailure, BridgeError
from bridge_node.health import BackendHealth, HealthView
from bridge_node.settings import Admin

AT_ONCE = 16
"""Probes that run at the same time."""
RETRY_SECONDS = 5.0
"""What did not answer is asked again after so long, if that is sooner than the next round."""

MOST_BUSY = 16
"""Buckets of one account that are probed in a round because they moved traffic."""

NOT_ASKED = "breaker_open"
"""The reason of a probe that our own breaker held back: it says nothing new."""

Traffic = Callable[[], Mapping[tuple[str, ...], float]]
"""Requests so far by repository and name of the bucket."""

log = structlog.get_logger()


class Place(NamedTuple):
    """What one probe asks for: a bucket, or the list of an account's buckets (None)."""

    spec: BackendSpec
    bucket: str | None


@dataclass(frozen=True, slots=True)
class Target:
    """Whose health a probe tells: attachments by id, and of one of a backend's places the backend itself."""

    attachments: tuple[str, ...]
    leads: bool
    within: tuple[Repository, ...] = ()
    """For an account: the repositories that it is attached to."""


class Prober:
    """Probes the places of the catalog for ever; `view` is how they stand.

    A probe is a HeadBucket, or ListBuckets where an account is attached whole. A backend that answers is reachable,
    also when it answers that the bucket is missing (which `reason` then says); one that refuses our credentials is not.
    An account is only as well as those of its buckets that moved traffic since its last probe.
    New places are probed at once, then each once in a round; the rounds of two nodes begin at different times.
    """

    def __init__(
        self, pool: BackendPool, catalog: Catalog, admin: Admin, node: str = "", traffic: Traffic = dict
    ) -> None:
        self.view = HealthView()
        self._traffic = traffic
        self._seen: dict[tuple[str, ...], float] = {}
        self._pool = pool
        self._admin = admin
        self._stagger = zlib.crc32(node.encode()) / 2**32
        self._targets = _targets(catalog)
        self._due = dict.fromkeys(self._targets, 0.0)
        self._changed = asyncio.Event()
        self._limit = asyncio.Semaphore(AT_ONCE)

    def apply(self, catalog: Catalog, admin: Admin) -> None:
        """Probes another catalog's places from now on, new ones at once."""
        self._admin = admin
        self._targets = _targets(catalog)
        self._pool.apply(catalog)
        names = {place.spec.name for place in self._targets}
        ids = {attachment for target in self._targets.values() for attachment in target.attachments}
        self.view = HealthView(
            {name: health for name, health in self.view.backends.items() if name in names},
            {name: health for name, health in self.view.attachments.items() if name in ids},
        )
        self._due = {place: self._due.get(place, 0.0) for place in self._targets}
        self._changed.set()

    @property
    def backends(self) -> int:
        """How many backends there are to reach."""
        return len({place.spec.name for place in self._targets})

    async def run(self) -> None:
        while True:
            now = time.monotonic()
            due = [place for place, at in self._due.items() if at <= now]
            await asyncio.gather(*(self._probe(place) for place in due))
            await self._until_next()

    async def ask(self, attachment: str) -> BackendHealth | None:
        """Probes one attachment now; None when there is none of this id."""
        for place, target in self._targets.items():
            if attachment in target.attachments:
                return await self._reach(place)
        return None

    async def try_once(self, spec: BackendSpec, bucket: str) -> BackendHealth:
        """Probes a place that no catalog names."""
        if spec.kind == "local":
            return await self._try_root(Place(spec, bucket))
        pool = BackendPool(Unobserved())
        async with self._limit:
            begun = time.monotonic()
            reachable, reason = await self._asked(pool, Place(spec, bucket))
            seconds = time.monotonic() - begun
        await pool.close()
        return BackendHealth(reachable, seconds, time.time(), reason)

    async def _try_root(self, place: Place) -> BackendHealth:
        """By the backend that everything else of this node uses: a root is held once."""
        try:
            await asyncio.to_thread(self._pool.get, place.spec)
        except (RootUnusable, OSError, ValueError):
            return BackendHealth(False, 0.0, time.time(), "unusable")
        return await self._reach(place)

    async def _until_next(self) -> None:
        self._changed.clear()
        wait = max(0.0, min(self._due.values(), default=3600.0) - time.monotonic())
        try:
            async with asyncio.timeout(wait):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _probe(self, place: Place) -> None:
        health = await self._reach(place, self._busy(self._targets[place]))
        target = self._targets.get(place)
        if target is None:  # a reload has taken it away meanwhile
            return
        self._due[place] = time.monotonic() + self._pause(health)
        if health.reason == NOT_ASKED and self._known(place, target):
            return
        if target.leads:
            self._tell(place.spec.name, health)
        self.view = HealthView(
            {**self.view.backends, **({place.spec.name: health} if target.leads else {})},
            {**self.view.attachments, **dict.fromkeys(target.attachments, health)},
        )

    def _pause(self, health: BackendHealth) -> float:
        """Until this node's next round; what has just been probed is not probed again at once."""
        period = self._admin.probe_seconds
        if not health.reachable:
            return min(RETRY_SECONDS, period)
        left = period - (time.time() / period - self._stagger) % 1.0 * period
        return left if left > period / 2 else left + period

    def _known(self, place: Place, target: Target) -> bool:
        ids = self.view.attachments
        return all(name in ids for name in target.attachments) and (
            not target.leads or place.spec.name in self.view.backends
        )

    def _tell(self, backend: str, health: BackendHealth) -> None:
        before = self.view.backends.get(backend)
        if before is None or (before.reachable, before.reason) != (health.reachable, health.reason):
            level = logging.INFO if health.found else logging.WARNING
            log.log(level, "backend_probed", backend=backend, reachable=health.reachable, reason=health.reason)

    def _busy(self, target: Target) -> list[tuple[str, ...]]:
        """An account's buckets that moved traffic since they last answered, as labels of `Traffic`."""
        if not target.within:
            return []
        repositories = {repository.id: repository for repository in target.within}
        moved = {label: requests for label, requests in self._traffic().items() if requests != self._seen.get(label)}
        found: list[tuple[str, ...]] = []
        for label, requests in moved.items():
            repository = repositories.get(label[0])
            if repository and repository.attached(label[1]) is None and len(found) < MOST_BUSY:
                self._seen[label] = requests
                found.append(label)
        return found

    async def _reach(self, place: Place, busy: Collection[tuple[str, ...]] = ()) -> BackendHealth:
        async with self._limit:
            begun = time.monotonic()
            reachable, reason = await self._answers(place)
            seconds = time.monotonic() - begun
            for label in busy:
                answered, why = await self._answers(Place(place.spec, label[1]))
                if not answered:
                    self._seen.pop(label, None)
                    reachable, reason = False, reason or why
            return BackendHealth(reachable, seconds, time.time(), reason)

    async def _answers(self, place: Place) -> tuple[bool, str]:
        return await self._asked(self._pool, place)

    async def _asked(self, pool: BackendPool, place: Place) -> tuple[bool, str]:
        try:
            async with asyncio.timeout(self._admin.probe_timeout):
                backend = pool.get(place.spec)
                await (backend.list_buckets() if place.bucket is None else backend.head_bucket(place.bucket))
        except TimeoutError:
            return False, "probe_timeout"
        except (RootUnusable, OSError, ValueError):  # it could be made before, and no longer
            return False, "unusable"
        except BackendFailure as error:
            return False, error.reason
        except BridgeError as error:
            return True, error.reason
        return True, ""


def _targets(catalog: Catalog) -> Mapping[Place, Target]:
    """Every attachment's place. A whole account speaks best for its backend, else any bucket does."""
    ids: dict[Place, list[str]] = {}
    within: dict[Place, list[Repository]] = {}
    for repository in catalog.repositories.values():
        for bucket in repository.buckets:
            ids.setdefault(Place(bucket.backend, bucket.bucket), []).append(bucket.id)
        for account in repository.accounts:
            ids.setdefault(Place(account.backend, None), []).append(account.id)
            within.setdefault(Place(account.backend, None), []).append(repository)
    leading: dict[BackendSpec, Place] = {}
    for place in ids:
        if place.bucket is None or place.spec not in leading:
            leading[place.spec] = place
    return {
        place: Target(tuple(names), leading[place.spec] == place, tuple(within.get(place, ())))
        for place, names in ids.items()
    }
