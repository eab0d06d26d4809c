"""An organisation as its people see it. The shapes are the vendor's client's; the contract names `reposDisabled`."""

from dataclasses import replace
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
        return {"success": True, "data": _shown(_known(await organisations.with_id(connection, org_id)))}


@router.put("")
async def change(org_id: str, wanted: OrganisationChange, user: User, platform: Here) -> dict[str, Any]:
    user.require_administrator(org_id)
    async with platform.database.transaction() as connection:
        await organisations.lock(connection, org_id)
        before = _known(await organisations.with_id(connection, org_id))
        values = wanted.model_dump(exclude_none=True)
        changes = {column: value for column, value in values.items() if getattr(before, column) != value}
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
                data={_WIRE_NAMES[column]: value for column, value in changes.items()},
            )
    return {"success": True, "data": _shown(replace(before, **changes)), "message": "Organisation updated"}


_WIRE_NAMES = {"name": "name", "repos_disabled": "reposDisabled"}


def _known(organisation: Organisation | None) -> Organisation:
    if organisation is None:
        raise NotFound("No such organisation")
    return organisation


def _shown(organisation: Organisation) -> dict[str, Any]:
    """OrganizationData, as far as there is such data here."""
    return {
        "id": organisation.id,
        "name": organisation.name,
        "domain": "",
        "reposDisabled": organisation.repos_disabled,
        "is_business": False,
        "mfaEnforced": False,
    }
