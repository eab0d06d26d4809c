"""An organisation as its people see it. The shapes are the vendor's client's; the contract names `reposDisabled`."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from bridge_node.platform import audit
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.errors import NotFound
from bridge_node.platform.fields import Name
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import organisations
from bridge_node.platform.store.organisations import Organisation

router = APIRouter(prefix="/organization/{org_id}", tags=["organisations"])


class OrganisationChange(BaseModel):
    """What is left out stays as it is. `reposDisabled` is our own: nodes let its repositories be read, and no more."""

    name: Name | None = None
    repos_disabled: bool | None = Field(default=None, validation_alias="reposDisabled")


@router.get("")
async def show(org_id: str, user: User, platform: Here) -> dict[str, Any]:
    user.require_member(org_id)
    async with platform.database.reading() as connection:
        return {"success": True, "data": _shown(await organisations.with_id(connection, org_id))}


@router.put("")
async def change(org_id: str, wanted: OrganisationChange, user: User, platform: Here) -> dict[str, Any]:
    user.require_administrator(org_id)
    changes = wanted.model_dump(exclude_none=True)
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, org_id)
        if changes:
            await organisations.change(connection, org_id, **changes)
            await audit.record(
                connection,
                Context.ORG,
                Event.UPDATED,
                org_id,
                at=platform.now_ms(),
                organisation_id=org_id,
                user=user,
                data=changes,
            )
        data = _shown(await organisations.with_id(connection, org_id))
    return {"success": True, "data": data, "message": "Organisation updated"}


def _shown(organisation: Organisation | None) -> dict[str, Any]:
    """OrganizationData, as far as there is such data here."""
    if organisation is None:
        raise NotFound("No such organisation")
    return {
        "id": organisation.id,
        "name": organisation.name,
        "domain": "",
        "reposDisabled": organisation.repos_disabled,
        "is_business": False,
        "mfaEnforced": False,
    }
