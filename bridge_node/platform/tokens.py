"""Tokens that the platform issues itself, for the operator and for first steps; people come by an issuer of theirs."""

from bridge_node.platform import auth, migrations
from bridge_node.platform.context import assemble
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import users


class NoSuchUser(LookupError):
    """Nobody of that address, or not any more."""


async def token_of(settings: PlatformSettings, email: str, seconds: float) -> str:
    """A Bearer token of a user, valid from now on. Raises NoSuchUser and WrongSchema."""
    platform = assemble(settings)
    try:
        await migrations.check(platform.database)
        async with platform.database.reading() as connection:
            user = await users.with_email(connection, email)
    finally:
        await platform.database.close()
    if user is None:
        raise NoSuchUser(email)
    return auth.issue(
        platform.issuers[0],
        user_id=user.id,
        email=user.email,
        organisation_id=user.organisation_id,
        now=platform.now_ms() / 1000,
        seconds=seconds,
    )
