"""Which reports were counted already."""

from sqlalchemy import delete
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import batches
from bridge_node.platform.store.sql import insert

REMEMBERED_MS = 30 * 24 * 3600 * 1000


async def is_new(connection: AsyncConnection, node_id: str, batch_id: str, now: int) -> bool:
    """Whether a node sends this batch for the first time; from now on it did.

    Of two at the same time, the second waits here until the first one's transaction ends.
    """
    row = insert(connection, batches).values(node_id=node_id, batch_id=batch_id, received_at=now)
    first = await connection.execute(row.on_conflict_do_nothing().returning(batches.c.batch_id))
    return first.one_or_none() is not None


async def sweep(connection: AsyncConnection, now: int) -> None:
    await connection.execute(delete(batches).where(batches.c.received_at < now - REMEMBERED_MS))
