"""Storage keys: what the storage API tells of access keys that were made through it. Never a secret."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Column, delete, func, select
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repository_keys, storage_keys
from bridge_node.platform.store import repokeys
from bridge_node.platform.store.sql import made


@dataclass(frozen=True, slots=True)
class StorageKey:
    """`repository_key_id` is also its own id."""

    repository_key_id: str
    organisation_id: str
    user_id: str
    name: str
    access_key: str
    description: str
    region: str
    storage_dn: str
    storage_tier: int
    created_at: int


SORTED_BY: Mapping[str, Column[str] | Column[int]] = {
    "createdate": storage_keys.c.created_at,
    "id": storage_keys.c.repository_key_id,
    "userid": storage_keys.c.user_id,
    "accountid": storage_keys.c.organisation_id,
    "name": storage_keys.c.name,
    "accesskey": storage_keys.c.access_key,
    "description": storage_keys.c.description,
    "region": storage_keys.c.region,
    "storagedn": storage_keys.c.storage_dn,
    "storagetier": storage_keys.c.storage_tier,
}
"""Fields by their names in lower case."""


async def page(
    connection: AsyncConnection,
    organisation_id: str,
    user_id: str,
    *,
    sorted_by: str,
    descending: bool,
    skip: int,
    take: int | None,
) -> tuple[list[StorageKey], int]:
    """Some of a user's keys, and how many there are. `take` None: all from `skip` on."""
    mine = (storage_keys.c.organisation_id == organisation_id, storage_keys.c.user_id == user_id)
    total = (await connection.execute(select(func.count()).select_from(storage_keys).where(*mine))).scalar_one()
    columns = (SORTED_BY[sorted_by], storage_keys.c.repository_key_id)
    order = [column.desc() if descending else column.asc() for column in columns]
    wanted = select(storage_keys).where(*mine).order_by(*order)
    if take is not None:
        wanted = wanted.offset(skip).limit(take)
    return [made(StorageKey, row) for row in await connection.execute(wanted)], total


async def with_id(connection: AsyncConnection, key_id: str) -> StorageKey | None:
    """Of whatever organisation."""
    row = (
        await connection.execute(select(storage_keys).where(storage_keys.c.repository_key_id == key_id))
    ).one_or_none()
    return made(StorageKey, row) if row else None


async def add(connection: AsyncConnection, key: StorageKey) -> None:
    """The access key of the gateway is there already: see `repokeys.add`."""
    row = {name: getattr(key, name) for name in StorageKey.__slots__}
    await connection.execute(new(storage_keys).values(row))


async def remove(connection: AsyncConnection, key_id: str, now: int) -> None:
    """Ends the access, and forgets the key here. An access key that is gone already stays so."""
    repository = select(repository_keys.c.repository_id).where(repository_keys.c.id == key_id)
    repository_id = (await connection.execute(repository)).scalar_one()
    await repokeys.remove(connection, repository_id, key_id, now)
    await connection.execute(delete(storage_keys).where(storage_keys.c.repository_key_id == key_id))
