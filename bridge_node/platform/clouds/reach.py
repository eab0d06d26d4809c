"""Where an SDK may connect to: what tenants name as an endpoint is checked for each connection (promise 19).

Proxies and certificates of the environment are not asked for: they would lead somewhere else than what is checked.
"""

import socket
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from bridge_node.backends.dialing import is_public
from bridge_node.errors import BackendUnreachable
from bridge_node.platform.clouds.base import Account
from bridge_node.platform.endpoints import is_private

CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 10.0


def check_endpoint(account: Account) -> None:
    """Raises BackendUnreachable for an endpoint that is an address which may not be named; names are resolved later."""
    if account.endpoint and not account.allow_private and is_private(account.endpoint):
        raise BackendUnreachable("The endpoint may not be a private address.", reason="address_refused")


class PublicResolver(AbstractResolver):
    """Of a name's addresses, those that a tenant may name. For aiohttp, which connects to what it gets and no other."""

    def __init__(self) -> None:
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        allowed = [one for one in found if is_public(one["host"])]
        if not allowed:
            raise OSError("the name leads to no public address")
        return allowed

    async def close(self) -> None:
        await self._resolver.close()


def resolver(account: Account) -> AbstractResolver:
    return ThreadedResolver() if account.allow_private else PublicResolver()


def http_session(account: Account) -> aiohttp.ClientSession:
    """For SDKs that work on aiohttp."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(resolver=resolver(account), use_dns_cache=False),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


def public_address(host: str, port: int) -> str:
    """An address of `host` that a tenant may name. Blocks; raises OSError where there is none."""
    found: list[Any] = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for *_, address in found:
        if is_public(str(address[0])):
            return str(address[0])
    raise OSError("the name leads to no public address")
