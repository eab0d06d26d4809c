"""Workspaces: parts of an organisation, each with members of its own."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import ColumnElement, and_, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import buckets, members, provider_keys, repositories, users, workspaces
from bridge_node.platform.store.sql import made
from bridge_node.platform.store.users import User

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


async def change(connection: AsyncConnection, workspace_id: str, **values: str | int) -> None:
    """A new `name`, which raises IntegrityError when it is taken, or the time of its end as `deleted_at`."""
    await connection.execute(update(workspaces).where(workspaces.c.id == workspace_id).values(values))


async def holds(connection: AsyncConnection, workspace_id: str) -> bool:
    """Whether there is a live bucket or repository in it, or a provider key."""
    there = (
        select(buckets.c.id).where(buckets.c.workspace_id == workspace_id, buckets.c.deleted_at.is_(None)),
        select(repositories.c.id).where(
            repositories.c.workspace_id == workspace_id, repositories.c.deleted_at.is_(None)
        ),
        select(provider_keys.c.id).where(provider_keys.c.workspace_id == workspace_id),
    )
    return bool((await connection.execute(select(or_(*(one.exists() for one in there))))).scalar_one())


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody with access to a workspace, live themselves."""

    user: User
    access: Membership


async def members_of(connection: AsyncConnection, workspace_ids: Collection[str]) -> dict[str, list[Member]]:
    """Of each of these workspaces, oldest first."""
    found: dict[str, list[Member]] = {one: [] for one in workspace_ids}
    wanted = (
        select(users, members.c.workspace_id, members.c.access)
        .join(members, members.c.user_id == users.c.id)
        .where(members.c.workspace_id.in_(workspace_ids), users.c.deleted_at.is_(None))
        .order_by(users.c.id)
    )
    for row in await connection.execute(wanted):
        columns = dict(row._mapping)  # noqa: SLF001 - its public name begins with a line, so that no column has it
        workspace_id, access = columns.pop("workspace_id"), columns.pop("access")
        found[workspace_id].append(Member(User(**columns), access))
    return found


async def change_member(connection: AsyncConnection, workspace_id: str, user_id: str, access: Membership) -> bool:
    """Whether there is such a member."""
    changed = update(members).where(_is_member(workspace_id, user_id)).values(access=access)
    return (await connection.execute(changed)).rowcount > 0


async def remove_member(connection: AsyncConnection, workspace_id: str, user_id: str) -> bool:
    """Whether there was such a member."""
    return (await connection.execute(delete(members).where(_is_member(workspace_id, user_id)))).rowcount > 0


def _is_member(workspace_id: str, user_id: str) -> ColumnElement[bool]:
    return and_(members.c.workspace_id == workspace_id, members.c.user_id == user_id)


async def add_member(connection: AsyncConnection, workspace_id: str, user_id: str, access: Membership) -> None:
    """Raises IntegrityError for somebody who is a member already."""
    await connection.execute(insert(members).values(workspace_id=workspace_id, user_id=user_id, access=access))
