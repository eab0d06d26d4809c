"""Which backends answer, and how fast: a picture of the last probes, swapped whole like the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """The last probe of one backend. `seconds` is how long it took, `checked_at` its end in epoch seconds."""

    reachable: bool
    seconds: float
    checked_at: float
    reason: str = ""
    """Why it failed, as an error's `reason`; empty when all is well."""


@dataclass(frozen=True, slots=True)
class HealthView:
    """`backends` by name; one that was not probed yet is missing."""

    backends: Mapping[str, BackendHealth] = field(default_factory=dict)

    def reachable(self) -> int:
        """How many backends answered their last probe."""
        return sum(backend.reachable for backend in self.backends.values())
