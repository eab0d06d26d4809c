"""How many bucket-minutes one platform process takes up: `python -m benchmarks.ingest`.

A bucket-minute is what a node tells of one bucket in one minute: a status and a row of usage. Nodes are the agent's own
code in one process (`benchmarks.fleet_nodes`); their reports are written before the clock starts, signed when they are
sent, and sent one after the other by each node, all nodes at once. The platform and PostgreSQL are as they are run.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import asyncpg
import structlog
import trustme
import uvloop

from benchmarks import cores, platforms
from benchmarks.fleet_nodes import AT_ONCE, LOG_LEVEL, Orders, SimulatedNode, Tally
from benchmarks.platforms import Api
from bridge_node.crypto import orgkey
from bridge_node.messages import BucketStatus, StatusReport, UsageRow
from bridge_node.platform.identifiers import new_id
from bridge_node.telemetry import counters
from bridge_node.telemetry.metrics import Recorder

OF_ONE_REPOSITORY = 100

BUCKET = """
[buckets.bucket-{number}]
bucket = "bucket-{number}"
endpoint = "https://s3.example.com"
region = "us-east-1"
key = "AK{number}"
secret = "backend-secret-{number}"
"""

REPOSITORY = """
[repositories.repository-{number}]
buckets = [{buckets}]
keys = {{ one = {{ access = "WRITE" }} }}
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(LOG_LEVEL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    with (
        tempfile.TemporaryDirectory(prefix="bridge-node-ingest-") as directory,
        platforms.postgresql() as (database, postgres),
        platforms.platform(Path(directory), database, declaration(options.buckets)) as (api, platform),
    ):
        return uvloop.run(_measure(options, _nodes(options, api, Path(directory)), database, platform, postgres))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ingest", description=__doc__)
    parser.add_argument("--nodes", type=int, default=8, help="how many nodes (default: 8)")
    parser.add_argument("--buckets", type=int, default=1000, help="of which each node tells (default: 1000)")
    parser.add_argument("--minutes", type=int, default=40, help="that each node tells of (default: 40)")
    parser.add_argument("--least", type=int, default=20_000, help="rows a second, below which it fails")
    return parser.parse_args(arguments)


def declaration(buckets: int) -> str:
    """Buckets in repositories with one key each."""
    text = [BUCKET.format(number=number) for number in range(buckets)]
    for number, first in enumerate(range(0, buckets, OF_ONE_REPOSITORY)):
        names = range(first, min(first + OF_ONE_REPOSITORY, buckets))
        attached = ", ".join(f'{{ bucket = "bucket-{name}" }}' for name in names)
        text.append(REPOSITORY.format(number=number, buckets=attached))
    return "".join(text)


def _nodes(options: argparse.Namespace, api: Api, directory: Path) -> list[SimulatedNode]:
    ca = directory / "ca.pem"  # every client reads one, and the machine's own takes long to read
    ca.write_bytes(trustme.CA().cert_pem.bytes())
    orders = Orders(
        url=api.url,
        organisation=api.organisation,
        organisation_key=api.call("POST", f"/organization/{api.organisation}/key", {}),
        nodes=options.nodes,
        rows=options.buckets,
        report_seconds=60.0,
        directory=str(directory / "nodes"),
        ca_file=str(ca),
    )
    key = orgkey.load_private(orders.organisation_key)
    recorder = Recorder(counters.Counters(counters.create()))
    return [SimulatedNode(number, orders, key, Tally(), recorder) for number in range(options.nodes)]


async def _measure(
    options: argparse.Namespace, nodes: Sequence[SimulatedNode], database: str, platform: int, postgres: int
) -> int:
    async with AsyncExitStack() as stack:
        group = await stack.enter_async_context(asyncio.TaskGroup())
        lives = [group.create_task(node.live(asyncio.Semaphore(AT_ONCE)), name="node") for node in nodes]
        for node in nodes:
            await node.serving.wait()
        newest = int(time.time()) // 60 * 60
        minutes = [newest - 60 * age for age in reversed(range(options.minutes))]
        reports = [[_report(node, minute) for minute in minutes] for node in nodes]
        size = len(reports[0][0])
        databases = [postgres, *cores.children(postgres)]
        before, database_before, begun = cores.cost([platform]), cores.cost(databases), time.monotonic()
        await asyncio.gather(*(_send(node, written) for node, written in zip(nodes, reports, strict=True)))
        seconds = time.monotonic() - begun
        after, database_after = cores.cost([platform]), cores.cost(databases)
        for life in lives:
            life.cancel()
    expected = options.nodes * options.minutes * options.buckets
    used, database_used = after.cpu - before.cpu, database_after.cpu - database_before.cpu
    print(
        f"{expected} bucket-minutes in {options.nodes * options.minutes} reports of {size / 1024:.0f} KiB "
        f"in {seconds:.1f} s: {expected / seconds:,.0f} bucket-minutes/s, two rows each"
    )
    print(
        f"CPU for 1,000 of them: platform {used / expected * 1e6:.0f} ms, "
        f"PostgreSQL {database_used / expected * 1e6:.0f} ms; the database's share is "
        f"{database_used / (used + database_used):.0%}; {os.cpu_count()} cores are shared by all"
    )
    return _verdict(expected, await _rows(database), expected / seconds, options.least)


def _report(node: SimulatedNode, minute: int) -> bytes:
    seen = datetime.fromtimestamp(minute, UTC).isoformat()
    statuses: list[BucketStatus] = []
    usage: list[UsageRow] = []
    for key in node.catalog.keys.values():
        repository = node.catalog.repositories[key.repository]
        for bucket in repository.buckets:
            statuses.append(BucketStatus(bucket_id=bucket.id, status="ONLINE", latency_ms=12.5, createdAt=seen))
            usage.append(_usage(minute, repository.id, bucket.id, key.platform_id, node.identity.node))
    said: dict[str, Any] = node.identity.said()
    report = StatusReport(**said, batchId=new_id(minute * 1000), buckets=tuple(statuses), usage=tuple(usage))
    return report.encode()


def _usage(minute: int, repository: str, bucket: str, key: str, host: str) -> UsageRow:
    return UsageRow(
        minute=minute,
        repoId=repository,
        bucketId=bucket,
        apiKeyId=key,
        protocol="s3",
        requests=100,
        upl_bytes=1_000_000,
        dwl_bytes=9_000_000,
        latency_ms=1200,
        host=host,
    )


async def _send(node: SimulatedNode, reports: Sequence[bytes]) -> None:
    for report in reports:
        await node.send(report)


async def _rows(database: str) -> tuple[int, int]:
    connection = await asyncpg.connect(database)
    try:
        usage = await connection.fetchval("SELECT count(*) FROM usage_minutes")
        return usage, await connection.fetchval("SELECT count(*) FROM node_status_minutes")
    finally:
        await connection.close()


def _verdict(expected: int, rows: tuple[int, int], rate: float, least: int) -> int:
    wrong = [f"{count} rows instead of {expected}" for count in rows if count != expected]
    wrong += [f"slower than {least:,}/s"] * (rate < least)
    print("WRONG: " + "; ".join(wrong) if wrong else "every row is there")
    return 1 if wrong else 0


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # `timeout` sends it: no server stays behind
    sys.exit(main())
