import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from bridge_node.telemetry import counters, exposition, metrics
from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.telemetry.exposition import Totals
from bridge_node.telemetry.metrics import METRICS, Metric, Recorder, RequestRecorder, ServerRecorder, UpstreamRecorder
from bridge_node.usage import Usage

ROOT = Path(__file__).parents[2]


class Process:
    """What a worker counts with and what the supervisor reads."""

    def __init__(self, bucket_labels: int = 1000, series: int = 4096) -> None:
        self.descriptor = counters.create(series)
        self.recorder = Recorder(Counters(self.descriptor))
        self.requests = RequestRecorder(self.recorder, bucket_labels)
        self.reader = CountersReader(self.descriptor)


def get(bucket: str = "photos", *, seconds: float = 0.003, sent: int = 10, status: int = 200) -> Usage:
    return Usage(
        "s3", "GetObject", "r", bucket, "AK", status=status, sent=sent, seconds=seconds, first_byte_seconds=seconds
    )


def samples(totals: Totals, *, openmetrics: bool = False) -> dict[str, float]:
    """Values by `name label-value label-value …`, label values in the order of their labels' names."""
    text = exposition.render(totals.sums(), openmetrics=openmetrics).decode()
    families = parse_openmetrics(text) if openmetrics else parse_text(text)  # type: ignore[no-untyped-call]  # theirs
    return {
        " ".join(
            [sample.name.removeprefix("bridge_node_"), *(value for _, value in sorted(sample.labels.items()))]
        ): sample.value
        for family in families
        for sample in family.samples
    }


def test_requests_are_counted_by_protocol_operation_and_code_over_all_workers() -> None:
    totals, workers = Totals(1000), [Process(), Process()]
    for worker in workers:
        totals.join(worker.reader)
        worker.requests.record(get())
    workers[0].requests.record(get(status=503, sent=0))
    found = samples(totals)
    assert found["requests_total 200 GetObject s3"] == 2
    assert found["requests_total 503 GetObject s3"] == 1
    assert found["sent_bytes_total GetObject s3"] == 20
    assert found["bucket_sent_bytes_total photos r"] == 20


@pytest.mark.parametrize("openmetrics", [False, True])
def test_a_histogram_is_cumulative_and_counts_its_bounds_as_within(openmetrics: bool) -> None:
    totals, worker = Totals(1000), Process()
    totals.join(worker.reader)
    for seconds in (0.001, 0.3, 100.0):
        worker.requests.record(get(seconds=seconds))
    found = samples(totals, openmetrics=openmetrics)
    bucket = "request_seconds_bucket"
    assert found[f"{bucket} 0.001 GetObject s3"] == 1
    assert found[f"{bucket} 0.5 GetObject s3"] == 2
    assert found[f"{bucket} 60.0 GetObject s3"] == 2
    assert found[f"{bucket} +Inf GetObject s3"] == 3
    assert found["request_seconds_count GetObject s3"] == 3
    assert found["request_seconds_sum GetObject s3"] == pytest.approx(100.301)


def test_what_a_killed_worker_counted_is_not_lost() -> None:
    descriptor = counters.create()
    script = (
        "import os, signal; from bridge_node.telemetry.counters import Counters;"
        "from bridge_node.telemetry.metrics import SHED, Recorder;"
        f"Recorder(Counters({descriptor})).add(SHED, 'memory', amount=7); os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", script], pass_fds=(descriptor,), env=environment, check=False)
    totals, reader = Totals(1000), CountersReader(descriptor)
    totals.join(reader)
    totals.leave(reader)
    totals.leave(reader)
    assert samples(totals)["shed_total memory"] == 7


def test_gauges_of_a_process_go_with_it_and_counts_stay() -> None:
    totals, worker = Totals(1000), Process()
    totals.join(worker.reader)
    worker.recorder.set(metrics.CONNECTIONS, value=5)
    worker.recorder.add(metrics.SHED, "connections")
    assert samples(totals)["connections"] == 5
    totals.leave(worker.reader)
    assert "connections" not in samples(totals)
    assert samples(totals)["shed_total connections"] == 1


def test_buckets_beyond_the_limit_count_as_other_in_each_worker_and_in_the_sum() -> None:
    totals, workers = Totals(2), [Process(2), Process(2)]
    for number, worker in enumerate(workers):
        totals.join(worker.reader)
        for name in (f"a{number}", f"b{number}", "c", "d"):
            worker.requests.record(get(name))
    found = {key: value for key, value in samples(totals).items() if key.startswith("bucket_requests_total")}
    assert sum(found.values()) == 8
    assert len(found) == 3
    assert found["bucket_requests_total other other"] == 6


def test_a_name_that_no_request_succeeded_for_becomes_no_label() -> None:
    totals, worker = Totals(1000), Process()
    totals.join(worker.reader)
    worker.requests.record(get("guessed", status=404, sent=0))
    worker.requests.record(get("photos"))
    worker.requests.record(get("photos", status=404, sent=0))
    found = samples(totals)
    assert "bucket_requests_total guessed r" not in found
    assert found["bucket_requests_total photos r"] == 2


def test_a_worker_whose_room_for_series_is_used_up_counts_on() -> None:
    totals, worker = Totals(10_000), Process(10_000, series=1)
    totals.join(worker.reader)
    for number in range(300):
        worker.requests.record(get(f"bucket-{number}"))
    found = samples(totals)
    assert found["requests_total 200 GetObject s3"] == 300
    assert sum(value for name, value in found.items() if name.startswith("bucket_requests_total")) < 300


def test_backends_and_server_are_counted() -> None:
    totals, worker = Totals(1000), Process()
    totals.join(worker.reader)
    upstream, server = UpstreamRecorder(worker.recorder), ServerRecorder(worker.recorder)
    upstream.upstream("disk", "GetObject", 0.02, "200")
    upstream.retried("disk", "connection_reset")
    upstream.shed("disk", "no_connection")
    server.shed("memory")
    server.fault("header_too_large", 431)
    found = samples(totals)
    assert found["upstream_requests_total disk GetObject 200"] == 1
    assert found["upstream_seconds_count disk GetObject"] == 1
    assert found["upstream_retries_total disk connection_reset"] == 1
    assert found["upstream_shed_total disk no_connection"] == 1
    assert found["shed_total memory"] == 1
    assert found["faults_total 431 header_too_large"] == 1


def test_a_process_knows_what_it_uses() -> None:
    totals, worker = Totals(1000), Process()
    totals.join(worker.reader)
    metrics.record_process(worker.recorder, "worker-0")
    found = samples(totals)
    assert found["process_resident_memory_bytes worker-0"] > 1024 * 1024
    assert found["process_open_fds worker-0"] >= 3


def test_every_metric_is_in_the_list_and_every_one_is_exposed() -> None:
    defined = {value for value in vars(metrics).values() if isinstance(value, Metric)}
    assert defined == set(METRICS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    text = exposition.render({}, openmetrics=False).decode()
    assert all(f"# HELP {metric.name}" in text for metric in METRICS)


def test_the_documented_table_is_the_list() -> None:
    rows = [line for line in (ROOT / "docs/metrics.md").read_text().splitlines() if line.startswith("| `bridge_node_")]
    assert rows == [documented(metric) for metric in METRICS]


def documented(metric: Metric) -> str:
    name = metric.name + ("_total" if metric.kind == "counter" else "")
    labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
    return f"| `{name}` | {metric.kind} | {labels} | {metric.help} |"
