"""The HTTP/1.1 server: takes connections, watches their deadlines, drains."""

import asyncio
import random
import resource
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from functools import partial

from bridge_node.gateway.admission import Admission, ServerEvents
from bridge_node.gateway.connection import DRAIN_GRACE_SECONDS, Connection
from bridge_node.gateway.http import Clock, Handler
from bridge_node.settings import Limits

__all__ = ["Server", "ServerEvents", "new_request_id"]

_BACKLOG = 1024
_AFTER_THE_TURN = 0.01
"""Seconds: timers may be a little early, and the Date field would be of the second before."""


def new_request_id() -> str:
    """16 upper-case hexadecimal characters; unique, not secret."""
    return f"{random.getrandbits(64):016X}"


class Server:
    """The connections of one handler, and the limits they share. Belongs to the event loop it is made on.

    `listen` takes connections from a socket, and may be called for several; `protocol` makes them for a caller who has
    an asyncio server of his own. Requests name `protocol_port` as their local port, by default the socket's own.
    """

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        events: ServerEvents,
        *,
        protocol_port: int | None = None,
        is_proxy: Callable[[str], bool] = lambda _address: False,
        new_id: Callable[[], str] = new_request_id,
        clock: Clock = time.time,
    ) -> None:
        self._handler = handler
        self._limits = limits
        self._port = protocol_port
        self._new_id = new_id
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._admission = Admission(limits, events, descriptor_limit=descriptors, is_proxy=is_proxy)
        self._listeners: list[asyncio.Server] = []
        self._admission.now = self._loop.time()
        self._sweep()

    @property
    def connections(self) -> int:
        return len(self._admission.guests)

    @property
    def in_flight(self) -> int:
        """Requests that the handler is answering."""
        return self._admission.in_flight

    @property
    def buffered(self) -> int:
        """Bytes of bodies and answers that wait in this process, over all connections."""
        return self._admission.buffered

    async def listen(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Takes connections from a bound socket, which it then owns, until `drain` or `close`."""
        self._listeners.append(
            await self._loop.create_server(
                partial(self.protocol, listening.getsockname()[1]),
                sock=listening,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else self._limits.tls_handshake_seconds,
                backlog=_BACKLOG,
            )
        )

    def protocol(self, port: int = 0) -> asyncio.Protocol:
        """A new connection at a local `port`, for `loop.create_server`."""
        port = port if self._port is None else self._port
        return Connection(self._handler, self._admission, new_id=self._new_id, port=port)

    async def drain(self, limit: float) -> None:
        """Takes no more connections, lets what runs finish, and after `limit` seconds aborts what is left.

        Answers say `Connection: close` from now on; a connection between requests ends after a short grace.
        """
        admission = self._admission
        admission.draining = True
        self._stop_listening()
        for guest in tuple(admission.guests):
            guest.retire(admission.now + DRAIN_GRACE_SECONDS)
        with suppress(TimeoutError):
            async with asyncio.timeout(limit):
                await admission.empty.wait()
        await self.close()

    async def close(self) -> None:
        """Aborts every connection, and waits until their requests have been cancelled."""
        admission = self._admission
        admission.draining = True
        self._stop_listening()
        while admission.guests or admission.tasks:  # one that was being accepted may come late
            for guest in tuple(admission.guests):
                guest.abort()
            await asyncio.gather(*admission.tasks, return_exceptions=True)
            await admission.empty.wait()
        self._sweeping.cancel()

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()
        self._listeners.clear()

    def _sweep(self) -> None:
        """Once a tick: the time, the Date field, and whoever is late. Delays of this process itself do not count.

        Also at the turn of each second: no Last-Modified may be later than the Date beside it (RFC 9110 §8.8.2.1).
        """
        admission = self._admission
        to_the_turn = 1.0 - self._clock() % 1.0
        self._sweeping = self._loop.call_later(min(admission.tick, to_the_turn + _AFTER_THE_TURN), self._sweep)
        now = self._loop.time()
        held_up = max(0.0, now - admission.now - 2 * admission.tick)
        admission.now = now
        admission.date = f"Date: {formatdate(self._clock(), usegmt=True)}\r\n"
        for guest in tuple(admission.guests):
            guest.deadline += held_up
            if guest.deadline <= now:
                guest.expire()
