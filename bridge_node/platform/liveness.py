"""What is known of a bucket at this moment: by what nodes reported, and when (contract §9.7)."""

from collections.abc import Iterable
from typing import NamedTuple

from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.stats import Newest

FRESH_MS = 3 * 60 * 1000
NOT_HEARD = "OFFLINE"
"""What a bucket is called from which no fresh report came: the platform's own word (contract §10.25)."""
FOUND = "ONLINE"


class Known(NamedTuple):
    """The status of a bucket, and when it was seen; empty and None where it never was."""

    status: str
    at: int | None
    latency_ms: float | None


def status_of(newest: Newest, now: int) -> str:
    """What a node's newest report is worth now; what it said stays as it said it."""
    heard = newest.registered and now - newest.reported_at <= FRESH_MS
    return newest.status if heard else NOT_HEARD


def known(bucket: Bucket, reports: Iterable[Newest], now: int) -> Known:
    """One word for all nodes: the best that one of them says now, else whatever was the last to be known."""
    said = [Known(status_of(one, now), one.reported_at, one.latency_ms) for one in reports]
    fresh = [one for one in said if one.status != NOT_HEARD]
    if fresh:
        return max(fresh, key=lambda one: (one.status == FOUND, one.at))
    if bucket.checked_at is not None:
        said.append(Known(bucket.checked_status, bucket.checked_at, bucket.checked_latency_ms))
    return max(said, key=lambda one: one.at or 0, default=Known("", None, None))
