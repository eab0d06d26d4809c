"""Every route of the application, whichever way it came in."""

from collections.abc import Iterable, Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute

from bridge_node.platform import requests


def every(app: FastAPI) -> list[tuple[str, APIRoute]]:
    """Pairs of a method and a route."""
    return [(method, route) for route in _walk(app.routes) for method in sorted(route.methods or ())]


def _walk(routes: Iterable[Any]) -> Iterator[APIRoute]:
    for route in routes:
        if isinstance(route, APIRoute):
            yield route
        else:
            yield from _walk(getattr(getattr(route, "original_router", None), "routes", ()))


def is_for_people(route: APIRoute) -> bool:
    """Whether a Bearer token is asked for."""
    return any(one.call is requests._user for one in route.dependant.dependencies)
