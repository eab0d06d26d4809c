"""Open directories are remembered while they are good for anything."""

import errno
import os
from pathlib import Path

import pytest

from bridge_node.backends.local.disk import Directories, Directory, SyncFailed
from bridge_node.errors import NoSuchBucket


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    (tmp_path / "bucket").mkdir()
    return Directories(tmp_path)


def test_a_directory_is_opened_once(directories: Directories) -> None:
    opened = directories.open(b"bucket/a/b")
    assert directories.open(b"bucket/a/b") is opened
    directories.forget(b"bucket/a/b")
    assert directories.open(b"bucket/a/b") is not opened


def test_a_bucket_is_never_made_by_the_way(directories: Directories, tmp_path: Path) -> None:
    with pytest.raises(NoSuchBucket):
        directories.open(b"absent/a")
    assert not (tmp_path / "absent").exists()


def test_a_removed_directory_says_so_and_is_made_anew(directories: Directories, tmp_path: Path) -> None:
    removed = directories.open(b"bucket/a/b")
    (tmp_path / "bucket/a/b").rmdir()
    with pytest.raises(FileNotFoundError):
        os.mkdir("entry", dir_fd=removed.fd)  # pathlib knows no descriptors
    directories.forget(b"bucket/a/b")
    os.mkdir("entry", dir_fd=directories.open(b"bucket/a/b").fd)  # pathlib knows no descriptors
    assert (tmp_path / "bucket/a/b/entry").is_dir()


def _fails_to_sync(directory: Directory, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(SyncFailed):
            directory.sync()


def test_a_directory_whose_sync_failed_is_not_asked_again(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed, root = directories.open(b"bucket/a"), directories.root
    _fails_to_sync(failed, monkeypatch)
    _fails_to_sync(root, monkeypatch)
    for old, new in ((failed, directories.open(b"bucket/a")), (root, directories.root)):
        assert new is not old
        new.sync()


def test_no_more_directories_are_open_than_the_limit(directories: Directories) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208  # the shortest way to count
    for number in range(Directories.LIMIT + 50):
        directories.open(b"bucket/%d" % number)
    opened = len(os.listdir("/proc/self/fd")) - before  # noqa: PTH208  # the shortest way to count
    assert opened <= Directories.LIMIT
