"""What every call of this API passes first and last: names of the query in any case, and a 500 that says nothing."""

from urllib.parse import parse_qsl, urlencode

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from bridge_node.platform.amove.errors import broken

log = structlog.get_logger()


class Room:
    """ASGI middleware. Routes name their parameters in lower case."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app({**scope, "query_string": lowered(scope["query_string"])}, receive, sending)
        except Exception as error:
            if begun:
                raise
            log.exception("request_failed", method=scope["method"], error=type(error).__name__)
            await broken()(scope, receive, send)


def lowered(query: bytes) -> bytes:
    """The query with its names in lower case; values stay as they are."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return urlencode([(name.lower(), value) for name, value in pairs]).encode()
