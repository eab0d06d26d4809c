"""Making things on a disk, so that they stay: the order of promise 6 in its smallest steps.

Everything here blocks, and is called in threads.
"""

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from bridge_node.errors import BackendFailure, BackendRefused, NoSuchBucket

_REFUSALS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class SyncFailed(OSError):
    """The kernel could not write something back. Its pages are lost, so nobody may ask the same descriptor again.

    https://wiki.postgresql.org/wiki/Fsync_Errors
    """


def sync(fd: int) -> None:
    """What was done to this file or directory is durable. Raises SyncFailed."""
    try:
        os.fsync(fd)
    except OSError as error:
        raise SyncFailed(*error.args) from error


@contextlib.contextmanager
def disk_errors() -> Iterator[None]:
    """Turns what the disk says into what the gateway understands."""
    try:
        yield
    except OSError as error:
        raise failure(error) from error


def failure(error: OSError) -> BackendFailure:
    """What an error of the disk means, without a path in it."""
    if isinstance(error, SyncFailed):
        return BackendFailure(reason="sync_failed")
    if error.errno in _FULL:
        return BackendFailure("There is no space left to store this object.", reason="disk_full")
    if error.errno in _REFUSALS:
        return BackendRefused(reason="disk_refused")
    return BackendFailure(reason="disk_error")


class Directory:
    """An open directory, whose own entry in its parent is durable. Closed when nobody holds it any more.

    After a sync that failed, `failed` is True: another one would succeed and mean nothing.
    """

    __slots__ = ("failed", "fd")

    def __init__(self, path: Path | bytes, parent: int | None = None) -> None:
        self.fd = -1
        self.failed = False
        self.fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY, dir_fd=parent)

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)

    def sync(self) -> None:
        try:
            sync(self.fd)
        except SyncFailed:
            self.failed = True
            raise


class Directories:
    """Open directories below a root, remembered by path: those that are used most cost nothing.

    A directory may be removed by others when it is empty. Its descriptor then takes no new entries (ENOENT), so a
    remembered one is either still in its place or says that it is not: `forget` it and open it again.
    """

    LIMIT = 128

    def __init__(self, root: Path) -> None:
        self._path = root
        self._root = Directory(root)
        self._known: OrderedDict[bytes, Directory] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def root(self) -> Directory:
        if self._root.failed:
            self._root = Directory(self._path)
        return self._root

    def open(self, path: bytes) -> Directory:
        """The directory at `path` below the root; missing ones are made, except the first: a bucket.

        Raises NoSuchBucket, or FileNotFoundError while somebody removes directories in the way.
        """
        directory, done = self._deepest(path)
        while done < len(path):
            end = path.find(b"/", done)
            end = len(path) if end < 0 else end
            directory = self._enter(directory, path[done:end], make=done > 0)
            self._remember(path[:end], directory)
            done = end + 1
        return directory

    def forget(self, path: bytes) -> None:
        """Forgets the directory at `path` and those above it."""
        with self._lock:
            while path:
                self._known.pop(path, None)
                path = path.rpartition(b"/")[0]

    def clear(self) -> None:
        with self._lock:
            self._known.clear()

    def _deepest(self, path: bytes) -> tuple[Directory, int]:
        """The deepest known directory on the way, and where in `path` the rest begins."""
        known = path
        with self._lock:
            while known:
                directory = self._known.get(known)
                if directory is not None and not directory.failed:
                    self._known.move_to_end(known)
                    return directory, len(known) + 1
                known = known.rpartition(b"/")[0]
        return self.root, 0

    def _enter(self, parent: Directory, name: bytes, *, make: bool) -> Directory:
        if make:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=parent.fd)
        try:
            directory = Directory(name, parent.fd)
        except FileNotFoundError:
            if make:
                raise
            raise NoSuchBucket(BucketName=name.decode()) from None
        # Also when it was there already: whoever made it may not have come to this yet.
        parent.sync()
        return directory

    def _remember(self, path: bytes, directory: Directory) -> None:
        with self._lock:
            self._known[path] = directory
            if len(self._known) > self.LIMIT:
                self._known.popitem(last=False)


def sync_directory(path: bytes) -> None:
    """Makes the entries of the directory at `path` durable. Raises SyncFailed, or FileNotFoundError."""
    Directory(path).sync()


def create(directory: Directory, name: bytes) -> int:
    """Descriptor of a new, empty file that only its owner may read."""
    return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=directory.fd)


def write_file(directory: Directory, name: bytes, data: bytes) -> None:
    """A new file with `data`, synced; its entry in `directory` is not. Leaves nothing behind when it fails."""
    fd = create(directory, name)
    try:
        write_all(fd, data)
        sync(fd)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=directory.fd)
        raise
    finally:
        os.close(fd)


def write_all(fd: int, data: bytes) -> None:
    """Writes until everything is written: a disk that fills up takes a part first."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def remove(path: bytes) -> None:
    """Unlinks a file that may be gone already."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
