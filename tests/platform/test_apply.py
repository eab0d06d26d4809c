"""`platform apply`: what a file says becomes what a workspace has."""

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select

from bridge_node.configuration import ConfigurationError, load_settings
from bridge_node.platform import documents
from bridge_node.platform.apply import CannotApply, Change, Declaration, Outcome, apply, program
from bridge_node.platform.context import Platform, assemble
from bridge_node.platform.models import (
    audit_events,
    metadata,
    organisations,
    repositories,
    repository_keys,
    workspaces,
)
from bridge_node.platform.settings import PlatformSettings
from bridge_node.platform.store import repokeys
from bridge_node.platform.store import repositories as repository_store
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.repokeys import Pair
from tests.platform.stocked import NOW, Stock, node
from tests.platform.world import MASTER

FILE = """
[provider_keys.cloud]
provider = "aws"
key = "AKCLOUD"
secret = { env = "CLOUD_SECRET" }
endpoint = "s3.example.com"

[buckets.media]
bucket = "media-eu"
provider_key = "cloud"
region = "eu-west-1"

[buckets.backup]
bucket = "backup-eu"
key = "AKBACKUP"
secret = { env = "BACKUP_SECRET" }

[repositories.photos]
options = { unattached_sources = true }

[[repositories.photos.buckets]]
bucket = "media"
folder = "pictures"

[[repositories.photos.buckets]]
bucket = "backup"

[[repositories.photos.accounts]]
provider_key = "cloud"

[repositories.photos.keys.ci]
access = "WRITE"

[repositories.photos.keys.viewer]
access = "READ"
buckets = ["media"]
"""
SECRETS = {"CLOUD_SECRET": "cloud-secret-1", "BACKUP_SECRET": "backup-secret-1"}


@pytest.fixture
async def platform(database_url: str, tmp_path: Path) -> AsyncIterator[Platform]:
    settings = PlatformSettings(
        state_directory=tmp_path,
        database=SecretStr(database_url),
        master_key=SecretStr(MASTER),
        local_roots=("edge",),
    )
    platform = await asyncio.to_thread(assemble, settings, lambda: NOW)
    async with platform.database.transaction() as connection:
        await connection.run_sync(metadata.create_all)
        await Stock(connection).organisation("org")
    yield platform
    await platform.database.close()


def read(text: str, tmp_path: Path, settings: PlatformSettings, **secrets: str) -> Declaration:
    file = tmp_path / "apply.toml"
    file.write_text(text)
    file.chmod(0o600)
    return load_settings(program(settings), file, {**SECRETS, **secrets})


async def applied(
    platform: Platform, text: str = FILE, *, secrets: dict[str, str] | None = None, **options: Any
) -> Outcome:
    directory = platform.settings.state_directory
    declared = await asyncio.to_thread(read, text, directory, platform.settings, **(secrets or {}))
    return await apply(platform, declared, **options)


async def the_document(platform: Platform, at: Node | None = None) -> Any:
    async with platform.database.reading() as connection:
        (repository_id,) = await documents.served_by(connection, at or node())
        return await documents.build(connection, platform.vault, repository_id)


async def test_a_file_becomes_a_repository_that_nodes_can_serve(platform: Platform) -> None:
    outcome = await applied(platform)
    assert [(one.action, one.kind, one.name) for one in outcome.changes] == [
        ("create", "provider key", "cloud"),
        ("create", "bucket", "media"),
        ("create", "bucket", "backup"),
        ("create", "repository", "photos"),
        ("create", "attachment", "media of photos"),
        ("create", "attachment", "backup of photos"),
        ("create", "attachment", "cloud of photos"),
        ("create", "key", "ci of photos"),
        ("create", "key", "viewer of photos"),
    ]
    document = await the_document(platform)
    media, backup, cloud = document.attachments
    assert (media.bucket, media.folder, media.backend.endpoint) == ("media-eu", "pictures", "https://s3.example.com")
    assert (media.backend.key, media.backend.secret, media.backend.region) == ("AKCLOUD", "cloud-secret-1", "eu-west-1")
    assert (backup.bucket, backup.backend.key, backup.backend.secret) == ("backup-eu", "AKBACKUP", "backup-secret-1")
    assert cloud.account
    assert document.options == {"unattached_sources": True}
    keys = {one.key: (one.secret, one.access, one.buckets) for one in document.keys}
    assert keys == {
        one.pair.key: (one.pair.secret, one.access, ("media-eu",) if one.name == "viewer" else None)
        for one in outcome.keys
    }


