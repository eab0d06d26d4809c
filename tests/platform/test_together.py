"""One look for many, and one statement for many questions."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import pytest

from bridge_node.platform.together import MOST_AT_ONCE, Batch, Together


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


class Doubling:
    """Answers questions once it may; one that is negative spoils its batch."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.has_begun = asyncio.Event()
        self.go_on = asyncio.Event()

    async def answer(self, questions: Sequence[int]) -> list[int]:
        self.batches.append(list(questions))
        self.has_begun.set()
        await self.go_on.wait()
        if min(questions) < 0:
            raise LookupError
        return [2 * question for question in questions]


async def test_questions_of_one_moment_are_answered_at_once_each_with_its_own_answer() -> None:
    doubling = Doubling()
    doubling.go_on.set()
    batch = Batch(doubling.answer)
    assert await asyncio.gather(*(batch.ask(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert doubling.batches == [[0, 1, 2, 3, 4]]


async def test_what_is_asked_meanwhile_is_the_next_batch() -> None:
    doubling = Doubling()
    batch = Batch(doubling.answer)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(batch.ask(1), name="first")]
        await doubling.has_begun.wait()
        tasks += [group.create_task(batch.ask(number), name="later") for number in (2, 3)]
        await asyncio.sleep(0)
        doubling.go_on.set()
    assert [task.result() for task in tasks] == [2, 4, 6]
    assert doubling.batches == [[1], [2, 3]]


async def test_a_batch_has_a_largest_size() -> None:
    doubling = Doubling()
    doubling.go_on.set()
    batch = Batch(doubling.answer)
    number = MOST_AT_ONCE + 1
    assert await asyncio.gather(*map(batch.ask, range(number))) == [2 * one for one in range(number)]
    assert [len(questions) for questions in doubling.batches] == [MOST_AT_ONCE, 1]


async def test_a_batch_that_fails_fails_for_all_of_it_and_for_nobody_else() -> None:
    doubling = Doubling()
    doubling.go_on.set()
    batch = Batch(doubling.answer)
    found = await asyncio.gather(batch.ask(1), batch.ask(-1), return_exceptions=True)
    assert [type(one) for one in found] == [LookupError, LookupError]
    assert await batch.ask(3) == 6


@pytest.mark.parametrize("leaves", [0, 1], ids=["who asked first", "who asked later"])
async def test_who_leaves_takes_nobody_else_along_for_good(leaves: int) -> None:
    doubling = Doubling()
    batch = Batch(doubling.answer)
    tasks = [asyncio.create_task(batch.ask(number), name="asks") for number in range(2)]
    await doubling.has_begun.wait()
    tasks[leaves].cancel()
    await asyncio.sleep(0)
    doubling.go_on.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(found[leaves], asyncio.CancelledError)
    assert found[1 - leaves] == 2 * (1 - leaves) or isinstance(found[1], InterruptedError)
    assert await batch.ask(4) == 8
