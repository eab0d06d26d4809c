"""Reverse proxies in front of the node: whom to believe, and what they say about the client."""

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import ip_address, ip_network

from bridge_node.gateway.http import Request


class Proxies:
    """`trusted` are addresses and networks; nobody else's X-Forwarded-… fields are read."""

    def __init__(self, trusted: Sequence[str]) -> None:
        self._networks = tuple(ip_network(network, strict=False) for network in trusted)
        self._contains_cached = lru_cache(maxsize=4096)(self._contains)

    def trusts(self, address: str) -> bool:
        """Whether `address` is one of the trusted proxies."""
        return bool(self._networks) and self._contains_cached(address)

    def client_of(self, request: Request) -> str:
        """The address of the client itself: the last one named that is no trusted proxy."""
        client = request.peer
        if not self.trusts(client):
            return client
        for named in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            if not self._is_address(named.strip()):
                break
            client = named.strip()
            if not self.trusts(client):
                break
        return client

    def forwarded_host(self, request: Request) -> str | None:
        """The host that the client asked for, where a trusted proxy says so."""
        if not self.trusts(request.peer):
            return None
        return request.headers.get("x-forwarded-host", "").rpartition(",")[2].strip() or None

    def _contains(self, address: str) -> bool:
        if not self._is_address(address):
            return False
        parsed = ip_address(address)
        return any(parsed in network for network in self._networks)

    @staticmethod
    def _is_address(text: str) -> bool:
        try:
            ip_address(text)
        except ValueError:
            return False
        return True
