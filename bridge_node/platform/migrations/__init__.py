"""The steps from an empty database, or from any earlier version's, to the tables of `models`.

`upgrade` takes them. Each step is a file in `versions/` and never changes once it was released.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.database import Database

HEAD = "head"
PATIENCE_SECONDS = 60.0
"""How long a database that is opened to be upgraded should let a statement take: somebody else may be at it."""
TABLE = "alembic_version"
"""Where a database keeps its revision."""
_LOCK = 0x62726964676E
"""Of PostgreSQL's advisory locks: two processes that start together migrate one after the other."""


class WrongSchema(Exception):
    """The database was made by a newer version, or waits for `bridge-node platform migrate`."""


async def upgrade(database: Database, revision: str = HEAD) -> None:
    """Brings the schema up to date in one transaction; does nothing when it is.

    Reads files: to be done before anything is served.
    """
    async with alone(database) as connection:
        await connection.run_sync(upgraded, revision)


@asynccontextmanager
async def alone(database: Database) -> AsyncIterator[AsyncConnection]:
    """A transaction beside which nobody migrates."""
    async with database.transaction() as connection:
        if database.postgres:
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        yield connection


async def check(database: Database) -> None:
    """Raises WrongSchema unless the schema is the one that this version works with. Reads files, as `upgrade` does."""
    found = await revision(database)
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if found != newest:
        raise WrongSchema(f"the database is at {found or 'nothing'}, this version needs {newest}")


async def revision(database: Database) -> str:
    """Where the database is; empty when it has no tables yet."""
    async with database.reading() as connection:
        return await connection.run_sync(_current) or ""


def revisions() -> list[str]:
    """Every step that this version knows, oldest first. Reads files."""
    steps = ScriptDirectory.from_config(_config()).walk_revisions()
    return [step.revision for step in steps][::-1]


def upgraded(connection: Connection, revision: str = HEAD) -> None:
    """Brings the schema up to `revision`, in the transaction of `connection`."""
    command.upgrade(_config(connection), revision)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
