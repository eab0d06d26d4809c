"""Statistics that are old enough to be forgotten."""

from sqlalchemy import Table, delete, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import nodes

ROWS_AT_ONCE = 5000


async def forget(connection: AsyncConnection, table: Table, time: str, before: int) -> bool:
    """Deletes rows of a time before `before`, as many as one transaction should; whether there may be more.

    They are found node by node, which is an index that every table of statistics has.
    """
    key = list(table.primary_key)
    old = (
        select(*key)
        .where(table.c.node_id.in_(select(nodes.c.id)), table.c[time] < before)
        .limit(ROWS_AT_ONCE)
        .with_for_update(skip_locked=True, of=table)
    )
    gone = await connection.execute(delete(table).where(tuple_(*key).in_(old)))
    return gone.rowcount >= ROWS_AT_ONCE
