"""The schema that migrations make is the one that the code knows, and what was stored before is there after."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from blockbuster import BlockBuster
from sqlalchemy import inspect
from sqlalchemy.engine import Connection

from bridge_node.platform import migrations
from bridge_node.platform.database import Database
from bridge_node.platform.migrations import WrongSchema
from bridge_node.platform.models import metadata
from tests.platform import filled


@pytest.fixture(autouse=True)
def _steps_are_read_from_files(blockbuster: BlockBuster) -> None:
    """Nothing is served yet when that happens."""
    blockbuster.deactivate()


@pytest.fixture
async def empty(database_url: str) -> AsyncIterator[Database]:
    database = Database.open(database_url)
    yield database
    await database.close()


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
    return list(compare_metadata(context, metadata))


async def test_migrating_makes_the_tables_that_the_models_describe(empty: Database) -> None:
    with pytest.raises(WrongSchema):
        await migrations.check(empty)
    await migrations.upgrade(empty)
    async with empty.reading() as connection:
        assert await connection.run_sync(_differences) == []
        indexes = await connection.run_sync(_indexes)
    assert indexes == {index.name for table in metadata.tables.values() for index in table.indexes}
    await migrations.check(empty)


def _indexes(connection: Connection) -> set[str | None]:
    inspector = inspect(connection)
    return {index["name"] for table in metadata.tables for index in inspector.get_indexes(table)}


async def test_migrating_again_and_at_once_changes_nothing(empty: Database) -> None:
    await asyncio.gather(*(migrations.upgrade(empty) for _ in range(3)))
    await migrations.upgrade(empty)
    await migrations.check(empty)


async def test_every_step_keeps_what_is_stored_and_leaves_room_for_the_version_before(empty: Database) -> None:
    """A new step is tried by this, too. The version before reads and writes the columns that it knows."""
    first, *others = migrations.revisions()
    await migrations.upgrade(empty, first)
    for number, following in enumerate(others):
        async with empty.transaction() as connection:
            tables = await connection.run_sync(filled.tables_of)
            await connection.run_sync(filled.fill, tables, 10 * number)
            await connection.run_sync(filled.fill, tables, 10 * number + 1)
            before = {table.name: await connection.run_sync(filled.rows_of, table) for table in tables}
        await migrations.upgrade(empty, following)
        async with empty.transaction() as connection:
            for table in tables:
                assert before[table.name] <= await connection.run_sync(filled.rows_of, table), (following, table.name)
            await connection.run_sync(filled.fill, tables, 10 * number + 2)
    async with empty.reading() as connection:
        assert await connection.run_sync(_differences) == []
