"""Who may do what at the same time: between threads, workers and nodes, all by flock on files of the node's own.

The order in which one thread takes them: bucket, upload, key.
"""

import contextlib
import fcntl
import itertools
import os
import secrets
import socket
import zlib
from collections.abc import Iterator
from pathlib import Path

from bridge_node.backends.local.layout import OWN

_STRIPES = 256


class RootUnusable(Exception):
    """A directory that cannot be a root of local buckets; the message says which and why, for the operator."""


class Held:
    """This node's hold on a root, until it is closed or the process ends."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def hold_root(root: Path) -> Held:
    """Takes `root` for this process and its children; the supervisor does so before it starts workers.

    Raises RootUnusable when it is no directory, its file system folds case, or another node holds it.
    """
    own = _own_directory(root)
    fd = os.open(own / "node.lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _locked(fd):
        holder = os.pread(fd, 256, 0).decode(errors="replace").strip()
        os.close(fd)
        raise RootUnusable(f"{root} is held by another node (host and process {holder or 'unknown'})")
    os.ftruncate(fd, 0)
    os.pwrite(fd, _name_of(os.getpid()), 0)
    return Held(fd)


def share_root(root: Path) -> Held:
    """What a backend does: holds `root`, unless this process or its parent, the supervisor, holds it already."""
    try:
        return hold_root(root)
    except RootUnusable:
        lock = root / os.fsdecode(OWN) / "node.lock"
        holder = lock.read_bytes() if lock.exists() else b""
        if holder not in (_name_of(os.getpid()), _name_of(os.getppid())):
            raise
        return Held(-1)


def _name_of(process: int) -> bytes:
    return f"{socket.gethostname()} {process}".encode()


def _own_directory(root: Path) -> Path:
    if not root.is_dir():
        raise RootUnusable(f"{root} is not a directory")
    own = root / os.fsdecode(OWN)
    try:
        for name in ("", "locks", "writers", "faults"):
            (own / name).mkdir(mode=0o700, exist_ok=True)
        probe = own / f"Case-{secrets.token_hex(8)}"
        probe.touch()
        folds = (own / probe.name.lower()).exists()
        probe.unlink()
    except OSError as error:
        raise RootUnusable(f"{root} cannot be written to: {error.strerror}") from error
    if folds:
        raise RootUnusable(f"{root} is on a file system that folds case; keys would overwrite each other")
    return own


class Locks:
    """Locks by name, spread over a fixed number of files: two names may share one, which only costs time."""

    def __init__(self, root: Path) -> None:
        self._directory = os.fsencode(root) + b"/" + OWN + b"/locks/"

    def bucket(self, bucket: str, *, exclusive: bool = False) -> contextlib.AbstractContextManager[None]:
        """Shared by everything that adds to a bucket, exclusive for its deletion."""
        return self._held(b"bucket", bucket, fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH)

    def upload(self, handle: str) -> contextlib.AbstractContextManager[None]:
        return self._held(b"upload", handle, fcntl.LOCK_EX)

    def key(self, bucket: str, key: str) -> contextlib.AbstractContextManager[None]:
        """Around every look at a key's record that decides about a change to it."""
        return self._held(b"key", f"{bucket}/{key}", fcntl.LOCK_EX)

    @contextlib.contextmanager
    def _held(self, kind: bytes, name: str, mode: int) -> Iterator[None]:
        stripe = zlib.crc32(name.encode()) % _STRIPES
        fd = os.open(b"%s%s-%d" % (self._directory, kind, stripe), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(fd, mode)
            yield
        finally:
            os.close(fd)


class Writer:
    """One backend instance that writes below a root; every file that it makes carries its id.

    Its own file is locked while it lives, so that a sweep can tell what is being written from what was left behind,
    and removed when it ends in order, so that a sweep is only needed after one that did not.
    """

    NEW = ".new"
    """Suffix of a writer's file until it is locked: a sweep must never meet it unlocked."""

    def __init__(self, root: Path) -> None:
        self.id = secrets.token_hex(8)
        self._path = root / os.fsdecode(OWN) / "writers" / self.id
        new = self._path.with_suffix(self.NEW)
        self._fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        new.rename(self._path)
        self._made = itertools.count(1)

    def new_name(self) -> str:
        """A name that no file on this root ever had or will have."""
        return f"{self.id}-{next(self._made):x}"

    def close(self, *, in_order: bool) -> None:
        if in_order:
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def writer_of(name: str) -> str:
    """The id of the writer that made a file of this name."""
    return name.rpartition(".")[2].partition("-")[0]


@contextlib.contextmanager
def exclusively(path: bytes | Path) -> Iterator[bool]:
    """Holds a file exclusively; False where somebody else holds it. Raises FileNotFoundError."""
    fd = os.open(path, os.O_RDWR)
    try:
        yield _locked(fd)
    finally:
        os.close(fd)


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: bytes | Path) -> bool:
    """Whether somebody holds a lock on this file, exclusive or shared; nobody holds one that is not there."""
    try:
        with exclusively(path) as held:
            return not held
    except FileNotFoundError:
        return False
