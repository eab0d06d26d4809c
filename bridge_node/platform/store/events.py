"""What happened, read again: newest first, and by each reader what they have not read."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import audit_events, event_reads
from bridge_node.platform.store.sql import insert, made

_at = audit_events.c


@dataclass(frozen=True, slots=True)
class Recorded:
    id: int
    organisation_id: str
    at: int
    context: int
    context_id: str
    event: int
    user_id: str
    user_name: str
    user_email: str
    workspace_id: str | None
    data: Any
    unread: bool


@dataclass(frozen=True, slots=True)
class Reader:
    """Who asks, and the only workspaces whose events they see; None: everything of their organisation."""

    user_id: str
    organisation_id: str
    workspace_ids: Collection[str] | None


@dataclass(frozen=True, slots=True)
class Search:
    """What is not given filters nothing. Times are epoch milliseconds, both included."""

    since: int | None = None
    until: int | None = None
    context: int | None = None
    context_id: str | None = None
    event: int | None = None
    user_id: str | None = None
    workspace_id: str | None = None
    unread: bool = False


async def found(
    connection: AsyncConnection, reader: Reader, search: Search, *, skip: int, take: int
) -> tuple[list[Recorded], int]:
    """One page, and how many there are on all pages."""
    conditions = [*_seen_by(reader), *_asked(reader, search)]
    total: int = (
        await connection.execute(select(func.count()).select_from(audit_events).where(*conditions))
    ).scalar_one()
    page = select(audit_events, _unread(reader).label("unread")).where(*conditions)
    rows = await connection.execute(page.order_by(_at.id.desc()).offset(skip).limit(take))
    return [made(Recorded, row) for row in rows], total


async def mark_read(connection: AsyncConnection, reader: Reader, ids: Collection[int]) -> None:
    """Events that the reader does not see are left alone."""
    seen = await connection.execute(select(_at.id).where(_at.id.in_(ids), *_seen_by(reader)))
    rows = [{"user_id": reader.user_id, "event_id": one} for one in seen.scalars()]
    if rows:
        await connection.execute(insert(connection, event_reads).on_conflict_do_nothing(), rows)


async def mark_unread(connection: AsyncConnection, reader: Reader, ids: Collection[int]) -> None:
    mine = (event_reads.c.user_id == reader.user_id, event_reads.c.event_id.in_(ids))
    await connection.execute(delete(event_reads).where(*mine))


def _seen_by(reader: Reader) -> list[ColumnElement[bool]]:
    mine = [_at.organisation_id == reader.organisation_id]
    return mine if reader.workspace_ids is None else [*mine, _at.workspace_id.in_(reader.workspace_ids)]


def _asked(reader: Reader, search: Search) -> list[ColumnElement[bool]]:
    asked = []
    if search.since is not None:
        asked.append(_at.at >= search.since)
    if search.until is not None:
        asked.append(_at.at <= search.until)
    named = {name: getattr(search, name) for name in ("context", "context_id", "event", "user_id", "workspace_id")}
    asked += [_at[name] == value for name, value in named.items() if value is not None]
    if search.unread:
        asked.append(_unread(reader))
    return asked


def _unread(reader: Reader) -> ColumnElement[bool]:
    read = select(event_reads.c.event_id).where(
        event_reads.c.user_id == reader.user_id, event_reads.c.event_id == _at.id
    )
    return ~read.exists()
