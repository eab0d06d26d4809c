"""The counts of all processes as one text, for Prometheus."""

import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest as generate_text
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector

from bridge_node.telemetry.counters import CountersReader
from bridge_node.telemetry.metrics import METRICS, OTHER, Metric, Recorder
from bridge_node.telemetry.traffic import TrafficReader

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"

Labels = tuple[str, ...]
Sums = dict[Metric, dict[Labels, list[float]]]
_BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in METRICS}


class Totals:
    """Sums over every process there is and was: what a worker counted stays when it is gone, but for its gauges."""

    def __init__(self, bucket_labels: int) -> None:
        self.bucket_labels = bucket_labels
        self._buckets: set[Labels] = set()
        self._live: set[CountersReader] = set()
        self._past: Sums = {}

    def join(self, reader: CountersReader) -> None:
        self._live.add(reader)

    def leave(self, reader: CountersReader) -> None:
        """The process has ended: takes over its counts, once."""
        if reader in self._live:
            self._live.remove(reader)
            self._add(self._past, reader, gauges=False)

    def sums(self) -> Sums:
        sums: Sums = {
            metric: {labels: values[:] for labels, values in rows.items()} for metric, rows in self._past.items()
        }
        for reader in self._live:
            self._add(sums, reader, gauges=True)
        return sums

    def _add(self, sums: Sums, reader: CountersReader, *, gauges: bool) -> None:
        for name, labels, values in reader.series():
            metric = _BY_NAME[name]
            if metric.kind == "gauge" and not gauges:
                continue
            rows = sums.setdefault(metric, {})
            row = rows.setdefault(self._bounded(metric, labels), [0.0] * metric.slots)
            row[:] = [total + value for total, value in zip(row, values, strict=True)]

    def _bounded(self, metric: Metric, labels: Labels) -> Labels:
        """Each worker bounds its buckets by itself; together they could name more."""
        if "bucket" not in metric.labels or labels in self._buckets:
            return labels
        if len(self._buckets) >= self.bucket_labels:
            return (OTHER,) * len(labels)
        self._buckets.add(labels)
        return labels


@dataclass(frozen=True, slots=True)
class Figures:
    """Where the supervisor counts for itself, and where everybody's counts come together."""

    totals: Totals
    own: Recorder
    traffic: TrafficReader


def render(sums: Sums, *, openmetrics: bool) -> bytes:
    """Every metric of the list, those without a series included, in the list's order."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(sums))
    if openmetrics:
        return typing.cast("bytes", generate_openmetrics(registry))  # type: ignore[no-untyped-call]  # has no types
    return generate_text(registry)


class _Collected(Collector):
    def __init__(self, sums: Sums) -> None:
        self._sums = sums

    def collect(self) -> Iterable[Family]:
        for metric in METRICS:
            yield _family(metric, self._sums.get(metric, {}))


def _family(metric: Metric, rows: Mapping[Labels, Sequence[float]]) -> Family:
    match metric.kind:
        case "histogram":
            histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, values in rows.items():
                histogram.add_metric(labels, list(_cumulative(metric.buckets, values)), sum_value=values[-1])
            return histogram
        case "counter":
            counter = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, values in rows.items():
                counter.add_metric(labels, values[0])
            return counter
        case "gauge":
            gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
            for labels, values in rows.items():
                gauge.add_metric(labels, values[0])
            return gauge


def _cumulative(bounds: Sequence[float], values: Sequence[float]) -> Iterator[tuple[str, float]]:
    total = 0.0
    for bound, count in zip((*map(str, bounds), "+Inf"), values[:-1], strict=True):
        total += count
        yield bound, total
