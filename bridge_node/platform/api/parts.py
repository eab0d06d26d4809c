"""What a repository is to be made of: as requests list it, as attachments, and as rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

from pydantic import AliasChoices, AliasPath, BaseModel, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.fields import Identifier, Options, ShortText
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.rules import folder
from bridge_node.platform.store import attachments, buckets, providerkeys
from bridge_node.platform.store.attachments import Attachment
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.providerkeys import ProviderKey

_BUCKET = AliasChoices("bucketId", "unitId", AliasPath("bucket", "id"), AliasPath("unit", "id"))


class Part(BaseModel):
    """A bucket, or a whole account: `{apiKeyUuid, account: true}`. What is left out stays as it is."""

    bucket_id: Identifier | None = Field(default=None, validation_alias=_BUCKET)
    provider_key_id: Identifier | None = Field(default=None, validation_alias=AliasChoices("apiKeyUuid", "apiKeyId"))
    account: bool = False
    folder: ShortText | None = None
    master: bool = False
    options: Options | None = None

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        if self.account is (self.bucket_id is not None) or self.account is not (self.provider_key_id is not None):
            raise ValueError("needs bucketId, or apiKeyUuid and account: true")
        return self

    @property
    def target_id(self) -> str:
        return self.bucket_id or self.provider_key_id or ""


async def composed(
    connection: AsyncConnection, user: Principal, parts: Sequence[Part], present: Sequence[Attachment], *, lock: bool
) -> list[Attachment]:
    """Attachments as `parts` list them; with `lock`, nothing that is attached is deleted before this transaction ends.

    Raises NotFound, Forbidden without WRITE access to what is new, and BadRequest for an account that stores nothing.
    """
    organisation_id = user.organisation_id
    accounts = [part.target_id for part in parts if part.account]
    keys = await providerkeys.with_ids(connection, organisation_id, accounts, lock=lock)
    known = await buckets.with_ids(
        connection, organisation_id, [part.target_id for part in parts if not part.account], lock=lock
    )
    through = {one.provider_key_id for one in known.values() if one.provider_key_id} - keys.keys()
    credentials = keys | await providerkeys.with_ids(connection, organisation_id, through)
    there = {one.target.id: one for one in present}
    targets = [_target(part, known, keys) for part in parts]
    for workspace_id in sorted({one.workspace_id for one in targets if one.id not in there}):
        await access.require(connection, user, workspace_id, "WRITE")
    return [
        _attachment(part, target, attachments.credentials_of(target, credentials), position, there.get(target.id))
        for position, (part, target) in enumerate(zip(parts, targets, strict=True))
    ]


def _target(part: Part, known: Mapping[str, Bucket], keys: Mapping[str, ProviderKey]) -> Bucket | ProviderKey:
    target = (keys if part.account else known).get(part.target_id)
    if target is None:
        raise NotFound("No such API key" if part.account else "No such bucket", "NOT_FOUND")
    if target.storage_type is None:
        raise BadRequest("The account of this API key stores nothing")
    return target


def _attachment(
    part: Part, target: Bucket | ProviderKey, credentials: Bucket | ProviderKey, position: int, there: Attachment | None
) -> Attachment:
    named = part.folder if part.folder is not None else there.folder if there else ""
    options = part.options if part.options is not None else there.options if there else {}
    return Attachment(there.id if there else "", target, credentials, named, part.master, position, options)


async def put(
    connection: AsyncConnection,
    repository_id: str,
    present: Sequence[Attachment],
    wanted: Sequence[Attachment],
    now: int,
) -> bool:
    """Makes `wanted` of what is `present`; whether anything was different."""
    fresh = [_row(one, now) for one in wanted if not one.id]
    await attachments.attach_all(connection, repository_id, fresh)
    kept = {one.id: one for one in wanted if one.id}
    changed = bool(fresh)
    for one in present:
        if one.id not in kept:
            await attachments.detach(connection, repository_id, one.id, now)
        elif differing := _differing(one, kept[one.id]):
            await attachments.change(connection, repository_id, one.id, **differing)
        else:
            continue
        changed = True
    return changed


def _row(one: Attachment, now: int) -> dict[str, Any]:
    is_bucket = isinstance(one.target, Bucket)
    return {
        "id": new_id(now),
        "bucket_id": one.target.id if is_bucket else None,
        "provider_key_id": None if is_bucket else one.target.id,
        **_columns(one),
    }


def _differing(there: Attachment, wanted: Attachment) -> dict[str, Any]:
    before = _columns(there)
    return {column: value for column, value in _columns(wanted).items() if before[column] != value}


def _columns(one: Attachment) -> dict[str, Any]:
    return {
        "folder": folder(one.folder),
        "master": one.master,
        "position": one.position,
        "options": dict(one.options),
    }
