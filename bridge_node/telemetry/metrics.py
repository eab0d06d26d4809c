"""Every metric of the node in one list, and the recorders by which a worker counts.

Nothing here knows Prometheus: workers add floats to shared memory (`counters`), the supervisor sums and writes them out
(`exposition`). Labels are bounded: words of our own, statuses, names from the operator's configuration, and at most
`admin.bucket_labels` buckets. Never a key, a path or an address. docs/metrics.md is this list as a table.
"""

import resource
import time
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bridge_node.telemetry.counters import Counters
from bridge_node.usage import Usage

LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
LAG = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
OTHER = "other"


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is without the suffixes that exposition formats add (`_total`, `_bucket` …)."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()

    @property
    def slots(self) -> int:
        """Numbers that one series takes: a histogram has one per bucket, one above the last, and the sum."""
        return len(self.buckets) + 2 if self.buckets else 1


def _counter(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(f"bridge_node_{name}", "counter", labels, text)


def _gauge(name: str, labels: tuple[str, ...], text: str) -> Metric:
    return Metric(f"bridge_node_{name}", "gauge", labels, text)


def _histogram(name: str, labels: tuple[str, ...], text: str, buckets: tuple[float, ...] = LATENCY) -> Metric:
    return Metric(f"bridge_node_{name}", "histogram", labels, text, buckets)


OPERATION = ("protocol", "operation")
BUCKET = ("repository", "bucket")

REQUESTS = _counter("requests", (*OPERATION, "code"), "Requests answered, by status code; 0: the client left before.")
REQUEST_SECONDS = _histogram("request_seconds", OPERATION, "Time from a request's head to the end of its answer.")
FIRST_BYTE_SECONDS = _histogram("first_byte_seconds", OPERATION, "Time from a request's head to the answer's head.")
RECEIVED_BYTES = _counter("received_bytes", OPERATION, "Body bytes taken from clients.")
SENT_BYTES = _counter("sent_bytes", OPERATION, "Body bytes sent to clients.")
ABORTED = _counter("aborted_requests", OPERATION, "Requests whose answer did not reach the client whole.")
BUCKET_REQUESTS = _counter("bucket_requests", BUCKET, "Requests by bucket; those beyond the limit count as `other`.")
BUCKET_RECEIVED_BYTES = _counter("bucket_received_bytes", BUCKET, "Body bytes taken from clients, by bucket.")
BUCKET_SENT_BYTES = _counter("bucket_sent_bytes", BUCKET, "Body bytes sent to clients, by bucket.")
CONNECTIONS = _gauge("connections", (), "Open client connections.")
IN_FLIGHT = _gauge("requests_in_flight", (), "Requests being answered.")
BUFFERED_BYTES = _gauge("buffered_bytes", (), "Body bytes held for clients' requests.")
SHED = _counter("shed", ("reason",), "Connections and requests refused because a limit was reached.")
FAULTS = _counter("faults", ("reason", "code"), "Requests that could not be read as HTTP.")
UPSTREAM = _counter("upstream_requests", ("backend", "operation", "outcome"), "Exchanges with backends, by outcome.")
UPSTREAM_SECONDS = _histogram("upstream_seconds", ("backend", "operation"), "Time until a backend's answer began.")
UPSTREAM_RETRIES = _counter("upstream_retries", ("backend", "reason"), "Exchanges tried again and reads resumed.")
UPSTREAM_SHED = _counter("upstream_shed", ("backend", "reason"), "Calls refused before they reached the backend.")
LOOP_LAG = _histogram("event_loop_lag_seconds", (), "How late the workers' event loops wake up.", LAG)
ACCESS_LOG_DROPPED = _counter("access_log_dropped", (), "Access log lines that could not be written.")
MEMORY = _gauge("process_resident_memory_bytes", ("process",), "Resident memory.")
CPU = _counter("process_cpu_seconds", ("process",), "Processor time, user and system.")
DESCRIPTORS = _gauge("process_open_fds", ("process",), "Open file descriptors.")
DESCRIPTORS_LIMIT = _gauge("process_max_fds", ("process",), "Limit of open file descriptors.")

WORKERS = _gauge("workers", ("state",), "Gateway processes: starting, ready or leaving.")
WORKER_RESTARTS = _counter("worker_restarts", ("reason",), "Gateway processes replaced, by reason.")
RELOADS = _counter("reloads", ("result",), "Reloads of the configuration: ok, or failed and the old one kept.")
CATALOG_VERSION = _gauge("catalog_version", (), "Version of the catalog in force; a reload raises it.")
CONFIGURATION_TIME = _gauge("configuration_loaded_timestamp_seconds", (), "When the settings in force were read.")
CERTIFICATE_DAYS = _gauge("certificate_days", ("certificate",), "Days until a listener's certificate expires.")
BACKEND_UP = _gauge("backend_up", ("backend",), "1 when the last probe reached the backend, else 0.")
BACKEND_PROBE_SECONDS = _gauge("backend_probe_seconds", ("backend",), "How long the last probe took.")
ATTACHMENT_UP = _gauge("attachment_up", ("attachment",), "1 when the last probe found the bucket or account, else 0.")
ATTACHMENT_PROBE_SECONDS = _gauge("attachment_probe_seconds", ("attachment",), "How long that probe took.")

PLATFORM_REGISTRATION = _gauge("platform_registration", ("state",), "1 for how the node stands with the platform.")
PLATFORM_CATALOG_VERSION = _gauge("platform_catalog_version", (), "Version of the platform's last good answer.")
PLATFORM_CATALOG_AGE = _gauge("platform_catalog_age_seconds", (), "Time since the platform's last good answer.")
PLATFORM_LEASE = _gauge("platform_lease_seconds", (), "How long the node may still serve what the platform gave.")
PLATFORM_CLOCK_SKEW = _gauge("platform_clock_skew_seconds", (), "How far the platform's clock is ahead.")
PLATFORM_ANSWERS_REFUSED = _counter("platform_answers_refused", ("reason",), "Answers that were not believed.")
PLATFORM_DOCUMENTS_REFUSED = _counter("platform_documents_refused", (), "Documents that could not be put in force.")
PLATFORM_FAILURES = _counter("platform_agent_failures", ("task",), "Tasks of the agent that broke and began anew.")
REPORTS = _counter("reports", ("result",), "Batches for the platform: sent, failed and kept, or rejected for good.")
SPOOL_BATCHES = _gauge("spool_batches", (), "Batches that the platform has not taken yet.")
SPOOL_BYTES = _gauge("spool_bytes", (), "Their size.")
SPOOL_AGE = _gauge("spool_age_seconds", (), "Age of the oldest of them.")
SPOOL_UNWRITTEN = _gauge("spool_unwritten", (), "Batches that wait for room on the disk.")
SPOOL_DROPPED = _counter("spool_dropped_rows", (), "Usage rows given up because the spool was full.")

READY = _gauge("ready", (), "1 when /readyz says so, else 0.")
BUILD_INFO = _gauge("build_info", ("version", "python"), "1, labelled with what runs.")

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    FIRST_BYTE_SECONDS,
    RECEIVED_BYTES,
    SENT_BYTES,
    ABORTED,
    BUCKET_REQUESTS,
    BUCKET_RECEIVED_BYTES,
    BUCKET_SENT_BYTES,
    CONNECTIONS,
    IN_FLIGHT,
    BUFFERED_BYTES,
    SHED,
    FAULTS,
    UPSTREAM,
    UPSTREAM_SECONDS,
    UPSTREAM_RETRIES,
    UPSTREAM_SHED,
    LOOP_LAG,
    ACCESS_LOG_DROPPED,
    MEMORY,
    CPU,
    DESCRIPTORS,
    DESCRIPTORS_LIMIT,
    WORKERS,
    WORKER_RESTARTS,
    RELOADS,
    CATALOG_VERSION,
    CONFIGURATION_TIME,
    CERTIFICATE_DAYS,
    BACKEND_UP,
    BACKEND_PROBE_SECONDS,
    ATTACHMENT_UP,
    ATTACHMENT_PROBE_SECONDS,
    PLATFORM_REGISTRATION,
    PLATFORM_CATALOG_VERSION,
    PLATFORM_CATALOG_AGE,
    PLATFORM_LEASE,
    PLATFORM_CLOCK_SKEW,
    PLATFORM_ANSWERS_REFUSED,
    PLATFORM_DOCUMENTS_REFUSED,
    PLATFORM_FAILURES,
    REPORTS,
    SPOOL_BATCHES,
    SPOOL_BYTES,
    SPOOL_AGE,
    SPOOL_UNWRITTEN,
    SPOOL_DROPPED,
    READY,
    BUILD_INFO,
)


