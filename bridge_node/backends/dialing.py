"""Where a connection to a backend leads, and how it is opened: names, addresses, proxy, TLS.

Nothing here knows HTTP beyond the CONNECT that opens a tunnel.
"""

import asyncio
import base64
import contextlib
import ipaddress
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeVar, cast
from urllib.parse import unquote, urlsplit

from bridge_node.errors import BackendFailure, BackendTimeout, BackendUnreachable

Clock = Callable[[], float]
"""Monotonic seconds."""
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Addresses of a host, as text; raises OSError when there are none."""

RESOLVE_SECONDS = 30.0
"""How long an answer of DNS is used; `getaddrinfo` does not tell the record's own time to live."""
MAX_ATTEMPTS = 4
MAX_PROXY_HEAD = 16 * 1024


class Origin(NamedTuple):
    """What a connection can be reused for."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> "Origin":
        """Of `http[s]://host[:port]`; raises ValueError for anything else or anything more."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"not an http or https URL: {parts.scheme}://{parts.hostname or ''}")
        if parts.username or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ValueError("an endpoint is a scheme, a host and a port, nothing more")
        return cls(parts.scheme, parts.hostname, parts.port or _DEFAULT_PORTS[parts.scheme])

    @property
    def authority(self) -> str:
        """The Host header: the port only where it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"


_DEFAULT_PORTS = {"http": 80, "https": 443}


_P = TypeVar("_P", bound=asyncio.Protocol)


async def resolve(host: str, port: int) -> Sequence[str]:
    """Asks the system's resolver, in a thread."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


class Dialer:
    """Opens connections for one backend, spread over all addresses that DNS gives.

    Unless `allow_private` is set, only public addresses are connected to, and the address that was checked is the
    one connected to, so that a name which changes its mind in between gains nothing (promise 19).
    """

    def __init__(
        self,
        *,
        connect_seconds: float,
        ca_file: str = "",
        proxy: str = "",
        allow_private: bool = True,
        resolve: Resolve = resolve,
        clock: Clock = time.monotonic,
        rng: random.Random | None = None,
    ) -> None:
        self._connect_seconds = connect_seconds
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None
        self._proxy = Proxy.parse(proxy) if proxy else None
        self._allow_private = allow_private
        self._resolve = resolve
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - spreads load, guards nothing
        self._answers: dict[Origin, _Answer] = {}

    def tunnels(self, origin: Origin) -> bool:
        """Whether connections reach `origin` itself: all but plain HTTP that a proxy forwards."""
        return self._proxy is None or origin.scheme == "https" or not self._allow_private

    @property
    def proxy_authorization(self) -> str:
        return self._proxy.authorization if self._proxy else ""

    async def dial(self, origin: Origin, factory: Callable[[str], _P]) -> _P:
        """A connected protocol made by `factory` from the address that it reaches.

        Tries several addresses within the connect deadline. Raises BackendUnreachable or BackendTimeout.
        """
        try:
            async with asyncio.timeout(self._connect_seconds):
                return await self._dial(origin, factory)
        except TimeoutError as error:
            raise BackendTimeout(reason="connect_timeout") from error
        except ssl.SSLError as error:
            raise BackendUnreachable(reason="tls_failed") from error
        except OSError as error:
            raise BackendUnreachable(reason="connect_failed") from error

    async def _dial(self, origin: Origin, factory: Callable[[str], _P]) -> _P:
        addresses = await self._next_addresses(origin)
        for attempt, address in enumerate(addresses, start=1):
            share = self._connect_seconds / len(addresses) if attempt < len(addresses) else None
            try:
                async with asyncio.timeout(share):
                    return await self._connect(origin, address, factory)
            except (OSError, TimeoutError, BackendFailure):
                if attempt == len(addresses):
                    raise
        raise BackendUnreachable(reason="no_address")

    async def _connect(self, origin: Origin, address: str, factory: Callable[[str], _P]) -> _P:
        loop = asyncio.get_running_loop()
        tls = self._tls_context() if origin.scheme == "https" else None
        if self._proxy is None:
            _, protocol = await loop.create_connection(
                lambda: factory(address), address, origin.port, ssl=tls, server_hostname=origin.host if tls else None
            )
            return protocol
        if not self.tunnels(origin):
            _, protocol = await loop.create_connection(lambda: factory(address), self._proxy.host, self._proxy.port)
            return protocol
        return await self._proxy.tunnel(origin, address, factory(address), tls)

    def _tls_context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context(cafile=self._ca_file or None)
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls

    # names and addresses

    def serves(self, origin: Origin, address: str) -> bool:
        """Whether DNS still leads to `address`; a connection elsewhere should not be used again."""
        answer = self._answers.get(origin)
        return answer is None or address in answer.addresses

    def is_stale(self, origin: Origin) -> bool:
        """Whether it is time to `refresh`."""
        answer = self._answers.get(origin)
        return answer is not None and self._clock() >= answer.until

    async def refresh(self, origin: Origin) -> None:
        """Asks DNS again; keeps the old answer when there is no new one. Never raises."""
        self._answers[origin].until = self._clock() + RESOLVE_SECONDS
        with contextlib.suppress(OSError, TimeoutError, BackendFailure):
            async with asyncio.timeout(self._connect_seconds):
                self._answers[origin] = await self._ask(origin)

    def forget(self, origin: Origin) -> None:
        """Nothing leads to `origin` any more."""
        self._answers.pop(origin, None)

    async def _next_addresses(self, origin: Origin) -> Sequence[str]:
        """Addresses in the order to be tried, beginning with another one each time."""
        if self._proxy is not None and self._allow_private:
            return (origin.host,)
        answer = self._answers.get(origin)
        if answer is None:
            answer = self._answers[origin] = await self._ask(origin)
        return answer.next(MAX_ATTEMPTS)

    async def _ask(self, origin: Origin) -> "_Answer":
        if _is_address(origin.host):
            found: list[str] = [origin.host]
        else:
            found = await self._lookup(origin)
        allowed = [address for address in found if self._allow_private or is_public(address)]
        if not allowed:
            raise BackendUnreachable(reason="address_refused" if found else "no_address")
        self._rng.shuffle(allowed)
        return _Answer(allowed, self._clock() + RESOLVE_SECONDS)

    async def _lookup(self, origin: Origin) -> list[str]:
        try:
            return list(await self._resolve(origin.host, origin.port))
        except UnicodeError as error:  # a name that DNS cannot carry, such as a label of 64 letters
            raise BackendUnreachable(reason="no_address") from error


