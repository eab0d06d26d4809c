"""What happened, by whom: one row for each change, and never a secret in it (contract §0.6)."""

from enum import IntEnum
from typing import Any, Protocol

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import audit_events


class Context(IntEnum):
    """What an event is about; the numbers are the contract's."""

    WORKSPACE = 0
    BUCKET = 1
    REPO = 2
    USER = 3
    ORG = 4
    WORKSPACE_USER = 5
    API_KEY = 6
    USER_SETTINGS = 7
    ORG_SETTINGS = 8
    NODE = 9
    ORG_KEY = 10
    AI_LLM = 11
    AI_LLM_API_KEY = 12
    CONVERSATION = 13

    @property
    def word(self) -> str:
        """What it is called in answers."""
        return _WORDS[self]


_WORDS = (
    "workspace",
    "bucket",
    "repo",
    "user",
    "org",
    "workspaceuser",
    "apikey",
    "usersettings",
    "orgsettings",
    "flashbacknode",
    "orgkey",
    "aillm",
    "aillmapikey",
    "conversation",
)


class Event(IntEnum):
    CREATED = 0
    UPDATED = 1
    DELETED = 2

    @property
    def word(self) -> str:
        return self.name.lower()


class User(Protocol):
    """Who did it, as `auth.Principal` has it."""

    @property
    def user_id(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def email(self) -> str: ...


async def record(
    connection: AsyncConnection,
    context: Context,
    event: Event,
    context_id: str,
    *,
    at: int,
    organisation_id: str,
    user: User | None = None,
    workspace_id: str | None = None,
    data: dict[str, Any] | None = None,
) -> None:
    """Writes an event in the transaction of the change itself. Without `user`, a node or the operator did it."""
    await connection.execute(
        insert(audit_events).values(
            organisation_id=organisation_id,
            at=at,
            context=context,
            context_id=context_id,
            event=event,
            user_id=user.user_id if user else "",
            user_name=user.name if user else "",
            user_email=user.email if user else "",
            workspace_id=workspace_id,
            data=data,
        )
    )
