"""Repositories: what applications address (contract §2).

Whatever changes one locks its organisation first, then what is to be attached, then the repository. So rules that look
at several rows hold, however many calls come at once.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import AliasChoices, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit, rules
from bridge_node.platform.api import parts
from bridge_node.platform.api.families import RepositoryRoute
from bridge_node.platform.api.parts import Part
from bridge_node.platform.api.shapes import storage_repository
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, NotFound, TooMany
from bridge_node.platform.fields import Identifier, Mode, Name, Options, ShortText, Spoken
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, User
from bridge_node.platform.rules import Breach, Code
from bridge_node.platform.store import attachments, organisations, repokeys, repositories
from bridge_node.platform.store.attachments import Attachment
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.tolerance import given, listed

router = APIRouter(prefix="/repo", tags=["repositories"], route_class=RepositoryRoute)

MOST_PARTS = 1000

_Parts = Annotated[list[Part], Field(max_length=MOST_PARTS)]
_PARTS = AliasChoices("repoBuckets", "repoUnits", "buckets", "units")


class NewRepository(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "Photos",
                    "storageType": "S3",
                    "mode": "NORMAL",
                    "workspaceId": "WORKSPACE-ID",
                    "repoBuckets": [{"bucketId": "BUCKET-ID", "folder": "media", "master": False}],
                }
            ]
        }
    )

    name: Name
    storage_type: Spoken = Field(validation_alias="storageType")
    mode: Mode
    workspace_id: Identifier = Field(validation_alias="workspaceId")
    buckets: _Parts | None = Field(default=None, validation_alias=_PARTS)
    wallet_address: ShortText | None = Field(default=None, validation_alias="walletAddress")
    options: Options | None = None


class RepositoryChange(BaseModel):
    """What is left out stays as it is. `disabled` is our own: clients go on reading, and write nothing."""

    name: Name | None = None
    storage_type: Spoken | None = Field(default=None, validation_alias="storageType")
    mode: Mode | None = None
    workspace_id: Identifier | None = Field(default=None, validation_alias="workspaceId")
    buckets: _Parts | None = Field(default=None, validation_alias=_PARTS)
    wallet_address: ShortText | None = Field(default=None, validation_alias="walletAddress")
    options: Options | None = None
    disabled: bool | None = None


class Composition(BaseModel):
    """What is to be validated. `repoId` may be of a repository that there is not yet."""

    repo_id: Identifier | None = Field(default=None, validation_alias="repoId")
    mode: Mode
    buckets: _Parts | None = Field(default=None, validation_alias=_PARTS)


@router.get("")
async def list_repositories(
    user: User,
    platform: Here,
    workspace_id: Annotated[str | None, Query(alias="workspaceId")] = None,
    repo_id: Annotated[list[str] | None, Query(alias="repoId")] = None,
    wallet_address: Annotated[str | None, Query(alias="walletAddress")] = None,
) -> dict[str, Any]:
    """Those that the caller may read, newest first, with buckets and access keys; never with a secret."""
    async with platform.database.reading() as connection:
        found = await repositories.of(
            connection,
            user.organisation_id,
            await access.readable(connection, user, given(workspace_id)),
            ids=listed(repo_id),
            wallet_address=given(wallet_address),
        )
        ids = [one.id for one in found]
        attached = await attachments.of_all(connection, ids)
        keys = await repokeys.of_all(connection, ids)
    return {"success": True, "repos": [storage_repository(one, attached[one.id], keys[one.id]) for one in found]}


@router.post("")
async def create_repository(wanted: NewRepository, user: User, platform: Here) -> dict[str, Any]:
    now, most = platform.now_ms(), platform.settings.limits.repositories
    repo_id = new_id(now)
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        workspace = await access.workspace(connection, user, wanted.workspace_id, "WRITE", lock=True)
        await _require_free_name(connection, user, wanted.name)
        if await repositories.count(connection, user.organisation_id) >= most:
            raise TooMany(f"{most} of {most} repositories in use; delete one first", Code.QUOTA_EXCEEDED)
        attached = await parts.composed(connection, user, wanted.buckets or [], [], lock=True)
        _refuse(await _breach(connection, None, wanted.mode, attached))
        columns: dict[str, Any] = {
            "name": wanted.name,
            "storage_type": wanted.storage_type,
            "mode": wanted.mode,
            "wallet_address": wanted.wallet_address or "",
            "options": wanted.options or {},
        }
        place = (repo_id, user.organisation_id, workspace.id, now)
        await repositories.add(connection, platform.vault, *place, **columns)
        await parts.put(connection, repo_id, [], attached, now)
        shown = {"name": wanted.name, "storageType": wanted.storage_type, "mode": wanted.mode, **_listed(attached)}
        await _record(connection, Event.CREATED, repo_id, workspace.id, user, now, shown)
    return {"success": True, "repoId": repo_id}


@router.put("/{repo_id}")
async def change_repository(repo_id: str, wanted: RepositoryChange, user: User, platform: Here) -> dict[str, Any]:
    """Without `repoBuckets`, what is attached stays. A NORMAL repository's buckets can only become more."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        before = await access.repository(connection, user, repo_id, "WRITE")
        changes = await _changes(connection, user, before, wanted)
        present = await attachments.of(connection, repo_id)
        attached = present
        if wanted.buckets is not None:
            attached = await parts.composed(connection, user, wanted.buckets, present, lock=True)
        mode = wanted.mode or before.mode
        _refuse(rules.breach_by_change(before.mode, present, mode, attached))
        _refuse(await _breach(connection, repo_id, mode, attached))
        if changes:
            await repositories.change(connection, user.organisation_id, repo_id, **changes)
        recomposed = await parts.put(connection, repo_id, present, attached, now)
        if changes or recomposed:
            workspace_id = wanted.workspace_id or before.workspace_id
            shown = {**_shown(changes), **(_listed(attached) if recomposed else {})}
            await _record(connection, Event.UPDATED, repo_id, workspace_id, user, now, shown)
    return {"success": True, "repoId": repo_id}


