"""How often something may happen, counted in this process."""

from typing import Literal

from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from bridge_node.platform.errors import TooMany


class Rate:
    """At most `amount` in any second or minute, for each name."""

    def __init__(self, amount: int, per: Literal["second", "minute"]) -> None:
        self._item = RateLimitItemPerSecond(amount) if per == "second" else RateLimitItemPerMinute(amount)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def hit(self, name: str) -> None:
        """Counts one; raises TooMany instead when that would be more than may be."""
        if not self._limiter.hit(self._item, name):
            raise self._refusal()

    def check(self, name: str) -> None:
        """Raises TooMany when one more would be too many; counts nothing."""
        if not self._limiter.test(self._item, name):
            raise self._refusal()

    def _refusal(self) -> TooMany:
        return TooMany("Too many requests", retry_after=self._item.get_expiry())
