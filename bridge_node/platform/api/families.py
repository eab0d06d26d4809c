"""Families of routes whose refusals have a shape of their own (contract §0.1)."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from bridge_node.platform.errors import PlatformError
from bridge_node.platform.requests import unreadable


class RepositoryRoute(APIRoute):
    """Names a repository in every refusal: an empty one."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                refusal = unreadable(error)
                refusal.fields["repoId"] = ""
                raise refusal from error
            except PlatformError as refusal:
                refusal.fields.setdefault("repoId", "")
                raise

        return answer
