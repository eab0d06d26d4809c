"""The node's own certificates: how long they last."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from bridge_node.settings import Settings


class Certificate(NamedTuple):
    """A PEM file that a listener shows, and the days until it expires."""

    file: str
    days: float


def own_certificates(settings: "Settings") -> list[Certificate]:
    """Those of all listeners, each once; of a chain, its first certificate counts."""
    from cryptography import x509

    files = dict.fromkeys(tls.certificate for listener in settings.gateway.listeners for tls in listener.tls)
    now = datetime.now(UTC)
    expiries = {file: x509.load_pem_x509_certificates(file.read_bytes())[0].not_valid_after_utc for file in files}
    return [Certificate(str(file), (expires - now).total_seconds() / 86_400) for file, expires in expiries.items()]


def expiry(days: float) -> str:
    """In words."""
    return "expired" if days <= 0 else f"in {days:.0f} days"
