"""Several workers on one root: locks hold between processes, readers keep what they read, the sweep knows who lives."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_node.backends.local import LocalBackend, hold_root
from bridge_node.errors import BucketNotEmpty, NoSuchBucket, NoSuchUpload, PreconditionFailed
from bridge_node.objects import Conditions
from bridge_node.operations import ListUploads
from tests.conformance.backends.subject import WIRE, Subject, TrickledSource, everything
from tests.integration.local_scenarios import BUCKET, PART

REPOSITORY = Path(__file__).parents[2]

COUNTING_WORKER = """
import asyncio, sys
from pathlib import Path
from bridge_node.backends.local import LocalBackend
from bridge_node.errors import PreconditionFailed
from bridge_node.objects import Conditions
from tests.conformance.backends.subject import Subject

async def main() -> None:
    backend = await asyncio.to_thread(LocalBackend, Path(sys.argv[1]))
    subject = Subject(backend, sys.argv[2])
    steps = 0
    while steps < 25:
        stream = await subject.stream("counter")
        value = int(await stream.source.read())
        try:
            await subject.put("counter", str(value + 1).encode(), conditions=Conditions(if_match=(stream.info.etag,)))
        except PreconditionFailed:
            continue
        steps += 1
    await backend.close()

asyncio.run(main())
"""

PUTTING_WORKER = """
import asyncio, sys
from pathlib import Path
from bridge_node.backends.local import LocalBackend
from bridge_node.errors import NoSuchBucket
from tests.conformance.backends.subject import Subject

async def main() -> None:
    backend = await asyncio.to_thread(LocalBackend, Path(sys.argv[1]))
    subject = Subject(backend, sys.argv[2])
    print("ready", flush=True)
    stored = 0
    while True:
        try:
            await subject.put(f"a/b/{stored}", b"x" * 80_000)
        except NoSuchBucket:
            break
        stored += 1
        await subject.delete(f"a/b/{stored - 1}")
    await backend.close()

