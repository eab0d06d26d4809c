"""Who may do what in a workspace (contract §0.2): organisation-level roles everything, members what they were given."""

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import Forbidden
from bridge_node.platform.store import workspaces
from bridge_node.platform.store.workspaces import Membership

_RANKS: dict[Membership | None, int] = {None: 0, "READ": 1, "WRITE": 2, "ADMIN": 3}


async def require(connection: AsyncConnection, user: Principal, workspace_id: str, wanted: Membership) -> None:
    """Raises Forbidden. That the workspace is one of the user's organisation is known before."""
    if user.sees_every_workspace:
        return
    access = (await workspaces.access_of(connection, user.user_id)).get(workspace_id)
    if _RANKS[access] < _RANKS[wanted]:
        raise Forbidden(f"{wanted} access to the workspace is needed")
