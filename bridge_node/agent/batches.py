"""What is reported together: usage rows and statuses, under an id that makes a repetition count once.

Rows are additive, so those of one subject can be merged into longer periods without changing any total.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bridge_node.messages import UsageRow
from bridge_node.telemetry.traffic import Subject, Traffic

MINUTE = 60
HOUR = 3600
ROWS_A_BATCH = 5_000
"""Some 1.5 MB of JSON: well below what a platform takes at once."""

WireRow = Mapping[str, Any]


class Row(NamedTuple):
    """Whose traffic, in the minute (or hour) that begins at `start`; `host` is where it was served."""

    start: int
    subject: Subject
    host: str


Rows = dict[Row, Traffic]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows and bucket statuses as they stand on the wire."""

    id: str
    usage: Sequence[WireRow] = ()
    buckets: Sequence[Mapping[str, Any]] = ()

    def encode(self) -> bytes:
        return json.dumps({"usage": self.usage, "buckets": self.buckets}, separators=(",", ":")).encode()

    @classmethod
    def decode(cls, id: str, data: bytes) -> "Batch":
        document = json.loads(data)
        return cls(id, tuple(document["usage"]), tuple(document["buckets"]))


def add(rows: Rows, row: Row, amount: Traffic) -> None:
    rows[row] = rows.get(row, Traffic()).plus(amount)


def by_hour(rows: Mapping[Row, Traffic]) -> Rows:
    """The same totals in fewer rows."""
    merged: Rows = {}
    for row, amount in rows.items():
        add(merged, row._replace(start=row.start // HOUR * HOUR), amount)
    return merged


def to_wire(rows: Mapping[Row, Traffic]) -> list[WireRow]:
    return [_wire_row(row, amount) for row, amount in rows.items()]


def _wire_row(row: Row, amount: Traffic) -> WireRow:
    subject = row.subject
    return UsageRow(
        minute=row.start,
        repoId=subject.repository,
        bucketId=subject.bucket,
        apiKeyId=subject.key,
        protocol=subject.protocol,
        requests=amount.requests,
        errors=amount.errors,
        upl_bytes=amount.received,
        dwl_bytes=amount.sent,
        size_change=amount.size_change,
        estimated=amount.estimated > 0,
        latency_ms=amount.milliseconds,
        host=row.host,
    ).plain()


def from_wire(usage: Iterable[WireRow]) -> Rows:
    rows: Rows = {}
    for one in map(UsageRow.model_validate, usage):
        subject = Subject(one.repo_id, one.bucket_id, one.api_key_id, one.protocol)
        amount = Traffic(
            one.requests, one.errors, one.upl_bytes, one.dwl_bytes, one.size_change, int(one.estimated), one.latency_ms
        )
        add(rows, Row(one.minute, subject, one.host), amount)
    return rows


def pages(items: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    """In pieces that fit one batch each."""
    for start in range(0, len(items), ROWS_A_BATCH):
        yield tuple(items[start : start + ROWS_A_BATCH])