async def test_applied_again_it_changes_nothing(platform: Platform) -> None:
    await applied(platform)
    before = await _everything(platform)
    assert await applied(platform) == Outcome()
    assert await applied(platform, prune=True) == Outcome()
    assert await _everything(platform) == before


async def test_a_dry_run_says_what_would_happen_and_does_nothing(platform: Platform) -> None:
    before = await _everything(platform)
    dry = await applied(platform, dry_run=True)
    assert dry.keys == []
    assert await _everything(platform) == before
    assert dry.changes == (await applied(platform)).changes


async def test_only_what_differs_is_changed_and_a_rotated_secret_reaches_the_document(platform: Platform) -> None:
    await applied(platform)
    changed = FILE.replace('region = "eu-west-1"', 'region = "eu-west-2"').replace('"WRITE"', '"ADMIN"')
    outcome = await applied(platform, changed, secrets={"CLOUD_SECRET": "cloud-secret-2"})
    assert outcome.changes == [
        Change("update", "provider key", "cloud", "a new secret"),
        Change("update", "bucket", "media", "region: eu-west-1 → eu-west-2"),
        Change("update", "key", "ci of photos", "access: WRITE → ADMIN"),
    ]
    assert outcome.keys == []
    media = (await the_document(platform)).attachments[0]
    assert (media.backend.secret, media.backend.region) == ("cloud-secret-2", "eu-west-2")


async def test_what_the_file_does_not_name_stays_until_it_is_pruned(platform: Platform) -> None:
    await applied(platform)
    kept = FILE[: FILE.index("[[repositories.photos.accounts]]")].replace(
        '[[repositories.photos.buckets]]\nbucket = "backup"\n', ""
    )
    kept = kept.replace(kept[kept.index("[buckets.backup]") : kept.index("[repositories.photos]")], "")
    outcome = await applied(platform, kept)
    assert outcome.changed == 0
    left = [(one.kind, one.name) for one in outcome.changes]
    assert sorted(left) == [
        ("attachment", "backup of photos"),
        ("attachment", "cloud of photos"),
        ("bucket", "backup"),
        ("key", "ci of photos"),
        ("key", "viewer of photos"),
    ]
    pruned = await applied(platform, kept, prune=True)
    assert [(one.kind, one.name) for one in pruned.changes if one.action == "delete"] == left
    document = await the_document(platform)
    assert [one.bucket for one in document.attachments] == ["media-eu"]
    assert document.keys == ()


async def test_an_empty_file_prunes_everything_of_its_workspace_and_nothing_of_another(platform: Platform) -> None:
    await applied(platform)
    async with platform.database.transaction() as connection:
        await connection.execute(insert(workspaces).values(id="ws-2", organisation_id="org", name="Two", created_at=1))
    assert (await applied(platform, 'workspace = "Two"', prune=True)).changes == []
    outcome = await applied(platform, 'workspace = "Main"', prune=True)
    assert {one.action for one in outcome.changes} == {"delete"}
    assert [one.kind for one in outcome.changes] == ["repository", "bucket", "bucket", "provider key"]
    async with platform.database.reading() as connection:
        assert await documents.served_by(connection, node()) == {}


async def test_names_of_another_workspace_are_taken(platform: Platform) -> None:
    await applied(platform)
    async with platform.database.transaction() as connection:
        await connection.execute(insert(workspaces).values(id="ws-2", organisation_id="org", name="Two", created_at=1))
    with pytest.raises(CannotApply, match='a bucket of another workspace is called "media"'):
        await applied(platform, 'workspace = "Two"\n' + FILE)


