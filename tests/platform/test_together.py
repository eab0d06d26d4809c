"""One look for many."""

import asyncio
from contextlib import suppress

import pytest

from bridge_node.platform.together import Together


class Looks:
    def __init__(self) -> None:
        self.begun: list[str] = []
        self.has_begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def look(self, name: str) -> str:
        self.begun.append(name)
        self.has_begun.set()
        await self.go_on.wait()
        if name == "broken":
            raise LookupError(name)
        return f"{name} {len(self.begun)}"


async def test_who_asks_at_once_is_answered_by_one_look() -> None:
    looks = Looks()
    together = Together(looks.look)
    looks.go_on.set()
    assert await asyncio.gather(*(together.ask("a") for _ in range(5))) == ["a 1"] * 5
    assert looks.begun == ["a"]


async def test_who_asks_after_a_look_began_gets_a_newer_one() -> None:
    looks = Looks()
    together = Together(looks.look)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(together.ask("a"), name="first")
        await looks.has_begun.wait()
        second = group.create_task(together.ask("a"), name="second")
        await asyncio.sleep(0)
        looks.go_on.set()
    assert (first.result(), second.result()) == ("a 2", "a 2")
    assert looks.begun == ["a", "a"]


async def test_what_goes_wrong_goes_wrong_for_everybody() -> None:
    looks = Looks()
    together = Together(looks.look)
    looks.go_on.set()
    found = await asyncio.gather(*(together.ask("broken") for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in found] == [LookupError] * 3


@pytest.mark.parametrize("turns", [1, 2, 3])
async def test_nobody_waits_for_a_leader_that_went_away(turns: int) -> None:
    looks = Looks()
    together = Together(looks.look)
    leader = asyncio.get_running_loop().create_task(together.ask("a"), name="leader")
    follower = asyncio.get_running_loop().create_task(together.ask("a"), name="follower")
    for _ in range(turns):
        await asyncio.sleep(0)
    leader.cancel()
    with suppress(asyncio.CancelledError):
        await leader
    looks.go_on.set()
    with pytest.raises(InterruptedError):
        await asyncio.wait_for(follower, 1)
