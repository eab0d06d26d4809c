"""Conditions hold at the moment of the change, for any number of writers (promise 4)."""

import asyncio

import pytest

from bridge_node.errors import ConcurrentChange, NotModified, PreconditionFailed
from bridge_node.objects import Conditions, Stored
from tests.conformance.backends.subject import Subject, md5

MUST_BE_NEW = Conditions(if_none_match=("*",))
SIZES = [10, 100_000]


def other_than(*etags: str) -> Conditions:
    return Conditions(if_none_match=etags)


def only(*etags: str) -> Conditions:
    return Conditions(if_match=etags)


async def test_a_put_that_must_be_new_makes_an_object_once(subject: Subject) -> None:
    await subject.put("key", b"first", conditions=MUST_BE_NEW)
    with pytest.raises(PreconditionFailed):
        await subject.put("key", b"second", conditions=MUST_BE_NEW)
    assert await subject.get("key") == b"first"


@pytest.mark.parametrize("size", SIZES)
async def test_of_many_puts_that_must_be_new_exactly_one_wins(subject: Subject, size: int) -> None:
    async def attempt(number: int) -> int | None:
        try:
            await subject.put("key", bytes([number]) * size, conditions=MUST_BE_NEW)
        except (PreconditionFailed, ConcurrentChange):
            return None
        return number

    winners = [number for number in await asyncio.gather(*map(attempt, range(16))) if number is not None]
    assert len(winners) == 1
    assert await subject.get("key") == bytes(winners) * size


@pytest.mark.parametrize("size", SIZES)
async def test_a_counter_kept_by_if_match_loses_no_step(subject: Subject, size: int) -> None:
    await subject.put("counter", b"0" * size)

    async def count() -> None:
        steps = 0
        while steps < 4:
            stream = await subject.stream("counter")
            value = int((await stream.source.read())[:5])
            stream.source.abort(EOFError())
            try:
                await subject.put("counter", b"%05d" % (value + 1) + b"0" * size, conditions=only(stream.info.etag))
            except (PreconditionFailed, ConcurrentChange):
                continue
            steps += 1

    await subject.put("counter", b"00000" + b"0" * size)
    await asyncio.gather(*(count() for _ in range(4)))
    assert (await subject.get("counter"))[:5] == b"00016"


async def test_if_match_replaces_only_that_object(subject: Subject) -> None:
    first = await subject.put("key", b"first")
    second = await subject.put("key", b"second", conditions=only(first.etag))
    with pytest.raises(PreconditionFailed):
        await subject.put("key", b"third", conditions=only(first.etag))
    assert await subject.get("key") == b"second"
    assert (await subject.head("key", conditions=only("x", second.etag))).etag == second.etag


async def test_if_match_of_what_is_not_there_fails(subject: Subject) -> None:
    with pytest.raises(PreconditionFailed):
        await subject.put("key", b"x", conditions=only(md5(b"x")))
    assert await subject.keys() == []


async def test_reads_keep_to_their_conditions(subject: Subject) -> None:
    stored = await subject.put("key", b"12345")
    for read in (subject.head, subject.get):
        await read("key", conditions=only(stored.etag))
        await read("key", conditions=only("*"))
        await read("key", conditions=other_than(md5(b"other")))
        with pytest.raises(PreconditionFailed):
            await read("key", conditions=only(md5(b"other")))
        with pytest.raises(NotModified):
            await read("key", conditions=other_than(stored.etag))


async def test_reads_keep_to_times(subject: Subject) -> None:
    await subject.put("key", b"12345")
    changed = int((await subject.head("key")).last_modified)
    await subject.head("key", conditions=Conditions(if_modified_since=changed - 10))
    await subject.head("key", conditions=Conditions(if_unmodified_since=changed + 10))
    with pytest.raises(NotModified):
        await subject.get("key", conditions=Conditions(if_modified_since=changed))
    with pytest.raises(PreconditionFailed):
        await subject.get("key", conditions=Conditions(if_unmodified_since=changed - 10))


async def test_a_delete_with_if_match_takes_only_that_object(subject: Subject) -> None:
    if not subject.backend.capabilities.conditional_delete:
        return
    stored = await subject.put("key", b"x")
    with pytest.raises(PreconditionFailed):
        await subject.delete("key", conditions=only(md5(b"other")))
    assert await subject.get("key") == b"x"
    await subject.delete("key", conditions=only(stored.etag))
    assert await subject.keys() == []


async def test_a_copy_keeps_to_the_conditions_of_its_source(subject: Subject) -> None:
    stored = await subject.put("source", b"x")
    await subject.copy("source", "target", of=only(stored.etag))
    with pytest.raises(PreconditionFailed):
        await subject.copy("source", "other", of=only(md5(b"other")))
    with pytest.raises(PreconditionFailed):
        await subject.copy("source", "other", of=other_than(stored.etag))
    assert await subject.keys() == ["source", "target"]


async def test_a_commit_that_must_be_new_keeps_the_upload_when_it_fails(subject: Subject) -> None:
    upload = await subject.open("key")
    receipt = await subject.stage("key", upload, 1, b"of parts")
    await subject.put("key", b"in between")
    with pytest.raises(PreconditionFailed):
        await subject.commit("key", upload, [receipt], conditions=MUST_BE_NEW)
    assert await subject.get("key") == b"in between"
    await subject.delete("key")
    await subject.commit("key", upload, [receipt], conditions=MUST_BE_NEW)
    assert await subject.get("key") == b"of parts"


async def test_writers_of_one_key_leave_one_of_their_objects_whole(subject: Subject) -> None:
    async def write(number: int) -> Stored:
        return await subject.put("key", bytes([number]) * (10 if number % 2 else 200_000))

    answers = await asyncio.gather(*map(write, range(12)))
    data = await subject.get("key")
    assert md5(data) in {answer.etag for answer in answers}
    if subject.backend.capabilities.reports_displaced:
        total = sum(answer.size - (answer.displaced or 0) for answer in answers)
        assert total == len(data)
