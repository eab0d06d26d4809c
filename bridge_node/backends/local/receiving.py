"""Taking in the bytes of a body: small ones stay in memory, large ones go to a data file while the next come in."""

import contextlib
import errno
import os
from collections.abc import Callable
from concurrent.futures import Future

from bridge_node.backends.assembly import Digests
from bridge_node.backends.local.disk import Directory, create, sync, write_all
from bridge_node.backends.local.files import Files
from bridge_node.backends.local.layout import DATA
from bridge_node.backends.local.threads import Threads, finished
from bridge_node.body import ByteSource
from bridge_node.errors import IncompleteBody

_NO_KERNEL_COPY = frozenset({errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})
_BATCH = 512 * 1024
"""Bytes that one visit to a thread hashes and writes; twice as many are in memory at most."""
_KERNEL_PIECE = 64 * 1024 * 1024


class Draft:
    """A data file that nothing names yet. Its methods block; one thread at a time calls them."""

    def __init__(self, files: Files, bucket: str, digests: Digests) -> None:
        self.name = files.writer.new_name()
        self._files = files
        self._bucket = bucket
        self._digests = digests
        self._fd = -1

    def open(self) -> None:
        with self._files.failures(self._bucket):
            self._fd = self._files.within(self._bucket, DATA, lambda directory: create(directory, self.name.encode()))

    def write(self, pieces: list[bytes]) -> None:
        with self._files.failures(self._bucket):
            for piece in pieces:
                self._digests.update(piece)
                write_all(self._fd, piece)

    def copy(self, source: int, start: int, size: int) -> int:
        """Lets the kernel append up to `size` bytes of another file, sharing them on disk where it can.

        Returns 0 where it cannot copy between these two.
        """
        with self._files.failures(self._bucket):
            try:
                return os.copy_file_range(source, self._fd, size, offset_src=start)
            except OSError as error:
                if error.errno in _NO_KERNEL_COPY:
                    return 0
                raise

    def finish(self) -> None:
        """The bytes and the file's name are durable."""
        with self._files.failures(self._bucket):
            sync(self._fd)
            self._close()
            self._files.within(self._bucket, DATA, Directory.sync)

    def discard(self) -> None:
        """Never fails: what stays is left to a sweep."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            os.unlink(self._files.bucket_path(self._bucket) + b"/%s/%s" % (DATA, self.name.encode()))

    def _close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


async def receive_small(source: ByteSource, digests: Digests) -> bytes:
    """The whole body, in memory."""
    pieces: list[bytes] = []
    while piece := await _next(source):
        pieces.append(piece)
        digests.update(piece)
    _check_size(source, digests)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def receive(
    files: Files, threads: Threads, bucket: str, source: ByteSource, digests: Digests, *, verify: Callable[[], None]
) -> Draft:
    """The whole body in a durable data file, once `verify` had nothing against it.

    When this raises there is no file.
    """
    draft = Draft(files, bucket, digests)
    writing: Future[None] | None = None
    try:
        await threads.run(draft.open)
        while batch := await _next_batch(source):
            if writing is not None:
                await finished(writing)
            writing = threads.start(draft.write, batch)
        if writing is not None:
            await finished(writing)
        _check_size(source, digests)
        verify()
        await threads.run(draft.finish)
    except BaseException:
        if writing is not None:
            with contextlib.suppress(Exception):
                await finished(writing)
        await threads.run_through(draft.discard)
        raise
    return draft


async def copy_file(files: Files, threads: Threads, bucket: str, source: int, size: int) -> Draft | None:
    """A durable copy of the file open as `source`, made by the kernel; None where it cannot."""
    draft = Draft(files, bucket, Digests(None))
    try:
        await threads.run(draft.open)
        at = 0
        while at < size:
            copied = await threads.run(draft.copy, source, at, min(_KERNEL_PIECE, size - at))
            if copied == 0:
                await threads.run_through(draft.discard)
                return None
            at += copied
        await threads.run(draft.finish)
    except BaseException:
        await threads.run_through(draft.discard)
        raise
    return draft


async def _next_batch(source: ByteSource) -> list[bytes]:
    """At least `_BATCH` bytes, or what is left."""
    batch: list[bytes] = []
    size = 0
    while size < _BATCH and (piece := await _next(source)):
        batch.append(piece)
        size += len(piece)
    return batch


async def _next(source: ByteSource) -> bytes:
    data = source.read_nowait()
    return await source.read() if data is None else data


def _check_size(source: ByteSource, digests: Digests) -> None:
    if source.size is not None and digests.size != source.size:
        raise IncompleteBody
