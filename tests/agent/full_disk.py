"""A node's minutes on a disk that is full for a while: run as a process of its own, `HOW DIRECTORY`.

`tmpfs` mounts a file system of some megabytes, which nobody else sees, and fills it; exit code 77 means that this
process may not do that. `limit` makes the kernel refuse to let any file grow. Prints what moved, and what a platform
has counted in the end.
"""

import asyncio
import contextlib
import ctypes
import errno
import itertools
import json
import os
import resource
import sqlite3
import sys
from abc import ABC, abstractmethod
from pathlib import Path

from bridge_node.agent.aggregator import Aggregator
from bridge_node.agent.batches import Batch
from bridge_node.agent.reporter import Collector
from bridge_node.agent.spool import Spool
from bridge_node.telemetry import counters
from bridge_node.telemetry.counters import Counters, CountersReader
from bridge_node.telemetry.metrics import Recorder
from bridge_node.telemetry.traffic import TrafficReader, TrafficRecorder
from bridge_node.usage import Usage

NOT_PERMITTED = 77
MINUTES = 90
FULL = range(30, 60)
KEYS = 50
"""Rows of each minute: some 15 kB."""
NOW = 1_770_000_000.0
_NEW_USER, _NEW_MOUNTS = 0x10000000, 0x00020000
_PRIVATE, _RECURSIVE = 1 << 18, 1 << 14


class Disk(ABC):
    """Where the spool lies."""

    @abstractmethod
    def fill(self) -> None:
        """From now on nothing can be written."""

    @abstractmethod
    def free(self) -> None:
        """There is room again."""


class SmallFileSystem(Disk):
    def __init__(self, directory: Path) -> None:
        self._ballast = directory / "ballast"
        kernel = ctypes.CDLL(None, use_errno=True)
        user, group = os.getuid(), os.getgid()
        _done(kernel.unshare(_NEW_MOUNTS if user == 0 else _NEW_USER | _NEW_MOUNTS))
        if user != 0:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        _done(kernel.mount(b"none", b"/", None, _PRIVATE | _RECURSIVE, None))
        _done(kernel.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, b"size=16m"))

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(1024))

    def free(self) -> None:
        self._ballast.unlink()


class Limit(Disk):
    def __init__(self) -> None:
        self._before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, self._before[1]))

    def free(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self._before)


def _done(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class Nobody:
    def record(self, usage: Usage) -> None:
        pass


class Node:
    """What counts and spools, a clock that stands still between minutes, and the platform's memory of batches."""

    def __init__(self, directory: Path) -> None:
        self.moved = 0
        self.counted: dict[str, int] = {}
        self._now = NOW
        self._directory = directory
        self._names = (f"batch-{number}" for number in itertools.count())
        moved = counters.create()
        self._worker = TrafficRecorder(Counters(moved), Nobody())
        traffic = TrafficReader()
        traffic.join(CountersReader(moved))
        self.spool = self._opened()
        self._aggregator = Aggregator("here", self._new_name)
        recorder = Recorder(Counters(counters.create()))
        self.collector = Collector(self._aggregator, traffic, tuple, self.spool, recorder, lambda: self._now)

    def _opened(self) -> Spool:
        return Spool(self._directory, self._new_name, most_bytes=10**9, most_seconds=7 * 86400)

    def _new_name(self) -> str:
        return next(self._names)

    async def minute(self) -> None:
        for key in range(KEYS):
            self._worker.record(Usage("s3", repository="repo", bucket_id="bucket", key_id=f"key-{key}", received=10))
            self.moved += 1
        self._now += 60
        await self.collector.close_period()

    def send_one(self) -> bool:
        """Whether the platform got a batch and the disk could be told so."""
        try:
            batch = self.spool.next(self._now)
            if batch is None:
                return False
            self.counted.setdefault(batch.id, _requests(batch))
            self.spool.acknowledge(batch.id)
        except sqlite3.Error:
            return False
        return True


def _requests(batch: Batch) -> int:
    return sum(row["requests"] for row in batch.usage)


async def live(directory: Path, disk: Disk) -> None:
    node = Node(directory)
    waited = 0
    for minute in range(MINUTES):
        if minute == FULL.start:
            disk.fill()
        if minute == FULL.stop:
            waited = len(node.collector.unwritten)
            disk.free()
        await node.minute()
        if minute % 3 == 0:
            await asyncio.to_thread(node.send_one)
        if minute == FULL.start + 10:
            node.spool.close()  # as a node does that is started anew meanwhile
    while await asyncio.to_thread(node.send_one):
        pass
    found = {
        "moved": node.moved,
        "counted": sum(node.counted.values()),
        "waited": waited,
        "left": len(node.collector.unwritten) + node.spool.depth().batches,
    }
    sys.stdout.write(f"{json.dumps(found)}\n")


def main(how: str, directory: Path) -> int:
    try:
        disk = SmallFileSystem(directory) if how == "tmpfs" else Limit()
    except OSError as error:
        if error.errno in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EINVAL):
            sys.stdout.write(f"a file system cannot be mounted here: {error.strerror}")
            return NOT_PERMITTED
        raise
    asyncio.run(live(directory, disk))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
