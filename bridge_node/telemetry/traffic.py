"""What moved, by bucket and access key: counted by workers in shared memory, taken by the supervisor for its reports.

Counts only grow. The supervisor remembers how much of each it has taken, so that every unit is taken exactly once,
also of a worker that was killed (promise 25).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.usage import Usage, UsageSink

SERIES = 65_536
"""Combinations of bucket and access key for which one worker has room; pages not used take no memory."""
FIGURES = 7
_ERROR = 400
_MILLISECONDS = 1000.0
_SERIES = "traffic"


class Subject(NamedTuple):
    """Whose traffic: ids as the platform has them."""

    repository: str
    bucket: str
    key: str
    protocol: str


class Traffic(NamedTuple):
    """How much; additive. `estimated` counts requests whose size change is not exact."""

    requests: int = 0
    errors: int = 0
    received: int = 0
    sent: int = 0
    size_change: int = 0
    estimated: int = 0
    milliseconds: int = 0

    def plus(self, more: "Traffic") -> "Traffic":
        return Traffic(*(one + other for one, other in zip(self, more, strict=True)))


class TrafficRecorder:
    """The worker's side: a UsageSink that counts what a platform gave, and hands everything on to the next sink."""

    def __init__(self, counters: Counters, then: UsageSink) -> None:
        self._counters = counters
        self._values = counters.values
        self._then = then
        self._slots: dict[tuple[str, str, str, str], int] = {}

    def record(self, usage: Usage) -> None:
        if usage.key_id and usage.bucket_id:
            self._count(usage)
        self._then.record(usage)

    def _count(self, usage: Usage) -> None:
        subject = usage.repository, usage.bucket_id, usage.key_id, usage.protocol
        first = self._slots.get(subject)
        if first is None:
            first = self._slots[subject] = self._counters.slot(_SERIES, subject, FIGURES)
        values = self._values
        values[first] += 1.0
        values[first + 1] += usage.status >= _ERROR
        values[first + 2] += usage.received
        values[first + 3] += usage.sent
        values[first + 4] += usage.size_change
        values[first + 5] += usage.estimated
        values[first + 6] += round(usage.seconds * _MILLISECONDS)


class TrafficReader:
    """The supervisor's side, over the counters of every worker."""

    def __init__(self) -> None:
        self._taken: dict[CountersReader, dict[Subject, Sequence[float]]] = {}
        self._left: dict[Subject, Traffic] = {}

    def join(self, reader: CountersReader) -> None:
        self._taken[reader] = {}

    def leave(self, reader: CountersReader) -> None:
        """The process has ended: what it counted last is kept until the next `take`."""
        if reader in self._taken:
            self._gather(self._left, reader)
            del self._taken[reader]

    def take(self) -> dict[Subject, Traffic]:
        """What was counted since the last call."""
        taken, self._left = self._left, {}
        for reader in self._taken:
            self._gather(taken, reader)
        return taken

    def _gather(self, into: dict[Subject, Traffic], reader: CountersReader) -> None:
        for subject, traffic in self._news(reader):
            into[subject] = into.get(subject, Traffic()).plus(traffic)

    def _news(self, reader: CountersReader) -> Iterator[tuple[Subject, Traffic]]:
        before = self._taken[reader]
        for _, labels, values in reader.series():
            subject = Subject(*labels)
            known = before.get(subject, (0.0,) * FIGURES)
            if values != known:
                before[subject] = values
                yield subject, Traffic(*(int(now - then) for now, then in zip(values, known, strict=True)))
