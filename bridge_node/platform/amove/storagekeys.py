"""Storage keys (contract §§1–3): access keys of the gateway to all, or to some, buckets of a cloud account."""

import asyncio
import uuid
from enum import IntEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, BeforeValidator, Field

from bridge_node.backends.bucketnames import check_bucket_name
from bridge_node.errors import NoSuchBucket
from bridge_node.platform import audit
from bridge_node.platform.amove import shapes
from bridge_node.platform.amove.errors import Code, Refused
from bridge_node.platform.amove.guard import AccountId, guarded, usable
from bridge_node.platform.amove.shapes import Paging
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.clouds import Account, reached
from bridge_node.platform.fields import Name, ShortText
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.keypairs import new_pair
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import repokeys, storagekeys
from bridge_node.platform.store.repokeys import AccessType
from bridge_node.platform.store.storagekeys import StorageKey

router = APIRouter(prefix="/storage", tags=["storage keys"])

MOST_SELECTED = 100
_LARGEST_PAGE = 10_000


class Permission(IntEnum):
    """`StoragePermission`: Write alone does not read."""

    Read = 0
    Write = 1
    ReadWrite = 2


_ACCESS: dict[Permission, AccessType] = {
    Permission.Read: "READ",
    Permission.Write: "WRITEONLY",
    Permission.ReadWrite: "READWRITE",
}


def _permission(value: object) -> object:
    """Its number, or its name."""
    if isinstance(value, str) and value in Permission.__members__:
        return Permission[value]
    if isinstance(value, bool):
        raise ValueError("must be 0, 1 or 2")  # noqa: TRY004 - a ValueError is what makes it a refusal
    return value


class NewStorageKey(BaseModel):
    name: Name
    region: ShortText
    storage_dn: ShortText = Field(alias="storageDn")
    permission: Annotated[Permission, BeforeValidator(_permission)]
    all_buckets: bool = Field(default=False, alias="allBuckets")
    selected: list[Annotated[str, Field(max_length=255)]] | None = Field(
        default=None, alias="selectedBuckets", max_length=MOST_SELECTED
    )
    account_id: AccountId

    @property
    def scope(self) -> list[str] | None:
        """Names of the only buckets that the key opens; None: all. Raises Refused for none at all."""
        if self.all_buckets:
            return None
        if not self.selected:
            raise Refused(Code.DEFAULT, "selectedBuckets: name a bucket, or set allBuckets")
        return sorted(set(self.selected))

    @property
    def description(self) -> str:
        return f"{self.permission.name} access on {'all' if self.all_buckets else 'selected'} buckets"


@router.get("/get_storage_key")
async def list_keys(
    user: User,
    platform: Here,
    page: int = 1,
    pagesize: Annotated[int, Query(ge=0, le=_LARGEST_PAGE)] = 50,
    sortfield: Annotated[str, Query(max_length=64)] = "CreateDate",
    descending: bool = True,
) -> dict[str, Any]:
    """The caller's own keys, without their secrets."""
    if sortfield.lower() not in storagekeys.SORTED_BY:
        raise Refused(Code.DEFAULT, "sortfield: not a field of a storage key")
    paging = Paging(min(page, _LARGEST_PAGE), pagesize, sortfield, descending)
    async with platform.database.reading() as connection:
        found, total = await storagekeys.page(
            connection,
            user.organisation_id,
            user.user_id,
            sorted_by=sortfield.lower(),
            descending=descending,
            skip=paging.skip,
            take=paging.take,
        )
    return paging.collection([shapes.storage_key(key) for key in found], total)


@router.post("/create_storage_key")
async def create_key(wanted: NewStorageKey, user: User, platform: Here, response: Response) -> dict[str, Any]:
    """Answers with the secret, this one time. Nodes know the key at once."""
    scope = wanted.scope
    found = await usable(platform, user, wanted.account_id, "WRITE")
    await _check_buckets(found.cloud, scope or [])
    now = platform.now_ms()
    pair = new_pair("S3", "", "", "")
    async with platform.database.transaction() as connection:
        account, provider_key = await guarded(connection, user, wanted.account_id, "WRITE", lock=True)
        key = StorageKey(
            repository_key_id=new_id(now),
            organisation_id=user.organisation_id,
            user_id=user.user_id,
            name=wanted.name,
            access_key=pair.key,
            description=wanted.description,
            region=wanted.region,
            storage_dn=wanted.storage_dn,
            storage_tier=account.storage_tier,
            created_at=now,
        )
        place = (key.repository_key_id, user.organisation_id, account.repository_id)
        opening: dict[str, Any] = {"access": _ACCESS[wanted.permission], "bucket_names": scope}
        named = tiered(user.email, account.storage_tier)
        await repokeys.add(connection, platform.vault, *place, pair, now, name=named, **opening)
        await storagekeys.add(connection, key)
        await audit.record(
            connection,
            Context.API_KEY,
            Event.CREATED,
            key.repository_key_id,
            at=now,
            organisation_id=user.organisation_id,
            user=user,
            workspace_id=provider_key.workspace_id,
            data={"name": wanted.name, "description": wanted.description, "cloudAccountId": wanted.account_id},
        )
    response.headers["Cache-Control"] = "no-store"
    return {**shapes.storage_key(key), "secretKey": pair.secret}


@router.delete("/delete_storage_key")
async def delete_key(key_id: Annotated[uuid.UUID, Query(alias="id")], user: User, platform: Here) -> Response:
    """Access ends at once, on every node that hears of it."""
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        key = await storagekeys.with_id(connection, str(key_id))
        if key is None or key.organisation_id != user.organisation_id:
            raise Refused(Code.NOT_FOUND, "No such storage key")
        _require_own(user, key)
        await storagekeys.remove(connection, key.repository_key_id, now)
        await audit.record(
            connection,
            Context.API_KEY,
            Event.DELETED,
            key.repository_key_id,
            at=now,
            organisation_id=user.organisation_id,
            user=user,
            data={"name": key.name},
        )
    return Response()


def _require_own(user: Principal, key: StorageKey) -> None:
    if key.user_id != user.user_id:
        raise Refused(Code.ACCESS, "The storage key is somebody else's")


async def _check_buckets(account: Account, names: list[str]) -> None:
    """Whether they are there now; what has such a name later is opened as well. Raises Refused, InvalidBucketName."""
    for name in names:
        check_bucket_name(name)
    if names:
        async with reached(account) as cloud:
            answers = await asyncio.gather(*(cloud.head(name) for name in names), return_exceptions=True)
        for name, answer in zip(names, answers, strict=True):
            if isinstance(answer, NoSuchBucket):
                raise Refused(Code.NOT_FOUND, f"No such bucket: {name}")
            if isinstance(answer, BaseException):
                raise answer


def tiered(email: str, tier: int) -> str:
    """Under whose name the gateway has the key: the caller's address with the account's tier (contract §2)."""
    local, at, domain = email.rpartition("@")
    return f"{local}+Tier{tier}@{domain}" if at else f"{email}+Tier{tier}"
