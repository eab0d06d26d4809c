"""What nodes report: each batch counted once, and nothing of what the reporting node was never given."""

from collections.abc import Iterator, Sequence

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import BucketStatus, StatusReport, UsageRow
from bridge_node.platform import audit, tolerance
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.store import batches, repokeys, rollups, stats
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.stats import Given, NewestRow, StatusRow, UsageKey, UsageSums

log = structlog.get_logger()

MINUTE = 60
OLDEST_SECONDS = 30 * 24 * 3600
"""Older rows than batch ids are remembered for could be counted twice."""
AHEAD_SECONDS = 600
PLAUSIBLE = 2**56
"""No row holds more, and the database adds such numbers without overflow."""

_Sample = tuple[int, BucketStatus]
"""Epoch milliseconds, and what was seen then."""


async def ingest(connection: AsyncConnection, node: Node, report: StatusReport, *, enrolled: bool, now_ms: int) -> int:
    """Writes a report in the transaction of its batch id; a batch that was counted before changes nothing.

    Rows that the node has no business with are dropped, and one audit event tells of them; returns how many. Raises
    BadRequest for values that mean nothing.
    """
    if report.batch_id is not None and not await batches.is_new(connection, node.id, report.batch_id, now_ms):
        return 0
    if not report.buckets and not report.usage:
        return 0
    given = await (
        stats.given_to(connection, node.id) if enrolled else stats.given_to_all_of(connection, node.organisation_id)
    )
    samples = list(_samples(report.buckets, given, now_ms))
    usage = list(_usage(report.usage, given, now_ms))
    await stats.put_status(connection, _minutes(samples, node.id))
    await stats.put_newest(connection, _newest(samples, node.id))
    await stats.add_usage(connection, _sums(usage, node.id))
    await rollups.mark(connection, node.id, _hours(samples, usage), now_ms)
    for minute, keys in _used(usage).items():
        await repokeys.used(connection, keys, minute * 1000)
    dropped = {"buckets": len(report.buckets) - len(samples), "usage": len(report.usage) - len(usage)}
    if any(dropped.values()):
        await _tell(connection, node, {"dropped": dropped, "batchId": report.batch_id}, now_ms)
    return sum(dropped.values())


def _samples(reported: Sequence[BucketStatus], given: Given, now_ms: int) -> Iterator[_Sample]:
    """Those that count, oldest first."""
    timed = [(_milliseconds(status.created_at), status) for status in reported]
    for moment, status in sorted(timed, key=lambda sample: sample[0]):
        if status.bucket_id in given.buckets and _timely(moment // 1000, now_ms):
            yield moment, status


def _milliseconds(text: str) -> int:
    try:
        return int(tolerance.instant(text).timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadRequest("buckets.createdAt: not a date-time") from error


def _timely(second: int, now_ms: int) -> bool:
    return -AHEAD_SECONDS <= now_ms // 1000 - second <= OLDEST_SECONDS


def _minutes(samples: Sequence[_Sample], node_id: str) -> list[StatusRow]:
    rows: dict[tuple[str, int], StatusRow] = {}
    for moment, status in samples:
        minute = moment // 1000 // MINUTE * MINUTE
        rows[status.bucket_id, minute] = (status.bucket_id, minute, node_id, status.status, status.latency_ms)
    return list(rows.values())


def _newest(samples: Sequence[_Sample], node_id: str) -> list[NewestRow]:
    rows = {
        status.bucket_id: (status.bucket_id, node_id, status.status, status.latency_ms, moment)
        for moment, status in samples
    }
    return list(rows.values())


def _usage(reported: Sequence[UsageRow], given: Given, now_ms: int) -> Iterator[UsageRow]:
    for row in reported:
        amounts = (row.requests, row.errors, row.upl_bytes, row.dwl_bytes, abs(row.size_change), row.latency_ms)
        if max(amounts) >= PLAUSIBLE:
            raise BadRequest("usage: a number is too large")
        attached, opened = (row.repo_id, row.bucket_id), (row.repo_id, row.api_key_id)
        if attached in given.attached and opened in given.keys and _timely(row.minute, now_ms):
            yield row


def _sums(usage: Sequence[UsageRow], node_id: str) -> list[tuple[UsageKey, UsageSums]]:
    """One row for each key: a report may hold several, and a statement changes no row twice."""
    rows: dict[UsageKey, UsageSums] = {}
    for row in usage:
        minute = row.minute // MINUTE * MINUTE
        key = (row.repo_id, minute, row.bucket_id, row.api_key_id, node_id, row.protocol, row.host)
        requests, errors, uploaded, downloaded, size, latency, estimated = rows.get(key, (0, 0, 0, 0, 0, 0, False))
        rows[key] = (
            requests + row.requests,
            errors + row.errors,
            uploaded + row.upl_bytes,
            downloaded + row.dwl_bytes,
            size + row.size_change,
            latency + row.latency_ms,
            estimated or row.estimated,
        )
    return list(rows.items())


def _hours(samples: Sequence[_Sample], usage: Sequence[UsageRow]) -> set[int]:
    seconds = {moment // 1000 for moment, _ in samples} | {row.minute for row in usage}
    return {second - second % rollups.HOUR for second in seconds}


def _used(usage: Sequence[UsageRow]) -> dict[int, list[str]]:
    """Keys by the newest minute that tells of them."""
    newest: dict[str, int] = {}
    for row in usage:
        newest[row.api_key_id] = max(row.minute, newest.get(row.api_key_id, 0))
    keys: dict[int, list[str]] = {}
    for key_id, minute in newest.items():
        keys.setdefault(minute, []).append(key_id)
    return keys


async def _tell(connection: AsyncConnection, node: Node, data: dict[str, object], now_ms: int) -> None:
    log.warning("report_rows_dropped", node=node.id, **data)
    await audit.record(
        connection,
        audit.Context.NODE,
        audit.Event.UPDATED,
        node.id,
        at=now_ms,
        organisation_id=node.organisation_id,
        data=data,
    )
