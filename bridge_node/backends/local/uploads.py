"""Open uploads on disk: a directory each, with what it is, and a record for every part that is staged.

While both exist, an upload's directory and an object that came from it, the upload is committed and only its removal
is outstanding, because whoever replaces or deletes such an object removes the directory first.

Everything here blocks, and is called in threads.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bridge_node.backends.local.disk import Directory, sync_directory, write_file
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.layout import TMP, UPLOADS
from bridge_node.backends.local.records import DataFile, decode_file, encode_file
from bridge_node.errors import NoSuchUpload
from bridge_node.operations import OpenUpload

_HANDLE = re.compile(r"[0-9a-f]{16}\.[0-9a-f]{16}-[0-9a-f]+")
_HEAD = b"upload"


@dataclass(frozen=True, slots=True)
class Upload:
    """What an upload was opened with."""

    handle: str
    key: str
    started: float
    content: dict[str, str]
    metadata: dict[str, str]
    algorithm: str | None
    composite: bool


class Uploads:
    def __init__(self, files: Files, clock: Callable[[], float]) -> None:
        self._files = files
        self._clock = clock

    def open(self, bucket: str, op: OpenUpload, *, composite: bool) -> str:
        """A durable upload's handle. Handles sort by when they were opened."""
        started = self._clock()
        handle = f"{int(started * 1e9):016x}.{self._files.writer.new_name()}"
        head = {
            "key": op.key,
            "started": started,
            "content": dict(op.content),
            "metadata": dict(op.metadata),
            "algorithm": op.checksum_algorithm,
            "composite": composite,
        }
        with self._files.failures(bucket), self._files.locks.bucket(bucket):
            self._files.within(bucket, _path(handle), lambda directory: _write_head(directory, head))
        return handle

    def load(self, bucket: str, handle: str, key: str | None = None) -> Upload:
        """Raises NoSuchUpload where there is none, or it is another key's."""
        if not _HANDLE.fullmatch(handle):
            raise NoSuchUpload(UploadId=handle)
        fields = self._json(bucket, handle, _HEAD.decode())
        if fields is None or (key is not None and fields["key"] != key):
            raise NoSuchUpload(UploadId=handle)
        return Upload(handle, **fields)

    def handles(self, bucket: str) -> list[str]:
        try:
            names = os.listdir(self._files.bucket_path(bucket) + b"/" + UPLOADS)
        except FileNotFoundError:
            return []
        return [name.decode() for name in names if _HANDLE.fullmatch(name.decode(errors="replace"))]

    def parts(self, bucket: str, handle: str) -> dict[int, DataFile]:
        """What is staged, by label and in its order."""
        try:
            names = os.listdir(self._directory(bucket, handle))
        except FileNotFoundError:
            return {}
        labels = sorted(int(name) for name in names if name.isdigit())
        parts = {label: self._json(bucket, handle, str(label)) for label in labels}
        return {label: decode_file(fields) for label, fields in parts.items() if fields is not None}

    def stage(self, bucket: str, handle: str, key: str, file: DataFile) -> None:
        """Makes the synced `file` its part's bytes, in the place of others. Raises NoSuchUpload."""
        label = str(file.part.number)
        with self._files.failures(bucket):
            aside = self._files.write_aside(bucket, json.dumps(encode_file(file)).encode())
            try:
                with self._files.locks.bucket(bucket), self._files.locks.upload(handle):
                    self.load(bucket, handle, key)
                    replaced = self._json(bucket, handle, label)
                    directory = self._files.place(bucket, aside, _path(handle) + b"/" + label.encode())
            except BaseException:
                self._files.remove_aside(bucket, aside)
                raise
            directory.sync()
            if replaced is not None:
                self._files.discard(bucket, [decode_file(replaced)])

    def drop(self, bucket: str, handle: str, *, keep: Sequence[DataFile] = ()) -> None:
        """Ends an upload in one durable step, and removes what was staged except `keep`. Does nothing where none is."""
        directory = self._directory(bucket, handle)
        if not os.path.isdir(directory):
            return
        kept = {file.name for file in keep}
        unused = [file for file in self.parts(bucket, handle).values() if file.name not in kept]
        ended = self._files.bucket_path(bucket) + b"/" + TMP + b"/" + self._files.writer.new_name().encode()
        with contextlib.suppress(FileNotFoundError):
            os.rename(directory, ended)
        sync_directory(directory.rpartition(b"/")[0])
        shutil.rmtree(ended, ignore_errors=True)
        for file in unused:
            self._files.discard(bucket, [file])

    def _directory(self, bucket: str, handle: str) -> bytes:
        return self._files.bucket_path(bucket) + b"/" + _path(handle)

    def _json(self, bucket: str, handle: str, name: str) -> Any:
        """A file's content, or None where it is missing or was never finished."""
        with (
            contextlib.suppress(FileNotFoundError, ValueError),
            open(self._directory(bucket, handle) + b"/" + name.encode(), "rb") as file,
        ):
            return json.load(file)
        return None


def _path(handle: str) -> bytes:
    return UPLOADS + b"/" + handle.encode()


def _write_head(directory: Directory, head: dict[str, object]) -> None:
    write_file(directory, _HEAD, json.dumps(head).encode())
    directory.sync()
