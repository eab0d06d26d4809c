"""Backups: from each database to each, whole or not at all, and a platform that goes on from one."""

import asyncio
import base64
import gzip
import stat
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from blockbuster import BlockBuster
from sqlalchemy import insert, select
from sqlalchemy.engine import Connection

from bridge_node.platform import migrations
from bridge_node.platform.backup import BadBackup, NotEmpty, backup, restore, tables
from bridge_node.platform.backup.archive import Heading, Writer
from bridge_node.platform.database import Database
from bridge_node.platform.migrations import WrongSchema
from bridge_node.platform.models import audit_events, metadata, usage_minutes
from bridge_node.platform.vault import Vault
from tests.platform import filled
from tests.platform.test_status import moved, report, seen
from tests.platform.world import MASTER, Clock, OwnNode, another_process, populate

Content = dict[str, set[str]]


@pytest.fixture(autouse=True)
def _steps_are_read_from_files(blockbuster: BlockBuster) -> None:
    """As in the command, beside which nothing is served."""
    blockbuster.deactivate()


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database.open(url, connections=2)
    try:
        yield database
    finally:
        await database.close()


@pytest.fixture
async def full(database_url: str) -> AsyncIterator[Database]:
    """With rows in every table."""
    async with opened(database_url) as database:
        await migrations.upgrade(database)
        async with database.transaction() as connection:
            there = await connection.run_sync(filled.tables_of)
            for number in range(1, 4):
                await connection.run_sync(filled.fill, there, number)
        yield database


@pytest.fixture
async def other(other_url: str) -> AsyncIterator[Database]:
    async with opened(other_url) as database:
        yield database


async def content(database: Database) -> Content:
    async with database.reading() as connection:
        return {
            table.name: {str({name: _comparable(value) for name, value in row._mapping.items()}) for row in rows}
            for table in metadata.sorted_tables
            for rows in [(await connection.execute(select(table))).all()]
        }


def _comparable(value: Any) -> Any:
    """PostgreSQL's documents do not keep the order of their keys."""
    return sorted(value.items()) if isinstance(value, dict) else value


async def test_every_row_of_every_table_comes_back_on_either_database(
    full: Database, other: Database, tmp_path: Path
) -> None:
    file = tmp_path / "platform.backup"
    taken = await backup(full, file)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert taken.total == 3 * len(metadata.tables)
    assert await restore(other, file) == taken
    assert await content(other) == await content(full)
    await migrations.check(other)
    async with other.transaction() as connection:
        added = await connection.execute(insert(audit_events).values(at=1, context=1, event=1))
        assert added.inserted_primary_key == (4,)


async def test_a_backup_is_one_moment_however_much_is_written_meanwhile(
    full: Database, other: Database, tmp_path: Path
) -> None:
    before = await content(full)
    async with full.snapshot() as connection:
        assert len((await connection.execute(select(usage_minutes))).all()) == 3
        async with full.transaction() as another:
            await another.execute(usage_minutes.delete())
        assert len((await connection.execute(select(usage_minutes))).all()) == 3
    await backup(full, tmp_path / "b")
    await restore(other, tmp_path / "b")
    assert await content(other) == {**before, "usage_minutes": set()}


