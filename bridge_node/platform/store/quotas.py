"""How much of what is limited an organisation has."""

from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import buckets, organisation_keys, repositories


@dataclass(frozen=True, slots=True)
class Used:
    """Live ones."""

    buckets: int
    repositories: int
    organisation_keys: int


async def used(connection: AsyncConnection, organisation_id: str) -> Used:
    counted = [
        select(func.count()).where(table.c.organisation_id == organisation_id, *live).scalar_subquery()
        for table, live in (
            (buckets, [buckets.c.deleted_at.is_(None)]),
            (repositories, [repositories.c.deleted_at.is_(None)]),
            (organisation_keys, []),
        )
    ]
    return Used(*(await connection.execute(select(*counted))).one())
