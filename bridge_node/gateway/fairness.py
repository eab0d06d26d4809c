"""One access key may not take the whole node."""

from bridge_node.errors import Overloaded


class KeyLimit:
    """Requests in flight of each access key; `most` at once."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._running: dict[str, int] = {}

    def enter(self, key: str) -> None:
        """Raises Overloaded when the key has enough to do; otherwise `leave` must follow."""
        running = self._running.get(key, 0)
        if running >= self._most:
            raise Overloaded(reason="requests_per_key")
        self._running[key] = running + 1

    def leave(self, key: str) -> None:
        left = self._running.pop(key) - 1
        if left:
            self._running[key] = left
