"""After the master key was changed: what is sealed under a predecessor is wrapped anew, until none needs it.

Only the wrapping of data keys changes, so no document does. Every batch is a transaction of its own: the work may be
interrupted, begun again, and done by several processes at once.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

import structlog

from bridge_node.platform.database import Database, DatabaseUnavailable
from bridge_node.platform.store import sealed
from bridge_node.platform.vault import Vault

log = structlog.get_logger()

BATCH = 200
PAUSE_SECONDS = 0.05
"""Between batches, for everybody else who writes."""
AGAIN_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Progress:
    """So far, of all that was outdated at the beginning. `unreadable` opens under no key that is known here."""

    done: int
    total: int
    unreadable: int


async def outdated(database: Database, vault: Vault) -> int:
    """How many values still need a predecessor of the master key."""
    async with database.reading() as connection:
        return sum([await sealed.count_outdated(connection, vault, place) for place in sealed.PLACES])


async def rewrap(database: Database, vault: Vault, *, batch: int = BATCH) -> AsyncIterator[Progress]:
    """Wraps everything anew that can be; tells after each batch how far it is. Raises DatabaseUnavailable."""
    total, done, unreadable = await outdated(database, vault), 0, 0
    for place in sealed.PLACES:
        after: str | None = ""
        while after is not None:
            async with database.transaction() as connection:
                made = await sealed.rewrap_batch(connection, vault, place, after, batch)
            after, done, unreadable = made.last, done + made.rewrapped, unreadable + made.unreadable
            if made.last is not None:
                yield Progress(done, total, unreadable)
                await asyncio.sleep(PAUSE_SECONDS)


async def rewrap_in_background(database: Database, vault: Vault) -> None:
    """What a serving platform does of it by itself, as long as it knows predecessors."""
    while vault.knows_predecessors:
        try:
            async for progress in rewrap(database, vault):
                log.info("secrets_rewrapped", done=progress.done, total=progress.total, unreadable=progress.unreadable)
        except DatabaseUnavailable as error:
            log.warning("rewrapping_postponed", error=str(error))
        await asyncio.sleep(AGAIN_SECONDS)
