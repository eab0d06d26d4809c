"""Buckets at the clouds, as the platform makes, flags and validates them: one shape, a file for each cloud.

Every cloud is spoken to by its official SDK, which is imported when the first account of its kind is reached. An SDK
tries once: what failed is the caller's to repeat.
"""

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bridge_node.errors import BackendRefused, BackendTimeout
from bridge_node.platform.clouds.base import Account, Cloud, Flags, Kind
from bridge_node.platform.clouds.reach import check_endpoint

__all__ = ["Account", "Cloud", "Flags", "Kind", "reached"]

DEADLINE_SECONDS = 20.0
"""For everything that is done with a cloud at one go, connecting included."""

_MODULES: Mapping[Kind, str] = {"s3": "s3", "gcs": "gcs", "azure": "azure"}


@asynccontextmanager
async def reached(account: Account, *, seconds: float = DEADLINE_SECONDS) -> AsyncIterator[Cloud]:
    """The cloud of `account`, for as long as the deadline allows.

    Raises BackendTimeout at its end, BackendRefused without credentials (an SDK would look for those of this host,
    promise 18), BackendUnreachable for an address that may not be named (promise 19), and what `Cloud` raises.
    """
    if not account.key or not account.secret:
        raise BackendRefused("There are no credentials.", reason="no_credentials")
    check_endpoint(account)
    module = await asyncio.to_thread(importlib.import_module, f"{__name__}.{_MODULES[account.kind]}")
    opened: Callable[[Account], AbstractAsyncContextManager[Cloud]] = module.opened
    try:
        async with asyncio.timeout(seconds), opened(account) as cloud:
            yield cloud
    except TimeoutError as error:
        raise BackendTimeout("The cloud did not answer in time.", reason="deadline") from error
