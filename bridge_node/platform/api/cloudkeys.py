"""Linking of provider keys to repositories (contract §2): it tells people what belongs together, and no node."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit
from bridge_node.platform.api.families import RepositoryRoute
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import NotFound
from bridge_node.platform.fields import Identifier
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import links
from bridge_node.platform.store.links import Link
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.tolerance import iso

router = APIRouter(prefix="/repo/{repo_id}/cloud-apikey", tags=["repositories"], route_class=RepositoryRoute)


class NewLink(BaseModel):
    provider_key_id: Identifier = Field(validation_alias="apiKeyId")


@router.get("")
async def list_links(repo_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        await access.repository(connection, user, repo_id, "READ")
        found = await links.of(connection, repo_id)
    items = [
        {"id": one.id, "repoId": repo_id, "apiKeyId": one.provider_key_id, "createdAt": iso(one.created_at)}
        for one in found
    ]
    return {"success": True, "items": items}


@router.post("")
async def link(repo_id: str, wanted: NewLink, user: User, platform: Here) -> dict[str, Any]:
    """Done again, it answers with the link that there is."""
    now = platform.now_ms()
    made = Link(new_id(now), repo_id, wanted.provider_key_id, now)
    async with platform.database.transaction() as connection:
        await access.provider_key(connection, user, wanted.provider_key_id, "WRITE", lock=True)
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        if not await links.add(connection, made):
            return {"success": True, "id": await links.between(connection, repo_id, wanted.provider_key_id)}
        await _record(connection, repository, user, now, {"linked": wanted.provider_key_id})
    return {"success": True, "id": made.id}


@router.delete("/{link_id}")
async def unlink(repo_id: str, link_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        if not await links.remove(connection, repo_id, link_id):
            raise NotFound("No such link of this repository", "NOT_FOUND")
        await _record(connection, repository, user, platform.now_ms(), {"unlinked": link_id})
    return {"success": True}


async def _record(
    connection: AsyncConnection, repository: Repository, user: Principal, now: int, shown: dict[str, Any]
) -> None:
    await audit.record(
        connection,
        Context.REPO,
        Event.UPDATED,
        repository.id,
        at=now,
        organisation_id=repository.organisation_id,
        user=user,
        workspace_id=repository.workspace_id,
        data=shown,
    )
