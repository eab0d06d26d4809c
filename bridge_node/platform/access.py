"""Who may do what in a workspace (contract §0.2): organisation-level roles everything, members what they were given.

Whatever is of another organisation is not there: the same answer as for what never was.
"""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import Forbidden, NotFound
from bridge_node.platform.store import buckets, providerkeys, repositories, workspaces
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.store.workspaces import Membership, Workspace

_RANKS: dict[Membership | None, int] = {None: 0, "READ": 1, "WRITE": 2, "ADMIN": 3}


async def require(connection: AsyncConnection, user: Principal, workspace_id: str, wanted: Membership) -> None:
    """Raises Forbidden. That the workspace is one of the user's organisation is known before."""
    if user.sees_every_workspace:
        return
    access = (await workspaces.access_of(connection, user.user_id)).get(workspace_id)
    if _RANKS[access] < _RANKS[wanted]:
        raise Forbidden(f"{wanted} access to the workspace is needed")


async def workspace(
    connection: AsyncConnection, user: Principal, workspace_id: str, wanted: Membership, *, lock: bool = False
) -> Workspace:
    """A live one. Raises NotFound and Forbidden, as all of these do."""
    found = await workspaces.with_id(connection, user.organisation_id, workspace_id, lock=lock)
    if found is None:
        raise NotFound("No such workspace", "NOT_FOUND")
    await require(connection, user, found.id, wanted)
    return found


async def repository(
    connection: AsyncConnection, user: Principal, repository_id: str, wanted: Membership, *, lock: bool = False
) -> Repository:
    found = await repositories.with_id(connection, user.organisation_id, repository_id, lock=lock)
    if found is None:
        raise NotFound("No such repository", "NOT_FOUND")
    await require(connection, user, found.workspace_id, wanted)
    return found


async def bucket(
    connection: AsyncConnection, user: Principal, bucket_id: str, wanted: Membership, *, lock: bool = False
) -> Bucket:
    found = await buckets.with_id(connection, user.organisation_id, bucket_id, lock=lock)
    if found is None:
        raise NotFound("No such bucket", "NOT_FOUND")
    await require(connection, user, found.workspace_id, wanted)
    return found


async def provider_key(
    connection: AsyncConnection, user: Principal, provider_key_id: str, wanted: Membership, *, lock: bool = False
) -> ProviderKey:
    found = await providerkeys.with_id(connection, user.organisation_id, provider_key_id, lock=lock)
    if found is None:
        raise NotFound("No such API key", "NOT_FOUND")
    await require(connection, user, found.workspace_id, wanted)
    return found


async def readable(connection: AsyncConnection, user: Principal, workspace_id: str | None) -> Collection[str] | None:
    """The workspaces that a list is made of: the one asked for, or all that the user may read.

    None means all of the organisation.
    """
    if workspace_id is not None:
        return [(await workspace(connection, user, workspace_id, "READ")).id]
    return None if user.sees_every_workspace else (await workspaces.access_of(connection, user.user_id)).keys()
