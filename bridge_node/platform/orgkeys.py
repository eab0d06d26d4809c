"""A new key of an organisation, for its nodes to enrol with. The platform keeps the public half alone."""

import asyncio

from bridge_node.crypto import orgkey
from bridge_node.platform import audit
from bridge_node.platform.audit import Context, Event, User
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.store import orgkeys
from bridge_node.platform.store.orgkeys import OrganisationKey


async def create(platform: Platform, organisation_id: str, user: User | None = None) -> str:
    """The private half in PEM form, for `user` or, without one, the operator. Raises BadRequest at the limit."""
    most, now = platform.settings.limits.organisation_keys, platform.now_ms()
    private, public = await asyncio.to_thread(orgkey.generate)
    key = OrganisationKey(new_id(now), organisation_id, public, orgkey.thumbprint(orgkey.load_public(public)), now)
    async with platform.database.transaction() as connection:
        present = await orgkeys.count_and_lock(connection, organisation_id)
        if present >= most:
            raise BadRequest(f"{present} of {most} organisation keys in use; delete one first")
        await orgkeys.add(connection, key)
        await audit.record(
            connection, Context.ORG_KEY, Event.CREATED, key.id, at=now, organisation_id=organisation_id, user=user
        )
    return private
