"""Which backends and buckets answer, and how fast: a picture of the last probes, swapped whole like the catalog."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class BackendHealth:
    """One probe. `seconds` is how long it took, `checked_at` its end in epoch seconds."""

    reachable: bool
    seconds: float
    checked_at: float
    reason: str = ""
    """Why it failed, as an error's `reason`; empty when all is well."""

    @property
    def found(self) -> bool:
        """Whether what was asked for is there: a backend may answer that the bucket is not."""
        return self.reachable and not self.reason


@dataclass(frozen=True, slots=True)
class HealthView:
    """The last probe of each backend by its name, and of each attached bucket or account by its id.

    What was not probed yet is missing.
    """

    backends: Mapping[str, BackendHealth] = field(default_factory=dict)
    attachments: Mapping[str, BackendHealth] = field(default_factory=dict)

    def reachable(self) -> int:
        """How many backends answered their last probe."""
        return sum(backend.reachable for backend in self.backends.values())
