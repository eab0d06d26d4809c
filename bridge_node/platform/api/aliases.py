"""Older names of routes: clients of an earlier version call buckets units (contract §0.3)."""

from collections.abc import Iterable

from fastapi import APIRouter
from fastapi.routing import APIRoute

_TODAY, _BEFORE = "/bucket", "/unit"


def units(routers: Iterable[APIRouter]) -> APIRouter:
    """Every route below `/bucket` on the same handler below `/unit`; the OpenAPI document knows today's only."""
    aliases = APIRouter()
    for router in routers:
        for route in router.routes:
            if isinstance(route, APIRoute) and f"{route.path}/".startswith(f"{_TODAY}/"):
                aliases.add_api_route(
                    _BEFORE + route.path.removeprefix(_TODAY),
                    route.endpoint,
                    methods=sorted(route.methods or ()),
                    include_in_schema=False,
                    route_class_override=type(route),
                )
    return aliases
