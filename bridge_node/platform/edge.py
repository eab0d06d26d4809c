"""What every request passes first and last: bounds on its body, and an answer even when our own code fails."""

import asyncio
from collections.abc import Collection

import structlog
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge_node.messages import PROTOCOL_HEADER, PROTOCOL_VERSION
from bridge_node.platform.errors import Broken
from bridge_node.platform.settings import PlatformLimits

log = structlog.get_logger()

BODY_IDLE_SECONDS = 30.0
_PROTOCOL = (PROTOCOL_HEADER.lower().encode(), str(PROTOCOL_VERSION).encode())


class Edge:
    """ASGI middleware around everything. `large` are the paths that take reports."""

    def __init__(self, app: ASGIApp, limits: PlatformLimits, large: Collection[str]) -> None:
        self._app = app
        self._limits = limits
        self._large = large

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body = _Body(receive, self._limits.report_bytes if scope["path"] in self._large else self._limits.body_bytes)
        answer = _Answer(send)
        try:
            await self._app(scope, body.receive, answer.send)
        except Exception as error:
            log.exception("request_failed", method=scope["method"], error=type(error).__name__)
            if answer.begun:
                raise
            await JSONResponse(Broken().body(), 500)(scope, receive, answer.send)


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
        self.begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.begun = True
            message["headers"] = [*message.get("headers", []), _PROTOCOL]
        await self._send(message)
