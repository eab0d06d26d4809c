"""The steps from an empty database, or from any earlier version's, to the tables of `models`.

`upgrade` takes them. Each step is a file in `versions/` and never changes once it was released.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.engine import Connection

from bridge_node.platform.database import Database

HEAD = "head"
_LOCK = 0x62726964676E
"""Of PostgreSQL's advisory locks: two processes that start together migrate one after the other."""


class WrongSchema(Exception):
    """The database was made by a newer version, or waits for `bridge-node platform migrate`."""


async def upgrade(database: Database, revision: str = HEAD) -> None:
    """Brings the schema up to date in one transaction; does nothing when it is.

    Reads files: to be done before anything is served.
    """
    async with database.transaction() as connection:
        if database.postgres:
            await connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
            await connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        await connection.run_sync(_upgraded, revision)


async def check(database: Database) -> None:
    """Raises WrongSchema unless the schema is the one that this version works with. Reads files, as `upgrade` does."""
    async with database.reading() as connection:
        found = await connection.run_sync(_current)
    newest = ScriptDirectory.from_config(_config()).get_current_head()
    if found != newest:
        raise WrongSchema(f"the database is at {found or 'nothing'}, this version needs {newest}")


def _upgraded(connection: Connection, revision: str) -> None:
    command.upgrade(_config(connection), revision)


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
