"""From a file to a database: everything in one transaction, once the whole file has been found to be right.

The tables are made as the file's version had them, filled, and then brought up to date as any database of that version
would be. Numbers that only grow go on from where they were; a node's configuration version follows the clock, so it
does not go back with the rest.
"""

import asyncio
from pathlib import Path
from typing import Any

from sqlalchemy import MetaData, Table, exists, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import migrations
from bridge_node.platform.backup import archive, tables
from bridge_node.platform.backup.archive import BadBackup, Summary, TableBegins
from bridge_node.platform.backup.taking import Progress
from bridge_node.platform.database import Database
from bridge_node.platform.models import metadata


class NotEmpty(Exception):
    """The database has rows, and nobody said that they may be replaced."""


async def restore(
    database: Database, path: Path, *, replace: bool = False, progress: Progress = lambda table, rows: None
) -> Summary:
    """Fills an empty database, or one that may be replaced.

    Raises BadBackup, NotEmpty, DatabaseUnavailable and OSError; then nothing was written. No platform may be running on
    the database. Statements take as long as their tables are large: `database` must allow for that.
    """
    summary = await asyncio.to_thread(archive.verified, path)
    if summary.heading.schema not in await asyncio.to_thread(migrations.revisions):
        raise BadBackup(f"has schema {summary.heading.schema}, which version {summary.heading.version} made: use that")
    async with migrations.alone(database) as connection:
        await connection.run_sync(_cleared, replace)
        await connection.run_sync(migrations.upgraded, summary.heading.schema)
        made = {table.name: table for table in await connection.run_sync(tables.found)}
        await _fill(connection, path, made, progress)
        if database.postgres:
            await _continue_numbers(connection, made)
        await connection.run_sync(migrations.upgraded, migrations.HEAD)
    return summary


def _cleared(connection: Connection, replace: bool) -> None:
    """Without a table that the platform knows, as a new database is."""
    there = set(inspect(connection).get_table_names())
    ours = [table for table in metadata.sorted_tables if table.name in there]
    if not replace:
        for table in ours:
            if connection.execute(select(exists(select(text("1")).select_from(table)))).scalar():
                raise NotEmpty(f"the database is not empty: there is something in {table.name}")
    present = MetaData()
    present.reflect(connection, only=[*(table.name for table in ours), *({migrations.TABLE} & there)])
    present.drop_all(connection)


async def _fill(connection: AsyncConnection, path: Path, made: dict[str, Table], progress: Progress) -> None:
    parts = archive.contents(path)
    table, columns = None, list[str]()
    while (part := await asyncio.to_thread(next, parts, None)) is not None:
        if isinstance(part, TableBegins):
            table, columns = made.get(part.name), list(part.columns)
            if table is None or not set(columns) <= set(table.columns.keys()):
                raise BadBackup(f"has a table {part.name} that schema does not have")
        elif table is not None and part:
            rows = tables.stored([table.columns[name] for name in columns], part)
            await connection.execute(table.insert(), [dict(zip(columns, row, strict=True)) for row in rows])
            progress(table.name, len(rows))


async def _continue_numbers(connection: AsyncConnection, made: dict[str, Table]) -> None:
    """PostgreSQL counts apart from the rows. (SQLite looks at them.)"""
    for name, table in made.items():
        column: Any = table.autoincrement_column
        if column is not None:
            await connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', '{column.name}'), max({column.name})) "  # noqa: S608 - our own names
                    f"FROM {name} HAVING count(*) > 0"
                )
            )
