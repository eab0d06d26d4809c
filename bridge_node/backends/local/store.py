"""Objects on disk: every change to a key's record, in the order that promise 6 demands.

Everything here blocks, and is called in threads. Reads take no lock: a record is replaced by one rename.
"""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bridge_node.backends.local import records
from bridge_node.backends.local.disk import Directory, SyncFailed, disk_errors, remove, sync_directory
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.layout import OBJECTS, path_of
from bridge_node.backends.local.records import Head, Record
from bridge_node.backends.local.uploads import Uploads
from bridge_node.errors import BackendMisbehaved, NoSuchBucket, OutcomeUnknown, PreconditionFailed
from bridge_node.objects import NO_CONDITIONS, Conditions

_HEAD_READ = 4096


@dataclass(frozen=True, slots=True)
class Current:
    """What lies at a key: a record, nothing, or one that cannot be read (`size` None)."""

    record: Record | None
    size: int | None


class Store:
    def __init__(self, files: Files, uploads: Uploads) -> None:
        self._files = files
        self._uploads = uploads

    def record_path(self, bucket: str, key: str) -> bytes:
        return b"%s/objects/%s" % (self._files.bucket_path(bucket), path_of(key))

    # --- reading ---

    def load(self, bucket: str, key: str) -> Record | None:
        """The key's object, or None. Raises NoSuchBucket, or BackendMisbehaved when the record is damaged."""
        data = self._read(bucket, key, None)
        if data is None:
            return None
        head = records.read_head(memoryview(data))
        if head is None:
            raise records.damaged()
        return records.read_record(key, head, memoryview(data))

    def load_head(self, bucket: str, key: str) -> Head | None:
        """Like `load`, without the body."""
        for size in (_HEAD_READ, None):
            data = self._read(bucket, key, size)
            if data is None:
                return None
            if head := records.read_head(memoryview(data)):
                return head
        raise records.damaged()

    def committed(self, bucket: str, key: str, upload: str) -> Record | None:
        """The key's object if it came from this upload: then the upload is committed."""
        record = self.load(bucket, key)
        return record if record and record.upload == upload else None

    def _read(self, bucket: str, key: str, size: int | None) -> bytes | None:
        with disk_errors():
            try:
                fd = os.open(self.record_path(bucket, key), os.O_RDONLY)
            except FileNotFoundError:
                if not os.path.isdir(self._files.bucket_path(bucket)):
                    raise NoSuchBucket(BucketName=bucket) from None
                return None
            try:
                return os.pread(fd, os.fstat(fd).st_size if size is None else size, 0)
            finally:
                os.close(fd)

    # --- writing ---

    def check(self, bucket: str, key: str, conditions: Conditions) -> None:
        """Raises what `publish` would raise now: so that nobody sends a large body in vain. It decides nothing."""
        record = self.load(bucket, key)
        conditions.check_write(record.info if record else None)

    def publish(self, bucket: str, record: Record, conditions: Conditions = NO_CONDITIONS) -> int | None:
        """Makes `record` the key's object; returns the bytes that it displaced (None: nobody can tell).

        Its data files are synced. Raises PreconditionFailed, NoSuchBucket, a BackendFailure (nothing has changed), or
        OutcomeUnknown when the record is in its place and could not be made durable.
        """
        key = record.info.key
        with self._files.failures(bucket):
            aside = self._files.write_aside(bucket, records.encode(record))
            try:
                with self._files.locks.bucket(bucket), self._files.locks.key(bucket, key):
                    self._check_data(bucket, record)
                    current = self._current(bucket, key, conditions)
                    directory = self._place(bucket, aside, key, conditions)
            except BaseException:
                self._files.remove_aside(bucket, aside)
                raise
            _settle(directory.sync)
        self._files.discard(bucket, current.record.files if current.record else ())
        return current.size

    def _check_data(self, bucket: str, record: Record) -> None:
        """A bucket may have been deleted, and made anew, since the data was written."""
        try:
            for file in record.files:
                os.stat(self._files.data_path(bucket, file))
        except FileNotFoundError as error:
            raise NoSuchBucket(BucketName=bucket) from error

    def _current(self, bucket: str, key: str, conditions: Conditions) -> Current:
        """What lies at the key, under its lock, once `conditions` allow to replace it; raises PreconditionFailed.

        A damaged record can still be replaced or deleted, but no condition holds of it.
        """
        try:
            record = self.load(bucket, key)
        except BackendMisbehaved:
            if conditions:
                raise
            return Current(None, None)
        conditions.check_write(record.info if record else None)
        if record and record.upload:
            self._uploads.drop(bucket, record.upload, keep=record.files)
        return Current(record, record.info.size if record else 0)

    def _place(self, bucket: str, aside: bytes, key: str, conditions: Conditions) -> Directory:
        try:
            # Even if locks were worth nothing on this file system, a link never replaces a file.
            must_be_new = "*" in conditions.if_none_match
            return self._files.place(bucket, aside, OBJECTS + b"/" + path_of(key), link=must_be_new)
        except FileExistsError as error:
            raise PreconditionFailed(Condition="If-None-Match") from error

    def unlink(self, bucket: str, key: str, conditions: Conditions) -> Current:
        """Takes the key's record away; not durable until `settle_unlinked`. Returns what was there."""
        with self._files.failures(bucket), self._files.locks.bucket(bucket), self._files.locks.key(bucket, key):
            current = self._current(bucket, key, conditions)
            remove(self.record_path(bucket, key))
            return current

    def settle_unlinked(self, bucket: str, removed: Sequence[tuple[str, Current]]) -> None:
        """Makes the absence of these keys durable and frees their data. Raises OutcomeUnknown.

        Also of those that were not there: whoever took them away may not have come to this yet.
        """
        parents = {self.record_path(bucket, key).rpartition(b"/")[0] for key, _ in removed}
        with self._files.failures(bucket):
            for parent in parents:
                with contextlib.suppress(FileNotFoundError):
                    _settle(partial(sync_directory, parent))
        for _, current in removed:
            self._files.discard(bucket, current.record.files if current.record else ())
        for parent in parents:
            self._prune(bucket, parent)

    def _prune(self, bucket: str, directory: bytes) -> None:
        """Removes directories that have become empty, upwards."""
        top = self._files.bucket_path(bucket) + b"/" + OBJECTS
        with contextlib.suppress(OSError):
            while len(directory) > len(top):
                os.rmdir(directory)
                directory = directory.rpartition(b"/")[0]


def _settle(sync: Callable[[], None]) -> None:
    """The last step of a change that is visible already."""
    try:
        sync()
    except SyncFailed as error:
        raise OutcomeUnknown(reason="sync_failed") from error
