"""One database, SQLite or PostgreSQL: transactions with a deadline, and the little in which the two differ.

SQLite runs in WAL mode and writers queue up from their first statement (`BEGIN IMMEDIATE`); a commit is on disk before
it returns. Everything above this file speaks SQLAlchemy Core and never asks which of the two it is, but for `postgres`.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self

from sqlalchemy import event, make_url
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

STATEMENT_SECONDS = 5.0
CONNECTIONS = 20
CONNECTION_SECONDS = 15.0
"""Longest wait for a free connection."""
_INSTRUCTIONS_BETWEEN_LOOKS = 50_000
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}


class DatabaseUnavailable(Exception):
    """The database cannot be reached, is overloaded, or took longer than a statement may."""


class Database:
    """A pool of connections. `open` it, `close` it."""

    def __init__(self, engine: AsyncEngine, url: URL, statement_seconds: float, connections: int) -> None:
        self.engine = engine
        self.url = url
        self.postgres = engine.dialect.name == "postgresql"
        self._reading = {"isolation_level": "AUTOCOMMIT"} if self.postgres else {"reading": True}
        self._statement_seconds = statement_seconds
        self._writers = asyncio.Lock()
        """SQLite has one writer at a time and no queue; here is one, so that nobody waits longer than the others."""
        self._free = asyncio.Semaphore(connections)
        """The pool's own queue lets latecomers pass; this one does not."""
        self.in_use = 0
        """Connections that somebody has now."""

    @classmethod
    def open(cls, url: str, *, connections: int = CONNECTIONS, statement_seconds: float = STATEMENT_SECONDS) -> Self:
        """Connects at the first use. `url` may leave the driver out: `sqlite:///path`, `postgresql://…`."""
        parsed = driven(url)
        if parsed.get_backend_name() == "sqlite":
            engine = create_async_engine(
                parsed,
                hide_parameters=True,  # of statements in error texts: they may be secrets
                pool_size=connections,
                connect_args={"timeout": statement_seconds},
            )
            _prepare_sqlite(engine, statement_seconds)
        else:
            engine = create_async_engine(
                parsed,
                hide_parameters=True,
                pool_size=connections,
                max_overflow=0,
                pool_timeout=CONNECTION_SECONDS,
                connect_args={
                    "timeout": statement_seconds,
                    "command_timeout": statement_seconds + 1,
                    "server_settings": {
                        "application_name": "bridge-node-platform",
                        "statement_timeout": str(int(statement_seconds * 1000)),
                        "idle_in_transaction_session_timeout": "60000",
                    },
                },
            )
        return cls(engine, parsed, statement_seconds, connections)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """One transaction that may write: committed at the end, undone by an exception.

        Raises DatabaseUnavailable; errors that mean something (`IntegrityError`) pass as they are.
        """
        async with _mapped(), self._turn(), self._connection(), self.engine.begin() as connection:
            yield connection

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[AsyncConnection]:
        """For a single statement that writes: a transaction of its own, on PostgreSQL in one way there and back."""
        async with self.reading() if self.postgres else self.transaction() as connection:
            yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self.postgres:
            yield
            return
        async with asyncio.timeout(self._statement_seconds):
            await self._writers.acquire()
        try:
            yield
        finally:
            self._writers.release()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[None]:
        """Whoever has waited longest for a free connection is next."""
        async with asyncio.timeout(CONNECTION_SECONDS):
            await self._free.acquire()
        self.in_use += 1
        try:
            yield
        finally:
            self.in_use -= 1
            self._free.release()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """For reading: on SQLite one snapshot that waits for no writer, on PostgreSQL one for each statement."""
        async with _mapped(), self._connection(), self.engine.connect() as connection:
            yield await connection.execution_options(**self._reading)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """For reading: one snapshot for all statements, which waits for no writer and lets none wait."""
        options = (
            {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True} if self.postgres else self._reading
        )
        async with _mapped(), self.engine.connect() as connection:
            yield await connection.execution_options(**options)

    async def close(self) -> None:
        await self.engine.dispose()


def driven(url: str) -> URL:
    """The URL with the driver that is used here."""
    parsed = make_url(url)
    return parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    try:
        yield
    except DBAPIError as error:
        if error.connection_invalidated or _is_passing(error):
            raise DatabaseUnavailable(type(error.orig).__name__) from error
        raise
    except (OSError, TimeoutError) as error:
        raise DatabaseUnavailable(str(error) or type(error).__name__) from error
    except SQLAlchemyError as error:
        if type(error).__name__ == "TimeoutError":  # the pool is exhausted
            raise DatabaseUnavailable("no free connection") from error
        raise


_PASSING_STATES = ("08", "40", "53", "55", "57")  # connection, rollback, resources, locks, intervention (timeouts)


def _is_passing(error: DBAPIError) -> bool:
    state = getattr(error.orig, "sqlstate", None)
    if state is not None:
        return str(state)[:2] in _PASSING_STATES
    return "locked" in str(error.orig) or "interrupted" in str(error.orig)


class _Deadline:
    """Interrupts an SQLite statement that takes too long: asked by SQLite itself every now and then."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + self._seconds

    def passed(self) -> bool:
        return time.monotonic() > self._end


def _prepare_sqlite(engine: AsyncEngine, statement_seconds: float) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, record: Any) -> None:
        connection.isolation_level = None  # transactions are begun below, not by the driver
        deadline = record.info["deadline"] = _Deadline(statement_seconds)
        deadline.start()
        connection.run_async(lambda raw: raw.set_progress_handler(deadline.passed, _INSTRUCTIONS_BETWEEN_LOOKS))
        cursor = connection.cursor()
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "temp_store = MEMORY"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        reading = connection.get_execution_options().get("reading", False)
        connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def starts(connection: Connection, *_: Any) -> None:
        connection.info["deadline"].start()
