"""Workspaces: parts of an organisation, each with members of its own."""

from dataclasses import dataclass
from typing import Literal

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import members, workspaces
from bridge_node.platform.store.sql import made

Membership = Literal["READ", "WRITE", "ADMIN"]


@dataclass(frozen=True, slots=True)
class Workspace:
    id: str
    organisation_id: str
    name: str
    created_at: int
    deleted_at: int | None


async def of(connection: AsyncConnection, organisation_id: str) -> list[Workspace]:
    """Live ones, oldest first."""
    live = (workspaces.c.organisation_id == organisation_id, workspaces.c.deleted_at.is_(None))
    wanted = select(workspaces).where(*live).order_by(workspaces.c.id)
    return [made(Workspace, row) for row in await connection.execute(wanted)]


async def with_id(
    connection: AsyncConnection, organisation_id: str, workspace_id: str, *, lock: bool = False
) -> Workspace | None:
    """A live one of this organisation; with `lock`, it is neither changed nor deleted before this transaction ends."""
    live = (workspaces.c.organisation_id == organisation_id, workspaces.c.deleted_at.is_(None))
    wanted = select(workspaces).where(workspaces.c.id == workspace_id, *live)
    row = (await connection.execute(wanted.with_for_update(read=True) if lock else wanted)).one_or_none()
    return made(Workspace, row) if row else None


async def add(connection: AsyncConnection, workspace_id: str, organisation_id: str, name: str, now: int) -> None:
    """Raises IntegrityError for a name that is taken."""
    row = insert(workspaces).values(id=workspace_id, organisation_id=organisation_id, name=name, created_at=now)
    await connection.execute(row)


async def access_of(connection: AsyncConnection, user_id: str) -> dict[str, Membership]:
    """What a user may do in each live workspace that they are a member of."""
    wanted = (
        select(members.c.workspace_id, members.c.access)
        .join(workspaces, workspaces.c.id == members.c.workspace_id)
        .where(members.c.user_id == user_id, workspaces.c.deleted_at.is_(None))
    )
    return {row.workspace_id: row.access for row in await connection.execute(wanted)}


async def add_member(connection: AsyncConnection, workspace_id: str, user_id: str, access: Membership) -> None:
    """Raises IntegrityError for somebody who is a member already."""
    await connection.execute(insert(members).values(workspace_id=workspace_id, user_id=user_id, access=access))
