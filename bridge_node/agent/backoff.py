"""Pauses between attempts: twice as long after each failure, up to a limit, and never the same on two nodes."""

import random

FIRST_SECONDS = 1.0


class Backoff:
    """`failed` gives the pause before the next attempt, `succeeded` begins anew."""

    def __init__(self, limit: float, rng: random.Random | None = None) -> None:
        self._limit = limit
        self._rng = rng or random.Random()  # noqa: S311 - jitter, guards nothing
        self._failures = 0

    def failed(self) -> float:
        whole = min(self._limit, FIRST_SECONDS * 2.0 ** min(self._failures, 32))
        self._failures += 1
        return whole * self._rng.uniform(0.5, 1.0)

    def succeeded(self) -> None:
        self._failures = 0
