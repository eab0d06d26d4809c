"""`POST /status`: what a node saw and what moved (contract §5.3, node-protocol §5)."""

from typing import Any

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import StatusReport
from bridge_node.platform.callers import Answer, Caller
from bridge_node.platform.errors import NotFound, Unauthorised
from bridge_node.platform.ingest import ingest
from bridge_node.platform.requests import Here, decoded, node_call, rendered
from bridge_node.platform.store import nodes

router = APIRouter(tags=["nodes' own"])

PATHS = ("/status", "/node/status", "/nodestatus")
"""No source names the path (contract §10.1): the aliases are one route."""
_ANSWER: dict[str, Any] = {"success": True, "message": "ok"}


async def report(request: Request, platform: Here) -> Response:
    call = await node_call(request, platform, PATHS[0], Unauthorised)
    message = await decoded(StatusReport, request, platform.settings.limits.report_bytes)

    async def work(connection: AsyncConnection, caller: Caller) -> Answer:
        node = caller.node
        if node is None or (caller.enrolment is None and not node.registered):
            raise NotFound("Unknown node")
        now = platform.now_ms()
        dropped = await ingest(connection, node, message, enrolled=caller.enrolment is not None, now_ms=now)
        platform.figures.reported(taken=len(message.buckets) + len(message.usage) - dropped, dropped=dropped)
        await nodes.seen(connection, node.id, now)
        return Answer.json(_ANSWER)

    return rendered(await platform.callers.answer(call, message, work))


for path in PATHS:
    router.add_api_route(path, report, methods=["POST"], include_in_schema=path == PATHS[0])
