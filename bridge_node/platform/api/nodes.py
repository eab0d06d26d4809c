"""Nodes as people see them (contract §§6.5, 6.6, 7), and the approval of enrolments."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from bridge_node.platform import audit
from bridge_node.platform.api.shapes import node_url
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import enrolments, nodes, orgkeys
from bridge_node.platform.store.enrolments import Enrolment
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.tolerance import given, iso, mask
from bridge_node.platform.wakeups import changed

router = APIRouter(tags=["nodes"])

_PUBLIC = ""


@router.get("/node")
async def list_nodes(
    user: User, platform: Here, node_services: Annotated[str | None, Query(alias="nodeServices")] = None
) -> dict[str, Any]:
    """Public nodes and those of the caller's organisation."""
    return await _listing(platform, user.organisation_id, _PUBLIC, services=mask("nodeServices", given(node_services)))


@router.get("/organization/{org_id}/nodes")
async def list_nodes_of_organisation(org_id: str, user: User, platform: Here) -> dict[str, Any]:
    """`lastUpdated` is the time of this call: so the contract's documents have it."""
    user.require_member(org_id)
    listing = await _listing(platform, org_id)
    asked_at = iso(platform.now_ms())
    return {**listing, "data": [{**info, "lastUpdated": asked_at} for info in listing["data"]]}


@router.delete("/organization/{org_id}/node/{node_id}")
async def delete_node(org_id: str, node_id: str, user: User, platform: Here) -> dict[str, Any]:
    """The node's own keys are worth nothing from now on; it is told so, and erases what it keeps."""
    user.require_administrator(org_id)
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        node = await nodes.of_organisation(connection, org_id, node_id)
        if node is None:
            raise NotFound("No such node in this organisation")
        if node.deleted_at is not None:
            raise BadRequest("Node was deleted before")
        await nodes.remove(connection, node.id, now)
        await enrolments.revoke(connection, node.id, now)
        await orgkeys.unlink(connection, node.id)
        await audit.record(connection, Context.NODE, Event.DELETED, node.id, at=now, organisation_id=org_id, user=user)
        await changed(connection, node.id)
    return {"success": True, "message": "Node deleted"}


@router.post("/organization/{org_id}/node/{node_id}/approve")
async def approve_node(org_id: str, node_id: str, user: User, platform: Here) -> dict[str, Any]:
    """Lets a waiting enrolment work (node-protocol §1). Our own; the contract has no enrolment."""
    user.require_administrator(org_id)
    now = platform.now_ms()
    async with platform.database.transaction() as connection:
        node = await nodes.of_organisation(connection, org_id, node_id)
        waiting = _waiting(await enrolments.of(connection, node.id)) if node else None
        if node is None or node.deleted_at is not None or waiting is None:
            raise NotFound("No such node waits for approval in this organisation")
        await enrolments.approve(connection, waiting, now)
        await audit.record(
            connection,
            Context.NODE,
            Event.UPDATED,
            node.id,
            at=now,
            organisation_id=org_id,
            user=user,
            data={"enrolment": "enrolled", "keyid": waiting.thumbprint},
        )
        await changed(connection, node.id)
    return {"success": True, "message": "Enrolment approved"}


async def _listing(platform: Platform, *organisation_ids: str, services: int = 0) -> dict[str, Any]:
    async with platform.database.reading() as connection:
        found = await nodes.registered(connection, *organisation_ids, services=services)
        enrolled = await enrolments.of(connection, *(node.id for node in found))
    waiting = {enrolment.node_id for enrolment in enrolled if _waiting([enrolment])}
    data = [_described(node, platform.settings.node_domain, waiting=node.id in waiting) for node in found]
    return {"success": True, "data": data, "total": len(data)}


def _described(node: Node, domain: str, *, waiting: bool) -> dict[str, Any]:
    """NodeInfo. `lastUpdated` is when the node last registered or reported."""
    info = {
        "id": node.id,
        "ip": node.ip,
        "region": node.region,
        "version": node.version,
        "status": node.status,
        "lastUpdated": iso(node.seen_at),
        "url": node_url(node, domain),
        "nodeServices": node.services,
    }
    if node.organisation_id:
        info["id_org"] = node.organisation_id
    if waiting:
        info["enrolment"] = "waiting"
    return info


def _waiting(found: list[Enrolment]) -> Enrolment | None:
    """The newest enrolment that nobody has approved yet."""
    return next((one for one in found if one.approved_at is None and one.revoked_at is None), None)
