"""What one request moved, recorded however the request ended."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(slots=True)
class Usage:
    """Filled in while a request runs: bytes are body bytes on the client's side."""

    protocol: str
    operation: str = "Unknown"
    repository: str = ""
    bucket: str = ""
    access_key: str = ""
    bucket_id: str = ""
    """Id of the attachment that `bucket` was found as."""
    key_id: str = ""
    """The platform's id of the access key; empty for keys of the configuration file."""
    status: int = 0
    received: int = 0
    sent: int = 0
    size_change: int = 0
    estimated: bool = False
    seconds: float = 0.0
    first_byte_seconds: float = 0.0
    aborted: bool = False
    """True when the client left or the connection was broken before the whole answer was sent."""


class UsageSink(Protocol):
    """Takes the usage of finished requests; called once a request, on the event loop, and must not block."""

    def record(self, usage: Usage) -> None: ...
