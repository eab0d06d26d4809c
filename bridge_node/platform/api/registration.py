"""`POST /register` and `POST /unregister` (contract §§5.1, 5.2; node-protocol §1)."""

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import Registration, RegistrationAnswer, SignedText
from bridge_node.platform import audit, enrolling
from bridge_node.platform.callers import NETWORK_KEY, Answer, Caller
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.requests import Here, decoded, node_call, rendered
from bridge_node.platform.store import nodes, orgkeys
from bridge_node.platform.store.nodes import Description, Node

router = APIRouter(tags=["nodes' own"])


@router.post("/register")
async def register(request: Request, platform: Here) -> Response:
    call = await node_call(request, platform, "/register", BadRequest)
    message = await decoded(Registration, request, platform.settings.limits.body_bytes)
    _check(message)

    async def work(connection: AsyncConnection, caller: Caller) -> Answer:
        node = await _registered(connection, platform, caller, message)
        if caller.key is not None and caller.key.id != NETWORK_KEY:
            await orgkeys.link(connection, caller.key.id, node.id)
        answer = RegistrationAnswer(success=True, message="Node registered")
        if message.node_keys is not None or caller.enrolment is not None:
            answer = await enrolling.enrolled(connection, platform, caller, node, message.node_keys)
        return Answer.json(answer.plain())

    return rendered(await platform.callers.answer(call, message, work))


@router.post("/unregister")
async def unregister(request: Request, platform: Here) -> Response:
    call = await node_call(request, platform, "/unregister", BadRequest)
    message = await decoded(SignedText, request, platform.settings.limits.body_bytes)

    async def work(connection: AsyncConnection, caller: Caller) -> Answer:
        node = caller.node
        if node is None or not node.registered:
            raise NotFound("Unknown node")
        now = platform.now_ms()
        await nodes.unregister(connection, node.id, now)
        await orgkeys.unlink(connection, node.id)
        await _record(connection, audit.Event.DELETED, node, now)
        return Answer.json({"success": True, "message": "Node unregistered"})

    return rendered(await platform.callers.answer(call, message, work))


def _check(message: Registration) -> None:
    """What a signature does not judge. Raises BadRequest."""
    if message.region is None:
        raise BadRequest("region: Field required")
    if message.node_id not in {None, message.ip}:
        raise BadRequest("nodeId: a node registers its id as ip")
    texts = (message.region, message.version, message.status, message.provider or "", message.url or "")
    if not all(text.isprintable() for text in (message.ip, *texts)):
        raise BadRequest("Control characters are not allowed")


async def _registered(connection: AsyncConnection, platform: Platform, caller: Caller, message: Registration) -> Node:
    """The node of that name, new or as it was before this call, with what it says of itself written down."""
    now = platform.now_ms()
    said = Description(
        region=message.region or "",
        version=message.version,
        status=message.status,
        provider=(message.provider or "").upper(),
        url=message.url or "",
        services=message.node_services,
    )
    created = await nodes.add(connection, new_id(now), caller.organisation_id, caller.ip, said, now)
    node = await nodes.named(connection, caller.organisation_id, caller.ip, lock=True)
    if node is None:
        raise NotFound("Unknown node")
    if not created:
        await nodes.register_again(connection, node.id, said, now)
    await _record(connection, audit.Event.CREATED if created else audit.Event.UPDATED, node, now)
    return node


async def _record(connection: AsyncConnection, event: audit.Event, node: Node, now: int) -> None:
    await audit.record(
        connection,
        audit.Context.NODE,
        event,
        node.id,
        at=now,
        organisation_id=node.organisation_id,
        data={"ip": node.ip, "region": node.region},
    )