asyncio.run(main())
"""


@pytest.fixture
async def root(data_directory: Path) -> AsyncIterator[Path]:
    held = await asyncio.to_thread(hold_root, data_directory)
    yield data_directory
    held.close()


@pytest.fixture
async def subject(root: Path) -> AsyncIterator[Subject]:
    backend = await asyncio.to_thread(LocalBackend, root, min_part_size=PART, sweep_interval=3600)
    await backend.create_bucket(BUCKET)
    yield Subject(backend, BUCKET)
    await backend.close()


async def worker(script: str, root: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", script, str(root), BUCKET),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def succeeded(process: asyncio.subprocess.Process) -> None:
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_counter_kept_by_several_workers_loses_no_step(subject: Subject, root: Path) -> None:
    await subject.put("counter", b"0")
    workers = [await worker(COUNTING_WORKER, root) for _ in range(3)]
    await asyncio.gather(*map(succeeded, workers))
    assert await subject.get("counter") == b"75"


async def test_a_bucket_is_deleted_between_the_writes_of_other_workers(subject: Subject, root: Path) -> None:
    """Whenever it succeeds it was empty, and no write is then acknowledged into nowhere."""
    workers = [await worker(PUTTING_WORKER, root) for _ in range(2)]
    for process in workers:
        assert process.stdout is not None
        await process.stdout.readline()
    while True:
        try:
            await subject.backend.delete_bucket(BUCKET)
        except BucketNotEmpty:
            await asyncio.sleep(0)
            continue
        break
    await asyncio.gather(*map(succeeded, workers))
    with pytest.raises(NoSuchBucket):
        await subject.backend.head_bucket(BUCKET)
    assert not await asyncio.to_thread((root / BUCKET).exists)


async def test_a_reader_keeps_an_object_of_parts_that_another_worker_replaces(subject: Subject, root: Path) -> None:
    parts = [bytes([number]) * 300_000 for number in range(4)]
    await subject.put_in_parts("key", *parts)
    other = Subject(await asyncio.to_thread(LocalBackend, root, sweep_interval=3600), BUCKET)
    stream = await subject.stream("key")
    first = await stream.source.read()
    await other.put("key", b"new")
    await asyncio.to_thread(other.backend.sweep)  # type: ignore[attr-defined]  # local's own
    assert first + await everything(stream.source) == b"".join(parts)
    assert await subject.get("key") == b"new"
    await asyncio.to_thread(other.backend.sweep)  # type: ignore[attr-defined]  # local's own
    assert await asyncio.to_thread(lambda: list((root / BUCKET / "data").iterdir())) == []
    await other.backend.close()


async def test_a_reader_keeps_a_large_object_that_is_deleted(subject: Subject, root: Path) -> None:
    await subject.put("key", b"x" * 3_000_000)
    stream = await subject.stream("key")
    await subject.delete("key")
    assert await asyncio.to_thread(lambda: list((root / BUCKET / "data").iterdir())) == []
    assert await everything(stream.source) == b"x" * 3_000_000


async def test_readers_and_a_writer_of_parts_never_see_two_versions(subject: Subject) -> None:
    versions = [tuple(bytes([letter]) * PART for _ in range(3)) for letter in b"ab"]
    await subject.put_in_parts("key", *versions[0])
    done = asyncio.Event()

    async def read() -> None:
        while not done.is_set():
            data = await subject.get("key")
            assert data in {b"".join(version) for version in versions}
            await asyncio.sleep(0)  # what is in memory is read without waiting

    async def write() -> None:
        for turn in range(30):
            await subject.put_in_parts("key", *versions[turn % 2])
        done.set()

    await asyncio.gather(read(), read(), read(), write())


async def test_uploads_survive_a_restart_and_work_on_any_worker(subject: Subject, root: Path) -> None:
    upload = await subject.open("key", metadata={"colour": "blue"})
    first = await subject.stage("key", upload, 1, b"a" * PART)
    other = Subject(await asyncio.to_thread(LocalBackend, root, min_part_size=PART), BUCKET)
    second = await other.stage("key", upload, 2, b"end")
    await other.backend.close()
    restarted = Subject(await asyncio.to_thread(LocalBackend, root, min_part_size=PART), BUCKET)
    await restarted.commit("key", upload, [first, second])
    await restarted.backend.close()
    assert await subject.get("key") == b"a" * PART + b"end"
    assert dict((await subject.head("key")).metadata) == {"colour": "blue"}


async def test_abandoned_uploads_are_ended_only_where_the_operator_says_so(root: Path) -> None:
    now = 1_800_000_000.0
    clock: Callable[[], float] = lambda: now  # noqa: E731  # reads `now` anew each time
    backend = await asyncio.to_thread(
        LocalBackend, root, min_part_size=PART, sweep_interval=3600, abandoned_after=86_400, clock=clock
    )
    await backend.create_bucket(BUCKET)
    subject = Subject(backend, BUCKET)
    old = await subject.open("old")
    await subject.stage("old", old, 1, b"x")
    now += 86_000
    new = await subject.open("new")
    now += 1_000
    await asyncio.to_thread(backend.sweep)
    uploads = (await backend.list_uploads(BUCKET, ListUploads(WIRE))).uploads
    assert [upload.handle for upload in uploads] == [new]
    with pytest.raises(NoSuchUpload):
        await subject.stage("old", old, 2, b"y")
    assert await asyncio.to_thread(lambda: list((root / BUCKET / "data").iterdir())) == []
    await backend.close()


async def test_a_directory_that_the_operator_makes_is_a_bucket(subject: Subject, root: Path) -> None:
    await asyncio.to_thread((root / "by-hand").mkdir)
    other = Subject(subject.backend, "by-hand")
    assert await other.keys() == []
    await other.put("a/b", b"x")
    await other.put_in_parts("c", b"y")
    assert await other.keys() == ["a/b", "c"]


async def test_files_of_others_in_a_root_are_left_alone(subject: Subject, root: Path) -> None:
    await asyncio.to_thread((root / BUCKET / "lost+found").mkdir)
    await asyncio.to_thread((root / "README").touch)
    assert [info.name for info in await subject.backend.list_buckets()] == [BUCKET]
    with pytest.raises(BucketNotEmpty):
        await subject.backend.delete_bucket(BUCKET)
    await subject.put("key", b"x")
    assert await subject.get("key") == b"x"


async def test_nobody_changes_a_key_between_a_decision_and_its_change(
    subject: Subject, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    etag = (await subject.put("key", b"old")).etag
    rename = os.rename

    def slow(*args: Any, **kwargs: Any) -> None:
        time.sleep(0.05)
        rename(*args, **kwargs)

    monkeypatch.setattr(os, "rename", slow)
    other = Subject(await asyncio.to_thread(LocalBackend, root, sweep_interval=3600), BUCKET)
    writes = [
        writer.put("key", b"%d" % number, conditions=Conditions(if_match=(etag,)))
        for number, writer in enumerate((subject, other, subject, other))
    ]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes].count(PreconditionFailed) == 3
    await other.backend.close()


async def test_a_write_that_outlives_its_bucket_does_not_enter_the_next_of_that_name(subject: Subject) -> None:
    class ReplacesTheBucket(TrickledSource):
        async def read(self) -> bytes:
            data = await super().read()
            if not data:
                await subject.backend.delete_bucket(BUCKET)
                await subject.backend.create_bucket(BUCKET)
            return data

    source = ReplacesTheBucket(b"x" * 300_000, 100_000)
    source.read_nowait = lambda: None  # type: ignore[method-assign]  # the end, too, must be waited for
    with pytest.raises(NoSuchBucket):
        await subject.put_source("key", source)
    assert await subject.keys() == []
