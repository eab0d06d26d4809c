"""Listening sockets, and the certificates that listeners show: taken up again when their files change."""

import asyncio
import errno
import socket
import ssl
import stat
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from bridge_node.settings import Tls

_PROBLEMS = {
    errno.EADDRINUSE: "is in use by another process",
    errno.EACCES: "may not be opened by this user",
    errno.EADDRNOTAVAIL: "is not an address of this machine",
}


class CannotListen(Exception):
    """A port or certificate cannot be used; the message is one line for the operator."""


def bind(host: str, port: int, slots: int) -> list[socket.socket]:
    """One listening socket a worker slot, all on one port, between which the kernel spreads connections (SO_REUSEPORT).

    A claim comes first, because with SO_REUSEPORT a second node of the same user would silently share the port
    (promise 23). Port 0 lets the kernel choose. Connections wait for whoever accepts. Raises CannotListen.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with _claimed(family, address) as claim, ExitStack() as made:
            address = (address[0], claim.getsockname()[1], *address[2:])
            found = [made.enter_context(_listening(family, address)) for _ in range(slots)]
            made.pop_all()
    except OSError as error:
        problem = _PROBLEMS.get(error.errno or 0) or f"cannot be opened: {error.strerror}"
        raise CannotListen(f"{host}:{port} {problem}") from error
    return found


def _claimed(family: int, address: tuple[object, ...]) -> socket.socket:
    """A port that nobody else has, held until the slots listen: nodes that start together never get the same one.

    It listens, because sockets that are only bound share a port as soon as both say SO_REUSEADDR, which they do for the
    sake of the last run's connections. That the slots may join it is said afterwards.
    """
    claim = _bound(family, address)
    try:
        claim.listen(0)
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except BaseException:
        claim.close()
        raise
    return claim


def _listening(family: int, address: tuple[object, ...]) -> socket.socket:
    slot = _bound(family, address, socket.SO_REUSEPORT)
    try:
        slot.listen()
    except BaseException:
        slot.close()
        raise
    return slot


def _bound(family: int, address: tuple[object, ...], *options: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound


@dataclass(frozen=True, slots=True)
class _Certificate:
    """One certificate as it was loaded, and the state of its files then."""

    names: frozenset[str]
    expires: float
    context: ssl.SSLContext
    version: tuple[object, ...]


class Certificates:
    """The certificates of one listener; the server name that a client asks for chooses among them.

    `context` serves the listener for good: changed files are taken up behind it by `reload`. Making it raises
    CannotListen; later, files that cannot be used leave the last good certificate in place and are told to `report`,
    once a change.
    """

    def __init__(self, files: Sequence[Tls], report: Callable[[Path, Exception], None]) -> None:
        self._files = tuple(files)
        self._report = report
        self._loaded = [_load(pair) for pair in self._files]
        self._reported: dict[Path, tuple[object, ...]] = {}
        self.context = _new_context()
        self.context.sni_callback = self._choose
        first = self._files[0]
        self.context.load_cert_chain(first.certificate, first.private_key, _no_password)

    def reload(self) -> None:
        """Takes up files that have changed. Reads files: call it in a thread."""
        for index, pair in enumerate(self._files):
            version = _version(pair)
            if version in (self._loaded[index].version, self._reported.get(pair.certificate)):
                continue
            try:
                self._loaded[index] = _load(pair)
            except CannotListen as error:
                self._reported[pair.certificate] = version
                self._report(pair.certificate, error)

    async def watch(self, seconds: float) -> None:
        """Reloads for ever, every `seconds`. Run it in a task group."""
        while True:
            await asyncio.sleep(seconds)
            await asyncio.to_thread(self.reload)

    def days_left(self, now: float) -> dict[str, float]:
        """For each certificate file, the days until it expires (negative: since), `now` in epoch seconds."""
        return {
            str(pair.certificate): (loaded.expires - now) / 86400
            for pair, loaded in zip(self._files, self._loaded, strict=True)
        }

    def _choose(self, connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        connection.context = self._for_name((name or "").lower()).context

    def _for_name(self, name: str) -> _Certificate:
        wildcard = f"*.{name.partition('.')[2]}"
        for certificate in self._loaded:
            if name in certificate.names:
                return certificate
        for certificate in self._loaded:
            if wildcard in certificate.names:
                return certificate
        return self._loaded[0]


def _load(pair: Tls) -> _Certificate:
    version = _version(pair)
    try:
        if stat.S_IMODE(pair.private_key.stat().st_mode) & 0o007:
            raise CannotListen(f"{pair.private_key} can be read by every user; it should belong to the node alone")
        context = _new_context()
        context.load_cert_chain(pair.certificate, pair.private_key, _no_password)
        leaf = x509.load_pem_x509_certificates(pair.certificate.read_bytes())[0]
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise CannotListen(f"{pair.certificate} with {pair.private_key} cannot be used: {error}") from error
    return _Certificate(_names(leaf), leaf.not_valid_after_utc.timestamp(), context, version)


def _version(pair: Tls) -> tuple[object, ...]:
    """Changes whenever one of the files does; links are followed, since Kubernetes swaps a directory behind them."""
    return (*_file_version(pair.certificate), *_file_version(pair.private_key))


def _file_version(path: Path) -> tuple[object, ...]:
    try:
        status = path.stat()
    except OSError as error:
        return (error.errno,)
    return (status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode)


def _names(leaf: x509.Certificate) -> frozenset[str]:
    try:
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    return frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    return context


def _no_password() -> str:
    raise ValueError("the private key is encrypted")
