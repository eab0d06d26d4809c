"""`POST /node/config` and `POST /node/result`: for enrolled nodes alone (node-protocol §§3, 4)."""

from typing import Any

from fastapi import APIRouter, Request, Response

from bridge_node.messages import ConfigRequest, TaskResult
from bridge_node.platform.errors import NotFound, Unauthorised
from bridge_node.platform.requests import Here, decoded, node_call
from bridge_node.platform.store import grants
from bridge_node.platform.wakeups import changed

router = APIRouter(prefix="/node", tags=["nodes' own"])


@router.post("/config")
async def config(request: Request, platform: Here) -> Response:
    """Deleted nodes are answered, too: that they serve nothing any more."""
    call = await node_call(request, platform, "/node/config", Unauthorised)
    message = await decoded(ConfigRequest, request, platform.settings.limits.body_bytes)
    caller = await platform.callers.enrolled(call)
    return Response(await platform.polls.answer(caller, message), media_type="application/jose")


@router.post("/result")
async def result(request: Request, platform: Here) -> dict[str, Any]:
    call = await node_call(request, platform, "/node/result", Unauthorised)
    message = await decoded(TaskResult, request, platform.settings.limits.body_bytes)
    caller = await platform.callers.enrolled(call)
    if caller.node is None or caller.enrolment is None or not caller.enrolment.works:
        raise Unauthorised("The enrolment does not work")
    async with platform.database.transaction() as connection:
        if not await grants.answer_task(connection, caller.node.id, message):
            raise NotFound("No such task of this node")
        await changed(connection, caller.node.id)  # whoever asked waits for that
    return {"success": True, "message": "ok"}