async def test_several_organisations_have_to_be_told_apart(platform: Platform) -> None:
    async with platform.database.transaction() as connection:
        await Stock(connection).organisation("other")
    with pytest.raises(CannotApply, match="say which organisation"):
        await applied(platform)
    with pytest.raises(CannotApply, match='no organisation "nobody"'):
        await applied(platform, 'organisation = "nobody"\n' + FILE)
    assert (await applied(platform, 'organisation = "other"\n' + FILE)).changed == 9
    async with platform.database.reading() as connection:
        assert await documents.served_by(connection, node()) == {}


async def test_what_cannot_be_applied_changes_nothing_at_all(platform: Platform) -> None:
    await applied(platform)
    before = await _everything(platform)
    with pytest.raises(CannotApply, match="make another one"):
        await applied(
            platform,
            FILE.replace("[repositories.photos]", '[repositories.photos]\nstorage_type = "GCS"').replace(
                '"aws"', '"gcp"'
            ),
        )
    assert await _everything(platform) == before


async def test_a_mirror_keeps_its_buckets_to_itself(platform: Platform) -> None:
    await applied(platform)
    mirror = """
    [buckets.backup]
    bucket = "backup-eu"
    key = "AKBACKUP"
    secret = { env = "BACKUP_SECRET" }
    [repositories.copies]
    mode = "BACKUP"
    buckets = [{ bucket = "backup", master = true }]
    """
    with pytest.raises(CannotApply, match='"backup" is in another repository: a mirror'):
        await applied(platform, mirror)


async def test_a_left_over_attachment_may_not_take_a_name_twice(platform: Platform) -> None:
    await applied(platform)
    renamed = FILE.replace("[buckets.media]", "[buckets.renamed]").replace('"media"', '"renamed"')
    with pytest.raises(CannotApply, match="would be the name of 2 buckets"):
        await applied(platform, renamed)
    assert (await applied(platform, renamed, prune=True)).changed > 0


async def test_every_change_is_an_event_and_holds_no_secret(platform: Platform) -> None:
    outcome = await applied(platform)
    async with platform.database.reading() as connection:
        events = (await connection.execute(select(audit_events))).all()
    assert len(events) == outcome.changed
    secrets = {*SECRETS.values(), *(one.pair.secret for one in outcome.keys)}
    assert not any(secret in str((events, outcome.changes)) for secret in secrets)


async def test_gcs_keys_are_made_in_their_own_shape(platform: Platform) -> None:
    text = '[repositories.lake]\nstorage_type = "GCS"\n[repositories.lake.keys.spark]\naccess = "READ"\n'
    (key,) = (await applied(platform, text)).keys
    assert key.pair.key.endswith(".nodes.local")
    assert key.pair.secret.startswith("-----BEGIN PRIVATE KEY-----")


async def test_a_root_of_the_nodes_is_a_whole_account(platform: Platform) -> None:
    text = """
    provider_keys = { disk = { provider = "LOCAL", root = "edge" } }
    repositories = { photos = { accounts = [{ provider_key = "disk" }] } }
    """
    await applied(platform, text)
    (account,) = (await the_document(platform)).attachments
    assert (account.account, account.bucket, account.backend.kind, account.backend.root) == (True, "", "local", "edge")
    assert (await applied(platform, text)).changed == 0


