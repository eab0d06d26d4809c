"""The Amove-compatible storage API under `/api/v1`: a room of its own, with its own errors, paging and names.

Everything below that path is answered in this form, what is unknown there as well. Who calls, and what they may do, is
the platform's: the same tokens, the same workspaces.
"""

from collections.abc import Sequence

from fastapi import APIRouter, FastAPI
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from bridge_node.errors import BridgeError
from bridge_node.platform.amove import accounts, buckets, errors, storagekeys
from bridge_node.platform.amove.errors import Refused
from bridge_node.platform.amove.room import Room
from bridge_node.platform.context import Platform
from bridge_node.platform.database import DatabaseUnavailable
from bridge_node.platform.errors import PlatformError
from bridge_node.version import running_version

PREFIX = "/api/v1"

ROUTERS: Sequence[APIRouter] = (storagekeys.router, buckets.router, accounts.router)


def create_room(platform: Platform) -> FastAPI:
    """The application to mount at `PREFIX`, which has an OpenAPI document of its own."""
    room = FastAPI(
        title="bridge_node storage", version=running_version(), redirect_slashes=False, responses=errors.DOCUMENTED
    )
    room.state.platform = platform
    room.add_middleware(Room)
    for kind, handler in (
        (Refused, errors.refused),
        (PlatformError, errors.of_the_platform),
        (BridgeError, errors.of_a_cloud),
        (RequestValidationError, errors.not_readable),
        (HTTPException, errors.no_route),
        (DatabaseUnavailable, errors.unavailable),
        (DBAPIError, errors.not_storable),
        (UnicodeEncodeError, errors.not_storable),
    ):
        room.add_exception_handler(kind, handler)
    for router in ROUTERS:
        room.include_router(router)
    return room
