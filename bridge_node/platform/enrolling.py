"""Enrolment: a node's own keys take the place of its organisation's (node-protocol §1)."""

from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.crypto import sealing
from bridge_node.messages import NodeKeys, RegistrationAnswer
from bridge_node.platform import audit
from bridge_node.platform.callers import Caller
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.store import enrolments
from bridge_node.platform.store.enrolments import Enrolment
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.wakeups import changed


async def enrolled(
    connection: AsyncConnection, platform: Platform, caller: Caller, node: Node, keys: NodeKeys | None
) -> RegistrationAnswer:
    """What a node is told that registers with keys of its own, new ones or those it has.

    `node` is as it was before this call. Raises BadRequest for keys that are none, or not its own to use.
    """
    if caller.enrolment is not None:
        if keys is not None and keys.sign.get("x") != caller.enrolment.sign.get("x"):
            raise BadRequest("New keys are enrolled with the organisation's key")
        return _answer(platform, caller.enrolment)
    if keys is None:
        raise BadRequest("nodeKeys: Field required")
    offered = _read(keys, node.id, platform.now_ms())
    before = await enrolments.of(connection, node.id)
    known = await enrolments.with_thumbprint(connection, offered.thumbprint)
    if known is not None and (known.node_id, known.seal) != (node.id, offered.seal):
        raise BadRequest("nodeKeys: used by another node, or with another sealing key")
    if known is not None and known.revoked_at is None:
        return _answer(platform, known)
    await enrolments.put(connection, offered)
    if _is_open(platform, node, before):
        await enrolments.approve(connection, offered, offered.created_at)
        offered = await _again(connection, offered)
    await _record(connection, node, offered, taken_over=any(old.works for old in before))
    if before:
        await changed(connection, node.id)  # whoever polls with the keys of before
    return _answer(platform, offered)


def _is_open(platform: Platform, node: Node, before: list[Enrolment]) -> bool:
    """Whether the organisation's key is enough: never for a node that was deleted, until somebody approves."""
    deleted = node.deleted_at is not None or (bool(before) and not any(old.works for old in before))
    return platform.settings.enrolment == "open" and not deleted


def _read(keys: NodeKeys, node_id: str, now: int) -> Enrolment:
    try:
        sealing.verification_key(keys.sign)
        sealing.sealing_key(keys.seal)
    except sealing.BadJwk as error:
        raise BadRequest(f"nodeKeys: {error}") from error
    return Enrolment(
        node_id=node_id,
        thumbprint=sealing.thumbprint(keys.sign),
        sign=_public(keys.sign),
        seal=_public(keys.seal),
        created_at=now,
        approved_at=None,
        revoked_at=None,
    )


def _public(jwk: dict[str, str]) -> dict[str, str]:
    return {name: jwk[name] for name in ("kty", "crv", "x")}


async def _again(connection: AsyncConnection, enrolment: Enrolment) -> Enrolment:
    return await enrolments.with_thumbprint(connection, enrolment.thumbprint) or enrolment


def _answer(platform: Platform, enrolment: Enrolment) -> RegistrationAnswer:
    message = "Node registered" if enrolment.works else "The enrolment waits for approval"
    return RegistrationAnswer(
        success=True,
        message=message,
        platformKeys=platform.keys.public,
        enrolment="enrolled" if enrolment.works else "waiting",
    )


async def _record(connection: AsyncConnection, node: Node, enrolment: Enrolment, *, taken_over: bool) -> None:
    data = {"enrolment": "enrolled" if enrolment.works else "waiting", "keyid": enrolment.thumbprint}
    await audit.record(
        connection,
        audit.Context.NODE,
        audit.Event.UPDATED,
        node.id,
        at=enrolment.created_at,
        organisation_id=node.organisation_id,
        data=data | {"takenOver": taken_over},
    )
