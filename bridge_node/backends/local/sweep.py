"""Removing what crashed writers left behind, and nothing else.

Only after a writer ended without closing is there anything to look for. What is looked at, in this order, so that a
commit that runs at the same time always shows its files in one place or the other: files in `data` and `tmp`; whose
writers live; what open uploads name; what records name. A commit moves names from uploads to a record, never back.

Everything here blocks, and is called in a thread.
"""

import contextlib
import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from bridge_node.backends.local import buckets
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.layout import DATA, OBJECTS, OWN, TMP
from bridge_node.backends.local.locks import Writer, is_locked, writer_of
from bridge_node.backends.local.records import Record
from bridge_node.backends.local.store import Store
from bridge_node.backends.local.uploads import Uploads
from bridge_node.backends.local.walk import SortedNames, Walk
from bridge_node.errors import BridgeError, NoSuchBucket, NoSuchUpload


class Sweep:
    """Runs in a thread of its own: once at the start, then every `interval` seconds."""

    def __init__(
        self,
        files: Files,
        uploads: Uploads,
        store: Store,
        *,
        interval: float,
        abandoned_after: float | None,
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._uploads = uploads
        self._store = store
        self._interval = interval
        self._abandoned_after = abandoned_after
        self._clock = clock
        self._own = Path(os.fsdecode(files.root)) / os.fsdecode(OWN)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="local-sweep", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            # A disk that fails now may work in a while, and nobody waits for a sweep.
            with contextlib.suppress(OSError, BridgeError):
                self.once()
            self._stopped.wait(self._interval)

    def once(self) -> None:
        """One sweep, unless another process of this node is at it."""
        self._files.discard_left_behind()
        with self._alone() as alone:
            if not alone:
                return
            if self._abandoned_after is not None:
                self._abort_abandoned(self._clock() - self._abandoned_after)
            ended = [
                writer
                for writer in (self._own / "writers").iterdir()
                if writer.suffix != Writer.NEW and not is_locked(writer)
            ]
            if ended and all(self._sweep_bucket(bucket.name) for bucket in buckets.all_buckets(self._files)):
                for writer in ended:
                    writer.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        fd = os.open(self._own / "sweep.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
        except BlockingIOError:
            yield False
        finally:
            os.close(fd)

    def _sweep_bucket(self, bucket: str) -> bool:
        """Whether everything that had to go is gone. A bucket with a damaged record keeps everything."""
        path = self._files.bucket_path(bucket)
        leftovers = {*_names(path + b"/" + DATA), *_names(path + b"/" + TMP)}
        leftovers = {name for name in leftovers if not self._lives(name)}
        try:
            self._settle_uploads(bucket, leftovers)
            if leftovers:
                leftovers.difference_update(self._named_by_records(bucket))
        except NoSuchBucket:
            return True
        except (BridgeError, OSError, ValueError):
            return False
        return all(self._removed(path, name) for name in leftovers)

    def _lives(self, name: str) -> bool:
        return is_locked(self._own / "writers" / writer_of(name))

    def _settle_uploads(self, bucket: str, leftovers: set[str]) -> None:
        """Ends uploads that were committed or never opened, and takes what the others name out of `leftovers`."""
        for handle in self._uploads.handles(bucket):
            try:
                self._end_committed(bucket, handle)
            except NoSuchUpload:
                if not self._lives(handle):
                    self._uploads.drop(bucket, handle)
            leftovers.difference_update(file.name for file in self._uploads.parts(bucket, handle).values())

    def _end_committed(self, bucket: str, handle: str) -> None:
        with self._files.locks.bucket(bucket), self._files.locks.upload(handle):
            key = self._uploads.load(bucket, handle).key
            with self._files.locks.key(bucket, key):
                record = self._store.committed(bucket, key, handle)
                if record is not None:
                    self._uploads.drop(bucket, handle, keep=record.files)

    def _named_by_records(self, bucket: str) -> Iterator[str]:
        objects = self._files.bucket_path(bucket) + b"/" + OBJECTS + b"/"
        for key in Walk(objects, SortedNames(limit=0), b"", collapse=False)(b""):
            if self._stopped.is_set():
                raise InterruptedError
            record: Record | None = self._store.load(bucket, key.decode())
            for file in record.files if record else ():
                yield file.name

    def _removed(self, bucket: bytes, name: str) -> bool:
        for path in (bucket + b"/" + TMP + b"/" + name.encode(), bucket + b"/" + DATA + b"/" + name.encode()):
            if os.path.isdir(path):
                shutil.rmtree(path, ignore_errors=True)
            elif is_locked(path):
                return False
            else:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
        return True

    def _abort_abandoned(self, opened_before: float) -> None:
        for bucket in buckets.all_buckets(self._files):
            for handle in self._uploads.handles(bucket.name):
                if int(handle[:16], 16) < opened_before * 1e9:
                    with contextlib.suppress(NoSuchUpload):
                        self._end_committed(bucket.name, handle)
                    with self._files.locks.bucket(bucket.name), self._files.locks.upload(handle):
                        self._uploads.drop(bucket.name, handle)


def _names(path: bytes) -> list[str]:
    with contextlib.suppress(FileNotFoundError):
        return [name.decode(errors="replace") for name in os.listdir(path)]
    return []