PROVIDER_OF_NO_STORAGE = """
provider_keys = { p = { provider = "openai", key = "k", secret = "s" } }
repositories = { r = { accounts = [{ provider_key = "p" }] } }
"""
BUCKET_OF_A_LOCAL_KEY = """
provider_keys = { p = { provider = "LOCAL", root = "edge" } }
buckets = { b = { bucket = "x", provider_key = "p" } }
"""
REFUSED = {
    '[buckets.b]\nbucket = "x"': "buckets.b: needs `key` and `secret`, or a provider key",
    '[buckets.b]\nbucket = "x"\nprovider_key = "nobody"': 'buckets.b.provider_key: "nobody" is not in this file',
    '[buckets.b]\nbucket = "x"\nkey = "k"\nsecret = "s"\nendpoint = "http://127.0.0.1:9000"': "private address",
    '[buckets.b]\nbucket = "x"\nkey = "k"\nsecret = "s"\nendpoint = "https://h/path"': "without a path",
    '[buckets.b]\nbucket = "x"\nstorage_type = "LOCAL"\nroot = "etc"': "must name one of the platform's `local_roots`",
    '[buckets.b]\nbucket = "x"\nstorage_type = "LOCAL"\nroot = "edge"\nkey = "k"': "neither credentials",
    '[provider_keys.p]\nprovider = "AWS"\nkey = "k"': "provider_keys.p: needs `key` and `secret`",
    '[provider_keys.p]\nprovider = "LOCAL"\nroot = "etc"': "must name one of the platform's `local_roots`",
    '[provider_keys.p]\nprovider = "LOCAL"\nroot = "edge"\nendpoint = "https://h"': "neither credentials nor",
    BUCKET_OF_A_LOCAL_KEY: "a LOCAL one is a whole account",
    '[repositories.r]\nbuckets = [{ bucket = "none" }]': '"none" is not in this file',
    '[repositories.r]\nmode = "MIRROR"': "exactly one bucket of a MIRROR is its master",
    '[repositories.r]\nkeys = { k = { buckets = ["none"] } }': "is not a bucket of this repository",
    '[repositories.r]\nkeys = { k = { access = "OWNER" } }': "repositories.r.keys.k.access",
    "[repositories.r]\noptions = { since = 2026-01-01 }": "repositories.r.options: must hold",
    PROVIDER_OF_NO_STORAGE: "OPENAI stores nothing",
    "[repositorys.r]": "unknown key; did you mean repositories?",
    '[provider_keys.p]\nprovider = "AWS"\nkey = "k"\nsecret = { env = "UNSET" }': "UNSET is not set or empty",
}


@pytest.mark.parametrize(("text", "complaint"), REFUSED.items())
def test_a_file_that_nodes_could_not_serve_is_refused_by_name(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(text, tmp_path, PlatformSettings(local_roots=("edge",)))
    assert complaint in str(refusal.value)


def test_a_file_with_secrets_of_its_own_must_not_be_readable_by_others(tmp_path: Path) -> None:
    file = tmp_path / "apply.toml"
    file.write_text('[buckets.b]\nbucket = "x"\nkey = "k"\nsecret = "a-secret-in-clear"')
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="is open to every user") as refusal:
        load_settings(program(PlatformSettings()), file, os.environ)
    assert "a-secret-in-clear" not in str(refusal.value)


async def _everything(platform: Platform) -> list[Any]:
    tables = (organisations, repositories, repository_keys, audit_events)
    async with platform.database.reading() as connection:
        return [(await connection.execute(select(table))).all() for table in tables]


async def test_a_declaration_and_changes_of_keys_at_the_same_time_never_block_each_other_for_good(
    platform: Platform,
) -> None:
    await applied(platform)
    declared = await asyncio.to_thread(
        read, FILE, platform.settings.state_directory, platform.settings, CLOUD_SECRET="2"
    )

    async def new_key(number: int) -> None:
        async with platform.database.transaction() as connection:
            (repository,) = await repository_store.of(connection, "org")
            await repository_store.with_id(connection, "org", repository.id, lock=True)
            pair, place = Pair(f"AK{number}", "secret"), ("org", repository.id)
            await repokeys.add(
                connection, platform.vault, f"k{number}", *place, pair, NOW, name=str(number), access="READ"
            )

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(new_key(number), name="new key")
            group.create_task(apply(platform, declared), name="apply")
    assert len((await the_document(platform)).keys) == 7
    assert (await apply(platform, declared)).changed == 0
