"""Reports on disk until the platform has taken them (node-protocol.md §5).

A batch is written once and never changed. It is marked before its first attempt to be sent, on disk as everything
else: from then on the platform may have counted it, so it may be repeated or given up, but never merged into another.
What is old or takes too much room is merged, unsent minutes into hours, and only what still takes too much is dropped.

The methods block: call them in a thread. They raise sqlite3.Error when the disk does not play along; nothing has
changed then, or, where that cannot be known, calling again is safe.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bridge_node.agent.batches import Batch, Rows, WireRow, add, by_hour, from_wire, pages, to_wire

REJECTED_BYTES = 64 * 1024 * 1024
"""Most bytes of batches kept in `rejected/`."""
MERGED_AT_ONCE = 256
"""Batches merged in one transaction."""
REPEATED_SECONDS = 29 * 24 * 3600.0
"""A batch whose first attempt is longer ago is given up: platforms remember ids for 30 days, then would count again."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS batch (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    written REAL NOT NULL,  -- epoch seconds
    sent REAL,  -- when the platform may first have seen it
    merged INTEGER NOT NULL DEFAULT 0,  -- whether its rows are hours already
    content BLOB NOT NULL
)
"""


@dataclass(frozen=True, slots=True)
class Depth:
    """How much waits: batches, their bytes, and when the oldest was written (epoch seconds, 0 for none)."""

    batches: int = 0
    bytes: int = 0
    oldest: float = 0.0


class Spool:
    """One file of batches, and the directory `rejected/` beside it."""

    def __init__(self, directory: Path, new_id: Callable[[], str], *, most_bytes: int, most_seconds: float) -> None:
        self._rejected = directory / "rejected"
        self._new_id = new_id
        self._most_bytes = most_bytes
        self._most_seconds = most_seconds
        self._one_at_a_time = threading.Lock()
        self._file = directory / "spool.sqlite"
        self._opened: sqlite3.Connection | None = None

    def write(self, batches: Sequence[Batch], now: float) -> None:
        """Puts batches on disk; those that are there already stay as they are."""
        with self._transaction():
            self._database.executemany(
                "INSERT OR IGNORE INTO batch (id, written, content) VALUES (?, ?, ?)",
                [(batch.id, now, batch.encode()) for batch in batches],
            )

    def next(self, now: float) -> Batch | None:
        """The oldest batch, marked as one that the platform may have seen."""
        with self._transaction():
            row = self._database.execute("SELECT id, sent, content FROM batch ORDER BY number LIMIT 1").fetchone()
            if row is None:
                return None
            batch_id, sent, content = row
            if sent is None:
                self._database.execute("UPDATE batch SET sent = ? WHERE id = ?", (now, batch_id))
        return Batch.decode(batch_id, content)

    def acknowledge(self, id: str) -> None:
        """The platform has counted the batch."""
        with self._transaction():
            self._database.execute("DELETE FROM batch WHERE id = ?", (id,))

    def reject(self, batch: Batch) -> None:
        """The platform will never take this batch: puts it aside for people to look at."""
        with contextlib.suppress(OSError):  # it is no use to anybody but them
            self._rejected.mkdir(mode=0o700, exist_ok=True)
            (self._rejected / f"{batch.id}.json").write_bytes(batch.encode())
            _bound(self._rejected)
        self.acknowledge(batch.id)

    def depth(self) -> Depth:
        with self._one_at_a_time:
            row = self._database.execute(
                "SELECT COUNT(*), COALESCE(SUM(LENGTH(content)), 0), COALESCE(MIN(written), 0) FROM batch"
            ).fetchone()
        return Depth(*row)

    def keep_within_bounds(self, now: float) -> int:
        """Merges and drops what has to be; returns how many usage rows were dropped."""
        while self._merge(written_before=now - self._most_seconds):
            pass
        while self.depth().bytes > self._most_bytes and self._merge(written_before=now):
            pass
        dropped = self._drop("sent < ?", now - REPEATED_SECONDS)
        while self.depth().bytes > self._most_bytes:
            dropped += self._drop("number = (SELECT MIN(number) FROM batch) AND written <= ?", now)
        return dropped

    def close(self) -> None:
        with self._one_at_a_time:
            if self._opened is not None:
                self._opened.close()
                self._opened = None

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._one_at_a_time, self._database:
            self._database.execute("BEGIN IMMEDIATE")
            yield

    @property
    def _database(self) -> sqlite3.Connection:
        """Opened when it is needed: a disk that is full today must not keep a node from starting."""
        if self._opened is None:
            self._opened = _open(self._file)
        return self._opened

    def _merge(self, written_before: float) -> bool:
        """Whether there were unsent minutes to be merged into hours; their statuses are of no use by now."""
        with self._transaction():
            found = self._database.execute(
                "SELECT number, id, written, content FROM batch"
                " WHERE sent IS NULL AND NOT merged AND written <= ? ORDER BY number LIMIT ?",
                (written_before, MERGED_AT_ONCE),
            ).fetchall()
            if not found:
                return False
            self._database.executemany("DELETE FROM batch WHERE number = ?", [(number,) for number, *_ in found])
            usage = to_wire(by_hour(_sum(Batch.decode(name, content) for _, name, _, content in found)))
            self._database.executemany(
                "INSERT INTO batch (number, id, written, merged, content) VALUES (?, ?, ?, 1, ?)",
                [
                    (number, batch.id, written, batch.encode())
                    for (number, _, written, _), batch in zip(found, self._named(usage), strict=False)
                ],
            )
        return True

    def _named(self, usage: Sequence[WireRow]) -> Iterator[Batch]:
        return (Batch(self._new_id(), page) for page in pages(usage))

    def _drop(self, which: str, moment: float) -> int:
        """Rows of usage that are gone with it."""
        with self._transaction():
            found = self._database.execute(
                f"DELETE FROM batch WHERE {which} RETURNING id, content",  # noqa: S608 - a condition of our own
                (moment,),
            ).fetchall()
        return sum(len(Batch.decode(name, content).usage) for name, content in found)


def _open(path: Path) -> sqlite3.Connection:
    """The database; one that is damaged is put aside, because reporting anew is better than not at all."""
    try:
        return _connected(path)
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):  # no room, no permission: the file is not to blame
            raise
        for suffix in ("", "-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                path.with_name(path.name + suffix).replace(path.with_name(f"{path.name}.damaged{suffix}"))
        return _connected(path)


def _connected(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        path.chmod(0o600)
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.execute(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _sum(batches: Iterable[Batch]) -> Rows:
    rows: Rows = {}
    for batch in batches:
        for row, amount in from_wire(batch.usage).items():
            add(rows, row, amount)
    return rows


def _bound(directory: Path) -> None:
    """Keeps the newest files that fit."""
    total = 0
    for file in sorted(directory.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True):
        total += file.stat().st_size
        if total > REJECTED_BYTES:
            file.unlink()
