"""Handing out an object's bytes, without a thread while they are in memory already.

The event loop reads by itself only what the page cache holds: it asks with RWF_NOWAIT, and whatever would wait for the
disk is read in a thread.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence

from bridge_node.backends.local import records
from bridge_node.backends.local.disk import disk_errors, failure
from bridge_node.backends.local.records import INLINE_LIMIT, DataFile, Head, Record
from bridge_node.backends.local.threads import Threads
from bridge_node.body import ByteSource, BytesSource
from bridge_node.errors import BackendMisbehaved

_NOWAIT: int | None = getattr(os, "RWF_NOWAIT", None)
_WARM_PIECE = 256 * 1024
_COLD_PIECE = 1024 * 1024
_SEQUENTIAL_FROM = 1024 * 1024
_RECORD_READ = INLINE_LIMIT + 16 * 1024


class WarmReader:
    """Reads records on the event loop when that does not wait. Not for threads: it has one buffer."""

    def __init__(self) -> None:
        self._buffer = bytearray(_RECORD_READ)
        self._view = memoryview(self._buffer)
        self._buffers = [self._buffer]

    def record(self, path: bytes, key: str) -> Record | None:
        """The record at `path`, or None where it is missing, large or not in memory: then ask in a thread."""
        view = self._read(path)
        head = records.read_head(view) if view is not None else None
        if head is None or view is None or len(view) < head.body_stop:
            return None
        return records.read_record(key, head, view)

    def head(self, path: bytes) -> Head | None:
        """Like `record`, for the head alone."""
        view = self._read(path)
        return records.read_head(view) if view is not None else None

    def _read(self, path: bytes) -> memoryview | None:
        if _NOWAIT is None:
            return None
        try:
            fd = os.open(path, os.O_RDONLY)
        except OSError:
            return None
        try:
            return self._view[: os.preadv(fd, self._buffers, 0, _NOWAIT)]
        except OSError:
            return None
        finally:
            os.close(fd)


class FileSource:
    """The bytes from `start` to `stop` of a data file. Closes `fd` when it ends or is aborted."""

    __slots__ = ("_at", "_stop", "_threads", "fd", "size", "started")

    def __init__(self, threads: Threads, fd: int, start: int, stop: int) -> None:
        self._threads = threads
        self.fd = fd
        self._at = start
        self._stop = stop
        self.size: int = stop - start
        self.started = False

    def read_nowait(self) -> bytes | None:
        size = min(_WARM_PIECE, self._stop - self._at)
        if size == 0:
            self._close()
            return b""
        if self.fd < 0 or not _in_memory(self.fd, self._at, size):
            return None
        try:
            return self._taken(os.pread(self.fd, size, self._at))
        except OSError as error:
            raise failure(error) from error

    async def read(self) -> bytes:
        data = self.read_nowait()
        if data is not None:
            return data
        if self.fd < 0:
            raise BackendMisbehaved(reason="read_after_abort")
        with disk_errors():
            size = min(_COLD_PIECE, self._stop - self._at)
            return self._taken(await self._threads.run(os.pread, self.fd, size, self._at))

    def abort(self, error: BaseException) -> None:
        self._close()

    def _taken(self, data: bytes) -> bytes:
        if not data:
            self._close()
            raise records.damaged()
        self.started = True
        self._at += len(data)
        return data

    def _close(self) -> None:
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class PartsSource:
    """The bytes of several data files, one after the other. They cannot be removed until `guard` is closed."""

    __slots__ = ("_current", "_guard", "_pieces", "_threads", "size", "started")

    def __init__(self, threads: Threads, guard: int, pieces: Sequence[tuple[bytes, int, int]]) -> None:
        self._threads = threads
        self._guard = guard
        self._pieces = iter(pieces)
        self._current: ByteSource = BytesSource(b"")
        self.size: int = sum(stop - start for _, start, stop in pieces)
        self.started = False

    def read_nowait(self) -> bytes | None:
        while not (data := self._current.read_nowait()):
            if data is None or not self._advance():
                return data
        self.started = True
        return data

    async def read(self) -> bytes:
        while not (data := await self._current.read()):
            if not self._advance():
                return b""
        self.started = True
        return data

    def abort(self, error: BaseException) -> None:
        self._current.abort(error)
        self._pieces = iter(())
        self._release()

    def _advance(self) -> bool:
        """Goes on to the next file; False at the end."""
        piece = next(self._pieces, None)
        if piece is None:
            self._release()
            return False
        path, start, stop = piece
        with disk_errors():
            self._current = FileSource(self._threads, os.open(path, os.O_RDONLY), start, stop)
        return True

    def _release(self) -> None:
        guard, self._guard = self._guard, -1
        if guard >= 0:
            os.close(guard)


def open_bytes(threads: Threads, data: bytes, record: Record, start: int, stop: int) -> ByteSource | None:
    """The object's bytes from `start` to `stop`; None where its files have been displaced since `record` was read.

    `data` is the path of the bucket's data directory, with a slash at its end.
    """
    if not record.files:
        return BytesSource(record.inline if stop - start == record.info.size else record.inline[start:stop])
    try:
        first = _open_checked(data, record.files[0])
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failure(error) from error
    if len(record.files) == 1:
        if stop - start >= _SEQUENTIAL_FROM:
            os.posix_fadvise(first, start, stop - start, os.POSIX_FADV_SEQUENTIAL)
        return FileSource(threads, first, start, stop)
    if not _guarded(first):
        os.close(first)
        return None
    return PartsSource(threads, first, list(_pieces(data, record.files, start, stop)))


def _open_checked(data: bytes, file: DataFile) -> int:
    fd = os.open(data + file.name.encode(), os.O_RDONLY)
    if os.fstat(fd).st_size != file.size:
        os.close(fd)
        raise BackendMisbehaved(reason="data_file_damaged")
    return fd


def _guarded(fd: int) -> bool:
    """Locks an object's first file against its removal (see `Files.discard`); False when that has begun."""
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(fd).st_nlink > 0


def _pieces(data: bytes, files: Sequence[DataFile], start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Path, start and stop of every file's share in the bytes from `start` to `stop`."""
    begin = 0
    for file in files:
        first, last = max(start, begin), min(stop, begin + file.size)
        if first < last:
            yield data + file.name.encode(), first - begin, last - begin
        begin += file.size


_byte = [bytearray(1)]


def _in_memory(fd: int, start: int, size: int) -> bool:
    """Whether the first and the last of these bytes are in the page cache; read-ahead brings what lies between."""
    if _NOWAIT is None:
        return False
    with contextlib.suppress(OSError):
        return os.preadv(fd, _byte, start + size - 1, _NOWAIT) == 1 and os.preadv(fd, _byte, start, _NOWAIT) == 1
    return False
