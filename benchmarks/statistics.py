"""How soon statistics of many buckets are told: `python -m benchmarks.statistics`.

PostgreSQL makes the minutes itself, as many as nodes would have reported of 1,000 buckets in some days. They are rolled
up by the platform's own code, all but the last hour and what came since, so that answers have something to add; then a
platform process is asked over HTTP.
"""

import argparse
import asyncio
import signal
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import asyncpg

from benchmarks import platforms
from benchmarks.ingest import declaration
from benchmarks.platforms import Api
from bridge_node.platform.database import Database
from bridge_node.platform.rollup import roll_up

REPEATS = 7

NODE = """
INSERT INTO nodes (id, organisation_id, ip, region, version, created_at, seen_at)
SELECT 'node', id, 'node', 'eu-west-1', '1', 0, 0 FROM organisations
"""
USAGE = """
INSERT INTO usage_minutes
SELECT attached.repository_id, minute, attached.bucket_id, key.id, 'node', 's3', 'host',
       100, 1, 1000, 9000, 10, 1200, false
FROM generate_series($1::bigint, $2::bigint, 60) AS minute,
     repository_buckets AS attached JOIN repository_keys AS key USING (repository_id)
"""
STATUS = """
INSERT INTO node_status_minutes
SELECT id, minute, 'node', 'ONLINE', 12.5 FROM generate_series($1::bigint, $2::bigint, 60) AS minute, buckets
"""
MINUTES = (("usage_minutes", USAGE), ("node_status_minutes", STATUS))
SIZE = "SELECT pg_total_relation_size($1::text::regclass)"
MARKED = """
INSERT INTO unrolled_hours SELECT 'node', hour FROM generate_series($1::bigint, $2::bigint, 3600) AS hour
ON CONFLICT DO NOTHING
"""
INDEXES = """
SELECT 'ALTER TABLE ' || conrelid::regclass || ' DROP CONSTRAINT ' || conname,
       'ALTER TABLE ' || conrelid::regclass || ' ADD CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid)
FROM pg_constraint WHERE conrelid = $1::text::regclass AND contype = 'p'
UNION ALL
SELECT 'DROP INDEX ' || indexname, indexdef FROM pg_indexes WHERE tablename = $1::text AND indexname NOT LIKE '%_pk'
"""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    with (
        tempfile.TemporaryDirectory(prefix="bridge-node-statistics-") as directory,
        platforms.postgresql() as (database, _),
        platforms.platform(Path(directory), database, declaration(options.buckets)) as (api, _),
    ):
        asyncio.run(_fill(options, database))
        return _measure(options, api)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statistics", description=__doc__)
    parser.add_argument("--buckets", type=int, default=1000, help="of one organisation (default: 1000)")
    parser.add_argument("--rows", type=int, default=5_000_000, help="minutes of usage (default: 5,000,000)")
    parser.add_argument("--most", type=float, default=200, help="milliseconds, above which it fails (default: 200)")
    return parser.parse_args(arguments)


async def _fill(options: argparse.Namespace, url: str) -> None:
    newest = int(time.time()) // 60 * 60
    oldest = newest - 60 * (options.rows // options.buckets - 1)
    begun = time.monotonic()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET maintenance_work_mem = '512MB'; SET synchronous_commit = off")
        await connection.execute(NODE)
        for table, rows in MINUTES:
            async with _without_indexes(connection, table):
                await connection.execute(rows, oldest, newest)
        await connection.execute(MARKED, oldest - oldest % 3600, newest)
        await connection.execute("INSERT INTO unrolled_nodes VALUES ('node', 0)")
        usage, status = [await connection.fetchval(SIZE, table) / options.rows for table, _ in MINUTES]
        print(
            f"{options.rows:,} minutes of usage ({usage:.0f} B each, with indexes) and of status ({status:.0f} B) "
            f"made in {time.monotonic() - begun:.0f} s"
        )
        begun = time.monotonic()
        await _roll_up(url)
        seconds = time.monotonic() - begun
        print(f"rolled up in {seconds:.1f} s: {2 * options.rows / seconds:,.0f} rows/s")
        await connection.execute("INSERT INTO unrolled_nodes VALUES ('node', $1)", 2**50)
        await connection.execute(MARKED, newest - newest % 3600 - 3600, newest)
        await connection.execute("ANALYZE")
    finally:
        await connection.close()


@asynccontextmanager
async def _without_indexes(connection: asyncpg.Connection, table: str) -> AsyncIterator[None]:
    """Made at once afterwards, they take a fraction of the time."""
    indexes = await connection.fetch(INDEXES, table)
    for drop, _ in indexes:
        await connection.execute(drop)
    yield
    for _, create in indexes:
        await connection.execute(create)


async def _roll_up(url: str) -> None:
    database = Database.open(url, statement_seconds=60)
    try:
        await roll_up(database, 1)
    finally:
        await database.close()


def _measure(options: argparse.Namespace, api: Api) -> int:
    ids = [bucket["id"] for bucket in api.call("GET", "/bucket")["buckets"]]
    paths = {
        "/stats/daily": "/stats/daily",
        f"/stats/daily, {len(ids)} ids": f"/stats/daily?bucketId={','.join(ids)}",
        "/stats/nodes/daily": "/stats/nodes/daily",
        "/bucket/stats": "/bucket/stats",
        "/repo/stats": "/repo/stats",
        "/stats/minute of one bucket": f"/stats/minute?bucketId={ids[0]}",
        "/v2/stats/storage, 30 days": "/v2/stats/storage?window=30d",
        "/v2/…/breakdown/buckets, 30 days": "/v2/stats/storage/breakdown/buckets?window=30d",
    }
    slow = []
    for name, path in paths.items():
        times, size = _asked(api, path)
        print(f"{name}: median {median(times):.0f} ms, at most {max(times):.0f} ms, {size / 1024:,.0f} KiB")
        if "daily" in name and median(times) > options.most:
            slow.append(name)
    print("WRONG: too slow: " + ", ".join(slow) if slow else f"days are told within {options.most:.0f} ms")
    return 1 if slow else 0


def _asked(api: Api, path: str) -> tuple[list[float], int]:
    request = urllib.request.Request(api.url + path, headers={"Authorization": f"Bearer {api.token}"})
    times, size = [], 0
    for _ in range(REPEATS):
        begun = time.monotonic()
        with urllib.request.urlopen(request, timeout=60) as answer:
            size = len(answer.read())
        times.append((time.monotonic() - begun) * 1000)
    return times, size


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # `timeout` sends it: no server stays behind
    sys.exit(main())
