"""Who waits for a change hears of it at once, in whichever process the change was made.

A topic is an organisation's id (what its nodes serve) or a node's id (its tasks, its enrolment). `changed` belongs to
the transaction that makes the change: others hear of it when that is committed, and never of one that was undone.
PostgreSQL tells by NOTIFY; on SQLite, `PRAGMA data_version` is asked ten times a second whether anybody committed.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import structlog
from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.database import Database, DatabaseUnavailable
from bridge_node.platform.models import changes

log = structlog.get_logger()

CHANNEL = "bridge_node_changes"
SQLITE_LOOKS_EVERY = 0.1
RECONNECT_AFTER = 0.5
CHECKED_AFTER = 5.0
"""Seconds after which a silent LISTEN connection is tried."""


async def changed(connection: AsyncConnection, *topics: str) -> None:
    """Wakes everybody who waits for one of `topics`, once the transaction is committed."""
    postgres = connection.dialect.name == "postgresql"
    insert = postgresql.insert if postgres else sqlite.insert
    for topic in sorted(set(topics)):  # in one order, so that two transactions never wait for each other
        row = insert(changes).values(topic=topic, number=1)
        counted = row.on_conflict_do_update(index_elements=["topic"], set_={"number": changes.c.number + 1})
        await connection.execute(counted)
        if postgres:
            await connection.execute(select(func.pg_notify(CHANNEL, topic)))


class Bell(asyncio.Event):
    """Set by changes; `rung_for` are their topics since they were last taken."""

    def __init__(self) -> None:
        super().__init__()
        self.rung_for: set[str] = set()

    def ring(self, topic: str) -> None:
        self.rung_for.add(topic)
        self.set()

    async def rings_before(self, deadline: float) -> bool:
        """Waits for it, until the event loop's clock says `deadline`; whether it rang."""
        try:
            async with asyncio.timeout_at(deadline):
                await self.wait()
        except TimeoutError:
            return False
        return True

    def taken(self) -> frozenset[str]:
        """The topics; the bell is silent again."""
        topics = frozenset(self.rung_for)
        self.rung_for.clear()
        self.clear()
        return topics


class Waker:
    """Listens as long as `run` runs. `waiting` gives a bell that the next change of one of its topics rings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: dict[str, set[Bell]] = {}
        self._seen: dict[str, int] = {}
        self.listening = asyncio.Event()

    @asynccontextmanager
    async def waiting(self, topics: Iterable[str], bell: Bell | None = None) -> AsyncIterator[Bell]:
        """Begin to wait before reading what a change might have changed: nothing is missed then."""
        bell = bell or Bell()
        wanted = set(topics)
        for topic in wanted:
            self._waiting.setdefault(topic, set()).add(bell)
        try:
            yield bell
        finally:
            for topic in wanted:
                self._waiting[topic].discard(bell)
                if not self._waiting[topic]:
                    del self._waiting[topic]

    def waited_for(self, topic: str) -> bool:
        """Whether somebody waits for a topic now."""
        return topic in self._waiting

    def wake(self, topic: str) -> None:
        for bell in self._waiting.get(topic, ()):
            bell.ring(topic)

    def wake_all(self) -> None:
        """When it is not known what changed meanwhile, everybody looks."""
        for topic in self._waiting:
            self.wake(topic)

    async def run(self) -> None:
        """Listens for ever; a lost connection is made anew, and wakes everybody, as anything may have been missed."""
        while True:
            try:
                await (self._listen() if self._database.postgres else self._look())
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailable) as error:
                log.warning("wakeups_interrupted", error=type(error).__name__)
            self.listening.clear()
            await asyncio.sleep(RECONNECT_AFTER)
            self.wake_all()

    async def _listen(self) -> None:
        url = self._database.url.set(drivername="postgresql").render_as_string(hide_password=False)
        connection: Any = await asyncpg.connect(url, timeout=RECONNECT_AFTER * 10)
        try:
            await connection.add_listener(CHANNEL, lambda _connection, _process, _channel, topic: self.wake(topic))
            self._listens()
            while True:
                await asyncio.sleep(CHECKED_AFTER)
                await connection.execute("SELECT 1", timeout=CHECKED_AFTER)
        finally:
            with suppress(OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=1)

    async def _look(self) -> None:
        async with self._database.engine.connect() as connection:
            raw = (await connection.get_raw_connection()).driver_connection
            if raw is None:
                raise DatabaseUnavailable("no connection")
            before = None
            self._seen = await self._numbers()
            self._listens()
            while True:
                async with raw.execute("PRAGMA data_version") as cursor:
                    version = await cursor.fetchone()
                if before != version:
                    before = version
                    await self._wake_what_changed()
                await asyncio.sleep(SQLITE_LOOKS_EVERY)

    def _listens(self) -> None:
        self.listening.set()
        self.wake_all()

    async def _wake_what_changed(self) -> None:
        numbers = await self._numbers()
        for topic, number in numbers.items():
            if self._seen.get(topic) != number:
                self.wake(topic)
        self._seen = numbers

    async def _numbers(self) -> dict[str, int]:
        async with self._database.reading() as connection:
            rows = await connection.execute(select(changes.c.topic, changes.c.number))
            return {row.topic: row.number for row in rows}
