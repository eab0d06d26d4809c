"""The schema that migrations make is the one that the code knows."""

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
