"""The organisations' public keys."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import node_key_links, nodes, organisation_keys, organisations
from bridge_node.platform.store.sql import insert, made


@dataclass(frozen=True, slots=True)
class OrganisationKey:
    id: str
    organisation_id: str
    public_key: str
    thumbprint: str
    created_at: int


async def of(connection: AsyncConnection, organisation_id: str) -> list[OrganisationKey]:
    """Newest first."""
    wanted = select(organisation_keys).where(organisation_keys.c.organisation_id == organisation_id)
    rows = await connection.execute(wanted.order_by(organisation_keys.c.id.desc()))
    return [made(OrganisationKey, row) for row in rows]


async def nodes_of(connection: AsyncConnection, organisation_id: str) -> list[tuple[str, str]]:
    """Pairs of a key's id and the name of a node that registered with it."""
    rows = await connection.execute(
        select(node_key_links.c.organisation_key_id, nodes.c.ip)
        .join(nodes, nodes.c.id == node_key_links.c.node_id)
        .where(nodes.c.organisation_id == organisation_id)
        .order_by(nodes.c.ip)
    )
    return [(key, ip) for key, ip in rows]


async def count_and_lock(connection: AsyncConnection, organisation_id: str) -> int:
    """How many keys there are; nobody else adds one before this transaction ends."""
    await connection.execute(
        select(organisations.c.id).where(organisations.c.id == organisation_id).with_for_update(key_share=True)
    )
    counted = select(func.count()).where(organisation_keys.c.organisation_id == organisation_id)
    return (await connection.execute(counted)).scalar_one()


async def add(connection: AsyncConnection, key: OrganisationKey) -> None:
    await connection.execute(
        new(organisation_keys).values(
            id=key.id,
            organisation_id=key.organisation_id,
            public_key=key.public_key,
            thumbprint=key.thumbprint,
            created_at=key.created_at,
        )
    )


async def remove(connection: AsyncConnection, organisation_id: str, ids: Sequence[str] | None = None) -> list[str]:
    """Deletes for good, with the links to nodes; the ids of what there was."""
    unwanted = delete(organisation_keys).where(organisation_keys.c.organisation_id == organisation_id)
    if ids is not None:
        unwanted = unwanted.where(organisation_keys.c.id.in_(ids))
    removed = await connection.execute(unwanted.returning(organisation_keys.c.id))
    return list(removed.scalars())


async def link(connection: AsyncConnection, key_id: str, node_id: str) -> None:
    row = insert(connection, node_key_links).values(node_id=node_id, organisation_key_id=key_id)
    await connection.execute(row.on_conflict_do_nothing())


async def unlink(connection: AsyncConnection, node_id: str) -> None:
    await connection.execute(delete(node_key_links).where(node_key_links.c.node_id == node_id))
