"""Where blocking work is done: a bounded pool of threads that outlives every task waiting for it."""

import asyncio
import contextlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """Runs functions that block on the disk."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="local-disk")

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The result of `work`, done in a thread. When the caller is cancelled, it may not be done at all."""
        return await finished(self._pool.submit(work, *args, **kwargs))

    async def run_through(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `run`, for what must be done whether or not the caller is cancelled: it cleans up after itself."""
        return await finished(self._pool.submit(work, *args, **kwargs), take_back=False)

    def start(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Begins `work`; whoever starts something waits for it with `finished`, in success and in failure."""
        return self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        """Waits for what runs."""
        self._pool.shutdown()


async def finished(work: Future[T], *, take_back: bool = True) -> T:
    """The result of `work`.

    A thread cannot be stopped: when the waiting task is cancelled, `work` is taken back if it may be and no thread has
    begun it, and otherwise waited for, so that nobody closes a file that a thread still writes to.
    """
    waiter = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if take_back:
            work.cancel()
        while not waiter.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([waiter])
        if not waiter.cancelled():
            waiter.exception()  # looked at, so that nobody warns: the caller hears of its cancellation
        raise
