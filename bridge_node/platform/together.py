"""Many who want to know the same at the same moment, answered by one look."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Found = TypeVar("Found")


class Together(Generic[Found]):
    """Asks `look` once for everybody who asked for a name before that look began; nobody gets an older one."""

    def __init__(self, look: Callable[[str], Awaitable[Found]]) -> None:
        self._look = look
        self._gathering: dict[str, asyncio.Future[Found]] = {}

    async def ask(self, name: str) -> Found:
        """What `look` gives, or raises, for `name`."""
        gathering = self._gathering.get(name)
        if gathering is not None:
            return await asyncio.shield(gathering)
        return await self._lead(name)

    async def _lead(self, name: str) -> Found:
        future = self._gathering[name] = asyncio.get_running_loop().create_future()
        try:
            await self._gather(name)
            found = await self._look(name)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else InterruptedError(name))
            future.exception()  # it is no loss when nobody followed
            raise
        future.set_result(found)
        return found

    async def _gather(self, name: str) -> None:
        """Whoever was woken together with this one asks now."""
        try:
            await asyncio.sleep(0)
        finally:
            del self._gathering[name]