class Recorder:
    """Counts in shared memory, by metric. What happens rarely needs no more than this."""

    def __init__(self, counters: Counters) -> None:
        self.counters = counters
        self.values = counters.values

    def slot(self, metric: Metric, *labels: str) -> int:
        return self.counters.slot(metric.name, labels, metric.slots)

    def add(self, metric: Metric, *labels: str, amount: float = 1.0) -> None:
        self.values[self.slot(metric, *labels)] += amount

    def set(self, metric: Metric, *labels: str, value: float) -> None:
        self.values[self.slot(metric, *labels)] = value

    def observe(self, metric: Metric, *labels: str, value: float) -> None:
        first = self.slot(metric, *labels)
        self.values[first + bisect_left(metric.buckets, value)] += 1.0
        self.values[first + metric.slots - 1] += value


class RequestRecorder:
    """Implements UsageSink: about a microsecond a request, so slots are found once and spelled out here."""

    def __init__(self, recorder: Recorder, bucket_labels: int) -> None:
        self._recorder = recorder
        self._values = recorder.values
        self._bucket_labels = bucket_labels
        self._operations: dict[tuple[str, str, int], tuple[int, int, int, int, int]] = {}
        self._buckets: dict[tuple[str, str], tuple[int, int, int]] = {}

    def record(self, usage: Usage) -> None:
        values = self._values
        operation = (usage.protocol, usage.operation, usage.status)
        slots = self._operations.get(operation) or self._claim_operation(*operation)
        requests, seconds, first_byte, received, sent = slots
        values[requests] += 1.0
        values[seconds + bisect_left(LATENCY, usage.seconds)] += 1.0
        values[seconds + _LATENCY_SUM] += usage.seconds
        if usage.first_byte_seconds:
            values[first_byte + bisect_left(LATENCY, usage.first_byte_seconds)] += 1.0
            values[first_byte + _LATENCY_SUM] += usage.first_byte_seconds
        values[received] += usage.received
        values[sent] += usage.sent
        if usage.aborted:
            self._recorder.add(ABORTED, usage.protocol, usage.operation)
        bucket = self._buckets.get((usage.repository, usage.bucket)) or self._new_bucket(usage)
        if bucket:
            requests, received, sent = bucket
            values[requests] += 1.0
            values[received] += usage.received
            values[sent] += usage.sent

    def _claim_operation(self, protocol: str, operation: str, status: int) -> tuple[int, int, int, int, int]:
        slot = self._recorder.slot
        slots = (
            slot(REQUESTS, protocol, operation, str(status)),
            slot(REQUEST_SECONDS, protocol, operation),
            slot(FIRST_BYTE_SECONDS, protocol, operation),
            slot(RECEIVED_BYTES, protocol, operation),
            slot(SENT_BYTES, protocol, operation),
        )
        self._operations[protocol, operation, status] = slots
        return slots

    def _new_bucket(self, usage: Usage) -> tuple[int, int, int] | None:
        """Only a request that succeeded makes its bucket a label: clients can ask for any name."""
        if usage.bucket and usage.status < 400:
            return self._claim_bucket(usage.repository, usage.bucket)
        return None

    def _claim_bucket(self, repository: str, bucket: str) -> tuple[int, int, int]:
        full = len(self._buckets) >= self._bucket_labels
        labels = (OTHER, OTHER) if full else (repository, bucket)
        slot = self._recorder.slot
        slots = slot(BUCKET_REQUESTS, *labels), slot(BUCKET_RECEIVED_BYTES, *labels), slot(BUCKET_SENT_BYTES, *labels)
        if not full:
            self._buckets[labels] = slots
        return slots


