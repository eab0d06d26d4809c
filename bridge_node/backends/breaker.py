"""Two small brakes: one on asking a backend that does not answer, one on asking again."""

import random
import time
from collections.abc import Callable

THRESHOLD = 5
FIRST_PAUSE = 10.0
LONGEST_PAUSE = 60.0


class Breaker:
    """Opens after five failures in a row and then lets one request through per pause, until one succeeds.

    Pauses grow from 10 to 60 seconds and are jittered, so that nodes do not come back all at once. A probe that never
    reports back (cancelled) blocks nothing: the next one follows after another pause.
    """

    __slots__ = ("_clock", "_failures", "_pause", "_probing", "_rng", "_until")

    def __init__(self, clock: Callable[[], float] = time.monotonic, rng: random.Random | None = None) -> None:
        self._clock = clock
        self._rng = rng or random.Random()  # noqa: S311 - jitter, guards nothing
        self._failures = 0
        self._pause = 0.0
        self._until = 0.0
        self._probing = False

    def admits(self) -> bool:
        """Whether a request may go out now."""
        if self._failures < THRESHOLD:
            return True
        now = self._clock()
        if now < self._until:
            return False
        self._until = now + self._pause
        self._probing = True
        return True

    @property
    def is_open(self) -> bool:
        return self._failures >= THRESHOLD

    def succeeded(self) -> None:
        """The backend answered, whatever it said."""
        self._failures = 0
        self._pause = 0.0
        self._probing = False

    def failed(self) -> None:
        """The backend did not answer. Requests that were under way when the breaker opened do not lengthen it."""
        self._failures += 1
        if self._failures == THRESHOLD or self._probing:
            self._probing = False
            self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
            self._until = self._clock() + self._pause * self._rng.uniform(0.8, 1.2)


class RetryBudget:
    """Lets retries be at most a share of the requests, so that a backend in trouble is not asked twice as often."""

    __slots__ = ("_ratio", "_tokens")

    _MOST = 10.0

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._tokens = self._MOST if ratio > 0 else 0.0

    def earn(self) -> None:
        """One request went out."""
        if self._tokens < self._MOST:
            self._tokens += self._ratio

    def spend(self) -> bool:
        """Whether one more retry is within the budget; takes it."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
