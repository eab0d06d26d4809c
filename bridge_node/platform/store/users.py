"""People: who they are in their organisation. How they prove it is their issuer's business."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import users
from bridge_node.platform.store.sql import made


@dataclass(frozen=True, slots=True)
class User:
    id: str
    organisation_id: str
    email: str
    name: str
    last_name: str
    role: int
    created_at: int
    deleted_at: int | None


async def of(connection: AsyncConnection, organisation_id: str) -> list[User]:
    """Live ones, oldest first."""
    return await _live(connection, users.c.organisation_id == organisation_id)


async def with_id(connection: AsyncConnection, organisation_id: str, user_id: str) -> User | None:
    """A live one of this organisation."""
    mine = (users.c.organisation_id == organisation_id) & (users.c.id == user_id)
    return next(iter(await _live(connection, mine)), None)


async def with_email(connection: AsyncConnection, email: str) -> User | None:
    """A live one: an address belongs to one person in all organisations."""
    return next(iter(await _live(connection, users.c.email == email)), None)


async def _live(connection: AsyncConnection, condition: ColumnElement[bool]) -> list[User]:
    wanted = select(users).where(condition, users.c.deleted_at.is_(None)).order_by(users.c.id)
    return [made(User, row) for row in await connection.execute(wanted)]


async def add(
    connection: AsyncConnection, user_id: str, organisation_id: str, now: int, *, email: str, name: str, role: int
) -> None:
    """Raises IntegrityError for an address that is taken."""
    row = insert(users).values(
        id=user_id, organisation_id=organisation_id, created_at=now, email=email, name=name, role=role
    )
    await connection.execute(row)
