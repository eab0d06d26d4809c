"""Many who ask at the same moment, answered together: a change wakes every node that there is."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Asked = TypeVar("Asked")
Found = TypeVar("Found")

MOST_AT_ONCE = 500


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


class Batch(Generic[Asked, Found]):
    """Questions of one kind, put to `answer` many at a time: all that came while the last ones were answered.

    `answer` gives as many answers, in the same order; what it raises, everybody of the batch gets.
    """

    def __init__(self, answer: Callable[[Sequence[Asked]], Awaitable[Sequence[Found]]]) -> None:
        self._answer = answer
        self._gathering: _Gathering[Asked, Found] | None = None
        self._turns = asyncio.Lock()

    async def ask(self, question: Asked) -> Found:
        gathering = self._gathering
        leads = gathering is None or len(gathering) >= MOST_AT_ONCE
        if gathering is None or leads:
            gathering = self._gathering = []
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        gathering.append((question, answer))
        if leads:
            await self._lead(gathering)
        return await answer

    async def _lead(self, gathering: "_Gathering[Asked, Found]") -> None:
        """Whoever asked first answers all."""
        try:
            async with self._turns:
                await asyncio.sleep(0)  # whoever was woken together with this one asks now
                self._close(gathering)
                found = await self._answer([question for question, _ in gathering])
        except BaseException as error:
            self._close(gathering)
            for _, answer in gathering[1:]:
                if not answer.done():
                    answer.set_exception(error if isinstance(error, Exception) else InterruptedError())
            raise
        for (_, answer), one in zip(gathering, found, strict=True):
            if not answer.done():  # whoever asked may have gone
                answer.set_result(one)

    def _close(self, gathering: "_Gathering[Asked, Found]") -> None:
        """Whoever asks from now on belongs to the next one."""
        if self._gathering is gathering:
            self._gathering = None


_Gathering = list[tuple[Asked, asyncio.Future[Found]]]
