"""What every request passes first and last: bounds on its body, a count, and an answer even when our own code fails."""

import asyncio
from collections.abc import Collection
from time import perf_counter

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge_node.messages import PROTOCOL_HEADER, PROTOCOL_VERSION
from bridge_node.platform.errors import Broken
from bridge_node.platform.figures import OTHER, Figures
from bridge_node.platform.settings import PlatformLimits

log = structlog.get_logger()

BODY_IDLE_SECONDS = 30.0
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_PROTOCOL = (PROTOCOL_HEADER.lower().encode(), str(PROTOCOL_VERSION).encode())


class Edge:
    """ASGI middleware around everything. `large` are the paths that take reports."""

    def __init__(self, app: ASGIApp, limits: PlatformLimits, large: Collection[str], figures: Figures) -> None:
        self._app = app
        self._limits = limits
        self._figures = figures
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._limits.report_bytes if scope["path"] in self._large else self._limits.body_bytes)
        answer = _Answer(send)
        began = perf_counter()
        try:
            await self._app(scope, body.receive, answer.send)
        except Exception as error:
            log.exception("request_failed", method=scope["method"], error=type(error).__name__)
            if answer.begun:
                raise
            await JSONResponse(Broken().body(), 500)(scope, receive, answer.send)
        finally:
            self._figures.answered(_method(scope), _route(scope), answer.status, began)


def _route(scope: Scope) -> str:
    """The route as it is declared, with the names of its parameters, or the room that it is in: there are so many."""
    return f"{scope.get('root_path', '')}{getattr(scope.get('route'), 'path', '')}" or OTHER


def _method(scope: Scope) -> str:
    return str(scope["method"]) if scope["method"] in _METHODS else OTHER


class _Body:
    """A body that ends in a refusal when it is too long or too slow."""

    def __init__(self, receive: Receive, limit: int) -> None:
        self._receive = receive
        self._left = limit
        self._complete = False

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout(BODY_IDLE_SECONDS):
                message = await self._receive()
        except TimeoutError as error:
            raise HTTPException(408) from error
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise HTTPException(413)
        self._complete = not message.get("more_body", False)
        return message


class _Answer:
    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        """0 until the answer has begun: a client may leave before."""

    @property
    def begun(self) -> bool:
        return self.status > 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", []), _PROTOCOL]
        await self._send(message)
