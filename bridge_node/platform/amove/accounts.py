"""Cloud accounts: as much of them as is needed to use internal storage. The paths are our own.

A cloud account is a provider key that is marked as one. With it comes a repository that nobody sees: the whole account
is attached to it, and storage keys are its access keys.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import AliasChoices, BaseModel, Field
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, audit
from bridge_node.platform.amove import shapes
from bridge_node.platform.amove.errors import Code, Refused
from bridge_node.platform.amove.guard import known, may_see
from bridge_node.platform.amove.shapes import Paging
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.context import Platform
from bridge_node.platform.fields import Identifier, Name
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import attachments, cloudaccounts, repositories
from bridge_node.platform.store.cloudaccounts import CloudAccount
from bridge_node.platform.store.providerkeys import ProviderKey

router = APIRouter(prefix="/cloudaccount", tags=["cloud accounts"])

_STORES = frozenset({"S3", "GCS", "BLOB"})


class NewCloudAccount(BaseModel):
    """`apiKeyUuid` is a provider key, which becomes this account and keeps its id."""

    provider_key_id: Identifier = Field(validation_alias=AliasChoices("apiKeyUuid", "providerKeyId"))
    name: Name
    shared: bool = True
    internal_storage: bool = Field(default=True, alias="internalStorage")
    storage_tier: int = Field(default=0, alias="storageTier", ge=0, lt=2**31)


@router.get("/list")
async def list_accounts(user: User, platform: Here) -> dict[str, Any]:
    """All that the caller may see, newest first."""
    async with platform.database.reading() as connection:
        workspaces = await access.readable(connection, user, None)
        found = await cloudaccounts.of(connection, user.organisation_id)
    data = [
        shapes.cloud_account(account, key)
        for account, key in found
        if may_see(user, account) and (workspaces is None or key.workspace_id in workspaces)
    ]
    return Paging(1, 0, "CreateDate", descending=True).collection(data, len(data))


@router.post("/insert")
async def insert_account(wanted: NewCloudAccount, user: User, platform: Here) -> dict[str, Any]:
    now = platform.now_ms()
    try:
        async with platform.database.transaction() as connection:
            key = await access.provider_key(connection, user, wanted.provider_key_id, "WRITE", lock=True)
            if key.storage_type not in _STORES:
                raise Refused(Code.DEFAULT, f"No buckets are made at {key.provider}")
            account = CloudAccount(
                provider_key_id=key.id,
                organisation_id=key.organisation_id,
                user_id=user.user_id,
                repository_id=new_id(now),
                name=wanted.name,
                active=True,
                shared=wanted.shared,
                internal_storage=wanted.internal_storage,
                storage_tier=wanted.storage_tier,
                created_at=now,
            )
            await _add_repository(connection, platform, account, key)
            await cloudaccounts.add(connection, account)
            await _record(connection, Event.CREATED, user, key, now, {"name": wanted.name})
    except IntegrityError as error:
        raise Refused(Code.DUPLICATE, "The provider key is a cloud account already") from error
    return shapes.cloud_account(account, key)


@router.put("/activate")
async def activate(account_id: Annotated[str, Query(alias="id")], user: User, platform: Here) -> Response:
    """Its storage keys open buckets again."""
    await _switch(platform, user, account_id, active=True)
    return Response()


@router.put("/deactivate")
async def deactivate(account_id: Annotated[str, Query(alias="id")], user: User, platform: Here) -> Response:
    """Its storage keys open nothing until it is activated; its buckets stay."""
    await _switch(platform, user, account_id, active=False)
    return Response()


async def _switch(platform: Platform, user: Principal, account_id: str, *, active: bool) -> None:
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        account, key = await known(connection, user, account_id, "WRITE", lock=True)
        if account.active == active:
            return
        await cloudaccounts.set_active(connection, account_id, active=active)
        if active:
            await _attach(connection, account, now)
        for attached in () if active else await attachments.of(connection, account.repository_id):
            await attachments.detach(connection, account.repository_id, attached.id, now)
        await _record(connection, Event.UPDATED, user, key, now, {"active": active})


async def _add_repository(
    connection: AsyncConnection, platform: Platform, account: CloudAccount, key: ProviderKey
) -> None:
    place = (account.repository_id, account.organisation_id, key.workspace_id, account.created_at)
    columns: dict[str, Any] = {
        "name": f"cloud account {account.provider_key_id}",
        "storage_type": "S3",
        "mode": "NORMAL",
        "hidden": True,
    }
    await repositories.add(connection, platform.vault, *place, **columns)
    await _attach(connection, account, account.created_at)


async def _attach(connection: AsyncConnection, account: CloudAccount, now: int) -> None:
    await attachments.attach(
        connection, new_id(now), account.repository_id, provider_key_id=account.provider_key_id, position=0
    )


async def _record(
    connection: AsyncConnection, event: Event, user: Principal, key: ProviderKey, now: int, shown: dict[str, Any]
) -> None:
    await audit.record(
        connection,
        Context.API_KEY,
        event,
        key.id,
        at=now,
        organisation_id=key.organisation_id,
        user=user,
        workspace_id=key.workspace_id,
        data={"cloudAccount": True, **shown},
    )
