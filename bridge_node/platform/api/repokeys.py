"""Access keys of a repository (contract §3)."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit
from bridge_node.platform.api.shapes import repository_key
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.fields import AccessType, Identifier, Name
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.keypairs import new_pair
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import attachments, repokeys
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.repositories import Repository

router = APIRouter(prefix="/repo/{repo_id}/apikey", tags=["repository keys"])

_TYPE = AliasChoices("accessType", "access")


Limits = Annotated[list[Identifier], Field(max_length=1000)]
"""Ids of the only buckets that a key opens: our own extension."""


class NewKey(BaseModel):
    """`buckets` limits a key to some of the repository's; without it, it opens all of them, and whole accounts."""

    name: Name
    access_type: AccessType = Field(validation_alias=_TYPE)
    buckets: Limits | None = None


class KeyChange(BaseModel):
    """What is left out stays as it is. `buckets: null` takes the limits away."""

    name: Name | None = None
    access_type: AccessType | None = Field(default=None, validation_alias=_TYPE)
    buckets: Limits | None = None


@router.get("")
async def list_keys(repo_id: str, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        await access.repository(connection, user, repo_id, "READ")
        keys = await repokeys.of(connection, repo_id)
    return {"success": True, "keys": [repository_key(key) for key in keys]}


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
        await _require_attached(connection, repo_id, wanted.buckets)
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
            buckets=wanted.buckets,
        )
        await _record(connection, Event.CREATED, key_id, repository, user, now, _shown(wanted))
    response.headers["Cache-Control"] = "no-store"
    return {"success": True, "id": key_id, "key": pair.key, "secret": pair.secret}


@router.put("/{key_id}")
async def change_key(repo_id: str, key_id: str, wanted: KeyChange, user: User, platform: Here) -> dict[str, Any]:
    values = {"name": wanted.name, "access": wanted.access_type}
    given: dict[str, Any] = {column: value for column, value in values.items() if value is not None}
    if "buckets" in wanted.model_fields_set:
        given["buckets"] = None if wanted.buckets is None else sorted(wanted.buckets)
    if not given:
        raise BadRequest("name or accessType is needed")
    async with platform.database.transaction() as connection:
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        await _known(connection, repo_id, key_id)
        await _require_attached(connection, repo_id, wanted.buckets)
        await repokeys.change(connection, repo_id, key_id, **given)
        await _record(connection, Event.UPDATED, key_id, repository, user, platform.now_ms(), _shown(wanted))
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


async def _require_attached(connection: AsyncConnection, repo_id: str, limits: list[str] | None) -> None:
    if limits:
        attached = {
            one.target.id for one in await attachments.of(connection, repo_id) if isinstance(one.target, Bucket)
        }
        if not attached.issuperset(limits):
            raise NotFound("No such bucket in this repository", "NOT_FOUND")


def _shown(wanted: NewKey | KeyChange) -> dict[str, Any]:
    values = {"name": wanted.name, "accessType": wanted.access_type, "buckets": wanted.buckets}
    return {key: value for key, value in values.items() if value is not None}


async def _record(
    connection: AsyncConnection,
    event: Event,
    key_id: str,
    repository: Repository,
    user: Principal,
    now: int,
    shown: dict[str, Any] | None = None,
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
