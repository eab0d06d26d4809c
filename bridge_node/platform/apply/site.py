"""Where a declaration is applied, and what comes of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import audit
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.context import Platform
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.store.repokeys import Pair
from bridge_node.platform.store.workspaces import Workspace

Action = Literal["create", "update", "delete", "leave"]

_EVENTS: Mapping[Action, Event] = {"create": Event.CREATED, "update": Event.UPDATED, "delete": Event.DELETED}
_CONTEXTS = {
    "provider key": Context.API_KEY,
    "bucket": Context.BUCKET,
    "repository": Context.REPO,
    "attachment": Context.REPO,
    "key": Context.API_KEY,
}


class CannotApply(Exception):
    """The declaration does not fit what is there. The text says why; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Change:
    """`leave`: not in the file, and not pruned. `detail` says what changes, and shows no secret."""

    action: Action
    kind: str
    name: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class NewKey:
    """An access key that was made. Its secret is nowhere else in clear."""

    repository: str
    name: str
    access: str
    pair: Pair


@dataclass
class Outcome:
    """What happened, in its order."""

    changes: list[Change] = field(default_factory=list)
    keys: list[NewKey] = field(default_factory=list)

    @property
    def changed(self) -> int:
        return sum(change.action != "leave" for change in self.changes)


@dataclass(frozen=True)
class Site:
    """One workspace, in one transaction."""

    platform: Platform
    connection: AsyncConnection
    workspace: Workspace
    now: int
    prune: bool
    outcome: Outcome

    @property
    def organisation_id(self) -> str:
        return self.workspace.organisation_id

    def new_id(self) -> str:
        return new_id(self.now)

    async def note(self, action: Action, kind: str, name: str, row_id: str, detail: str = "") -> None:
        """For the operator to see, and as an event of the organisation."""
        self.outcome.changes.append(Change(action, kind, name, detail))
        if action in _EVENTS:
            await audit.record(
                self.connection,
                _CONTEXTS[kind],
                _EVENTS[action],
                row_id,
                at=self.now,
                organisation_id=self.organisation_id,
                workspace_id=self.workspace.id,
                data={"name": name, "by": "bridge-node platform apply"},
            )

    async def leave(self, kind: str, name: str) -> None:
        self.outcome.changes.append(Change("leave", kind, name, "not in the file; --prune deletes it"))


def differing(there: object, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The wanted values that `there` does not have."""
    return {name: value for name, value in wanted.items() if getattr(there, name) != value}


def described(there: object, changes: Mapping[str, Any], *, secret: bool = False) -> str:
    """What changes, in words; of a secret, only that it does."""
    shown = [f"{name}: {_text(getattr(there, name))} → {_text(value)}" for name, value in changes.items()]
    return ", ".join([*shown, "a new secret"] if secret else shown)


def _text(value: Any) -> str:
    return "none" if value in (None, "", {}) else str(value).lower() if isinstance(value, bool) else str(value)
