"""Nodes. A node is (organisation, ip); what it was stays when it is deleted."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, case, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import assignments, enrolments, nodes, organisations, repository_buckets
from bridge_node.platform.store.sql import among, insert, made


@dataclass(frozen=True, slots=True)
class Node:
    id: str
    organisation_id: str
    ip: str
    region: str
    version: str
    status: str
    provider: str
    url: str
    services: int
    config_version: int
    created_at: int
    seen_at: int
    unregistered_at: int | None
    deleted_at: int | None

    @property
    def registered(self) -> bool:
        return self.deleted_at is None and self.unregistered_at is None


@dataclass(frozen=True, slots=True)
class Description:
    """What a node says about itself when it registers."""

    region: str
    version: str
    status: str
    provider: str
    url: str
    services: int


_REGISTERED = and_(nodes.c.deleted_at.is_(None), nodes.c.unregistered_at.is_(None))


async def named(connection: AsyncConnection, organisation_id: str, ip: str, *, lock: bool = False) -> Node | None:
    """The node of that name, deleted ones too; with `lock`, nobody else changes it before this transaction ends."""
    return await _one(connection, and_(nodes.c.organisation_id == organisation_id, nodes.c.ip == ip), lock=lock)


async def with_id(connection: AsyncConnection, node_id: str) -> Node | None:
    return await _one(connection, nodes.c.id == node_id)


async def with_ids(connection: AsyncConnection, ids: Collection[str]) -> list[Node]:
    rows = await connection.execute(select(nodes).where(nodes.c.id.in_(ids)))
    return [made(Node, row) for row in rows]


async def of_organisation(connection: AsyncConnection, organisation_id: str, id_or_ip: str) -> Node | None:
    """A node of an organisation by its id or by its name: the contract's documents name it either way."""
    by_either = or_(nodes.c.id == id_or_ip, nodes.c.ip == id_or_ip)
    return await _one(connection, and_(nodes.c.organisation_id == organisation_id, by_either))


async def _one(connection: AsyncConnection, condition: ColumnElement[bool], *, lock: bool = False) -> Node | None:
    wanted = select(nodes).where(condition).limit(1)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    return made(Node, row) if row else None


async def registered(connection: AsyncConnection, *organisation_ids: str, services: int = 0) -> list[Node]:
    """Registered nodes of these organisations, newest first; with `services`, those that offer one of them."""
    wanted = select(nodes).where(_REGISTERED, nodes.c.organisation_id.in_(organisation_ids))
    if services:
        wanted = wanted.where(nodes.c.services.bitwise_and(services) != 0)
    rows = await connection.execute(wanted.order_by(nodes.c.id.desc()))
    return [made(Node, row) for row in rows]


async def living(connection: AsyncConnection, *organisation_ids: str) -> list[Node]:
    """Nodes of these organisations that were not deleted, those that left as well."""
    wanted = select(nodes).where(nodes.c.deleted_at.is_(None), nodes.c.organisation_id.in_(organisation_ids))
    return [made(Node, row) for row in await connection.execute(wanted)]


async def listening(
    connection: AsyncConnection, organisation_id: str, since: int, most: int, *, bucket_id: str | None
) -> list[Node]:
    """Enrolled nodes of an organisation that were heard of since then: the ones that take tasks. Last heard first.

    Where the organisation assigns repositories, only those that were assigned one with this bucket: no other may know
    what reaches it.
    """
    enrolled = select(enrolments.c.node_id).where(
        enrolments.c.approved_at.is_not(None), enrolments.c.revoked_at.is_(None)
    )
    assigns = select(organisations.c.assigns_repositories).where(organisations.c.id == organisation_id)
    serving = (
        select(assignments.c.node_id)
        .join(repository_buckets, repository_buckets.c.repository_id == assignments.c.repository_id)
        .where(repository_buckets.c.bucket_id == bucket_id, repository_buckets.c.deleted_at.is_(None))
    )
    heard = (
        select(nodes)
        .where(_REGISTERED, nodes.c.organisation_id == organisation_id, nodes.c.seen_at >= since)
        .where(nodes.c.id.in_(enrolled), or_(not_(assigns.scalar_subquery()), nodes.c.id.in_(serving)))
        .order_by(nodes.c.seen_at.desc(), nodes.c.id.desc())
        .limit(most)
    )
    return [made(Node, row) for row in await connection.execute(heard)]


async def add(
    connection: AsyncConnection, node_id: str, organisation_id: str, ip: str, said: Description, now: int
) -> bool:
    """Whether there was no node of that name, not even a deleted one."""
    row = insert(connection, nodes).values(
        id=node_id, organisation_id=organisation_id, ip=ip, created_at=now, seen_at=now, **_row(said)
    )
    added = await connection.execute(row.on_conflict_do_nothing().returning(nodes.c.id))
    return added.one_or_none() is not None


async def register_again(connection: AsyncConnection, node_id: str, said: Description, now: int) -> None:
    """Takes up what a known node says now, and brings it back if it had left."""
    again = update(nodes).where(nodes.c.id == node_id)
    await connection.execute(again.values(seen_at=now, unregistered_at=None, deleted_at=None, **_row(said)))


def _row(said: Description) -> dict[str, str | int]:
    return {
        "region": said.region,
        "version": said.version,
        "status": said.status,
        "provider": said.provider,
        "url": said.url,
        "services": said.services,
    }


async def seen(connection: AsyncConnection, node_id: str, now: int) -> None:
    await connection.execute(update(nodes).where(nodes.c.id == node_id).values(seen_at=now))


async def unregister(connection: AsyncConnection, node_id: str, now: int) -> None:
    await connection.execute(update(nodes).where(nodes.c.id == node_id).values(unregistered_at=now))


async def remove(connection: AsyncConnection, node_id: str, now: int) -> None:
    await connection.execute(update(nodes).where(nodes.c.id == node_id).values(deleted_at=now))


async def next_config_versions(connection: AsyncConnection, node_ids: Sequence[str], now: int) -> list[int]:
    """For each a number above every one that the node got before, and not below the clock."""
    in_order = select(nodes.c.id).where(among(connection, nodes.c.id, node_ids)).order_by(nodes.c.id).with_for_update()
    following = nodes.c.config_version + 1
    counted = update(nodes).where(nodes.c.id.in_(in_order))
    number = counted.values(config_version=case((following > now, following), else_=now))
    rows = await connection.execute(number.returning(nodes.c.id, nodes.c.config_version))
    versions: dict[str, int] = {row.id: row.config_version for row in rows}
    return [versions[node_id] for node_id in node_ids]
