"""The organisation's keys that its nodes enrol with (contract §6.1 to §6.4)."""

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from bridge_node.platform import audit, auth
from bridge_node.platform import orgkeys as new_orgkeys
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.errors import NotFound
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import orgkeys
from bridge_node.platform.tolerance import iso

router = APIRouter(prefix="/organization/{org_id}/key", tags=["organisation keys"])

_ASKING_FOR_PEM = ("application/x-pem-file", "text/plain", "application/octet-stream")


@router.get("")
async def list_keys(org_id: str, user: User, platform: Here) -> dict[str, Any]:
    user.require_administrator(org_id)
    async with platform.database.reading() as connection:
        keys = await orgkeys.of(connection, org_id)
        links = await orgkeys.nodes_of(connection, org_id)
    data = [
        {
            "id": key.id,
            "orgId": key.organisation_id,
            "publicKey": key.public_key,
            "createdAt": iso(key.created_at),
            "nodeKeys": [{"keyId": key.id, "nodeId": ip} for key_id, ip in links if key_id == key.id],
        }
        for key in keys
    ]
    return {"success": True, "message": _counted(len(data)), "data": data}


@router.post("")
async def create_key(org_id: str, request: Request, user: User, platform: Here) -> Response:
    """Answers with the private key, this one time, in the form that the caller can read (contract §6.2)."""
    user.require_administrator(org_id)
    private = await new_orgkeys.create(platform, org_id, user)
    if any(wanted in request.headers.get("accept", "") for wanted in _ASKING_FOR_PEM):
        return PlainTextResponse(
            private,
            headers={"Content-Disposition": 'attachment; filename="private_key.pem"', "Cache-Control": "no-store"},
            media_type="application/x-pem-file",
        )
    return JSONResponse(private, headers={"Cache-Control": "no-store"})


@router.delete("")
async def delete_keys(org_id: str, user: User, platform: Here) -> dict[str, Any]:
    user.require_administrator(org_id)
    return {"success": True, "message": f"{_counted(len(await _delete(org_id, None, user, platform)))} deleted"}


@router.delete("/{key_id}")
async def delete_key(org_id: str, key_id: str, user: User, platform: Here) -> dict[str, Any]:
    user.require_administrator(org_id)
    if not await _delete(org_id, [key_id], user, platform):
        raise NotFound("No such key in this organisation")
    return {"success": True, "message": "Organisation key deleted"}


async def _delete(org_id: str, ids: list[str] | None, user: auth.Principal, platform: Here) -> list[str]:
    """For good: plain calls made with these keys are refused from now on; enrolled nodes stay."""
    async with platform.database.transaction() as connection:
        deleted = await orgkeys.remove(connection, org_id, ids)
        for key_id in deleted:
            await audit.record(
                connection,
                Context.ORG_KEY,
                Event.DELETED,
                key_id,
                at=platform.now_ms(),
                organisation_id=org_id,
                user=user,
            )
    return deleted


def _counted(number: int) -> str:
    return f"{number} organisation key{'' if number == 1 else 's'}"
