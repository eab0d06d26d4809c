"""What the supervisor tells its operator: readiness, status, metrics."""

import os
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import islice

from bridge_node.admin import Check
from bridge_node.agent.agent import Agent
from bridge_node.agent.probing import Prober
from bridge_node.catalog import Catalog
from bridge_node.fleet import Fleet, State, Worker
from bridge_node.gateway.listeners import Certificates
from bridge_node.telemetry import metrics
from bridge_node.telemetry.exposition import Figures, Labels, Sums
from bridge_node.telemetry.metrics import Metric
from bridge_node.version import running_version


class Report:
    """Implements admin.Reporter over the parts of the supervisor, which tell it of their changes by its attributes."""

    def __init__(
        self,
        catalog: Catalog,
        fleet: Fleet,
        prober: Prober,
        certificates: Sequence[Certificates],
        listeners: Sequence[str],
        figures: Figures,
        agent: Agent | None = None,
    ) -> None:
        self.catalog = catalog
        self.loaded_at = time.time()
        self.draining = False
        self.reloads = {"ok": 0, "failed": 0}
        self._started_at = time.time()
        self._fleet = fleet
        self._prober = prober
        self._certificates = certificates
        self._listeners = listeners
        self._figures = figures
        self._agent = agent

    def reloaded(self, catalog: Catalog | None) -> None:
        """A reload has put `catalog` in force, or failed (None)."""
        if catalog is None:
            self.reloads["failed"] += 1
            return
        self.reloads["ok"] += 1
        self.catalog, self.loaded_at = catalog, time.time()

    # --- admin.Reporter --------------------------------------------------------------------------------------------

    def readiness(self) -> Sequence[Check]:
        slots, ready = len(self._fleet.slots), self._fleet.ready
        return (
            Check("serving", not self.draining, "draining" if self.draining else "not draining"),
            Check("configuration", True, f"version {self.catalog.version}"),
            Check("workers", ready == slots, f"{ready} of {slots} ready"),
            self._backends_check(),
            *([Check("platform", self._agent.ready, self._agent.summary())] if self._agent else []),
        )

    def status(self) -> Mapping[str, object]:
        return {
            "version": running_version(),
            "pid": os.getpid(),
            "ready": self._ready(),
            "draining": self.draining,
            "uptime_seconds": round(time.time() - self._started_at, 3),
            "catalog_version": self.catalog.version,
            "configuration_loaded_at": self.loaded_at,
            "reloads": self.reloads,
            "listeners": list(self._listeners),
            "workers": [_worker_status(worker) for worker in sorted(self._fleet.workers, key=_by_slot)],
            "backends": self._backends_status(),
            "platform": self._agent.status() if self._agent else None,
            "certificates": {name: round(days, 2) for name, days in self._certificate_days().items()},
        }

    def metrics(self) -> Sums:
        metrics.record_process(self._figures.own, "supervisor")
        sums = self._figures.totals.sums()
        for metric, labels, value in self._gauges():
            sums.setdefault(metric, {})[labels] = [value]
        return sums

    def summary(self) -> str:
        """One line, for `systemctl status`."""
        return "; ".join(f"{check.name}: {check.detail}" for check in self.readiness()[2:])

    # --- the parts -------------------------------------------------------------------------------------------------

    def _ready(self) -> bool:
        return all(check.passed for check in self.readiness())

    def _backends_check(self) -> Check:
        """One reachable backend is enough: a node must not leave the load balancer for the sake of another one."""
        configured, view = self._prober.backends, self._prober.view
        if not configured:
            return Check("backends", True, "none configured")
        lost = [f"{name}: {health.reason}" for name, health in sorted(view.backends.items()) if health.reason]
        waiting = configured - len(view.backends)
        notes = [*lost, f"{waiting} not probed yet"] if waiting else lost
        detail = "; ".join([f"{view.reachable()} of {configured} reachable", *notes])
        return Check("backends", view.reachable() > 0, detail)

    def _backends_status(self) -> Mapping[str, object]:
        return {name: asdict(health) for name, health in sorted(self._prober.view.backends.items())}

    def _certificate_days(self) -> Mapping[str, float]:
        now = time.time()
        return {name: days for each in self._certificates for name, days in each.days_left(now).items()}

    def _gauges(self) -> Iterator[tuple[Metric, Labels, float]]:
        states = [worker.state for worker in self._fleet.workers]
        for state in State:
            yield metrics.WORKERS, (state.value,), states.count(state)
        for result, count in self.reloads.items():
            yield metrics.RELOADS, (result,), count
        for name, days in self._certificate_days().items():
            yield metrics.CERTIFICATE_DAYS, (name,), days
        for name, health in self._prober.view.backends.items():
            yield metrics.BACKEND_UP, (name,), health.reachable
            yield metrics.BACKEND_PROBE_SECONDS, (name,), health.seconds
        for name, health in islice(self._prober.view.attachments.items(), self._figures.totals.bucket_labels):
            yield metrics.ATTACHMENT_UP, (name,), health.found
            yield metrics.ATTACHMENT_PROBE_SECONDS, (name,), health.seconds
        if self._agent:
            yield from self._agent.gauges()
        yield metrics.CATALOG_VERSION, (), self.catalog.version
        yield metrics.CONFIGURATION_TIME, (), self.loaded_at
        yield metrics.READY, (), self._ready()
        yield metrics.BUILD_INFO, (running_version(), platform.python_version()), 1


def _by_slot(worker: Worker) -> tuple[int, float]:
    return worker.slot.index, worker.started


def _worker_status(worker: Worker) -> Mapping[str, object]:
    now = time.monotonic()
    return {
        "slot": worker.slot.index,
        "pid": worker.process.pid,
        "state": worker.state.value,
        "catalog_version": worker.version,
        "uptime_seconds": round(now - worker.started, 3),
        "heartbeat_age_seconds": round(now - worker.heard, 3),
    }
