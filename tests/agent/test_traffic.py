"""Counting for reports: each request once, whatever becomes of the worker that counted it."""

import os

from bridge_node.telemetry import counters
from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.telemetry.traffic import Subject, Traffic, TrafficReader, TrafficRecorder
from bridge_node.usage import Usage


class Seen:
    def __init__(self) -> None:
        self.usages: list[Usage] = []

    def record(self, usage: Usage) -> None:
        self.usages.append(usage)


def worker(reader: TrafficReader) -> tuple[TrafficRecorder, CountersReader, Seen]:
    descriptor = counters.create()
    seen, counts = Seen(), CountersReader(descriptor)
    recorder = TrafficRecorder(Counters(descriptor), seen)
    os.close(descriptor)
    reader.join(counts)
    return recorder, counts, seen


def usage(**more: object) -> Usage:
    given = {"repository": "r", "bucket": "data", "bucket_id": "b", "access_key": "AK", "key_id": "k", "status": 200}
    return Usage("s3", **{**given, **more})  # type: ignore[arg-type]  # fields by name


ME = Subject("r", "b", "k", "s3")


def test_everything_is_taken_once() -> None:
    reader = TrafficReader()
    recorder, _, seen = worker(reader)
    recorder.record(usage(received=10, size_change=10, seconds=0.25))
    recorder.record(usage(sent=7, status=404, seconds=0.5))
    assert reader.take() == {ME: Traffic(2, 1, 10, 7, 10, 0, 750)}
    assert reader.take() == {}
    recorder.record(usage(size_change=-10, estimated=True))
    assert reader.take() == {ME: Traffic(1, 0, 0, 0, -10, 1, 0)}
    assert len(seen.usages) == 3


def test_what_a_worker_counted_last_outlives_it() -> None:
    reader = TrafficReader()
    recorder, counts, _ = worker(reader)
    other, _, _ = worker(reader)
    recorder.record(usage(received=1))
    reader.take()
    recorder.record(usage(received=2))
    other.record(usage(received=3))
    reader.leave(counts)
    reader.leave(counts)
    assert reader.take() == {ME: Traffic(2, 0, 5)}
    assert reader.take() == {}


def test_keys_and_buckets_that_no_platform_gave_are_only_handed_on() -> None:
    reader = TrafficReader()
    recorder, _, seen = worker(reader)
    recorder.record(usage(key_id=""))
    recorder.record(usage(bucket_id=""))
    assert reader.take() == {}
    assert len(seen.usages) == 2
