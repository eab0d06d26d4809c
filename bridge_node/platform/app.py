"""The platform as an ASGI application: routes, limits, and errors in the one form that all clients understand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from sqlalchemy.exc import DBAPIError
from starlette.exceptions import HTTPException

from bridge_node.messages import PROTOCOL_HEADER, PROTOCOL_VERSION
from bridge_node.platform import amove
from bridge_node.platform.api import (
    aliases,
    buckets,
    cloudkeys,
    dashboard,
    described,
    nodeconfig,
    nodes,
    nodestats,
    organisation,
    orgkeys,
    providerkeys,
    quotas,
    registration,
    repokeys,
    repositories,
    secrets,
    status,
    systemevents,
    uptime,
    usagestats,
    workspaces,
)
from bridge_node.platform.context import Platform
from bridge_node.platform.database import DatabaseUnavailable
from bridge_node.platform.documented import REFUSALS, Documented
from bridge_node.platform.edge import Edge
from bridge_node.platform.errors import (
    BadRequest,
    Broken,
    NotAllowedHere,
    NotFound,
    PlatformError,
    TooLarge,
    Unavailable,
)
from bridge_node.platform.requests import unreadable
from bridge_node.platform.rewrapping import rewrap_in_background
from bridge_node.platform.rollup import roll_up_for_ever
from bridge_node.platform.sweeps import sweep_for_ever
from bridge_node.version import running_version

log = structlog.get_logger()

ROUTERS: Sequence[APIRouter] = (
    registration.router,
    status.router,
    secrets.router,
    nodeconfig.router,
    orgkeys.router,
    nodes.router,
    organisation.router,
    nodestats.router,
    repositories.router,
    uptime.router,
    usagestats.router,
    dashboard.router,
    repokeys.router,
    buckets.router,
    providerkeys.router,
    cloudkeys.router,
    workspaces.router,
    systemevents.router,
    quotas.router,
)


def create_app(platform: Platform) -> FastAPI:
    """The application of `platform`. Its lifespan owns the database, the wake-ups, the sweeps and the roll-ups."""
    app = Documented(
        title="bridge_node platform",
        description=described.ABOUT,
        openapi_tags=described.TAGS,
        version=running_version(),
        lifespan=_lifespan,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        responses=REFUSALS,
    )
    app.state.platform = platform
    app.add_middleware(Edge, limits=platform.settings.limits, large=frozenset(status.PATHS), figures=platform.figures)
    app.add_exception_handler(PlatformError, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(HTTPException, _no_route)
    app.add_exception_handler(DatabaseUnavailable, _unavailable)
    app.add_exception_handler(DBAPIError, _not_storable)
    app.add_exception_handler(UnicodeEncodeError, _not_storable)
    for router in ROUTERS:
        app.include_router(router)
    app.include_router(aliases.units(ROUTERS))

    @app.get("/health", tags=["health"])
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    app.mount(amove.PREFIX, amove.create_room(platform))
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    platform: Platform = app.state.platform
    async with platform.database.transaction() as connection:
        await platform.keys.load(connection, platform.now_ms())
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(platform.waker.run(), name="wake-ups"),
                group.create_task(sweep_for_ever(platform.database, platform.now_ms), name="sweeps"),
                group.create_task(
                    roll_up_for_ever(platform.database, platform.settings.statistics, platform.now_ms), name="roll-ups"
                ),
                group.create_task(rewrap_in_background(platform.database, platform.vault), name="rewrapping"),
            ]
            yield
            for task in tasks:
                task.cancel()
    finally:
        await platform.database.close()


def rendered(error: PlatformError) -> Response:
    return JSONResponse(error.body(), error.status, {PROTOCOL_HEADER: str(PROTOCOL_VERSION), **error.headers()})


async def _refused(request: Request, error: Any) -> Response:
    return rendered(error)


async def _unreadable(request: Request, error: Any) -> Response:
    return rendered(unreadable(error))


_OF_STATUS: dict[int, PlatformError] = {
    404: NotFound("No such route"),
    405: NotAllowedHere("No such method here"),
    413: TooLarge("The body is too large"),
}


async def _no_route(request: Request, error: Any) -> Response:
    return rendered(_OF_STATUS.get(error.status_code) or BadRequest("The request cannot be read"))


async def _unavailable(request: Request, error: Any) -> Response:
    log.warning("database_unavailable", error=str(error))
    return rendered(Unavailable())


_DATA_EXCEPTIONS = "22"
"""Class of PostgreSQL's errors for values that cannot be stored: a NUL in a text, a number out of range."""


async def _not_storable(request: Request, error: Any) -> Response:
    if isinstance(error, DBAPIError) and not str(getattr(error.orig, "sqlstate", "")).startswith(_DATA_EXCEPTIONS):
        log.error("database_error", error=type(error.orig).__name__, exc_info=error.orig)
        return rendered(Broken())
    return rendered(BadRequest("A value cannot be stored"))
