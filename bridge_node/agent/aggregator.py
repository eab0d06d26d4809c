"""Minutes of usage and statuses, from what workers count to batches that are frozen on disk.

A batch has its id before the first attempt to write it, and is written under that id until it is on disk; what moves
meanwhile waits for the next one. So a write whose outcome is unknown is repeated without counting anything twice, and
a full disk costs memory only, which is bounded: from `MANY_ROWS` on, minutes that wait are merged into hours.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest

from bridge_node.agent.batches import MINUTE, Batch, Row, Rows, add, by_hour, pages, to_wire
from bridge_node.messages import BucketStatus
from bridge_node.telemetry.traffic import Subject, Traffic

MANY_ROWS = 50_000


class Aggregator:
    """Collects until `freeze`. `host` is where rows say that they were served; `new_id` names batches."""

    def __init__(self, host: str, new_id: Callable[[], str]) -> None:
        self._host = host
        self._new_id = new_id
        self._rows: Rows = {}
        self._statuses: dict[str, BucketStatus] = {}

    def count(self, now: float, traffic: Mapping[Subject, Traffic]) -> None:
        """Adds traffic of the minute in which `now` (epoch seconds) lies."""
        minute = int(now) // MINUTE * MINUTE
        for subject, amount in traffic.items():
            add(self._rows, Row(minute, subject, self._host), amount)
        if len(self._rows) > MANY_ROWS:
            self._rows = by_hour(self._rows)

    def note(self, statuses: Iterable[BucketStatus]) -> None:
        """The buckets as they stand; of several statuses that wait, the last one counts."""
        self._statuses.update({status.bucket_id: status for status in statuses})

    def freeze(self) -> list[Batch]:
        """Everything collected so far, to be written once; begins anew."""
        usage = to_wire(self._rows)
        buckets = [status.plain() for status in self._statuses.values()]
        self._rows, self._statuses = {}, {}
        pairs = zip_longest(pages(usage), pages(buckets), fillvalue=())
        return [Batch(self._new_id(), *pair) for pair in pairs]
