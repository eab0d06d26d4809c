"""Every place of the database that holds something sealed, and how it is wrapped anew under another master key."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Table, and_, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import (
    buckets,
    platform_keys,
    provider_keys,
    repositories,
    repository_keys,
    tasks,
)
from bridge_node.platform.vault import Vault, VaultError


@dataclass(frozen=True, slots=True)
class Place:
    """A column of sealed values. `bound_to` is the name of it that they were sealed for."""

    table: Table
    column: str
    bound_to: str


PLACES: Sequence[Place] = (
    Place(provider_keys, "secret_sealed", "provider_keys"),
    Place(buckets, "secret_sealed", "buckets"),
    Place(repositories, "token_key_sealed", "repositories"),
    Place(repositories, "previous_token_key_sealed", "repositories.previous"),
    Place(repository_keys, "secret_sealed", "repository_keys"),
    Place(platform_keys, "secret_sealed", "platform_keys"),
    Place(tasks, "place_sealed", "tasks"),
)


@dataclass(frozen=True, slots=True)
class Batch:
    """`last` is the id to go on behind; None at the end."""

    rewrapped: int = 0
    unreadable: int = 0
    last: str | None = None


async def count_outdated(connection: AsyncConnection, vault: Vault, place: Place) -> int:
    """How many values are not wrapped by the present master key."""
    counted = select(func.count()).select_from(place.table).where(_outdated(vault, place))
    return (await connection.execute(counted)).scalar_one()


async def rewrap_batch(connection: AsyncConnection, vault: Vault, place: Place, after: str, limit: int) -> Batch:
    """Some of those, in the order of their ids, behind `after`.

    Rows that another transaction works on are left to it, or to the next round; a value that changed meanwhile stays.
    """
    table, column = place.table, place.table.c[place.column]
    wanted = select(table.c.id, column).where(table.c.id > after, _outdated(vault, place)).order_by(table.c.id)
    rows = (await connection.execute(wanted.limit(limit).with_for_update(skip_locked=True))).all()
    unreadable = 0
    for row_id, sealed in rows:
        try:
            anew = vault.rewrap(sealed, place.bound_to, row_id)
        except VaultError:
            unreadable += 1
            continue
        same = and_(table.c.id == row_id, column == sealed)
        await connection.execute(update(table).where(same).values({place.column: anew}))
    return Batch(len(rows) - unreadable, unreadable, rows[-1][0] if rows else None)


def _outdated(vault: Vault, place: Place) -> ColumnElement[bool]:
    column, mark = place.table.c[place.column], vault.mark
    return and_(column.is_not(None), func.substr(column, 1, len(mark)) != mark)
