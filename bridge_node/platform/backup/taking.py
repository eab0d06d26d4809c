"""From a database to a file, while platforms serve: one snapshot, of which never more than some rows are in memory."""

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Table, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import migrations
from bridge_node.platform.backup import tables
from bridge_node.platform.backup.archive import Heading, Summary, Writer
from bridge_node.platform.database import Database
from bridge_node.version import running_version

Progress = Callable[[str, int], None]
"""Told of a table, and how many rows more are done."""

ROWS_AT_ONCE = 500


async def backup(database: Database, path: Path, progress: Progress = lambda table, rows: None) -> Summary:
    """Writes `path` anew, mode 0600; it is there when it is whole, and on the disk, or not at all.

    Raises WrongSchema, DatabaseUnavailable and OSError. Statements take as long as their tables are large: `database`
    must allow for that.
    """
    await migrations.check(database)
    heading = Heading(
        await migrations.revision(database), running_version(), datetime.now(UTC).isoformat(timespec="seconds")
    )
    partial = path.with_name(f".{path.name}.partial")
    file = await asyncio.to_thread(_created, partial)
    try:
        rows = await _dumped(database, await asyncio.to_thread(Writer, file, heading), progress)
        await asyncio.to_thread(_kept, file, partial, path)
    finally:
        await asyncio.to_thread(_dropped, file, partial)
    return Summary(heading, rows)


async def _dumped(database: Database, writer: Writer, progress: Progress) -> dict[str, int]:
    async with database.snapshot() as connection:
        found = await connection.run_sync(tables.found)
        rows = {table.name: await _dump(connection, table, writer, progress) for table in found}
    await asyncio.to_thread(writer.finish)
    return rows


async def _dump(connection: AsyncConnection, table: Table, writer: Writer, progress: Progress) -> int:
    """How many rows there were."""
    columns, counted = list(table.columns), 0
    await asyncio.to_thread(writer.table, table.name, [column.name for column in columns])
    async with connection.stream(select(table), execution_options={"yield_per": ROWS_AT_ONCE}) as result:
        async for batch in result.partitions():
            await asyncio.to_thread(lambda rows: writer.rows(tables.plain(columns, rows)), batch)
            counted += len(batch)
            progress(table.name, len(batch))
    return counted


def _created(partial: Path) -> BinaryIO:
    partial.unlink(missing_ok=True)  # of a backup that was killed
    return os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _kept(file: BinaryIO, partial: Path, path: Path) -> None:
    file.flush()
    os.fsync(file.fileno())
    partial.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _dropped(file: BinaryIO, partial: Path) -> None:
    file.close()
    partial.unlink(missing_ok=True)
