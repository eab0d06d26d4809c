"""Walking over keys on disk in the order of a listing, and over no more of them than the listing shows.

A walk sees each directory at one moment; what changes behind its back appears or not, as S3 allows.
"""

import bisect
import contextlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator

from bridge_node.backends.local.layout import CONTINUATION, DIRECTORY, RECORD, directory_of, entry_of, is_record

_TICK = 1_000_000_000
"""Nanoseconds after its last change from which on a directory's time of change can be trusted to show the next."""


class SortedNames:
    """What lies in directories, in order, remembered while their time of change stands still."""

    def __init__(self, limit: int = 300_000) -> None:
        self._limit = limit
        self._count = 0
        self._known: OrderedDict[bytes, tuple[int, list[bytes]]] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, path: bytes) -> list[bytes]:
        """Entries of the directory (see `layout.entry_of`), sorted; none where there is no directory."""
        try:
            changed = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            return []
        with self._lock:
            known = self._known.get(path)
            if known and known[0] == changed:
                self._known.move_to_end(path)
                return known[1]
        read_at = time.time_ns()
        names = _read(path)
        if read_at - changed > _TICK:
            self._remember(path, changed, names)
        return names

    def _remember(self, path: bytes, changed: int, names: list[bytes]) -> None:
        with self._lock:
            self._count -= len(self._known.pop(path, (0, []))[1])
            if len(names) > self._limit:
                return
            self._known[path] = changed, names
            self._count += len(names)
            while self._count > self._limit:
                self._count -= len(self._known.popitem(last=False)[1][1])


def _read(path: bytes) -> list[bytes]:
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        return sorted(name for name in (entry_of(entry.name) for entry in entries) if name is not None)
    return []


def any_record(path: bytes) -> bool:
    """Whether an object lies in the directory at `path` (with a slash at its end) or below it."""
    waiting = [path]
    while waiting:
        path = waiting.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
            for entry in entries:
                if entry.name.endswith(RECORD):
                    return True
                if entry.name.endswith((DIRECTORY, CONTINUATION)):
                    waiting.append(path + entry.name + b"/")
    return False


class Walk:
    """The keys below `objects` that begin with `prefix`, as `paging.Walk`.

    With `collapse`, a whole directory below the prefix stands for itself: for listings whose delimiter is a slash.
    """

    def __init__(self, objects: bytes, names: SortedNames, prefix: bytes, *, collapse: bool) -> None:
        self._objects = objects
        self._names = names
        self._prefix = prefix
        self._collapse = collapse
        self._seen: dict[bytes, list[bytes]] = {}

    def __call__(self, start: bytes) -> Iterator[bytes]:
        # One level of the walk each: what its keys begin with, its entries, and the next of them.
        levels = [self._level(b"", start)]
        while levels:
            prefix, names, at = levels.pop()
            if at == len(names):
                continue
            levels.append((prefix, names, at + 1))
            entry = prefix + names[at]
            if not entry.startswith(self._prefix) and not self._prefix.startswith(entry):
                if entry > self._prefix:
                    return
                continue
            if is_record(names[at]):
                if entry >= start:
                    yield entry
            elif self._collapse and entry >= start and len(entry) > len(self._prefix) and entry.endswith(b"/"):
                if any_record(self._objects + directory_of(entry)):
                    yield entry
            elif entry >= start or start.startswith(entry):
                levels.append(self._level(entry, start))

    def _level(self, prefix: bytes, start: bytes) -> tuple[bytes, list[bytes], int]:
        """The directory of `prefix`, from the entry on that leads to `start`."""
        if (names := self._seen.get(prefix)) is None:
            names = self._seen[prefix] = self._names.of(self._objects + directory_of(prefix))
        if not start.startswith(prefix):
            return prefix, names, 0
        # The entry before may be a directory whose keys go on to `start`.
        return prefix, names, max(0, bisect.bisect_left(names, start[len(prefix) :]) - 1)
