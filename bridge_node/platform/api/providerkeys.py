"""Provider keys: stored cloud credentials that buckets are reached by (contract §4)."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit, credentials
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.context import Platform
from bridge_node.platform.credentials import Destination, Problem
from bridge_node.platform.endpoints import normalised
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.fields import Identifier, Provider, SecretText, ShortText
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import organisations, providerkeys
from bridge_node.platform.store.providerkeys import ProviderKey, storage_type_of
from bridge_node.platform.tolerance import given, iso, mask

router = APIRouter(prefix="/apikeys", tags=["provider keys"])


class KeyFields(BaseModel):
    """What is left out, or null, is not said; neither is an empty secret."""

    key: ShortText | None = None
    secret: SecretText | None = Field(default=None, repr=False)
    provider: Provider | None = None
    endpoint: ShortText | None = None
    region: ShortText | None = None
    tenant_id: ShortText | None = Field(default=None, validation_alias="tenantId")
    subscription_id: ShortText | None = Field(default=None, validation_alias="subscriptionId")
    description: ShortText | None = None

    def columns(self, provider: str) -> dict[str, Any]:
        """As the store has them, but for the secret. Raises BadRequest for an endpoint that is none."""
        said = self.model_dump(exclude_none=True, exclude={"secret", "workspace_id"})
        if self.endpoint is not None and provider != "LOCAL":  # of which it is the name of a root
            said["endpoint"] = _endpoint(self.endpoint)
        return said


class NewKey(KeyFields):
    workspace_id: Identifier = Field(validation_alias="workspaceId")
    key: ShortText = ""
    secret: SecretText = Field(default="", repr=False)
    provider: Provider


@router.get("")
async def list_keys(
    user: User,
    platform: Here,
    workspace_id: Annotated[str | None, Query(alias="workspaceId")] = None,
    capability: str | None = None,
    provider: str | None = None,
) -> dict[str, Any]:
    """Newest first. `capability` keeps providers that offer one of the mask's."""
    wanted, named = mask("capability", given(capability)), given(provider)
    async with platform.database.reading() as connection:
        workspaces = await access.readable(connection, user, given(workspace_id))
        found = await providerkeys.of(connection, user.organisation_id, workspaces)
        counts = await providerkeys.bucket_counts(connection, [key.id for key in found])
    shown = [
        _shown(key, counts.get(key.id, 0))
        for key in found
        if (not wanted or providerkeys.capabilities_of(key.provider) & wanted)
        and (named is None or key.provider == named.upper())
    ]
    return {"success": True, "apiKeys": shown}


@router.post("")
async def create_key(said: NewKey, user: User, platform: Here) -> dict[str, Any]:
    now = platform.now_ms()
    columns, key_id = said.columns(said.provider), new_id(now)
    _require_allowed(platform, columns, said.secret)
    async with platform.database.transaction() as connection:
        await access.workspace(connection, user, said.workspace_id, "WRITE", lock=True)
        place = (key_id, user.organisation_id, said.workspace_id, now)
        await providerkeys.add(connection, platform.vault, *place, secret=said.secret, **columns)
        await _record(connection, Event.CREATED, key_id, said.workspace_id, user, now, _told(columns))
    return {"success": True, "message": "created", "apiKeyId": key_id}


