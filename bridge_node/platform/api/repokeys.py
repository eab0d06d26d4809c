"""Access keys of a repository (contract §3)."""

import asyncio
from typing import Any

from fastapi import APIRouter, Response
from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.fields import AccessType, Name
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.keypairs import new_pair
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import repokeys
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.tolerance import iso

router = APIRouter(prefix="/repo/{repo_id}/apikey", tags=["repository keys"])

_TYPE = AliasChoices("accessType", "access")


class NewKey(BaseModel):
    name: Name
    access_type: AccessType = Field(validation_alias=_TYPE)


class KeyChange(BaseModel):
    """What is left out stays as it is."""

    name: Name | None = None
    access_type: AccessType | None = Field(default=None, validation_alias=_TYPE)


@router.get("")
async def list_keys(repo_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        await access.repository(connection, user, repo_id, "READ")
        keys = await repokeys.of(connection, repo_id)
    return {
        "success": True,
        "keys": [
            {
                "id": key.id,
                "name": key.name,
                "accessType": key.access,
                "key": key.key,
                "createdAt": iso(key.created_at),
            }
            for key in keys
        ],
    }


@router.post("")
async def create_key(repo_id: str, wanted: NewKey, user: User, platform: Here, response: Response) -> dict[str, Any]:
    """Answers with the secret in clear, this one time."""
    now = platform.now_ms()
    key_id = new_id(now)
    async with platform.database.reading() as connection:
        kind = (await access.repository(connection, user, repo_id, "WRITE")).storage_type
    pair = await asyncio.to_thread(new_pair, kind, key_id, repo_id, platform.settings.node_domain)
    async with platform.database.transaction() as connection:
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        await repokeys.add(
            connection,
            platform.vault,
            key_id,
            user.organisation_id,
            repo_id,
            pair,
            now,
            name=wanted.name,
            access=wanted.access_type,
        )
        await _record(connection, Event.CREATED, key_id, repository, user, now, _shown(wanted.name, wanted.access_type))
    response.headers["Cache-Control"] = "no-store"
    return {"success": True, "id": key_id, "key": pair.key, "secret": pair.secret}


@router.put("/{key_id}")
async def change_key(repo_id: str, key_id: str, wanted: KeyChange, user: User, platform: Here) -> dict[str, Any]:
    values = {"name": wanted.name, "access": wanted.access_type}
    given = {column: value for column, value in values.items() if value is not None}
    if not given:
        raise BadRequest("name or accessType is needed")
    async with platform.database.transaction() as connection:
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        await _known(connection, repo_id, key_id)
        await repokeys.change(connection, repo_id, key_id, **given)
        shown = _shown(wanted.name, wanted.access_type)
        await _record(connection, Event.UPDATED, key_id, repository, user, platform.now_ms(), shown)
    return {"success": True, "message": "updated"}


@router.delete("/{key_id}")
async def delete_key(repo_id: str, key_id: str, user: User, platform: Here) -> dict[str, Any]:
    """Access ends at once, on every node that hears of it."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        await _known(connection, repo_id, key_id)
        await repokeys.remove(connection, repo_id, key_id, now)
        await _record(connection, Event.DELETED, key_id, repository, user, now)
    return {"success": True, "message": "deleted"}


async def _known(connection: AsyncConnection, repo_id: str, key_id: str) -> None:
    if await repokeys.with_id(connection, repo_id, key_id) is None:
        raise NotFound("No such key in this repository", "NOT_FOUND")


def _shown(name: str | None, access_type: str | None) -> dict[str, str]:
    return {key: value for key, value in {"name": name, "accessType": access_type}.items() if value is not None}


async def _record(
    connection: AsyncConnection,
    event: Event,
    key_id: str,
    repository: Repository,
    user: Principal,
    now: int,
    shown: dict[str, str] | None = None,
) -> None:
    await audit.record(
        connection,
        Context.API_KEY,
        event,
        key_id,
        at=now,
        organisation_id=repository.organisation_id,
        user=user,
        workspace_id=repository.workspace_id,
        data={"repoId": repository.id, **(shown or {})},
    )
