"""Names, addresses, TLS and proxies on the way out."""

import asyncio
import ssl
from collections.abc import Sequence
from pathlib import Path

import pytest
import trustme

from bridge_node.backends.dialing import Origin, Proxy, is_public
from bridge_node.body import BytesSource
from bridge_node.errors import BackendUnreachable
from tests.peers import Peer, answering, ok, peer, until
from tests.unit.transports import out


class Names:
    """DNS in a test's hands."""

    def __init__(self, *addresses: str) -> None:
        self.addresses: Sequence[str] = addresses
        self.asked = 0

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked += 1
        if not self.addresses:
            raise OSError("no such name")
        return self.addresses


# --- origins ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "origin", "authority"),
    [
        ("http://Host.test", Origin("http", "host.test", 80), "host.test"),
        ("https://host.test:8443/", Origin("https", "host.test", 8443), "host.test:8443"),
        ("http://host.test:443", Origin("http", "host.test", 443), "host.test:443"),
        ("https://[::1]:443", Origin("https", "::1", 443), "[::1]"),
    ],
)
def test_an_endpoint_is_scheme_host_and_port(url: str, origin: Origin, authority: str) -> None:
    assert Origin.parse(url) == origin
    assert origin.authority == authority


@pytest.mark.parametrize(
    "url", ["host.test", "ftp://host", "http://", "http://h/path", "http://h?q", "http://u:p@h", "http://h:99999", ""]
)
def test_an_endpoint_is_nothing_else(url: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Origin.parse(url)


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.7", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1",
        "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1",
        "2001:db8::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::127.0.0.1",
        "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "2001:0:a9fe:a9fe::1", "not an address", "",
    ],
)  # fmt: skip
def test_addresses_inside_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["52.216.1.1", "8.8.8.8", "2600:1f18::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_outside_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "name.test", "localhost"])
async def test_refused_addresses_are_not_connected_to(host: str) -> None:
    names = Names("169.254.169.254", "::ffff:127.0.0.1", "127.0.0.1")
    async with peer(answering(ok())) as one, out(names, allow_private_addresses=False) as way:
        with pytest.raises(BackendUnreachable) as refused:
            await way.transport.send(one.origin._replace(host=host), "GET", "/", [], operation="Test")
        assert refused.value.reason == "address_refused"
        assert one.connections == 0


# --- DNS -------------------------------------------------------------------------------------------------------------


async def test_the_next_address_is_tried_when_one_fails() -> None:
    names = Names("127.0.0.9", "127.0.0.1", "127.0.0.10")
    async with peer(answering(ok(b"x", "Connection: close"))) as one, out(names) as way:
        origin = one.origin._replace(host="name.test")
        for _ in range(4):
            assert (await way.transport.send(origin, "GET", "/", [], operation="Test")).status == 200
        assert one.connections == 4
        assert names.asked == 1


async def test_connections_are_spread_over_all_addresses() -> None:
    met: list[str] = []

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_request(reader)
        met.append(writer.get_extra_info("sockname")[0])
        writer.write(ok(b"", "Connection: close"))

    names = Names("127.0.0.1", "127.0.0.2", "127.0.0.3")
    async with peer(script, host="0.0.0.0") as one, out(names) as way:  # noqa: S104 - every loopback address
        origin = one.origin._replace(host="name.test")
        for _ in range(6):
            await way.transport.send(origin, "GET", "/", [], operation="Test")
    assert {address: met.count(address) for address in met} == {"127.0.0.1": 2, "127.0.0.2": 2, "127.0.0.3": 2}


async def test_connections_to_an_address_that_dns_dropped_are_drained() -> None:
    names = Names("127.0.0.1")
    release = asyncio.Event()

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await one.read_request(reader)
            await release.wait()
            writer.write(ok(writer.get_extra_info("sockname")[0].encode()))

    async with peer(script, host="0.0.0.0") as one, out(names, keepalive_seconds=1e9) as way:  # noqa: S104 - as above
        origin = one.origin._replace(host="name.test")

        async def address() -> bytes:
            return await (await way.transport.send(origin, "GET", "/", [], operation="Test")).body.read()

        first, second = asyncio.ensure_future(address()), asyncio.ensure_future(address())
        await until(lambda: len(one.requests) == 2)
        release.set()
        assert [await first, await second] == [b"127.0.0.1"] * 2
        release.clear()
        running = asyncio.ensure_future(address())
        await until(lambda: len(one.requests) == 3)
        names.addresses = ("127.0.0.2",)
        way.clock.now += 31
        way.transport.sweep()
        await until(lambda: names.asked == 2)
        await asyncio.sleep(0)
        way.transport.sweep()
        assert (way.sockets, way.idle) == (1, 0)  # the idle one is gone, the busy one finishes
        release.set()
        assert await running == b"127.0.0.1"
        assert way.sockets == 0
        assert await address() == b"127.0.0.2"


async def test_an_old_answer_is_better_than_none() -> None:
    names = Names("127.0.0.1")
    async with peer(answering(ok(b"x", "Connection: close"))) as one, out(names, keepalive_seconds=1e9) as way:
        origin = one.origin._replace(host="name.test")
        await way.transport.send(origin, "GET", "/", [], operation="Test")
        names.addresses = ()
        way.clock.now += 31
        assert (await way.transport.send(origin, "GET", "/", [], operation="Test")).status == 200


async def test_a_name_without_an_address_is_unreachable() -> None:
    async with out(Names()) as way:
        with pytest.raises(BackendUnreachable):
            await way.transport.send(Origin("http", "name.test", 80), "GET", "/", [], operation="Test")


async def test_a_name_that_dns_cannot_carry_is_unreachable() -> None:
    async with out() as way:
        with pytest.raises(BackendUnreachable):
            await way.transport.send(Origin("http", "a" * 64 + ".test", 80), "GET", "/", [], operation="Test")


# --- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def serving(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> str:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


async def test_a_private_authority_is_trusted_when_it_is_named(authority: trustme.CA, ca_file: str) -> None:
    tls = serving(authority, "name.test")
    asked: list[str] = []
    tls.sni_callback = lambda _, name, __: asked.append(name)
    async with (
        peer(answering(ok(bytes(1_000_000))), tls=tls) as one,
        out(Names("127.0.0.1"), ca_file=ca_file) as way,
    ):
        origin = one.origin._replace(host="name.test")
        for _ in range(2):
            answer = await way.transport.send(origin, "PUT", "/", [], BytesSource(bytes(700_000)), operation="Test")
            moved = 0
            while data := await answer.body.read():
                moved += len(data)
            assert moved == 1_000_000
        assert (asked, one.connections, [len(body) for body in one.bodies]) == (["name.test"], 1, [700_000] * 2)


async def test_an_unknown_authority_is_not_trusted(authority: trustme.CA) -> None:
    async with peer(answering(ok()), tls=serving(authority, "127.0.0.1")) as one, out() as way:
        with pytest.raises(BackendUnreachable) as refused:
            await way.send(one)
        assert refused.value.reason == "tls_failed"
        assert one.requests == []


async def test_a_certificate_for_another_name_is_not_trusted(authority: trustme.CA, ca_file: str) -> None:
    async with (
        peer(answering(ok()), tls=serving(authority, "other.test")) as one,
        out(Names("127.0.0.1"), ca_file=ca_file) as way,
    ):
        with pytest.raises(BackendUnreachable) as refused:
            await way.transport.send(one.origin._replace(host="name.test"), "GET", "/", [], operation="Test")
        assert refused.value.reason == "tls_failed"


async def test_a_peer_that_speaks_no_tls_is_unreachable() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(ok())
        await reader.read()

    async with peer(script) as one, out() as way:
        with pytest.raises(BackendUnreachable):
            await way.transport.send(one.origin._replace(scheme="https"), "GET", "/", [], operation="Test")
        await until(lambda: one.open == 0)


async def test_cancelling_a_handshake_leaks_nothing() -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        one.requests.append(b"hello")
        await reader.read()

    async with peer(script) as one, out() as way:
        sending = asyncio.ensure_future(
            way.transport.send(one.origin._replace(scheme="https"), "GET", "/", [], operation="Test")
        )
        await until(lambda: bool(one.requests))
        sending.cancel()
        await asyncio.wait([sending])
        await one.gone.wait()


# --- proxies ---------------------------------------------------------------------------------------------------------


def tunnelling(answer: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> object:
    """An HTTP proxy that tunnels to whatever is asked."""

    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await one.read_head(reader)
        writer.write(answer)
        if b" 200 " not in answer:
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(relay(reader, inner_writer), relay(inner_reader, writer))

    return script


async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def test_plain_http_goes_to_a_proxy_in_absolute_form() -> None:
    async with peer(answering(ok(b"x"))) as proxy, out(proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}") as way:
        origin = Origin("http", "name.test", 8080)
        await way.transport.send(origin, "GET", "/a?b", [], operation="Test")
        first, host, login, *_ = proxy.requests[0].split(b"\r\n")
        assert first == b"GET http://name.test:8080/a?b HTTP/1.1"
        assert host == b"Host: name.test:8080"
        assert login == b"Proxy-Authorization: Basic bWU6cEBzcw=="


async def test_tls_goes_through_a_tunnel_that_the_proxy_cannot_see_into(authority: trustme.CA, ca_file: str) -> None:
    async with (
        peer(answering(ok(b"x")), tls=serving(authority, "name.test")) as one,
        peer(tunnelling()) as proxy,  # type: ignore[arg-type]  # a script
        out(ca_file=ca_file, proxy=f"http://me:p%40ss@127.0.0.1:{proxy.port}") as way,
    ):
        origin = one.origin._replace(host="name.test")
        for _ in range(2):
            answer = await way.transport.send(origin, "GET", "/", [], operation="Test")
            assert await answer.body.read() == b"x"
        target = f"name.test:{one.port}"
        assert proxy.requests == [
            f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\nProxy-Authorization: Basic bWU6cEBzcw==\r\n\r\n".encode()
        ]
        assert b"Proxy-Authorization" not in one.requests[0]


async def test_a_tenants_endpoint_is_checked_before_a_proxy_is_asked() -> None:
    async with (
        peer(tunnelling()) as proxy,  # type: ignore[arg-type]  # a script
        out(Names("10.0.0.1"), proxy=f"http://127.0.0.1:{proxy.port}", allow_private_addresses=False) as way,
    ):
        with pytest.raises(BackendUnreachable):
            await way.transport.send(Origin("http", "name.test", 80), "GET", "/", [], operation="Test")
        assert proxy.connections == 0


async def test_a_proxy_is_asked_for_the_very_address_that_was_checked() -> None:
    refusing = tunnelling(b"HTTP/1.1 502 No\r\n\r\n")
    async with (
        peer(refusing) as proxy,  # type: ignore[arg-type]  # a script
        out(Names("8.8.8.8"), proxy=f"http://127.0.0.1:{proxy.port}", allow_private_addresses=False) as way,
    ):
        with pytest.raises(BackendUnreachable):
            await way.transport.send(Origin("http", "name.test", 80), "GET", "/", [], operation="Test")
        assert proxy.requests == [b"CONNECT 8.8.8.8:80 HTTP/1.1\r\nHost: 8.8.8.8:80\r\n\r\n"]


@pytest.mark.parametrize("answer", [b"HTTP/1.1 407 Who\r\n\r\n", b"", b"x" * 20_000, b"HTTP/1.1 200 OK\r\n\r\nmore"])
async def test_a_proxy_that_refuses_is_unreachable(answer: bytes) -> None:
    async def script(one: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await one.read_head(reader)
        writer.write(answer)

    async with peer(script) as proxy, out(proxy=f"http://127.0.0.1:{proxy.port}") as way:
        with pytest.raises(BackendUnreachable):
            await way.transport.send(Origin("https", "name.test", 443), "GET", "/", [], operation="Test")
        await until(lambda: proxy.open == 0)


@pytest.mark.parametrize("proxy", ["https://proxy.test", "socks5://proxy.test", "proxy.test:8080"])
def test_other_kinds_of_proxy_are_refused_at_start(proxy: str) -> None:
    with pytest.raises(ValueError, match="outgoing proxy"):
        Proxy.parse(proxy)