@router.put("/{key_id}")
async def change_key(key_id: str, said: KeyFields, user: User, platform: Here) -> dict[str, Any]:
    """In force for every bucket that it reaches, on every node, at once."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, user.organisation_id)
        before = await access.provider_key(connection, user, key_id, "WRITE", lock=True)
        columns = said.columns(said.provider or before.provider)
        present = {name: getattr(before, name) for name in ("provider", "key", "endpoint")}
        wanted = {**present, **columns}
        _require_allowed(platform, wanted, said.secret or before.secret(platform.vault))
        if not said.secret:
            _refuse(credentials.problems_of_kept_secret(_destination(present), _destination(wanted)))
        await _require_same_kind(connection, before, columns.get("provider", before.provider))
        changes = {name: value for name, value in columns.items() if getattr(before, name) != value}
        place = (user.organisation_id, key_id)
        await providerkeys.change(connection, platform.vault, *place, secret=said.secret or None, **changes)
        changed = sorted([*changes, *(["secret"] if said.secret else [])])
        told = {**_told(wanted), "changed": changed}
        await _record(connection, Event.UPDATED, key_id, before.workspace_id, user, now, told)
    return {"success": True, "message": "updated"}


@router.delete("/{key_id}")
async def delete_key(key_id: str, user: User, platform: Here) -> dict[str, Any]:
    """For good, and only while nothing is reached by it."""
    try:
        async with platform.database.transaction() as connection:
            await organisations.lock(connection, user.organisation_id)
            key = await access.provider_key(connection, user, key_id, "WRITE", lock=True)
            if uses := await providerkeys.uses(connection, key_id):
                raise BadRequest(_in_use(uses))
            await providerkeys.remove(connection, user.organisation_id, key_id)
            now, told = platform.now_ms(), _told({"provider": key.provider, "key": key.key})
            await _record(connection, Event.DELETED, key_id, key.workspace_id, user, now, told)
    except IntegrityError as error:
        raise BadRequest("API key is used by something that is being made") from error
    return {"success": True, "message": "deleted"}


def _in_use(uses: int) -> str:
    return f"API key is still used by {uses} bucket{'' if uses == 1 else 's'}"


async def _require_same_kind(connection: AsyncConnection, key: ProviderKey, provider: str) -> None:
    """What its buckets speak does not change under them."""
    if storage_type_of(provider) == key.storage_type:
        return
    if uses := await providerkeys.uses(connection, key.id):
        raise BadRequest(f"provider: {_in_use(uses)}, which {provider} does not reach")


def _require_allowed(platform: Platform, columns: Mapping[str, str], secret: str) -> None:
    declared = credentials.ProviderKey(
        provider=columns["provider"], key=columns["key"], secret=secret, endpoint=columns.get("endpoint", "")
    )
    _refuse(credentials.problems_of_key(declared, platform.settings))


def _destination(columns: Mapping[str, str]) -> Destination:
    return Destination(storage_type_of(columns["provider"]), columns["endpoint"])


def _refuse(problems: Iterable[Problem]) -> None:
    """Raises BadRequest for the first rule that does not hold."""
    for problem in problems:
        raise BadRequest(f"{problem.field}: {problem.message}" if problem.field else problem.message)


def _endpoint(text: str) -> str:
    try:
        return normalised(text)
    except ValueError as error:
        raise BadRequest(f"endpoint: {error}") from error


def _shown(key: ProviderKey, bucket_count: int) -> dict[str, Any]:
    """ProviderApiKeyDTO: no secret, and nothing that is empty."""
    told = {
        "endpoint": key.endpoint,
        "region": key.region,
        "tenantId": key.tenant_id,
        "subscriptionId": key.subscription_id,
        "description": key.description,
    }
    return {
        "id": key.id,
        "key": key.key,
        "provider": key.provider,
        "createdAt": iso(key.created_at),
        "bucket_count": bucket_count,
        "aillm_count": 0,
        **{name: value for name, value in told.items() if value},
    }


def _told(columns: Mapping[str, str]) -> dict[str, Any]:
    """What an event tells: no secret."""
    return {name: columns[name] for name in ("provider", "key", "description") if columns.get(name)}


async def _record(
    connection: AsyncConnection,
    event: Event,
    key_id: str,
    workspace_id: str,
    user: Principal,
    now: int,
    told: dict[str, Any],
) -> None:
    await audit.record(
        connection,
        Context.API_KEY,
        event,
        key_id,
        at=now,
        organisation_id=user.organisation_id,
        user=user,
        workspace_id=workspace_id,
        data=told,
    )
