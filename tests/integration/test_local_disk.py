"""Local disk when the disk is at fault: what is synced when, and what happens when it is full or broken."""

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from bridge_node.backends.local import LocalBackend
from bridge_node.backends.local.layout import TMP
from bridge_node.errors import BackendFailure, BackendMisbehaved, NoSuchKey, OutcomeUnknown
from tests.conformance.backends.subject import Subject, TrickledSource
from tests.integration.local_scenarios import BUCKET, NEW, OLD, PART, SMALL

KEY = "a/b/key"


class SyncAudit:
    """Watches calls to the disk, and knows what a power cut would take.

    A file loses what was written after its last sync, a directory the entries made or removed after its own.
    """

    def __init__(self, patch: pytest.MonkeyPatch, root: Path) -> None:
        self._root = os.fsencode(root)
        self.unsynced: set[bytes] = set()
        self.renamed_unsynced: list[bytes] = []
        self._entries: dict[bytes, set[bytes]] = {}
        for name in ("open", "write", "fsync", "rename", "link", "unlink", "mkdir", "copy_file_range"):
            patch.setattr(os, name, self._watched(getattr(os, name), getattr(self, f"_{name}")))

    def _watched(self, call: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
        def watched(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            note(result, *args, **kwargs)
            return result

        return watched

    def lost(self) -> set[bytes]:
        """Entries that are there now, or are gone now, and would not be after a power cut."""
        return {
            path
            for directory, entries in self._entries.items()
            for path in (directory + b"/" + entry for entry in entries)
        }

    @staticmethod
    def _path(fd: int) -> bytes:
        return os.fsencode(Path(f"/proc/self/fd/{fd}").readlink())

    def _at(self, path: bytes | str | Path, directory: int | None) -> bytes:
        path = os.fsencode(path)
        return path if directory is None else self._path(directory) + b"/" + path

    def _changed(self, path: bytes) -> None:
        if path.startswith(self._root):
            directory, _, name = path.rpartition(b"/")
            self._entries.setdefault(directory, set()).add(name)

    def _open(self, fd: int, path: Any, flags: int, mode: int = 0, *, dir_fd: int | None = None) -> None:
        if flags & os.O_EXCL:
            self._changed(self._at(path, dir_fd))

    def _write(self, count: int, fd: int, data: bytes) -> None:
        self.unsynced.add(self._path(fd))

    def _copy_file_range(self, count: int, source: int, target: int, *args: Any, **kwargs: Any) -> None:
        self.unsynced.add(self._path(target))

    def _fsync(self, _: None, fd: int) -> None:
        self.unsynced.discard(self._path(fd))
        self._entries.pop(self._path(fd), None)

    def _rename(
        self, _: None, source: Any, target: Any, *, src_dir_fd: int | None = None, dst_dir_fd: int | None = None
    ) -> None:
        self._moved(self._at(source, src_dir_fd), self._at(target, dst_dir_fd))

    def _link(self, _: None, source: Any, target: Any, *, dst_dir_fd: int | None = None) -> None:
        self._moved(self._at(source, None), self._at(target, dst_dir_fd))

    def _moved(self, source: bytes, target: bytes) -> None:
        if source in self.unsynced:
            self.renamed_unsynced.append(target)
        self._changed(target)
        entries = self._entries.get(source.rpartition(b"/")[0], set())
        entries.discard(source.rpartition(b"/")[2])

    def _unlink(self, _: None, path: Any, *, dir_fd: int | None = None) -> None:
        whole = self._at(path, dir_fd)
        self.unsynced.discard(whole)
        # Its reappearing would be a leftover in `data` and `tmp`, but a lost deletion among objects.
        if b"/objects/" in whole:
            self._changed(whole)

    def _mkdir(self, _: None, path: Any, mode: int = 0, *, dir_fd: int | None = None) -> None:
        self._changed(self._at(path, dir_fd))


@pytest.fixture
async def subject(data_directory: Path) -> AsyncIterator[Subject]:
    backend = await asyncio.to_thread(LocalBackend, data_directory, min_part_size=PART, sweep_interval=3600)
    await backend.create_bucket(BUCKET)
    yield Subject(backend, BUCKET)
    await backend.close()


async def _put_small(subject: Subject) -> None:
    await subject.put(KEY, SMALL)


async def _put_large(subject: Subject) -> None:
    await subject.put(KEY, NEW)


async def _copied(subject: Subject) -> None:
    await subject.put("source", NEW)
    await subject.copy("source", KEY)


async def _in_parts(subject: Subject) -> None:
    await subject.put_in_parts(KEY, NEW, SMALL)


async def _replaced(subject: Subject) -> None:
    await subject.put(KEY, OLD)
    await subject.put(KEY, NEW)


async def _deleted(subject: Subject) -> None:
    await subject.put(KEY, OLD)
    await subject.delete(KEY)


async def _staged(subject: Subject) -> None:
    await subject.stage(KEY, await subject.open(KEY), 1, NEW)


async def _aborted(subject: Subject) -> None:
    upload = await subject.open(KEY)
    await subject.stage(KEY, upload, 1, NEW)
    await subject.abort(KEY, upload)


CHANGES = [_put_small, _put_large, _copied, _in_parts, _replaced, _deleted, _staged, _aborted]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__.strip("_"))
async def test_an_acknowledged_change_survives_a_power_cut(
    change: Callable[[Subject], Any], subject: Subject, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = SyncAudit(monkeypatch, data_directory)
    await change(subject)
    assert audit.renamed_unsynced == []
    assert audit.unsynced == set()
    beside = tuple(os.fsencode(data_directory / name) for name in (f"{BUCKET}/{TMP.decode()}", ".bridge-node"))
    assert {path for path in audit.lost() if not path.startswith(beside)} == set()


async def test_directories_that_another_made_are_synced_before_they_are_relied_on(
    subject: Subject, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    audit = SyncAudit(monkeypatch, data_directory)
    unsynced = data_directory / BUCKET / "objects" / "a.d" / "b.d"
    unsynced.mkdir(parents=True)
    assert os.fsencode(unsynced) in audit.lost()
    await subject.put(KEY, SMALL)
    assert audit.lost() == set()


# --- a disk that fails -----------------------------------------------------------------------------------------------


class FailingCall:
    """Lets the calls to one function of `os` fail from a certain one on, and remembers the descriptors."""

    def __init__(self, patch: pytest.MonkeyPatch, name: str, code: int, *, after: int = 0) -> None:
        self._left = after
        self._code = code
        self._call = getattr(os, name)
        self.broken = True
        self.failed: list[int] = []
        patch.setattr(os, name, self)

    def __call__(self, fd: int, *args: Any, **kwargs: Any) -> Any:
        self._left -= 1
        if self.broken and self._left < 0:
            self.failed.append(fd)
            raise OSError(self._code, os.strerror(self._code))
        return self._call(fd, *args, **kwargs)


@pytest.mark.parametrize("data", [SMALL, NEW], ids=["small", "large"])
async def test_a_failed_sync_fails_the_write_and_disconnects_the_bucket(
    data: bytes, subject: Subject, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subject.put(KEY, OLD)
    disk = FailingCall(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(BackendFailure) as raised:
        await subject.put(KEY, data)
    assert raised.value.reason == "sync_failed"
    assert len(disk.failed) == 1  # nobody asked a second time
    with pytest.raises(BackendFailure):
        await subject.backend.head_bucket(BUCKET)
    assert await subject.get(KEY) == OLD
    disk.broken = False
    assert (await subject.backend.head_bucket(BUCKET)).name == BUCKET
    assert _loose_files(data_directory) == []


async def test_every_process_of_the_node_sees_that_a_sync_failed(
    subject: Subject, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = FailingCall(monkeypatch, "fsync", errno.EIO)
    with pytest.raises(BackendFailure):
        await subject.put(KEY, SMALL)
    other = await asyncio.to_thread(LocalBackend, data_directory)
    with pytest.raises(BackendFailure):
        await other.head_bucket(BUCKET)
    disk.broken = False
    await other.head_bucket(BUCKET)
    await subject.backend.head_bucket(BUCKET)
    await other.close()


@pytest.mark.parametrize("change", ["put", "delete"])
async def test_a_sync_that_fails_when_the_change_is_visible_leaves_the_outcome_unknown(
    change: str, subject: Subject, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subject.put(KEY, OLD)
    FailingCall(monkeypatch, "fsync", errno.EIO, after=1 if change == "put" else 0)
    with pytest.raises(OutcomeUnknown):
        await (subject.put(KEY, SMALL) if change == "put" else subject.delete(KEY))
    with pytest.raises(BackendFailure):
        await subject.backend.head_bucket(BUCKET)


async def test_a_full_disk_is_a_clear_failure_and_leaves_nothing(
    subject: Subject, data_directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await subject.put(KEY, OLD)
    before = _loose_files(data_directory)
    disk = FailingCall(monkeypatch, "write", errno.ENOSPC, after=3)
    with pytest.raises(BackendFailure, match="no space"):
        await subject.put_source(KEY, TrickledSource(b"x" * 8_000_000, 100_000))
    disk.broken = False
    assert await subject.get(KEY) == OLD
    assert _loose_files(data_directory) == before
    disk.broken = True
    with pytest.raises(BackendFailure, match="no space"):
        await subject.put(KEY, SMALL)
    disk.broken = False
    assert await subject.get(KEY) == OLD
    await subject.put(KEY, SMALL)
    assert await subject.get(KEY) == SMALL
    assert _loose_files(data_directory) == []


def _loose_files(root: Path) -> list[Path]:
    """Files aside, and data files beyond the one that KEY's object may name."""
    bucket = root / BUCKET
    data = sorted((bucket / "data").iterdir())
    named = 1 if (bucket / "objects/a.d/b.d/key.o").exists() and len(data) == 1 else 0
    return [*(bucket / "tmp").iterdir(), *data[named:]]


# --- a disk that lies ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", [0, 5, 40, -1], ids=["magic", "size", "head", "bytes"])
async def test_a_damaged_record_is_an_error_and_never_wrong_bytes(
    place: int, subject: Subject, data_directory: Path
) -> None:
    await subject.put(KEY, SMALL)
    _flip(data_directory / BUCKET / "objects/a.d/b.d/key.o", place)
    with pytest.raises(BackendMisbehaved):
        await subject.get(KEY)
    await subject.put(KEY, NEW)
    assert await subject.get(KEY) == NEW


async def test_a_record_of_another_key_is_an_error(subject: Subject, data_directory: Path) -> None:
    await subject.put(KEY, SMALL)
    objects = data_directory / BUCKET / "objects"
    (objects / "a.d/b.d/key.o").rename(objects / "other.o")
    with pytest.raises(BackendMisbehaved):
        await subject.get("other")
    with pytest.raises(NoSuchKey):
        await subject.get(KEY)


@pytest.mark.parametrize("size", [0, len(NEW) - 1, len(NEW) + 1])
async def test_a_data_file_of_another_size_is_an_error(size: int, subject: Subject, data_directory: Path) -> None:
    await subject.put(KEY, NEW)
    (file,) = (data_directory / BUCKET / "data").iterdir()
    os.truncate(file, size)
    with pytest.raises(BackendMisbehaved):
        await subject.get(KEY)


async def test_a_damaged_object_can_be_deleted(subject: Subject, data_directory: Path) -> None:
    await subject.put(KEY, SMALL)
    _flip(data_directory / BUCKET / "objects/a.d/b.d/key.o", 40)
    await subject.delete(KEY)
    with pytest.raises(NoSuchKey):
        await subject.get(KEY)


def _flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 0x40
    path.write_bytes(data)
