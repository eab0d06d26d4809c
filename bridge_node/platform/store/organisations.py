"""Organisations: what everything else belongs to."""

from dataclasses import dataclass

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import organisations
from bridge_node.platform.store import revisions
from bridge_node.platform.store.sql import made


@dataclass(frozen=True, slots=True)
class Organisation:
    id: str
    name: str
    repos_disabled: bool
    assigns_repositories: bool
    created_at: int


async def every(connection: AsyncConnection) -> list[Organisation]:
    """For the operator: nobody else sees more than their own. Oldest first."""
    return [
        made(Organisation, row) for row in await connection.execute(select(organisations).order_by(organisations.c.id))
    ]


async def lock_all(connection: AsyncConnection) -> None:
    """Nobody else adds one before this transaction ends. SQLite lets one transaction write at a time anyway."""
    if connection.dialect.name == "postgresql":
        await connection.exec_driver_sql("LOCK TABLE organisations IN SHARE ROW EXCLUSIVE MODE")


async def lock(connection: AsyncConnection, organisation_id: str) -> None:
    """Whoever else locks it waits for the end of this transaction."""
    wanted = select(organisations.c.id).where(organisations.c.id == organisation_id)
    await connection.execute(wanted.with_for_update(key_share=True))


async def with_id(connection: AsyncConnection, organisation_id: str) -> Organisation | None:
    row = (await connection.execute(select(organisations).where(organisations.c.id == organisation_id))).one_or_none()
    return made(Organisation, row) if row else None


async def change(connection: AsyncConnection, organisation_id: str, **values: str | bool) -> None:
    """New values of some columns, which the documents of all its repositories may show."""
    await connection.execute(update(organisations).where(organisations.c.id == organisation_id).values(values))
    await revisions.organisation_changed(connection, organisation_id)


async def add(connection: AsyncConnection, organisation_id: str, name: str, now: int) -> None:
    await connection.execute(insert(organisations).values(id=organisation_id, name=name, created_at=now))