@router.delete("/{repo_id}")
async def delete_repository(repo_id: str, user: User, platform: Here) -> dict[str, Any]:
    """Its access keys open nothing from now on; their secrets are forgotten."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        repository = await access.repository(connection, user, repo_id, "WRITE", lock=True)
        await repokeys.remove_all(connection, repo_id, now)
        await repositories.remove(connection, user.organisation_id, repo_id, now)
        shown = {"name": repository.name}
        await _record(connection, Event.DELETED, repo_id, repository.workspace_id, user, now, shown)
    return {"success": True}


@router.post("/validate")
async def validate_new(wanted: Composition, user: User, platform: Here) -> dict[str, Any]:
    """Whether a repository could be made of these buckets."""
    async with platform.database.reading() as connection:
        return await _validated(connection, user, None, wanted)


@router.post("/{repo_id}/validate")
async def validate_change(repo_id: str, wanted: Composition, user: User, platform: Here) -> dict[str, Any]:
    """Whether this repository could become one of these buckets."""
    async with platform.database.reading() as connection:
        try:
            repository = await access.repository(connection, user, repo_id, "READ")
        except NotFound as error:
            return error.body()
        return await _validated(connection, user, repository, wanted)


async def _validated(
    connection: AsyncConnection, user: Principal, repository: Repository | None, wanted: Composition
) -> dict[str, Any]:
    """What does not hold is an answer here, and no refusal: its status is 200 (contract §2)."""
    present = await attachments.of(connection, repository.id) if repository else []
    try:
        attached = present
        if wanted.buckets is not None:
            attached = await parts.composed(connection, user, wanted.buckets, present, lock=False)
        if repository:
            _refuse(rules.breach_by_change(repository.mode, present, wanted.mode, attached))
        _refuse(await _breach(connection, repository.id if repository else None, wanted.mode, attached))
    except (BadRequest, NotFound) as error:
        return error.body()
    return {"success": True}


async def _breach(
    connection: AsyncConnection, repo_id: str | None, mode: str, attached: Sequence[Attachment]
) -> Breach | None:
    ids = [one.target.id for one in attached]
    return rules.breach(mode, attached, await attachments.modes_elsewhere(connection, ids, repo_id))


def _refuse(breach: Breach | None) -> None:
    if breach is not None:
        raise BadRequest(breach.message, breach.code or "")


async def _require_free_name(connection: AsyncConnection, user: Principal, name: str) -> None:
    if await repositories.named(connection, user.organisation_id, name) is not None:
        raise BadRequest("A repository of this name exists already", Code.NAME_ALREADY_USED)


async def _changes(
    connection: AsyncConnection, user: Principal, before: Repository, wanted: RepositoryChange
) -> dict[str, Any]:
    """The columns that get another value; raises a refusal where one may not."""
    values = wanted.model_dump(exclude={"buckets"}, exclude_none=True)
    changes = {column: value for column, value in values.items() if getattr(before, column) != value}
    if "storage_type" in changes:
        raise BadRequest(f"The clients and keys of this repository speak {before.storage_type}: make another one")
    if "name" in changes:
        await _require_free_name(connection, user, changes["name"])
    if "workspace_id" in changes:
        await access.workspace(connection, user, changes["workspace_id"], "WRITE", lock=True)
    if "disabled" in changes:
        await access.require(connection, user, before.workspace_id, "ADMIN")
    return changes


_WIRE_NAMES = {"name": "name", "mode": "mode", "workspace_id": "workspaceId", "disabled": "disabled"}


def _shown(changes: dict[str, Any]) -> dict[str, Any]:
    return {_WIRE_NAMES[column]: value for column, value in changes.items() if column in _WIRE_NAMES}


def _listed(attached: Sequence[Attachment]) -> dict[str, Any]:
    return {"buckets": [one.target.id for one in attached]}


async def _record(
    connection: AsyncConnection,
    event: Event,
    repo_id: str,
    workspace_id: str,
    user: Principal,
    now: int,
    shown: dict[str, Any],
) -> None:
    await audit.record(
        connection,
        Context.REPO,
        event,
        repo_id,
        at=now,
        organisation_id=user.organisation_id,
        user=user,
        workspace_id=workspace_id,
        data=shown,
    )