class _Answer:
    """What DNS said, and how long that is believed."""

    __slots__ = ("_turn", "addresses", "until")

    def __init__(self, addresses: Sequence[str], until: float) -> None:
        self.addresses = addresses
        self.until = until
        self._turn = 0

    def next(self, limit: int) -> Sequence[str]:
        turn, self._turn = self._turn, (self._turn + 1) % len(self.addresses)
        return [*self.addresses[turn:], *self.addresses[:turn]][:limit]


# --- addresses ------------------------------------------------------------------------------------------------------

_NOT_PUBLIC = (
    ipaddress.ip_network("168.63.129.16/32"),  # Azure's host agent, on a public address
    ipaddress.ip_network("192.0.0.0/24"),  # IETF protocol assignments, metadata of one cloud among them
    ipaddress.ip_network("192.88.99.0/24"),  # 6to4 relays, withdrawn (RFC 7526)
    ipaddress.ip_network("64:ff9b:1::/48"),  # NAT64 of a local network (RFC 8215)
    ipaddress.ip_network("2001::/23"),  # IETF protocol assignments
)
"""What `ipaddress` of some Python releases takes for global."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")


def is_public(address: str) -> bool:
    """Whether a tenant may make the node connect there.

    False for loopback, link-local, private, shared, metadata, multicast and reserved addresses, also where an IPv6
    address carries one of them inside (mapped, compatible, NAT64, 6to4, Teredo).
    """
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _carried(ip)
        if inner is not None:
            return all(is_public(str(one)) for one in inner)
        if ip.is_site_local:
            return False
    if any(ip in network for network in _NOT_PUBLIC if network.version == ip.version):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified or ip.is_link_local)


def _carried(ip: ipaddress.IPv6Address) -> tuple[ipaddress.IPv4Address, ...] | None:
    """IPv4 addresses that packets to `ip` may end up at."""
    if ip.ipv4_mapped:
        return (ip.ipv4_mapped,)
    if ip.sixtofour:
        return (ip.sixtofour,)
    if ip.teredo:
        return ip.teredo
    if ip in _NAT64 or ip in _COMPATIBLE:
        return (ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF),)
    return None


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


# --- outgoing proxy -------------------------------------------------------------------------------------------------


class Proxy(NamedTuple):
    """An HTTP proxy that the operator configured; its own address is the operator's choice and not checked."""

    host: str
    port: int
    authorization: str

    @classmethod
    def parse(cls, url: str) -> "Proxy":
        """Of `http://[user:password@]host:port`; raises ValueError for other schemes."""
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("an outgoing proxy is http://[user:password@]host:port")
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else ""
        basic = f"Basic {base64.b64encode(login.encode()).decode()}" if login else ""
        return cls(parts.hostname, parts.port or 80, basic)

    async def tunnel(self, origin: Origin, address: str, protocol: _P, tls: ssl.SSLContext | None) -> _P:
        """Connects `protocol` to `address` through the proxy, which never sees more than TLS or our plain bytes."""
        loop = asyncio.get_running_loop()
        transport, greeting = await loop.create_connection(_Greeting, self.host, self.port)
        try:
            await greeting.ask(_connect_head(address, origin.port, self.authorization))
            if tls is None:
                transport.set_protocol(protocol)
                protocol.connection_made(transport)
                return protocol
            secured = await loop.start_tls(transport, protocol, tls, server_hostname=origin.host)
        except BaseException:
            transport.abort()
            raise
        if secured is None:
            raise BackendUnreachable(reason="tls_failed")
        protocol.connection_made(secured)
        return protocol


def _connect_head(address: str, port: int, authorization: str) -> bytes:
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    login = f"Proxy-Authorization: {authorization}\r\n" if authorization else ""
    return f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{login}\r\n".encode()


class _Greeting(asyncio.Protocol):
    """Asks a proxy for a tunnel and reads its answer, no byte more."""

    def __init__(self) -> None:
        self._head = b""
        self._answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    async def ask(self, head: bytes) -> None:
        self._transport.write(head)
        await self._answer

    def data_received(self, data: bytes) -> None:
        self._head += data
        head, end, rest = self._head.partition(b"\r\n\r\n")
        if not end and len(self._head) <= MAX_PROXY_HEAD:
            return
        accepted = bool(end) and not rest and head.startswith((b"HTTP/1.1 2", b"HTTP/1.0 2"))
        self._finish(None if accepted else BackendUnreachable(reason="proxy_refused"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(BackendUnreachable(reason="proxy_refused"))

    def _finish(self, error: Exception | None) -> None:
        if self._answer.done():
            return
        if error is None:
            self._answer.set_result(None)
        else:
            self._answer.set_exception(error)
