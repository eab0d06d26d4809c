"""What has to be there before anybody can log in: an organisation, a workspace, and somebody who administrates them.

Done again, it finds what it made.
"""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import audit, masterkey, migrations
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Role
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import organisations, users, workspaces

ADMINISTRATOR = "admin@localhost"


class CannotBootstrap(Exception):
    """What is there already contradicts what was asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    organisation: str = "Main"
    workspace: str = "Main"
    email: str = ADMINISTRATOR


@dataclass(frozen=True, slots=True)
class Bootstrapped:
    """Ids, and what of it is new."""

    organisation_id: str
    workspace_id: str
    user_id: str
    new: tuple[str, ...]


def make_master_key(settings: PlatformSettings) -> Path | None:
    """Makes the state directory, and in it a master key unless there is one. The key's file, if it is new."""
    settings.state_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if settings.master_key is not None:
        return None
    try:
        return masterkey.make(settings.state_directory)
    except FileExistsError:
        return None


async def bootstrap(settings: PlatformSettings, wanted: Wanted) -> Bootstrapped:
    """Migrates the database and fills it. Raises CannotBootstrap, and VaultError under another master key."""
    patient = settings.limits.model_copy(update={"statement_seconds": migrations.PATIENCE_SECONDS})
    platform = assemble(settings.model_copy(update={"limits": patient}))
    try:
        await migrations.upgrade(platform.database)
        return await _fill(platform, wanted)
    finally:
        await platform.database.close()


async def _fill(platform: Platform, wanted: Wanted) -> Bootstrapped:
    async with platform.database.transaction() as connection:
        filling = _Filling(connection, platform.now_ms())
        await platform.keys.load(connection, filling.now)
        await organisations.lock_all(connection)
        organisation_id = await filling.organisation(wanted.organisation)
        workspace_id = await filling.workspace(organisation_id, wanted.workspace)
        user_id = await filling.administrator(organisation_id, wanted.email)
    return Bootstrapped(organisation_id, workspace_id, user_id, tuple(filling.new))


@dataclass
class _Filling:
    """Each method gives an id, of what is there or of what it made."""

    connection: AsyncConnection
    now: int
    new: list[str] = field(default_factory=list)

    async def organisation(self, name: str) -> str:
        match [one.id for one in await organisations.every(self.connection) if one.name == name]:
            case [there]:
                return there
            case []:
                made = self._made("organisation")
                await organisations.add(self.connection, made, name, self.now)
                return made
        raise CannotBootstrap(f'several organisations are called "{name}"')

    async def workspace(self, organisation_id: str, name: str) -> str:
        for one in await workspaces.of(self.connection, organisation_id):
            if one.name == name:
                return one.id
        made = self._made("workspace")
        await workspaces.add(self.connection, made, organisation_id, name, self.now)
        await self._record(Context.WORKSPACE, made, organisation_id)
        return made

    async def administrator(self, organisation_id: str, email: str) -> str:
        there = await users.with_email(self.connection, email)
        if there and there.organisation_id != organisation_id:
            raise CannotBootstrap(f"{email} belongs to another organisation")
        if there:
            return there.id
        made = self._made("administrator")
        name = email.partition("@")[0]
        await users.add(self.connection, made, organisation_id, self.now, email=email, name=name, role=Role.OWNER)
        await self._record(Context.USER, made, organisation_id)
        return made

    def _made(self, what: str) -> str:
        self.new.append(what)
        return new_id(self.now)

    async def _record(self, context: Context, made: str, organisation_id: str) -> None:
        await audit.record(self.connection, context, Event.CREATED, made, at=self.now, organisation_id=organisation_id)
