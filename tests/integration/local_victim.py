"""A process that is killed at every step of a change to a local backend. Run by `test_local_crashes.py`.

    python -m tests.integration.local_victim SCENARIO DIRECTORY

For each call that the scenario makes to the disk, a fresh copy of this process prepares a root of its own, runs the
scenario, and kills itself just before that call; the last one gets to its end. A line of JSON on standard output tells
of each: its root, the call it did not make, and whether it had acknowledged the change.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from bridge_node.backends.local import LocalBackend
from tests.conformance.backends.subject import Subject
from tests.integration.local_scenarios import BUCKET, PART, SCENARIOS

CALLS = ("open", "write", "fsync", "rename", "link", "unlink", "mkdir", "rmdir", "copy_file_range")
"""What changes a disk. Between two of them a crash leaves the same as at the second."""

_write = os.write


class Countdown:
    """Kills this process before the call of that number, once it is armed."""

    def __init__(self, calls: int, report: int) -> None:
        self._left = calls
        self._report = report
        self._armed = False
        for name in CALLS:
            setattr(os, name, self._counted(name, getattr(os, name)))

    def arm(self) -> None:
        self._armed = True

    def disarm(self) -> None:
        self._armed = False

    def _counted(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            if self._armed:
                if self._left == 0:
                    _write(self._report, f"{name}\n".encode())
                    os.kill(os.getpid(), signal.SIGKILL)
                self._left -= 1
            return call(*args, **kwargs)

        return counted


async def _victim(scenario: str, root: Path, countdown: Countdown, report: int) -> None:
    backend = LocalBackend(root, min_part_size=PART, sweep_interval=3600)
    await backend.create_bucket(BUCKET)
    subject = Subject(backend, BUCKET)
    prepare, change, _ = SCENARIOS[scenario]
    context = await prepare(subject)
    (root / "context.json").write_text(json.dumps(context))
    countdown.arm()
    await _acknowledged(change(subject, context), report)
    countdown.disarm()


async def _acknowledged(change: Awaitable[object], report: int) -> None:
    await change
    _write(report, b"acknowledged\n")


def _run_victim(scenario: str, root: Path, calls: int) -> list[str]:
    """What a victim that may make so many calls wrote before it ended: `acknowledged` and the call it died at."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        asyncio.run(_victim(scenario, root, Countdown(calls, write), write))
        os._exit(0)  # as sudden as a kill: nothing is closed in order
    os.close(write)
    with os.fdopen(read) as report:
        lines = report.read().split()
    _, status = os.waitpid(child, 0)
    if os.waitstatus_to_exitcode(status) not in (0, -signal.SIGKILL):
        raise SystemExit(f"the victim failed by itself at call {calls}")
    return lines


def main(scenario: str, directory: Path) -> None:
    for calls in range(1000):
        root = directory / str(calls)
        root.mkdir()
        lines = _run_victim(scenario, root, calls)
        died_at = next((line for line in lines if line != "acknowledged"), None)
        print(  # noqa: T201  # its report
            json.dumps({"root": str(root), "died_at": died_at, "acknowledged": "acknowledged" in lines}), flush=True
        )
        if died_at is None:
            return


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
