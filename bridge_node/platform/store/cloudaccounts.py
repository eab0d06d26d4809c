"""Provider keys that buckets and storage keys are made with. Each has a hidden repository, which nodes serve."""

from dataclasses import dataclass

from sqlalchemy import insert as new
from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import cloud_accounts, provider_keys
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.sql import made


@dataclass(frozen=True, slots=True)
class CloudAccount:
    """`provider_key_id` is also its own id."""

    provider_key_id: str
    organisation_id: str
    user_id: str
    repository_id: str
    name: str
    active: bool
    shared: bool
    internal_storage: bool
    storage_tier: int
    created_at: int


async def with_id(
    connection: AsyncConnection, account_id: str, *, lock: bool = False
) -> tuple[CloudAccount, ProviderKey] | None:
    """Of whatever organisation. With `lock`, nobody else changes it before this transaction ends."""
    wanted = select(cloud_accounts).where(cloud_accounts.c.provider_key_id == account_id)
    row = (await connection.execute(wanted.with_for_update() if lock else wanted)).one_or_none()
    if row is None:
        return None
    key = await connection.execute(select(provider_keys).where(provider_keys.c.id == account_id))
    return made(CloudAccount, row), made(ProviderKey, key.one())


async def of(connection: AsyncConnection, organisation_id: str) -> list[tuple[CloudAccount, ProviderKey]]:
    """Of an organisation, newest first."""
    mine = cloud_accounts.c.organisation_id == organisation_id
    newest_first = (cloud_accounts.c.created_at.desc(), cloud_accounts.c.provider_key_id.desc())
    rows = await connection.execute(select(cloud_accounts).where(mine).order_by(*newest_first))
    accounts = [made(CloudAccount, row) for row in rows]
    ids = [one.provider_key_id for one in accounts]
    rows = await connection.execute(select(provider_keys).where(provider_keys.c.id.in_(ids)))
    keys = {row.id: made(ProviderKey, row) for row in rows}
    return [(one, keys[one.provider_key_id]) for one in accounts]


async def add(connection: AsyncConnection, account: CloudAccount) -> None:
    """Raises IntegrityError when the provider key is a cloud account already."""
    row = {name: getattr(account, name) for name in CloudAccount.__slots__}
    await connection.execute(new(cloud_accounts).values(row))


async def set_active(connection: AsyncConnection, account_id: str, *, active: bool) -> None:
    mine = cloud_accounts.c.provider_key_id == account_id
    await connection.execute(update(cloud_accounts).where(mine).values(active=active))
