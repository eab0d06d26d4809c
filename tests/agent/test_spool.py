"""The spool: what is on disk is reported once, whatever happens to the node, the disk or the platform."""

import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge_node.agent.aggregator import MANY_ROWS, Aggregator
from bridge_node.agent.batches import HOUR, Batch, by_hour, from_wire, to_wire
from bridge_node.agent.spool import REPEATED_SECONDS, Spool
from bridge_node.messages import BucketStatus
from bridge_node.telemetry.traffic import Subject, Traffic
from tests.agent.full_disk import KEYS, MINUTES, NOT_PERMITTED
from tests.node import ROOT

NOW = 1_770_000_000.0
ME = Subject("repo", "bucket", "key", "s3")


def names() -> Iterator[str]:
    return (f"batch-{number}" for number in itertools.count())


def spool(directory: Path, *, most_bytes: int = 10**9, days: float = 7) -> Spool:
    made = names()
    return Spool(directory, lambda: f"merged-{next(made)}", most_bytes=most_bytes, most_seconds=days * 86400)


def minutes(count: int, *, start: float = NOW) -> list[Batch]:
    """A batch for each of so many minutes, each of one request of ten bytes."""
    made = names()
    aggregator = Aggregator("here", lambda: next(made))
    batches = []
    for number in range(count):
        aggregator.count(start + 60 * number, {ME: Traffic(requests=1, received=10)})
        batches += aggregator.freeze()
    return batches


def drained(disk: Spool) -> list[Batch]:
    """Everything that it holds, taken as a platform would."""
    found = []
    while (batch := disk.next(NOW)) is not None:
        found.append(batch)
        disk.acknowledge(batch.id)
    return found


def requests(batches: list[Batch]) -> int:
    return sum(row["requests"] for batch in batches for row in batch.usage)


def test_a_batch_is_there_until_it_is_acknowledged(tmp_path: Path) -> None:
    batches = minutes(2)
    first = spool(tmp_path)
    first.write(batches, NOW)
    assert first.next(NOW) == first.next(NOW) == batches[0]
    first.close()
    again = spool(tmp_path)  # the node was killed and is back
    assert again.next(NOW) == batches[0]
    again.acknowledge(batches[0].id)
    assert drained(again) == batches[1:]