_LATENCY_SUM = REQUEST_SECONDS.slots - 1


class UpstreamRecorder:
    """Implements the backends' Observer."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._values = recorder.values
        self._exchanges: dict[tuple[str, str, str], tuple[int, int]] = {}

    def upstream(self, backend: str, operation: str, seconds: float, outcome: str) -> None:
        values = self._values
        count, latency = self._exchanges.get((backend, operation, outcome)) or self._claim(backend, operation, outcome)
        values[count] += 1.0
        values[latency + bisect_left(LATENCY, seconds)] += 1.0
        values[latency + _LATENCY_SUM] += seconds

    def retried(self, backend: str, reason: str) -> None:
        self._recorder.add(UPSTREAM_RETRIES, backend, reason)

    def shed(self, backend: str, reason: str) -> None:
        self._recorder.add(UPSTREAM_SHED, backend, reason)

    def _claim(self, backend: str, operation: str, outcome: str) -> tuple[int, int]:
        slots = (
            self._recorder.slot(UPSTREAM, backend, operation, outcome),
            self._recorder.slot(UPSTREAM_SECONDS, backend, operation),
        )
        self._exchanges[backend, operation, outcome] = slots
        return slots


class ServerRecorder:
    """Implements the server's ServerEvents."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def shed(self, reason: str) -> None:
        self._recorder.add(SHED, reason)

    def fault(self, reason: str, status: int) -> None:
        self._recorder.add(FAULTS, reason, str(status))


def record_process(recorder: Recorder, process: str) -> None:
    """What this very process uses: read here, because a hardened service hides processes from each other."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    recorder.set(MEMORY, process, value=pages * resource.getpagesize())
    recorder.set(CPU, process, value=time.process_time())
    recorder.set(DESCRIPTORS, process, value=sum(1 for _ in Path("/proc/self/fd").iterdir()))
    recorder.set(DESCRIPTORS_LIMIT, process, value=resource.getrlimit(resource.RLIMIT_NOFILE)[0])
