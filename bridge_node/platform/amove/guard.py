"""Which cloud account a call may use: the guard that all calls with a `cloudAccountId` share (contract §0.2)."""

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access
from bridge_node.platform.amove.errors import Code, Refused
from bridge_node.platform.auth import Principal
from bridge_node.platform.clouds import Account, Kind
from bridge_node.platform.context import Platform
from bridge_node.platform.fields import Identifier
from bridge_node.platform.store import cloudaccounts
from bridge_node.platform.store.cloudaccounts import CloudAccount
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.workspaces import Membership

AccountId = Annotated[Identifier, Field(alias="cloudAccountId")]

_KINDS: dict[str, Kind] = {"S3": "s3", "GCS": "gcs", "BLOB": "azure"}


@dataclass(frozen=True, slots=True)
class Usable:
    """A cloud account that this caller may use, and how its cloud is reached."""

    account: CloudAccount
    key: ProviderKey = field(repr=False)
    cloud: Account


async def usable(platform: Platform, user: Principal, account_id: str, wanted: Membership) -> Usable:
    """Raises Refused and Forbidden. Of other organisations, ACCESS: only who has its id can ask for it."""
    async with platform.database.reading() as connection:
        account, key = await guarded(connection, user, account_id, wanted)
    kind = _KINDS.get(key.storage_type or "")
    if kind is None:
        raise Refused(Code.DEFAULT, f"No buckets are made at {key.provider}")
    secret, private = key.secret(platform.vault), platform.settings.allow_private_endpoints
    return Usable(account, key, Account(kind, key.key, secret, key.endpoint, key.region, private))


async def guarded(
    connection: AsyncConnection, user: Principal, account_id: str, wanted: Membership, *, lock: bool = False
) -> tuple[CloudAccount, ProviderKey]:
    account, key = await known(connection, user, account_id, wanted, lock=lock)
    if not account.internal_storage:
        raise Refused(Code.DEFAULT, "The cloud account is no internal storage")
    if not account.active:
        raise Refused(Code.DEFAULT, "The cloud account is not active")
    return account, key


async def known(
    connection: AsyncConnection, user: Principal, account_id: str, wanted: Membership, *, lock: bool = False
) -> tuple[CloudAccount, ProviderKey]:
    """Any of the caller's, whatever it is for. One that is not shared is its user's and the administrators' alone."""
    found = await cloudaccounts.with_id(connection, account_id, lock=lock)
    if found is None:
        raise Refused(Code.NOT_FOUND, "No such cloud account")
    account, key = found
    if account.organisation_id != user.organisation_id or not may_see(user, account):
        raise Refused(Code.ACCESS, "No right to this cloud account")
    await access.require(connection, user, key.workspace_id, wanted)
    return account, key


def may_see(user: Principal, account: CloudAccount) -> bool:
    return account.shared or account.user_id == user.user_id or user.administrates
