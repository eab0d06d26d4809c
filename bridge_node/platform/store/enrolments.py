"""The nodes' own keys, and the platform's key that nodes pin."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import insert as new
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import enrolments, nodes, platform_keys
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.sql import among, insert, made

Jwk = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Enrolment:
    """One pair of public keys of a node. It works once it is approved and until it is revoked."""

    node_id: str
    thumbprint: str
    sign: Jwk
    seal: Jwk
    created_at: int
    approved_at: int | None
    revoked_at: int | None

    @property
    def works(self) -> bool:
        return self.approved_at is not None and self.revoked_at is None


async def with_thumbprint(connection: AsyncConnection, thumbprint: str) -> Enrolment | None:
    rows = await connection.execute(select(enrolments).where(enrolments.c.thumbprint == thumbprint))
    row = rows.one_or_none()
    return made(Enrolment, row) if row else None


async def signers(connection: AsyncConnection, thumbprints: Collection[str]) -> dict[str, tuple[Node, Enrolment]]:
    """The nodes that have the keys of these names, and the keys."""
    ours = [column.label(f"node_{column.name}") for column in nodes.columns]
    wanted = select(enrolments, *ours).join(nodes, nodes.c.id == enrolments.c.node_id)
    rows = await connection.execute(wanted.where(among(connection, enrolments.c.thumbprint, thumbprints)))
    width = len(enrolments.columns)
    return {row.thumbprint: (Node(*row[width:]), Enrolment(*row[:width])) for row in rows}


async def of(connection: AsyncConnection, *node_ids: str) -> list[Enrolment]:
    """All that these nodes ever had, newest first."""
    wanted = select(enrolments).where(enrolments.c.node_id.in_(node_ids))
    rows = await connection.execute(wanted.order_by(enrolments.c.created_at.desc()))
    return [made(Enrolment, row) for row in rows]


async def put(connection: AsyncConnection, enrolment: Enrolment) -> None:
    """Adds an enrolment, or takes the same keys up again."""
    row = insert(connection, enrolments).values(
        node_id=enrolment.node_id,
        thumbprint=enrolment.thumbprint,
        sign=enrolment.sign,
        seal=enrolment.seal,
        created_at=enrolment.created_at,
        approved_at=enrolment.approved_at,
        revoked_at=enrolment.revoked_at,
    )
    again = {"approved_at": enrolment.approved_at, "revoked_at": enrolment.revoked_at}
    await connection.execute(row.on_conflict_do_update(index_elements=["node_id", "thumbprint"], set_=again))


async def approve(connection: AsyncConnection, enrolment: Enrolment, now: int) -> None:
    """Lets the keys of `enrolment` work, and those of its node's other enrolments no longer."""
    await revoke(connection, enrolment.node_id, now, but=enrolment.thumbprint)
    mine = enrolments.c.thumbprint == enrolment.thumbprint
    await connection.execute(update(enrolments).where(mine).values(approved_at=now, revoked_at=None))


async def revoke(connection: AsyncConnection, node_id: str, now: int, *, but: str = "") -> None:
    others = (enrolments.c.node_id == node_id, enrolments.c.thumbprint != but, enrolments.c.revoked_at.is_(None))
    await connection.execute(update(enrolments).where(*others).values(revoked_at=now))


@dataclass(frozen=True, slots=True)
class PlatformKey:
    id: str
    public: Jwk
    secret_sealed: bytes


async def platform_keys_in_use(connection: AsyncConnection) -> list[PlatformKey]:
    """Oldest first: the first one signs, all of them are pinned."""
    wanted = select(platform_keys).where(platform_keys.c.retired_at.is_(None))
    rows = await connection.execute(wanted.order_by(platform_keys.c.created_at, platform_keys.c.id))
    return [PlatformKey(row.id, row.public, row.secret_sealed) for row in rows]


async def lock_platform_keys(connection: AsyncConnection) -> None:
    """Nobody else adds one before this transaction ends. SQLite lets one transaction write at a time anyway."""
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql("LOCK TABLE platform_keys IN SHARE ROW EXCLUSIVE MODE")


async def add_platform_key(connection: AsyncConnection, key: PlatformKey, now: int) -> None:
    row = new(platform_keys).values(id=key.id, public=key.public, secret_sealed=key.secret_sealed, created_at=now)
    await connection.execute(row)
