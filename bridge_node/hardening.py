"""Keeps what the process knows inside it (promise 21)."""

import contextlib
import ctypes
import resource
import sys

_PR_SET_DUMPABLE = 4


def keep_secrets_in_memory() -> None:
    """No core dumps, and no reading of this process's memory by others of the same user (prctl(2))."""
    with contextlib.suppress(OSError):  # a sandbox may forbid it; the next line does without
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
