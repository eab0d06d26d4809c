"""What routes ask of a request: who calls, and what a node sent."""

import asyncio
import zlib
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response, Security
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer

from bridge_node.messages import BadMessage, Message
from bridge_node.platform import auth
from bridge_node.platform.callers import Answer, NodeCall
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest, PlatformError, TooLarge

_DECODED_IN_A_THREAD = 64 * 1024

AnyMessage = TypeVar("AnyMessage", bound=Message)


async def _platform(request: Request) -> Platform:
    """A coroutine, because FastAPI hands plain functions to a thread."""
    platform: Platform = request.app.state.platform
    return platform


Here = Annotated[Platform, Depends(_platform)]
"""The platform that a route belongs to."""


_BEARER = HTTPBearer(
    scheme_name="Bearer", bearerFormat="JWT", description="Printed by `bridge-node platform token`.", auto_error=False
)
"""For the OpenAPI document; the header is read below, in the words of all refusals."""


async def _user(request: Request, platform: Here, _: Annotated[object, Security(_BEARER)]) -> auth.Principal:
    token = auth.bearer_token(request.headers.get("authorization"))
    claims = auth.claims_of(token, platform.issuers, platform.now_ms() / 1000)
    async with platform.database.reading() as connection:
        principal = await auth.principal(connection, claims)
    platform.user_rate.hit(principal.user_id)
    return principal


User = Annotated[auth.Principal, Depends(_user)]
"""Who calls with a Bearer token."""


def unreadable(error: RequestValidationError) -> BadRequest:
    """Names the first field that is wrong, and quotes no value."""
    first = error.errors()[0]
    where = ".".join(str(step) for step in first["loc"][1:])
    return BadRequest(f"{where}: {first['msg']}" if where else str(first["msg"]))


async def node_call(request: Request, platform: Platform, route: str, refusal: type[PlatformError]) -> NodeCall:
    """A node's request as it was signed. Raises `refusal` when it was sent to a host that is not ours."""
    scope = request.scope
    url = platform.origins.url(
        request.headers.get("host", ""), scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
    )
    return NodeCall(
        route=route,
        method=request.method,
        url=url,
        headers=request.headers,
        body=await request.body(),
        address=request.client.host if request.client else "",
        refusal=refusal,
    )


async def decoded(kind: type[AnyMessage], request: Request, limit: int) -> AnyMessage:
    """What the body says, unpacked; raises BadRequest and TooLarge."""
    content = _unpacked(await request.body(), request.headers.get("content-encoding", ""), limit)
    try:
        if len(content) > _DECODED_IN_A_THREAD:
            return await asyncio.to_thread(kind.decode, content)
        return kind.decode(content)
    except BadMessage as error:
        raise BadRequest(str(error)) from error


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding in {"", "identity"}:
        content = body
    elif encoding == "gzip":
        content = _gunzipped(body, limit)
    else:
        raise BadRequest("Content-Encoding must be gzip or none")
    if len(content) > limit:
        raise TooLarge("The body is too large")
    return content


def _gunzipped(body: bytes, limit: int) -> bytes:
    unpacking = zlib.decompressobj(wbits=31)
    try:
        content = unpacking.decompress(body, limit + 1)
    except zlib.error as error:
        raise BadRequest("The body is not gzip") from error
    if len(content) <= limit and not unpacking.eof:
        raise BadRequest("The body ends too early")
    return content


def rendered(answer: Answer) -> Response:
    return Response(answer.body, answer.status, media_type=answer.media_type)
