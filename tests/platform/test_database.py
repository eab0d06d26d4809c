"""Transactions, deadlines and wake-ups, on both databases."""

import asyncio
import time

import pytest
from sqlalchemy import insert, select, text

from bridge_node.platform.database import Database, DatabaseUnavailable
from bridge_node.platform.models import organisations
from bridge_node.platform.store import nonces
from bridge_node.platform.store.nonces import Nonce
from bridge_node.platform.wakeups import Waker, changed


async def test_what_fails_is_undone(database: Database) -> None:
    async def fails() -> None:
        async with database.transaction() as connection:
            await connection.execute(insert(organisations).values(id="org-1", name="One", created_at=1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fails()
    async with database.reading() as connection:
        assert (await connection.execute(select(organisations.c.id))).all() == []


async def test_a_statement_that_takes_too_long_is_stopped(database_url: str) -> None:
    database = Database.open(database_url, statement_seconds=0.3)
    slow = (
        "SELECT pg_sleep(30)"
        if database.postgres
        else "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    )
    started = time.monotonic()
    with pytest.raises(DatabaseUnavailable):
        async with database.reading() as connection:
            await connection.execute(text(slow))
    assert time.monotonic() - started < 5
    await database.close()


async def test_whoever_waited_longest_for_a_connection_is_next(database_url: str) -> None:
    """Also before somebody who asks at the very moment when one becomes free."""
    database = Database.open(database_url, connections=1)
    order: list[str] = []

    async def reads(name: str) -> None:
        async with database.reading():
            order.append(name)
            await asyncio.sleep(0)

    async def again() -> None:
        for _ in range(3):
            await reads("again")

    async with asyncio.TaskGroup() as group:
        group.create_task(again(), name="again")
        await asyncio.sleep(0)
        for number in range(3):
            group.create_task(reads(str(number)), name=f"reader {number}")
    assert order == ["again", "0", "1", "2", "again", "again"]
    await database.close()


async def test_of_nonces_that_come_together_each_is_new_once(database: Database) -> None:
    async with database.statement() as connection:
        assert await nonces.use(connection, Nonce("key", "before", 9))
    used = [Nonce("key", name, at) for at, name in enumerate(("a", "before", "a", "b"))]
    async with database.statement() as connection:
        assert await nonces.use_all(connection, used) == [True, False, False, True]


async def test_a_change_wakes_who_waits_for_it_in_another_process(database: Database) -> None:
    waker = Waker(database)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(waker.run(), name="waker")
        await asyncio.wait_for(waker.listening.wait(), 5)
        async with waker.waiting(["org-1"]) as flag, waker.waiting(["org-2"]) as other:
            async with database.transaction() as connection:
                await changed(connection, "org-1")
                await asyncio.sleep(0.2)
                assert not flag.is_set()
            committed = time.monotonic()
            await asyncio.wait_for(flag.wait(), 2)
            assert time.monotonic() - committed < 0.5
            assert not other.is_set()
        running.cancel()


async def test_a_lost_connection_is_made_anew_and_wakes_everybody(postgresql: str) -> None:
    database = Database.open(postgresql)
    waker = Waker(database)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(waker.run(), name="waker")
        await asyncio.wait_for(waker.listening.wait(), 5)
        async with waker.waiting(["org-1"]) as flag:
            async with database.transaction() as connection:
                await connection.execute(
                    text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
                )
            await asyncio.wait_for(flag.wait(), 15)
        running.cancel()
    await database.close()
