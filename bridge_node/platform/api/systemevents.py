"""Audit events as people read them (contract §0.6)."""

import json
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, Field, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import tolerance
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.fields import Identifier
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import events, workspaces
from bridge_node.platform.store.events import Reader, Recorded, Search
from bridge_node.platform.tolerance import iso

router = APIRouter(prefix="/systemevent", tags=["events"])

MOST_AT_ONCE = 1000
_LARGEST_ID = 2**63 - 1


def _given(value: object) -> object:
    return tolerance.given(value) if isinstance(value, str) else value


Text = Annotated[Annotated[str, Field(max_length=64)] | None, BeforeValidator(_given)]
Id = Annotated[Identifier | None, BeforeValidator(_given)]
EventId = Annotated[int, Field(ge=0, le=_LARGEST_ID)]


class Question(BaseModel):
    """What is not given, or is `undefined`, filters nothing."""

    from_timestamp: Text = None
    to_timestamp: Text = None
    context_id: Id = Field(default=None, validation_alias="contextId")
    context: Annotated[int, Field(ge=0, lt=len(Context))] | None = None
    event: Annotated[int, Field(ge=0, lt=len(Event))] | None = None
    user_id: Id = Field(default=None, validation_alias="userId")
    workspace_id: Id = Field(default=None, validation_alias="workspaceId")
    show_unread: bool | None = Field(default=None, validation_alias="showUnread")
    skip: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    take: Annotated[int, Field(ge=0, le=MOST_AT_ONCE)] = 100


class Marked(BaseModel):
    """One event, or several."""

    id: EventId | None = None
    ids: Annotated[list[EventId], Field(max_length=MOST_AT_ONCE)] | None = None

    @model_validator(mode="after")
    def _names_something(self) -> Self:
        if self.id is None and self.ids is None:
            raise ValueError("id or ids is needed")
        return self

    @property
    def all(self) -> list[int]:
        return [*(self.ids or ()), *([] if self.id is None else [self.id])]


@router.post("")
async def query(asked: Question, user: User, platform: Here) -> dict[str, Any]:
    """Newest first. Administrators see all of their organisation, others what happened in their workspaces."""
    search = Search(
        since=_milliseconds("from_timestamp", asked.from_timestamp),
        until=_milliseconds("to_timestamp", asked.to_timestamp, end=True),
        context=asked.context,
        context_id=asked.context_id,
        event=asked.event,
        user_id=asked.user_id,
        workspace_id=asked.workspace_id,
        unread=bool(asked.show_unread),
    )
    async with platform.database.reading() as connection:
        reader = await _reader(connection, user)
        found, total = await events.found(connection, reader, search, skip=asked.skip, take=asked.take)
    return {"events": [_shown(one) for one in found], "total": total, "skip": asked.skip, "take": asked.take}


@router.post("/read")
async def mark_read(marked: Marked, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await events.mark_read(connection, await _reader(connection, user), marked.all)
    return {"success": True}


@router.delete("/read")
async def mark_unread(marked: Marked, user: User, platform: Here) -> dict[str, Any]:
    async with platform.database.transaction() as connection:
        await events.mark_unread(connection, await _reader(connection, user), marked.all)
    return {"success": True}


async def _reader(connection: AsyncConnection, user: Principal) -> Reader:
    if user.administrates:
        return Reader(user.user_id, user.organisation_id, None)
    if user.sees_every_workspace:
        mine = [one.id for one in await workspaces.of(connection, user.organisation_id)]
    else:
        mine = list(await workspaces.access_of(connection, user.user_id))
    return Reader(user.user_id, user.organisation_id, mine)


def _milliseconds(field: str, text: str | None, *, end: bool = False) -> int | None:
    """A day without a time means all of it."""
    if text is None:
        return None
    try:
        moment = tolerance.instant(f"{text}T23:59:59.999Z" if end and tolerance.is_day(text) else text)
        return int(moment.timestamp() * 1000)
    except (ValueError, OverflowError) as error:
        raise BadRequest(f"{field}: not a date-time") from error


def _shown(one: Recorded) -> dict[str, Any]:
    return {
        "id": one.id,
        "timestamp": iso(one.at),
        "contextId": one.context_id,
        "context": Context(one.context).word,
        "event": Event(one.event).word,
        "orgId": one.organisation_id,
        "userId": one.user_id,
        "userName": one.user_name,
        "userEmail": one.user_email,
        "workspaceId": one.workspace_id,
        "jsonData": None if one.data is None else json.dumps(one.data, ensure_ascii=False, separators=(",", ":")),
        "showUnread": one.unread,
    }
