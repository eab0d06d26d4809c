"""Numbers that outlive the process that counts them (promise 25).

Each worker counts in a file in memory that the supervisor made and keeps open: adding is one store of eight bytes, a
reader needs no answer from the worker, and kill -9 loses nothing. The first half is a directory, `[name, labels, first
slot, slots]` as lines of JSON behind its length in bytes; the second half are the slots, eight-byte floats. Entries
are only ever appended: one writer, any number of readers, no lock.
"""

import json
import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence

LENGTH_SIZE = 8
SINK = 64
"""The first slots belong to nobody: what no longer fits is counted there rather than failing a request."""


def create(series: int = 4096) -> int:
    """A descriptor of fresh counters with room for about that many series; pages not used take no memory."""
    size = 2 * mmap.PAGESIZE * (1 + series * 256 // mmap.PAGESIZE)
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("bridge-node-counters")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, size)
    return descriptor


class _Shared:
    def __init__(self, descriptor: int) -> None:
        memory = mmap.mmap(descriptor, os.fstat(descriptor).st_size)
        half = len(memory) // 2
        self._length = memoryview(memory)[:LENGTH_SIZE].cast("Q")
        self._directory = memoryview(memory)[LENGTH_SIZE:half]
        self.values = memoryview(memory)[half:].cast("d")


class Counters(_Shared):
    """The writer's side. `values[slot] += x` is all it takes to count; `slot` tells where."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._next = SINK
        self._slots: dict[tuple[str, tuple[str, ...]], int] = {}

    def slot(self, name: str, labels: tuple[str, ...] = (), slots: int = 1) -> int:
        """The first slot of a series, the same one each time."""
        found = self._slots.get((name, labels))
        if found is None:
            found = self._slots[name, labels] = self._claim(name, labels, slots)
        return found

    def _claim(self, name: str, labels: tuple[str, ...], slots: int) -> int:
        entry = json.dumps([name, labels, self._next, slots]).encode() + b"\n"
        start = self._length[0]
        if start + len(entry) > len(self._directory) or self._next + slots > len(self.values):
            return 0
        self._directory[start : start + len(entry)] = entry
        self._length[0] = start + len(entry)
        first, self._next = self._next, self._next + slots
        return first


class CountersReader(_Shared):
    """The supervisor's side; works on after the writer was killed."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self._read = 0
        self._known: list[tuple[str, tuple[str, ...], int, int]] = []

    def series(self) -> Iterator[tuple[str, tuple[str, ...], Sequence[float]]]:
        """Every series as it stands now: name, labels, values."""
        self._learn()
        for name, labels, first, slots in self._known:
            yield name, labels, self.values[first : first + slots].tolist()

    def _learn(self) -> None:
        length = self._length[0]
        for line in bytes(self._directory[self._read : length]).splitlines():
            name, labels, first, slots = json.loads(line)
            self._known.append((name, tuple(labels), first, slots))
        self._read = length
