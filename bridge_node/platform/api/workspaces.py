"""Workspaces and their members. Paths and shapes are the vendor's client's; who may do what is contract §0.2."""

from collections.abc import Collection, Sequence
from typing import Any

from fastapi import APIRouter
from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, Forbidden, NotFound
from bridge_node.platform.fields import AccessType, Identifier, Name
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import organisations, users, workspaces
from bridge_node.platform.store.workspaces import Member, Workspace

router = APIRouter(prefix="/workspace", tags=["workspaces"])

_ROLE = AliasChoices("role", "accessType", "access")


class NewWorkspace(BaseModel):
    name: Name


class WorkspaceChange(BaseModel):
    name: Name | None = None


class NewMember(BaseModel):
    user_id: Identifier = Field(validation_alias="userId")
    role: AccessType = Field(validation_alias=_ROLE)


class MemberChange(BaseModel):
    role: AccessType = Field(validation_alias=_ROLE)


@router.get("")
async def list_workspaces(user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        readable = await access.readable(connection, user, None)
        found = await workspaces.of(connection, user.organisation_id)
        seen = [one for one in found if readable is None or one.id in readable]
        members = await workspaces.members_of(connection, [one.id for one in seen])
    return {"success": True, "workspaces": [_with_users(one, members[one.id]) for one in seen]}


@router.get("/{workspace_id}")
async def show_workspace(workspace_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        found = await access.workspace(connection, user, workspace_id, "READ")
        members = await workspaces.members_of(connection, [found.id])
    return {"success": True, "workspace": _with_users(found, members[found.id])}


@router.post("")
async def create_workspace(wanted: NewWorkspace, user: User, platform: Here) -> dict[str, Any]:
    if not user.sees_every_workspace:
        raise Forbidden("Only who manages the organisation's workspaces may make one")
    now = platform.now_ms()
    made = Workspace(new_id(now), user.organisation_id, wanted.name, now, None)
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        await _require_free_name(connection, user, wanted.name)
        await workspaces.add(connection, made.id, user.organisation_id, wanted.name, now)
        await _record(connection, Event.CREATED, made.id, user, now, {"name": wanted.name})
    return {"success": True, "workspace": _named(made)}


@router.put("/{workspace_id}")
async def change_workspace(workspace_id: str, wanted: WorkspaceChange, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        before = await access.workspace(connection, user, workspace_id, "ADMIN")
        name = wanted.name or before.name
        if name != before.name:
            await _require_free_name(connection, user, name)
            await workspaces.change(connection, workspace_id, name=name)
            await _record(connection, Event.UPDATED, workspace_id, user, platform.now_ms(), {"name": name})
    return {"success": True, "workspace": {**_named(before), "name": name}}


@router.delete("/{workspace_id}")
async def delete_workspace(workspace_id: str, user: User, platform: Here) -> dict[str, Any]:
    """Only an empty one: what is in it would be nobody's."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        found = await access.workspace(connection, user, workspace_id, "ADMIN")
        if await workspaces.holds(connection, workspace_id):
            raise BadRequest("The workspace still has buckets, repositories or API keys")
        await workspaces.change(connection, workspace_id, deleted_at=now)
        await _record(connection, Event.DELETED, workspace_id, user, now, {"name": found.name})
    return {"success": True}


@router.post("/{workspace_id}/users")
async def add_user(workspace_id: str, wanted: NewMember, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await _administrated(connection, user, workspace_id)
        if await users.with_id(connection, user.organisation_id, wanted.user_id) is None:
            raise NotFound("No such user in this organisation")
        if wanted.user_id in {one.user.id for one in await _members(connection, workspace_id)}:
            raise BadRequest("The user is a member of this workspace already")
        await workspaces.add_member(connection, workspace_id, wanted.user_id, wanted.role)
        await _record_member(
            connection, Event.CREATED, workspace_id, wanted.user_id, user, platform.now_ms(), wanted.role
        )
    return {"success": True}


@router.put("/{workspace_id}/users/{user_id}")
async def change_user(
    workspace_id: str, user_id: str, wanted: MemberChange, user: User, platform: Here
) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await _administrated(connection, user, workspace_id)
        if not await workspaces.change_member(connection, workspace_id, user_id, wanted.role):
            raise NotFound("No such member of this workspace")
        await _record_member(connection, Event.UPDATED, workspace_id, user_id, user, platform.now_ms(), wanted.role)
    return {"success": True}


@router.delete("/{workspace_id}/users/{user_id}")
async def remove_user(workspace_id: str, user_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await _administrated(connection, user, workspace_id)
        if not await workspaces.remove_member(connection, workspace_id, user_id):
            raise NotFound("No such member of this workspace")
        await _record_member(connection, Event.DELETED, workspace_id, user_id, user, platform.now_ms())
    return {"success": True}


async def _administrated(connection: AsyncConnection, user: Principal, workspace_id: str) -> None:
    """Changes of members come one after the other."""
    await organisations.lock(connection, user.organisation_id)
    await access.workspace(connection, user, workspace_id, "ADMIN")


async def _members(connection: AsyncConnection, workspace_id: str) -> Collection[Member]:
    return (await workspaces.members_of(connection, [workspace_id]))[workspace_id]


async def _require_free_name(connection: AsyncConnection, user: Principal, name: str) -> None:
    if name in {one.name for one in await workspaces.of(connection, user.organisation_id)}:
        raise BadRequest("A workspace of this name exists already")


def _named(workspace: Workspace) -> dict[str, Any]:
    return {"id": workspace.id, "name": workspace.name, "orgId": workspace.organisation_id}


def _with_users(workspace: Workspace, members: Sequence[Member]) -> dict[str, Any]:
    return {**_named(workspace), "users": [_member(one) for one in members]}


def _member(member: Member) -> dict[str, Any]:
    """WorkspaceUser."""
    user = member.user
    return {
        "userId": user.id,
        "role": member.access,
        "user": {
            "id": user.id,
            "name": user.name,
            "lastName": user.last_name,
            "email": user.email,
            "orgRole": user.role,
        },
    }


async def _record(
    connection: AsyncConnection, event: Event, workspace_id: str, user: Principal, now: int, shown: dict[str, Any]
) -> None:
    await audit.record(
        connection,
        Context.WORKSPACE,
        event,
        workspace_id,
        at=now,
        organisation_id=user.organisation_id,
        user=user,
        workspace_id=workspace_id,
        data=shown,
    )


async def _record_member(
    connection: AsyncConnection,
    event: Event,
    workspace_id: str,
    member_id: str,
    user: Principal,
    now: int,
    role: str | None = None,
) -> None:
    await audit.record(
        connection,
        Context.WORKSPACE_USER,
        event,
        member_id,
        at=now,
        organisation_id=user.organisation_id,
        user=user,
        workspace_id=workspace_id,
        data={"role": role} if role else None,
    )
