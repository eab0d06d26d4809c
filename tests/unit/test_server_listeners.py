"""Sockets that are found in use, certificates by name, and files that change under a running listener."""

import asyncio
import contextlib
import datetime
import itertools
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from bridge_node.gateway.listeners import CannotListen, Certificates, bind
from bridge_node.settings import Limits, Tls
from tests.servers import free_ports
from tests.unit.http_peer import echo, serving, until

GET = b"GET /b/k HTTP/1.1\r\nHost: a\r\n\r\n"


def issue(authority: trustme.CA, directory: Path, *names: str, expires: datetime.datetime | None = None) -> Tls:
    """Writes a certificate for `names` over what is at its place."""
    directory.mkdir(exist_ok=True)
    certificate = authority.issue_cert(*names, not_after=expires)
    pair = Tls(certificate=directory / "tls.crt", private_key=directory / "tls.key")
    pair.certificate.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    pair.private_key.touch(0o600)
    pair.private_key.write_bytes(certificate.private_key_pem.bytes())
    return pair


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def problems() -> list[str]:
    return []


def certificates(problems: list[str], *files: Tls) -> Certificates:
    return Certificates(files, lambda path, error: problems.append(f"{path.parent.name}: {error}"))


def client(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def shown(served: Certificates, authority: trustme.CA, name: str | None) -> set[str]:
    """The names in the certificate that a client asking for `name` is shown, by a handshake in memory."""
    context = client(authority)
    context.check_hostname = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = served.context.wrap_bio(to_server, to_client, server_side=True)
    theirs = context.wrap_bio(to_client, to_server, server_hostname=name)
    for side in (theirs, ours, theirs, ours):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    certificate = x509.load_der_x509_certificate(theirs.getpeercert(binary_form=True) or b"")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return set(names.get_values_for_type(x509.DNSName))


# Sockets


def test_every_slot_gets_a_socket_of_its_own_on_one_port() -> None:
    slots = bind("127.0.0.1", 0, 3)
    try:
        assert len({slot.getsockname() for slot in slots}) == 1
        assert slots[0].getsockname()[1] != 0
        assert len({slot.fileno() for slot in slots}) == 3
    finally:
        for slot in slots:
            slot.close()


@pytest.mark.parametrize("shared", [False, True])
def test_a_port_in_use_is_found_even_where_it_could_be_shared(shared: bool) -> None:
    with socket.socket() as other:
        if shared:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(CannotListen, match=f"127.0.0.1:{port} is in use by another process"):
            bind("127.0.0.1", port, 2)


def test_a_port_is_taken_before_anybody_accepts_there() -> None:
    with contextlib.ExitStack() as held:
        for slot in bind("127.0.0.1", 0, 2):
            held.enter_context(slot)
        port = slot.getsockname()[1]
        with pytest.raises(CannotListen, match="is in use by another process"):
            bind("127.0.0.1", port, 2)


def test_of_nodes_that_start_together_at_most_one_gets_the_port() -> None:
    def attempt(port: int) -> list[socket.socket]:
        begin.wait(10)
        try:
            return bind("127.0.0.1", port, 2)
        except CannotListen:
            return []

    begin = threading.Barrier(4)
    with ThreadPoolExecutor(4) as nodes:
        for port in free_ports(30):
            won = [slots for slots in nodes.map(attempt, [port] * 4) if slots]
            for slot in itertools.chain(*won):
                slot.close()
            assert len(won) <= 1


def test_an_address_of_another_machine_or_no_address_is_named() -> None:
    with pytest.raises(CannotListen, match=r"192\.0\.2\.1:0 is not an address of this machine"):
        bind("192.0.2.1", 0, 1)
    with pytest.raises(CannotListen, match=r"no-such-host\.invalid:0 cannot be opened"):
        bind("no-such-host.invalid", 0, 1)


async def test_a_replacement_inherits_what_queued_at_its_slot() -> None:
    [slot] = bind("127.0.0.1", 0, 1)
    with socket.create_connection(slot.getsockname()) as early:
        early.sendall(GET)
        async with serving(listening=slot):
            loop = asyncio.get_running_loop()
            early.setblocking(False)
            assert (await loop.sock_recv(early, 12)) == b"HTTP/1.1 200"


async def test_small_answers_are_sent_without_delay() -> None:
    async with serving() as running, running.peer() as peer:
        await peer.ask(GET)
        [guest] = running.server._admission.guests
        served = guest._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # any connection has one
        assert served.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


# Certificates


def test_the_server_name_chooses_the_certificate(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    files = [
        issue(authority, tmp_path / "a", "a.example"),
        issue(authority, tmp_path / "w", "*.b.example"),
        issue(authority, tmp_path / "x", "x.b.example"),
    ]
    served = certificates(problems, *files)
    assert shown(served, authority, "a.example") == {"a.example"}
    assert shown(served, authority, "bucket.B.example") == {"*.b.example"}
    assert shown(served, authority, "x.b.example") == {"x.b.example"}
    assert shown(served, authority, "other.example") == {"a.example"}
    assert shown(served, authority, None) == {"a.example"}


def test_changed_files_are_taken_up(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    files = issue(authority, tmp_path / "a", "old.example")
    served = certificates(problems, files)
    issue(authority, tmp_path / "a", "new.example")
    assert shown(served, authority, None) == {"old.example"}
    served.reload()
    assert shown(served, authority, None) == {"new.example"}
    assert problems == []


def test_broken_files_leave_the_old_certificate_and_are_told_once(
    tmp_path: Path, authority: trustme.CA, problems: list[str]
) -> None:
    files = issue(authority, tmp_path / "a", "old.example")
    served = certificates(problems, files)
    files.certificate.write_text("half a file")
    served.reload()
    served.reload()
    assert shown(served, authority, None) == {"old.example"}
    assert len(problems) == 1
    files.certificate.unlink()
    served.reload()
    assert len(problems) == 2
    issue(authority, tmp_path / "a", "new.example")
    served.reload()
    assert shown(served, authority, None) == {"new.example"}


async def test_watching_takes_up_changes_by_itself(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    served = await asyncio.to_thread(certificates, problems, issue(authority, tmp_path / "a", "old.example"))
    watching = asyncio.create_task(served.watch(0.01))
    issue(authority, tmp_path / "a", "new.example")
    await until(lambda: shown(served, authority, None) == {"new.example"})
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)


def test_a_key_that_everybody_can_read_is_refused(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    files = issue(authority, tmp_path / "a", "a.example")
    files.private_key.chmod(0o644)
    with pytest.raises(CannotListen, match="can be read by every user"):
        certificates(problems, files)


def test_a_key_of_another_certificate_is_refused(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    files = issue(authority, tmp_path / "a", "a.example")
    other = issue(authority, tmp_path / "b", "b.example")
    with pytest.raises(CannotListen, match="cannot be used"):
        certificates(problems, Tls(certificate=files.certificate, private_key=other.private_key))


def test_the_days_until_each_certificate_ends_are_known(
    tmp_path: Path, authority: trustme.CA, problems: list[str]
) -> None:
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=10)
    files = issue(authority, tmp_path / "a", "a.example", expires=end)
    served = certificates(problems, files)
    assert served.days_left(time.time()) == {str(files.certificate): pytest.approx(10, abs=0.01)}


def test_old_versions_of_tls_are_refused(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    served = certificates(problems, issue(authority, tmp_path / "a", "a.example"))
    assert served.context.minimum_version == ssl.TLSVersion.TLSv1_2


# Serving TLS


async def test_requests_over_tls_are_answered(tmp_path: Path, authority: trustme.CA, problems: list[str]) -> None:
    served = await asyncio.to_thread(certificates, problems, issue(authority, tmp_path / "a", "localhost"))
    body = b"x" * 2_000_000
    head = b"PUT /b/k HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n"
    async with serving(echo, tls=served.context) as running:
        running.tls = client(authority)
        async with running.peer() as peer:
            assert (await peer.ask(GET)).body == b"GET /b/k "
            assert (await peer.ask(head + body)).body == b"PUT /b/k " + body
            assert running.handler.requests[0].tls
            assert (await peer.ask(b"GET / HTTP/1.1\r\n\r\n")).status == 400
            assert await peer.closed()


async def test_a_tls_handshake_that_never_comes_is_ended(
    tmp_path: Path, authority: trustme.CA, problems: list[str]
) -> None:
    served = await asyncio.to_thread(certificates, problems, issue(authority, tmp_path / "a", "localhost"))
    async with serving(echo, Limits(tls_handshake_seconds=0.1), tls=served.context) as running, running.peer() as peer:
        assert await peer.closed()


async def test_plain_http_on_a_tls_port_is_no_request(
    tmp_path: Path, authority: trustme.CA, problems: list[str]
) -> None:
    served = await asyncio.to_thread(certificates, problems, issue(authority, tmp_path / "a", "localhost"))
    async with serving(echo, tls=served.context) as running, running.peer() as peer:
        await peer.send(GET)
        assert not (await peer.rest()).startswith(b"HTTP/1.1 200")
        assert running.handler.requests == []
