"""Every route of the application, whichever way it came in."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Mount

from bridge_node.platform import requests

_OF_THE_DOCUMENT = {"/openapi.json", "/docs", "/docs/oauth2-redirect", "/redoc"}


def every(app: FastAPI) -> list[tuple[str, str, APIRoute]]:
    """Method, path and route of each; those of mounted applications, too."""
    return [(method, path, route) for path, route in _walk("", app.routes) for method in sorted(route.methods or ())]


def _walk(prefix: str, routes: Iterable[Any]) -> Iterator[tuple[str, APIRoute]]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield prefix + route.path, route
        elif isinstance(route, Mount):
            yield from _walk(prefix + route.path, route.routes)
        elif hasattr(route, "original_router"):
            yield from _walk(prefix, route.original_router.routes)
        else:
            assert route.path in _OF_THE_DOCUMENT, f"{route}: what is it?"


def is_for_people(route: APIRoute) -> bool:
    """Whether a Bearer token is asked for."""
    return any(one.call is requests._user for one in route.dependant.dependencies)
