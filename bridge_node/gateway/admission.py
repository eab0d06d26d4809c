"""What the connections of a server share: who may come in, what they hold, and what time it is for all of them."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from bridge_node.gateway.http import HttpFault
from bridge_node.settings import Limits

SHED_PERCENT = 80
"""Requests are turned away from this part of the memory limit on, so that those inside can finish."""


class ServerEvents(Protocol):
    """What the server has to tell as it happens; counts are polled from `Server`."""

    def shed(self, reason: str) -> None:
        """A connection or request was turned away with 503: `connections`, `requests_in_flight`, `memory` …"""

    def fault(self, reason: str, status: int) -> None:
        """A request could not be read and was answered with `status`."""


class Guest(Protocol):
    """A connection, as the server sees it."""

    deadline: float
    """Time of the event loop from which on `expire` is due."""

    def expire(self) -> None:
        """Called by the sweep after the deadline; sets a new one or ends the connection."""

    def retire(self, deadline: float) -> None:
        """The server is draining: between requests, the connection ends by `deadline`."""

    def abort(self) -> None:
        """Ends the connection now, and visibly so."""


class Admission:
    """Counts, and the limits on them. Every `enter` and `begin_request` that returns is undone by its counterpart."""

    def __init__(
        self, limits: Limits, events: ServerEvents, *, descriptor_limit: int, is_proxy: Callable[[str], bool]
    ) -> None:
        """`is_proxy` tells addresses that many clients come from, which have no limit of their own."""
        self.limits = limits
        self.in_flight = 0
        self.buffered = 0
        """Bytes of bodies and answers that wait in this process, over all connections."""
        self.draining = False
        self.now = 0.0
        """Time of the event loop at the last sweep, at most a tick ago; nobody asks the clock per request."""
        self.tick = min(1.0, limits.header_seconds / 4, limits.body_idle_seconds / 4, limits.keepalive_seconds / 4)
        self.date = ""
        """The Date field of answers, as it goes on the wire."""
        self._events = events
        self._is_proxy = is_proxy
        self._addresses: dict[str, int] = {}
        self.guests: set[Guest] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.empty = asyncio.Event()
        self.empty.set()
        self._highest_descriptor = descriptor_limit * limits.descriptors_percent // 100
        self._memory = limits.memory * SHED_PERCENT // 100

    def after(self, seconds: float) -> float:
        """A deadline that is never early, and late by at most two ticks."""
        return self.now + self.tick + seconds

    def enter(self, guest: Guest, address: str, descriptor: int) -> HttpFault | None:
        """Counts a connection, and says why it cannot stay, if so. `leave` follows in any case.

        The kernel gives out the lowest free descriptor, so a high one tells that as many are in use.
        """
        self.guests.add(guest)
        self.empty.clear()
        here = self._addresses[address] = self._addresses.get(address, 0) + 1
        if len(self.guests) > self.limits.connections:
            return _too_much("connections")
        if here > self.limits.connections_per_address and not self._is_proxy(address):
            return _too_much("connections_per_address")
        if descriptor >= self._highest_descriptor:
            return _too_much("descriptors")
        return None

    def leave(self, guest: Guest, address: str) -> None:
        self.guests.discard(guest)
        if not self.guests:
            self.empty.set()
        self._addresses[address] -= 1
        if not self._addresses[address]:
            del self._addresses[address]

    def own(self, task: asyncio.Task[None]) -> None:
        """Keeps a connection's task until it is done, also when the connection itself is gone."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def crowded(self) -> bool:
        """So many are being turned away that even telling them costs too much."""
        return len(self.guests) > 2 * self.limits.connections

    def begin_request(self) -> None:
        """Counts a request. Raises HttpFault where it must be shed, and then has not counted it."""
        if self.in_flight >= self.limits.requests_in_flight:
            raise _too_much("requests_in_flight")
        if self.buffered > self._memory:
            raise _too_much("memory")
        self.in_flight += 1

    def end_request(self) -> None:
        self.in_flight -= 1

    def refused(self, fault: HttpFault) -> None:
        """Tells of a fault that is being answered."""
        if fault.status == 503:
            self._events.shed(fault.reason)
        else:
            self._events.fault(fault.reason, fault.status)


def _too_much(reason: str) -> HttpFault:
    return HttpFault(503, reason, "Please reduce your request rate.")
