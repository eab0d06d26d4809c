"""What a process costs, and on which core it runs."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
MIB = 1024 * 1024

LOAD_CORE, MEASURED_CORE = 0, 1
"""Origin and load share one, what is measured has the other for itself."""


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Processes that are started within the block, and theirs, stay on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@dataclass(frozen=True, slots=True)
class Cost:
    """What some processes have used so far: CPU seconds, and MiB of memory that they hold now."""

    cpu: float
    resident: float


def cost(pids: Sequence[int]) -> Cost:
    return Cost(sum(_cpu_seconds(pid) for pid in pids), sum(_memory(pid, "VmRSS") for pid in pids))


def children(pid: int) -> list[int]:
    """Direct children of a process: of a node's supervisor, its workers."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS  # utime and stime of all its threads


def _memory(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:"))
