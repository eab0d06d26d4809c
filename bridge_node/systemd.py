"""What systemd is told about the service: sd_notify(3), without a library."""

import socket
import time


class Notifier:
    """Sends states to `address` (NOTIFY_SOCKET); without one it stays silent, and so nobody need ask."""

    def __init__(self, address: str) -> None:
        # A leading @ stands for the abstract namespace.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address

    def ready(self) -> None:
        self._send("READY=1")

    def reloading(self) -> None:
        """Followed by `ready`. `Type=notify-reload` compares the time with that of its request."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, within: float) -> None:
        """Asks for that many seconds, whatever the unit's TimeoutStopSec says."""
        self._send(f"STOPPING=1\nEXTEND_TIMEOUT_USEC={int(within + 15) * 1_000_000}")

    def alive(self) -> None:
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        self._send(f"STATUS={text}")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as end:
            end.setblocking(False)
            try:
                end.sendto(state.encode(), self._address)
            except OSError:  # a manager that does not listen is not our failure
                return
