"""A process is killed at every step of a change on disk; nothing is lost, half there, or left behind."""

import asyncio
import fcntl
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from bridge_node.backends.local import LocalBackend
from bridge_node.backends.local.store import Store
from tests.conformance.backends.subject import StalledSource, Subject
from tests.integration.local_scenarios import BUCKET, PART, SCENARIOS

REPOSITORY = Path(__file__).parents[2]


async def _victims(scenario: str, directory: Path) -> list[dict[str, Any]]:
    command = (sys.executable, "-m", "tests.integration.local_victim", scenario, str(directory))
    child = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=REPOSITORY
    )
    output, errors = await child.communicate()
    assert child.returncode == 0, errors.decode()
    return [json.loads(line) for line in output.splitlines()]


@asynccontextmanager
async def _restarted(root: Path) -> AsyncIterator[LocalBackend]:
    backend = await asyncio.to_thread(LocalBackend, root, min_part_size=PART)
    try:
        yield backend
    finally:
        await backend.close()


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_change_that_is_killed_at_any_step_is_done_or_not_done(scenario: str, tmp_path: Path) -> None:
    victims = await _victims(scenario, tmp_path)
    assert len(victims) > 5
    assert victims[-1]["acknowledged"]
    outcomes = [await _outcome(scenario, victim) for victim in victims]
    # What is done stays done: no later step takes it back.
    assert outcomes == sorted(outcomes, reverse=True)
    assert outcomes[-1] == "new"


async def _outcome(scenario: str, victim: dict[str, Any]) -> str:
    root = Path(victim["root"])
    context = json.loads(await asyncio.to_thread((root / "context.json").read_text))
    async with AsyncExitStack() as stack:
        with _no_sweep(root):  # what a crash left must do no harm for as long as it lies there
            backend = await stack.enter_async_context(_restarted(root))
            outcome = await SCENARIOS[scenario][2](Subject(backend, BUCKET), context)
        assert outcome == "new" or not victim["acknowledged"], f"acknowledged and lost: {victim}"
        left = await asyncio.to_thread(_swept, backend, root)
        assert not left, f"left behind after {victim}: {left}"
    return outcome


@contextmanager
def _no_sweep(root: Path) -> Iterator[None]:
    with (root / ".bridge-node" / "sweep.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _swept(backend: LocalBackend, root: Path) -> list[str]:
    """What nothing names once the sweep has had its time."""
    deadline = time.monotonic() + 5
    while (left := unnamed_files(backend, root / BUCKET)) and time.monotonic() < deadline:
        backend.sweep()
        time.sleep(0.01)
    return left


def unnamed_files(backend: LocalBackend, bucket: Path) -> list[str]:
    """Files in a bucket that no record and no open upload names."""
    uploads, store = backend._uploads, backend._store
    named = {
        file.name for handle in uploads.handles(bucket.name) for file in uploads.parts(bucket.name, handle).values()
    }
    named.update(name for key in _keys(bucket) for name in _files_of(store, bucket.name, key))
    found = [*(bucket / "data").glob("*"), *(bucket / "tmp").glob("*")]
    return [path.name for path in found if path.name not in named]


def _keys(bucket: Path) -> list[str]:
    """Keys of the scenarios, whose names need no escapes."""
    records = (bucket / "objects").rglob("*.o")
    return [os.fspath(path.relative_to(bucket / "objects"))[:-2].replace(".d/", "/") for path in records]


def _files_of(store: Store, bucket: str, key: str) -> list[str]:
    record = store.load(bucket, key)
    return [file.name for file in record.files] if record else []


async def test_a_sweep_leaves_alone_what_is_being_written(data_directory: Path) -> None:
    async with _restarted(data_directory) as writing, _restarted(data_directory) as sweeping:
        await writing.create_bucket(BUCKET)
        subject = Subject(writing, BUCKET)
        source = StalledSource(2_000_000, b"x" * 1_000_000)
        put = asyncio.create_task(subject.put_source("key", source))
        await source.stalled.wait()
        _leave_traces_of_a_dead_writer(data_directory)
        await asyncio.to_thread(sweeping.sweep)
        drafts = await asyncio.to_thread(lambda: list((data_directory / BUCKET / "data").iterdir()))
        assert len(drafts) == 1
        put.cancel()
        with pytest.raises(asyncio.CancelledError):
            await put
        assert await asyncio.to_thread(unnamed_files, writing, data_directory / BUCKET) == []


def _leave_traces_of_a_dead_writer(root: Path) -> None:
    (root / ".bridge-node" / "writers" / "dead").touch()
    (root / BUCKET / "data" / "dead-1").touch()
