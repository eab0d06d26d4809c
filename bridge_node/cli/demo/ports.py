"""The demo's ports: opened before anything is told of them, and held until everything has ended.

So nobody else can get them meanwhile, not even another demo that starts at the same moment.
"""

import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bridge_node.cli.demo.directory import CannotPrepare, Facts
from bridge_node.gateway.listeners import CannotListen, bind

HOST = "127.0.0.1"
WORKERS = 2
USUAL_PORT, USUAL_ADMIN_PORT, USUAL_PLATFORM_PORT = 9000, 9090, 8080
ANY = 0


@dataclass(frozen=True, slots=True)
class OpenPorts:
    """Listening sockets: for clients one a worker, for the operator, and the platform's."""

    slots: Sequence[socket.socket]
    admin: socket.socket
    platform: socket.socket | None = None

    @property
    def s3_url(self) -> str:
        return _url(self.slots[0])

    @property
    def admin_url(self) -> str:
        return _url(self.admin)

    @property
    def platform_url(self) -> str:
        return _url(self.platform) if self.platform else ""


@contextmanager
def opened(before: Facts | None, port: int | None, *, with_platform: bool) -> Iterator[OpenPorts]:
    """The ports of the last time, or the usual ones; others where somebody else has them.

    Raises CannotPrepare when `port`, which was asked for, cannot be had.
    """
    last = (before.s3_endpoint, before.node_admin_url, before.platform_url) if before else ("", "", "")
    wanted, admin_wanted, platform_wanted = map(_port, last, (USUAL_PORT, USUAL_ADMIN_PORT, USUAL_PLATFORM_PORT))
    with ExitStack() as held:
        slots = _clients(port) if port is not None else _for_clients(wanted)
        for slot in slots:
            held.enter_context(slot)
        admin = held.enter_context(_alone(admin_wanted))
        if not with_platform:
            yield OpenPorts(slots, admin)
            return
        platform = held.enter_context(_alone(platform_wanted))
        yield OpenPorts(slots, admin, platform)


def _clients(port: int) -> list[socket.socket]:
    try:
        return bind(HOST, port, WORKERS)
    except CannotListen as error:
        raise CannotPrepare(f"port {port} {str(error).partition(' ')[2]}") from error


def _for_clients(wanted: int) -> list[socket.socket]:
    try:
        return bind(HOST, wanted, WORKERS)
    except CannotListen:
        return _clients(ANY)


def _alone(wanted: int) -> socket.socket:
    """Of a listener without SO_REUSEPORT the kernel itself sees to it that there is one."""
    try:
        return socket.create_server((HOST, wanted))
    except OSError:
        return socket.create_server((HOST, ANY))


def _url(listening: socket.socket) -> str:
    return f"http://{HOST}:{listening.getsockname()[1]}"


def _port(url: str, usual: int) -> int:
    port = url.rpartition(":")[2]
    return int(port) if port.isdecimal() and int(port) < 65536 else usual
