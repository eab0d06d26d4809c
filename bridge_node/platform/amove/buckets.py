"""Buckets of internal storage (contract §§4–7): made, told, changed and deleted at the cloud itself."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, Field

from bridge_node.platform import audit
from bridge_node.platform.amove.guard import AccountId, usable
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.clouds import Flags, administration
from bridge_node.platform.clouds.administration import Change
from bridge_node.platform.context import Platform
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store.providerkeys import ProviderKey

router = APIRouter(prefix="/storage", tags=["buckets"])

_Name = Annotated[str, Field(alias="bucketName", max_length=255)]


class BucketOf(BaseModel):
    account_id: AccountId
    bucket: _Name


class NewBucket(BucketOf):
    public: bool = Field(default=False, alias="isPublic")
    encryption: bool = Field(default=False, alias="isEncrypted")
    versioning: bool = Field(default=False, alias="versioningEnabled")
    object_lock: bool = Field(default=False, alias="objectLockEnabled")


class BucketChange(BucketOf):
    """What is left out stays as it is."""

    public: bool | None = Field(default=None, alias="isPublic")
    encryption: bool | None = Field(default=None, alias="isEncrypted")
    versioning: bool | None = Field(default=None, alias="versioningEnabled")


@router.post("/create_bucket")
async def create_bucket(wanted: NewBucket, user: User, platform: Here) -> Response:
    """With its flags, or not at all."""
    found = await usable(platform, user, wanted.account_id, "WRITE")
    flags = Flags(wanted.versioning, wanted.encryption, wanted.public, wanted.object_lock)
    await administration.create(found.cloud, wanted.bucket, flags)
    shown = wanted.model_dump(by_alias=True, include={"public", "encryption", "versioning", "object_lock"})
    await _record(platform, user, Event.CREATED, found.key, wanted.bucket, shown)
    return Response()


@router.post("/bucket_status")
async def bucket_status(wanted: BucketOf, user: User, platform: Here) -> dict[str, bool]:
    """As the cloud has it now."""
    found = await usable(platform, user, wanted.account_id, "READ")
    flags = await administration.status(found.cloud, wanted.bucket)
    return {
        "versioningEnabled": flags.versioning,
        "encryptionEnabled": flags.encryption,
        "isPublic": flags.public,
        "objectLockEnabled": flags.object_lock,
    }


@router.put("/update_bucket")
async def update_bucket(wanted: BucketChange, user: User, platform: Here) -> Response:
    """Changes only what differs from the bucket as it is."""
    found = await usable(platform, user, wanted.account_id, "WRITE")
    change = Change(wanted.versioning, wanted.encryption, wanted.public)
    before = await administration.update(found.cloud, wanted.bucket, change)
    if change.onto(before) != before:
        named = {"public", "encryption", "versioning"}
        shown = wanted.model_dump(by_alias=True, include=named, exclude_none=True)
        await _record(platform, user, Event.UPDATED, found.key, wanted.bucket, shown)
    return Response()


@router.delete("/delete_bucket")
async def delete_bucket(
    account_id: Annotated[str, Query(alias="cloudaccountid", max_length=128)],
    bucket: Annotated[str, Query(alias="bucketname", max_length=255)],
    user: User,
    platform: Here,
) -> Response:
    """An empty one. Storage keys that name it stay as they are."""
    found = await usable(platform, user, account_id, "WRITE")
    await administration.delete(found.cloud, bucket)
    await _record(platform, user, Event.DELETED, found.key, bucket, {})
    return Response()


async def _record(
    platform: Platform, user: Principal, event: Event, key: ProviderKey, bucket: str, shown: dict[str, Any]
) -> None:
    async with platform.database.transaction() as connection:
        await audit.record(
            connection,
            Context.BUCKET,
            event,
            f"{key.id}/{bucket}",
            at=platform.now_ms(),
            organisation_id=key.organisation_id,
            user=user,
            workspace_id=key.workspace_id,
            data={"cloudAccountId": key.id, "bucketName": bucket, **shown},
        )