async def test_a_restored_platform_goes_on_with_its_nodes_keys_and_statistics(
    database_url: str, other_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "platform.backup"
    async with opened(database_url) as database:
        await migrations.upgrade(database)
        async with database.transaction() as connection:
            await populate(connection, Vault(base64.b64decode(MASTER)), Clock().ms())
    async with another_process(database_url, tmp_path) as here:
        node = OwnNode(here, await here.new_key())
        await node.enrol()
        given = await node.config()
        assert (await report(node, buckets=[seen()], usage=[moved()], batchId="b-1"))[0] == 200
        await backup(here.platform.database, file)
        told = {path: (await here.call("GET", path)).json() for path in STATISTICS}
        later = await node.config()
    async with opened(other_url) as other:
        await restore(other, file)
    async with another_process(other_url, tmp_path) as restored:
        restored.clock.now += 60
        node.here = restored
        again = await node.config()
        assert again.version > later.version > given.version
        assert node.unsealed(again) == node.unsealed(given)
        assert {path: (await restored.call("GET", path)).json() for path in STATISTICS} == told
        assert (await report(node, usage=[moved()], batchId="b-1"))[0] == 200
        assert {path: (await restored.call("GET", path)).json() for path in STATISTICS} == told


STATISTICS = ("/stats/minute", "/stats/daily", "/repo/stats", "/stats/nodes/minute")


# what is refused, with nothing written


@pytest.fixture
async def file(full: Database, tmp_path: Path) -> Path:
    path = tmp_path / "platform.backup"
    await backup(full, path)
    return path


def damages(file: Path) -> Iterator[tuple[str, Path]]:
    """Why it is refused, and the file."""
    bad = file.with_name("bad")
    for reason, content in _damaged(file.read_bytes()):
        bad.write_bytes(content)
        yield reason, bad


def _damaged(whole: bytes) -> Iterator[tuple[str, bytes]]:
    lines = gzip.decompress(whole).splitlines(keepends=True)
    yield "cut off", whole[: len(whole) // 2]
    yield "cut off", whole[:-4]
    yield "cut off", gzip.compress(b"".join(lines[:-1]))
    yield "damaged", whole[:200] + bytes([whole[200] ^ 1]) + whole[201:]
    yield "damaged", gzip.compress(b"".join(lines[:3] + lines[4:]))
    yield "damaged", gzip.compress(b"".join(lines).replace(b"key-1", b"key-9"))
    yield "damaged", gzip.compress(b"".join(lines) + b"[]\n")
    yield "no backup", b"a text, for example"
    yield "no backup", gzip.compress(b'{"hello": 1}\n')
    yield "cut off", b""
    yield "newer version", gzip.compress(lines[0].replace(b'"format":1', b'"format":2'))


async def test_a_file_that_is_not_whole_is_refused_before_anything_is_written(file: Path, other: Database) -> None:
    for reason, bad in damages(file):
        with pytest.raises(BadBackup, match=reason):
            await restore(other, bad)
    assert await migrations.revision(other) == ""


def written(path: Path, schema: str, connection: Connection | None = None) -> None:
    """A backup as a version with another schema writes it."""
    with path.open("wb") as file:
        writer = Writer(file, Heading(schema, "9.9", "2026-02-02T02:40:00+00:00"))
        for table in filled.tables_of(connection) if connection else ():
            writer.table(table.name, table.columns.keys())
            writer.rows(tables.plain(table.columns, connection.execute(select(table)).all() if connection else ()))
        writer.finish()


async def test_a_newer_schema_is_refused(other: Database, tmp_path: Path) -> None:
    written(tmp_path / "b", "9999")
    with pytest.raises(BadBackup, match=r"has schema 9999, which version 9\.9 made: use that"):
        await restore(other, tmp_path / "b")
    assert await migrations.revision(other) == ""


async def test_a_backup_of_an_earlier_schema_is_restored_and_brought_up_to_date(
    database_url: str, other: Database, tmp_path: Path
) -> None:
    async with opened(database_url) as old:
        await migrations.upgrade(old, "0001")
        async with old.transaction() as connection:
            await connection.run_sync(lambda sync: filled.fill(sync, filled.tables_of(sync), 1))
            await connection.run_sync(lambda sync: written(tmp_path / "b", "0001", sync))
        await restore(other, tmp_path / "b")
        await migrations.check(other)
        await migrations.upgrade(old)
        assert await content(other) == await content(old)


async def test_a_database_that_is_not_empty_is_replaced_only_when_asked(
    file: Path, full: Database, other: Database
) -> None:
    await migrations.upgrade(other)
    await restore(other, file)
    with pytest.raises(NotEmpty, match="is not empty"):
        await restore(other, file)
    async with other.transaction() as connection:
        await connection.execute(usage_minutes.delete())
    await restore(other, file, replace=True)
    assert await content(other) == await content(full)


async def test_another_schema_is_not_backed_up_and_nothing_is_left_behind(other: Database, tmp_path: Path) -> None:
    with pytest.raises(WrongSchema):
        await backup(other, tmp_path / "b")
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("*b")) + list(tmp_path.glob(".b*")))
