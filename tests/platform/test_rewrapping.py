"""The master key is changed while the platform goes on; and what the database alone gives away."""

import asyncio
import base64
import secrets
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select

from bridge_node.platform import documents, rewrapping
from bridge_node.platform.database import Database
from bridge_node.platform.models import metadata, provider_keys, repository_keys
from bridge_node.platform.rewrapping import Progress, rewrap
from bridge_node.platform.signing import SigningKeys
from bridge_node.platform.store import providerkeys, repokeys, sealed
from bridge_node.platform.vault import Vault, VaultError
from tests.platform.stocked import NOW, Stock
from tests.platform.world import another_process, running_platform

OLD, NEW = b"m" * 32, b"n" * 32
ROTATED = Vault(NEW, previous=[OLD])


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rewrapping, "PAUSE_SECONDS", 0.0)


@pytest.fixture
async def old(database: Database) -> Database:
    """One of everything, and the platform's own signing key, under the old master key."""
    async with database.transaction() as connection:
        stock = Stock(connection, Vault(OLD))
        await stock.one_of_everything()
        for number in range(7):
            await stock.provider_key(f"more-{number}")
        await SigningKeys(stock.vault).load(connection, NOW)
    return database


async def all_of(database: Database, vault: Vault, batch: int = 3) -> list[Progress]:
    return [progress async for progress in rewrap(database, vault, batch=batch)]


def test_every_sealed_column_is_known() -> None:
    columns = {(t.name, c.name) for t in metadata.tables.values() for c in t.columns if c.name.endswith("_sealed")}
    assert {(place.table.name, place.column) for place in sealed.PLACES} == columns


async def test_afterwards_the_new_key_alone_opens_everything_and_no_document_changed(old: Database) -> None:
    async with old.reading() as connection:
        before = await documents.build(connection, Vault(OLD), "repo")
    progress = await all_of(old, ROTATED)
    assert progress[-1].done == progress[-1].total > 10
    assert [one.done for one in progress] == sorted(one.done for one in progress)
    assert await rewrapping.outdated(old, ROTATED) == 0
    async with old.transaction() as connection:
        assert await documents.build(connection, Vault(NEW), "repo") == before
        await SigningKeys(Vault(NEW)).load(connection, NOW)
        with pytest.raises(VaultError):
            await documents.build(connection, Vault(OLD), "repo")


async def test_it_may_be_interrupted_and_begun_again(old: Database) -> None:
    rounds = rewrap(old, ROTATED, batch=2)
    first = await anext(rounds)
    await rounds.aclose()  # type: ignore[attr-defined] # an async generator, told as what it is read as
    left = await rewrapping.outdated(old, ROTATED)
    assert left == first.total - first.done > 0
    assert (await all_of(old, ROTATED))[-1].done == left
    assert await all_of(old, ROTATED) == []


async def test_several_processes_do_it_at_once(old: Database) -> None:
    others = [Database.open(old.url.render_as_string(hide_password=False)) for _ in range(2)]
    await asyncio.gather(*(all_of(database, ROTATED, batch=1) for database in (old, *others)))
    await asyncio.gather(*(database.close() for database in others))
    await all_of(old, ROTATED)  # what one of them had left to another that was not done yet
    assert await rewrapping.outdated(old, Vault(NEW)) == 0


async def test_a_secret_that_is_changed_meanwhile_is_not_set_back(old: Database) -> None:
    async with old.transaction() as connection:
        await providerkeys.change(connection, ROTATED, "org", "cloud", secret="newer")
    await all_of(old, ROTATED)
    async with old.reading() as connection:
        key = await providerkeys.with_id(connection, "org", "cloud")
    assert key is not None
    assert key.secret(Vault(NEW)) == "newer"


async def test_what_opens_under_no_known_key_is_counted_and_left(old: Database) -> None:
    strange = Vault(b"x" * 32).seal("secret", "provider_keys", "strange")
    row = {"id": "strange", "organisation_id": "org", "workspace_id": "org-ws", "created_at": NOW}
    async with old.transaction() as connection:
        await connection.execute(insert(provider_keys).values(row | {"secret_sealed": strange}))
    assert (await all_of(old, ROTATED))[-1].unreadable == 1
    assert await rewrapping.outdated(old, ROTATED) == 1


async def test_a_serving_platform_does_it_by_itself(database_url: str, tmp_path: Path) -> None:
    async with running_platform(database_url, tmp_path):
        pass
    keys: dict[str, Any] = {
        "master_key": SecretStr(base64.b64encode(NEW).decode()),
        "previous_master_keys": (SecretStr(base64.b64encode(OLD).decode()),),
    }
    async with another_process(database_url, tmp_path, **keys) as platform:
        for _ in range(500):
            if await rewrapping.outdated(platform.platform.database, platform.platform.vault) == 0:
                break
            await asyncio.sleep(0.01)
        assert await rewrapping.outdated(platform.platform.database, Vault(NEW)) == 0


async def test_the_database_alone_reveals_no_secret(database: Database) -> None:
    """Every column of every table, as bytes; whatever is a secret is in one of the documents that are sealed."""
    marks = {name: f"mark-{secrets.token_hex(8)}" for name in ("provider", "bucket")}
    async with database.transaction() as connection:
        stock = Stock(connection)
        await stock.one_of_everything()
        await stock.provider_key("marked", secret=marks["provider"])
        await stock.bucket("marked", key="AK", secret=marks["bucket"])
        await stock.attach("repo", "marked", position=5)
        await stock.attach("repo", "account", bucket_id=None, provider_key_id="marked", position=6)
        await SigningKeys(stock.vault).load(connection, NOW)
        document = await documents.build(connection, stock.vault, "repo")
        (private,) = [
            stock.vault.open(row.secret_sealed, "platform_keys", row.id)
            for row in await connection.execute(select(metadata.tables["platform_keys"]))
        ]
    clear = {document.token_key, *marks.values(), *(key.secret for key in document.keys), private.split("\n")[1]}
    clear |= {one.backend.secret for one in document.attachments}
    assert len(clear) >= 6
    dump = await _dumped(database)
    assert b"AK-ci" in dump  # what is no secret is there, so the dump is one
    assert [secret for secret in clear if secret.encode() in dump] == []
    assert [secret for secret in clear if base64.b64encode(secret.encode())[:-3] in dump] == []


async def _dumped(database: Database) -> bytes:
    parts: list[bytes] = []
    async with database.reading() as connection:
        for table in metadata.sorted_tables:
            for row in await connection.execute(select(table)):
                parts += [value if isinstance(value, bytes) else str(value).encode() for value in row]
    return b"\0".join(parts)


async def test_a_key_that_is_deleted_leaves_no_sealed_secret_behind(database: Database) -> None:
    async with database.transaction() as connection:
        stock = Stock(connection)
        await stock.one_of_everything()
        await repokeys.remove(connection, "repo", "ci", NOW)
        (row,) = await connection.execute(select(repository_keys))
    assert row.secret_sealed is None
