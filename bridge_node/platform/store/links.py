"""Provider keys that are linked to repositories: a note for people, which no node acts upon."""

from dataclasses import dataclass

from sqlalchemy import and_, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repository_provider_keys
from bridge_node.platform.store.sql import insert, made

_links = repository_provider_keys.c


@dataclass(frozen=True, slots=True)
class Link:
    id: str
    repository_id: str
    provider_key_id: str
    created_at: int


async def of(connection: AsyncConnection, repository_id: str) -> list[Link]:
    """Newest first."""
    wanted = select(repository_provider_keys).where(_links.repository_id == repository_id)
    return [made(Link, row) for row in await connection.execute(wanted.order_by(_links.id.desc()))]


async def add(connection: AsyncConnection, link: Link) -> bool:
    """Whether both were not linked before."""
    row = insert(connection, repository_provider_keys).values(
        id=link.id,
        repository_id=link.repository_id,
        provider_key_id=link.provider_key_id,
        created_at=link.created_at,
    )
    added = await connection.execute(row.on_conflict_do_nothing().returning(_links.id))
    return added.one_or_none() is not None


async def between(connection: AsyncConnection, repository_id: str, provider_key_id: str) -> str:
    """The id of the link of both. Raises NoResultFound."""
    both = and_(_links.repository_id == repository_id, _links.provider_key_id == provider_key_id)
    found: str = (await connection.execute(select(_links.id).where(both))).scalar_one()
    return found


async def remove(connection: AsyncConnection, repository_id: str, link_id: str) -> bool:
    """Whether there was such a link."""
    gone = delete(repository_provider_keys).where(_links.repository_id == repository_id, _links.id == link_id)
    return (await connection.execute(gone)).rowcount > 0
