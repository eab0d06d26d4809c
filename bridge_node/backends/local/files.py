"""The directories and files of a root's buckets, as one writer sees them: what everything else here is made with.

Everything here blocks, and is called in threads.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from bridge_node.backends.bucketnames import is_bucket_name
from bridge_node.backends.local.disk import Directories, Directory, SyncFailed, disk_errors, remove, write_file
from bridge_node.backends.local.layout import DATA, OWN, TMP
from bridge_node.backends.local.locks import Locks, Writer, exclusively
from bridge_node.backends.local.records import DataFile
from bridge_node.errors import BackendFailure, ConcurrentChange, NoSuchBucket, OutcomeUnknown

T = TypeVar("T")

ATTEMPTS = 50
"""How often somebody else may remove a directory, just emptied, before our file is in it."""


class Files:
    """Paths, new files, locks and failures below one root."""

    def __init__(self, root: Path) -> None:
        self.root = os.fsencode(root)
        self.writer = Writer(root)
        self.locks = Locks(root)
        self.directories = Directories(root)
        self.bucket_path = lru_cache(1024)(self._bucket_path)
        self._faults = root / os.fsdecode(OWN) / "faults"
        self._left_behind: list[tuple[str, Sequence[DataFile]]] = []
        self._lock = threading.Lock()

    def _bucket_path(self, bucket: str) -> bytes:
        """Raises NoSuchBucket for what cannot be a bucket, so that a name never leads elsewhere."""
        if not is_bucket_name(bucket):
            raise NoSuchBucket(BucketName=bucket)
        return self.root + b"/" + bucket.encode()

    def data_path(self, bucket: str, file: DataFile) -> bytes:
        return b"%s/%s/%s" % (self.bucket_path(bucket), DATA, file.name.encode())

    def within(self, bucket: str, path: bytes, work: Callable[[Directory], T]) -> T:
        """The result of `work` on the directory at `path` in the bucket, which is made, durably, where it is missing.

        `work` adds one entry. It is done again when it met a directory that somebody else was removing, or raises
        FileNotFoundError for another reason, and after many times ConcurrentChange is raised.
        """
        self.bucket_path(bucket)
        whole = bucket.encode() + b"/" + path
        for _ in range(ATTEMPTS):
            try:
                return work(self.directories.open(whole))
            except FileNotFoundError:
                self.directories.forget(whole)
        raise ConcurrentChange

    def write_aside(self, bucket: str, data: bytes) -> bytes:
        """Path, in the bucket, of a new and synced file that is in nobody's way."""
        name = self.writer.new_name().encode()
        self.within(bucket, TMP, lambda directory: write_file(directory, name, data))
        return TMP + b"/" + name

    def place(self, bucket: str, aside: bytes, path: bytes, *, link: bool = False) -> Directory:
        """Moves a file from aside to `path` in the bucket; returns its directory, to be synced.

        With `link` it never replaces a file, and FileExistsError is raised instead.
        """
        parent, _, name = path.rpartition(b"/")
        source = self.bucket_path(bucket) + b"/" + aside

        def move(directory: Directory) -> Directory:
            if link:
                os.link(source, name, dst_dir_fd=directory.fd)
                os.unlink(source)
            else:
                os.rename(source, name, dst_dir_fd=directory.fd)
            return directory

        return self.within(bucket, parent, move)

    def remove_aside(self, bucket: str, aside: bytes) -> None:
        """Never fails: what stays is left to a sweep."""
        with contextlib.suppress(OSError):
            os.unlink(self.bucket_path(bucket) + b"/" + aside)

    def discard(self, bucket: str, files: Sequence[DataFile]) -> None:
        """Removes data that nothing names any more, or leaves it to a sweep while somebody reads it. Never fails."""
        if not files:
            return
        if not self._removed([self.data_path(bucket, file) for file in files]):
            with self._lock:
                self._left_behind.append((bucket, files))

    @staticmethod
    def _removed(paths: Sequence[bytes]) -> bool:
        """Whether these files of one object are gone. The first goes last: while it is there, they all may be."""
        try:
            # Whoever reads an object of many files holds the first; a single one is simply kept open.
            with exclusively(paths[0]) as alone:
                if not alone and len(paths) > 1:
                    return False
                for path in reversed(paths):
                    remove(path)
        except FileNotFoundError:
            return True
        except OSError:
            return False
        return True

    def discard_left_behind(self) -> bool:
        """Tries once more what was being read; returns whether nothing is left."""
        with self._lock:
            again, self._left_behind = self._left_behind, []
        for bucket, files in again:
            self.discard(bucket, files)
        return not self._left_behind

    @contextlib.contextmanager
    def failures(self, bucket: str) -> Iterator[None]:
        """Disk errors as BackendFailure. A failed sync is noted for all processes, until `recovered`."""
        try:
            with disk_errors():
                yield
        except (BackendFailure, OutcomeUnknown) as error:
            if isinstance(error.__cause__, SyncFailed):
                with contextlib.suppress(OSError):
                    (self._faults / bucket).touch()
            raise

    def recover(self, bucket: str) -> None:
        """After a failed sync, raises BackendFailure until a small write succeeds."""
        fault = self._faults / bucket
        if not fault.exists():
            return
        with self.failures(bucket):
            self.remove_aside(bucket, self.write_aside(bucket, b"probe"))
            fault.unlink(missing_ok=True)

    def close(self) -> None:
        self.writer.close(in_order=self.discard_left_behind())
        self.directories.clear()
