"""Makes a workspace what a declaration says. Applied twice, it changes nothing the second time.

Everything happens in one transaction. A dry run is the same with an undo at its end, so what it shows is what would
happen. What the file does not name stays as it is, unless it is to be pruned.
"""

from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.apply.accounts import drop_buckets, drop_provider_keys, put_buckets, put_provider_keys
from bridge_node.platform.apply.contents import check_repositories, drop_repositories, put_repositories
from bridge_node.platform.apply.declaration import Declaration, program
from bridge_node.platform.apply.site import CannotApply, Change, NewKey, Outcome, Site
from bridge_node.platform.context import Platform
from bridge_node.platform.store import organisations, repositories, workspaces
from bridge_node.platform.store.organisations import Organisation
from bridge_node.platform.store.workspaces import Workspace

__all__ = ["CannotApply", "Change", "Declaration", "NewKey", "Outcome", "apply", "program"]

Named = TypeVar("Named", Organisation, Workspace)


async def apply(platform: Platform, declared: Declaration, *, prune: bool = False, dry_run: bool = False) -> Outcome:
    """What was changed, or would be. Raises CannotApply, VaultError and DatabaseUnavailable; then nothing changed."""
    outcome = Outcome()
    async with platform.database.transaction() as connection:
        workspace = await _workspace(connection, declared)
        await _run(Site(platform, connection, workspace, platform.now_ms(), prune, outcome), declared)
        if dry_run:
            await connection.rollback()
            outcome.keys.clear()  # of keys that never were
    return outcome


async def _run(site: Site, declared: Declaration) -> None:
    """What others refer to is made first and deleted last."""
    keys = await put_provider_keys(site, declared.provider_keys)
    buckets = await put_buckets(site, declared.buckets, keys)
    await put_repositories(site, declared.repositories, buckets, keys)
    await drop_repositories(site, declared.repositories)
    await check_repositories(site, declared.repositories)
    await drop_buckets(site, declared.buckets)
    await drop_provider_keys(site, declared.provider_keys)


async def _workspace(connection: AsyncConnection, declared: Declaration) -> Workspace:
    """Its organisation is locked, with all repositories: whatever else would change them waits."""
    organisation = _only("organisation", declared.organisation, await organisations.every(connection))
    await organisations.lock(connection, organisation.id)
    await repositories.lock_all(connection, organisation.id)
    return _only("workspace", declared.workspace, await workspaces.of(connection, organisation.id))


def _only(kind: str, name: str, there: list[Named]) -> Named:
    match [one for one in there if not name or name in {one.id, one.name}]:
        case [one]:
            return one
        case []:
            raise CannotApply(f'there is no {kind} "{name}"' if name else f"there is no {kind} yet")
    raise CannotApply(f'several are called "{name}": say which {kind} by its id' if name else f"say which {kind}")