def test_a_batch_that_is_written_again_counts_once(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    disk.write(minutes(3), NOW)
    disk.write(minutes(3), NOW + 60)
    assert requests(drained(disk)) == 3


def test_old_minutes_are_merged_into_hours_and_lose_nothing(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    disk.write(minutes(120), NOW)
    assert disk.keep_within_bounds(NOW + 8 * 86400) == 0
    assert disk.depth().batches == 1
    batches = drained(disk)
    assert requests(batches) == 120
    assert len(batches[0].usage) <= 3
    assert all(row["minute"] % HOUR == 0 for row in batches[0].usage)


def test_what_a_platform_may_have_seen_is_never_merged(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    batches = minutes(60)
    disk.write(batches, NOW)
    assert disk.next(NOW) == batches[0]
    disk.keep_within_bounds(NOW + 8 * 86400)
    first, *rest = drained(disk)
    assert first == batches[0]
    assert requests(rest) == 59


def test_an_attempt_that_no_platform_remembers_any_more_is_not_repeated(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    disk.write(minutes(1), NOW)
    disk.next(NOW)
    assert disk.keep_within_bounds(NOW + REPEATED_SECONDS + 1) == 1
    assert disk.next(NOW) is None


def test_too_many_bytes_are_merged_first_and_then_the_oldest_is_dropped(tmp_path: Path) -> None:
    disk = spool(tmp_path, most_bytes=5000)
    disk.write(minutes(600), NOW)
    assert disk.keep_within_bounds(NOW) == 0
    assert requests(drained(disk)) == 600
    disk.write([Batch(f"sent-{number}", minutes(1)[0].usage) for number in range(20)], NOW)
    disk.next(NOW)
    tiny = spool(tmp_path, most_bytes=10)
    assert tiny.keep_within_bounds(NOW) > 0
    assert tiny.depth().bytes <= 10


def test_a_rejected_batch_is_put_aside_for_people(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    (batch,) = minutes(1)
    disk.write([batch], NOW)
    disk.reject(batch)
    assert disk.next(NOW) is None
    (kept,) = (tmp_path / "rejected").iterdir()
    assert Batch.decode(batch.id, kept.read_bytes()) == batch


def test_a_damaged_file_is_put_aside_and_reporting_goes_on(tmp_path: Path) -> None:
    (tmp_path / "spool.sqlite").write_bytes(b"no database at all " * 100)
    disk = spool(tmp_path)
    disk.write(minutes(1), NOW)
    assert requests(drained(disk)) == 1
    assert (tmp_path / "spool.sqlite.damaged").exists()


def test_a_full_disk_is_an_error_that_changes_nothing(tmp_path: Path) -> None:
    disk = spool(tmp_path)
    disk.write(minutes(1), NOW)
    with sqlite3.connect(tmp_path / "spool.sqlite") as other:
        pages = other.execute("PRAGMA page_count").fetchone()[0]
    disk._database.execute(f"PRAGMA max_page_count = {pages}")
    large = Batch("large", [dict(minutes(1)[0].usage[0], host="x" * 200) for _ in range(2000)])
    with pytest.raises(sqlite3.OperationalError, match="full"):
        disk.write([large], NOW)
    disk._database.execute("PRAGMA max_page_count = 100000")
    disk.write([large], NOW)
    assert len(drained(disk)) == 2


@pytest.mark.parametrize("how", ["tmpfs", "limit"])
def test_after_a_full_disk_every_minute_is_counted_once(how: str, tmp_path: Path) -> None:
    """A real file system that has no room, and, where none may be mounted, a kernel that lets no file grow."""
    command = [sys.executable, "-m", "tests.agent.full_disk", how, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    if how == "tmpfs" and done.returncode == NOT_PERMITTED:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["waited"] > 0
    assert (found["moved"], found["counted"], found["left"]) == (MINUTES * KEYS, MINUTES * KEYS, 0)


def test_many_rows_become_several_batches_and_statuses_go_along() -> None:
    made = names()
    aggregator = Aggregator("here", lambda: next(made))
    aggregator.count(NOW, {ME._replace(key=str(number)): Traffic(requests=1) for number in range(12_000)})
    aggregator.note([BucketStatus(bucket_id="b", status="ONLINE", createdAt="now")])
    aggregator.note([BucketStatus(bucket_id="b", status="DISCONNECTED", createdAt="later")])
    batches = aggregator.freeze()
    assert [len(batch.usage) for batch in batches] == [5000, 5000, 2000]
    assert [len(batch.buckets) for batch in batches] == [1, 0, 0]
    assert batches[0].buckets[0]["status"] == "DISCONNECTED"
    assert aggregator.freeze() == []


def test_what_waits_for_the_disk_is_bounded_by_merging() -> None:
    made = names()
    aggregator = Aggregator("here", lambda: next(made))
    subjects = {ME._replace(key=str(number)): Traffic(requests=1) for number in range(1000)}
    for minute in range(2 * MANY_ROWS // 1000):
        aggregator.count(NOW + 60 * minute, subjects)
    batches = aggregator.freeze()
    assert requests(batches) == 2 * MANY_ROWS
    assert sum(len(batch.usage) for batch in batches) <= MANY_ROWS


figures = st.integers(min_value=0, max_value=2**40)
traffic = st.builds(
    Traffic, figures, figures, figures, figures, st.integers(-(2**40), 2**40), st.integers(0, 1), figures
)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.sampled_from("abc"), traffic), max_size=50))
def test_merging_changes_no_total(given_rows: list[tuple[int, str, Traffic]]) -> None:
    made = names()
    aggregator = Aggregator("here", lambda: next(made))
    for moment, key, amount in given_rows:
        aggregator.count(moment, {ME._replace(key=key): amount})
    rows = from_wire(row for batch in aggregator.freeze() for row in batch.usage)
    merged = from_wire(to_wire(by_hour(rows)))
    for key in "abc":
        before = [amount for row, amount in rows.items() if row.subject.key == key]
        after = [amount for row, amount in merged.items() if row.subject.key == key]
        expected = [amount for _, name, amount in given_rows if name == key]
        for total in (before, after):
            for figure in ("requests", "errors", "received", "sent", "size_change", "milliseconds"):
                assert sum(getattr(one, figure) for one in total) == sum(getattr(one, figure) for one in expected)
