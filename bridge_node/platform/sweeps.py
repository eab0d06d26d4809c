"""Forgetting: what is remembered for a time only is deleted once a minute."""

import asyncio
from collections.abc import Callable

import structlog

from bridge_node.platform.database import Database, DatabaseUnavailable
from bridge_node.platform.store import batches, grants, nonces

log = structlog.get_logger()

SWEEP_SECONDS = 60.0


async def sweep(database: Database, now_ms: int) -> None:
    """Deletes nonces and calls that are too old to be accepted, batch ids after their thirty days, and old tasks."""
    async with database.transaction() as connection:
        await nonces.sweep(connection, now_ms)
        await batches.sweep(connection, now_ms)
        await grants.sweep(connection, now_ms)


async def sweep_for_ever(database: Database, now_ms: Callable[[], int]) -> None:
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            await sweep(database, now_ms())
        except DatabaseUnavailable as error:
            log.warning("sweep_postponed", error=str(error))
