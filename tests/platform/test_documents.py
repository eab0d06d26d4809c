"""What nodes are given, and when it counts as changed."""

import base64
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from sqlalchemy import insert, select, update

from bridge_node.agent.documents import Terms, served
from bridge_node.operations import Access
from bridge_node.platform import documents
from bridge_node.platform.database import Database
from bridge_node.platform.models import (
    assignments,
    buckets,
    changes,
    nodes,
    organisations,
    provider_keys,
    repository_keys,
)
from bridge_node.platform.models import repositories as repository_rows
from bridge_node.platform.store import attachments, providerkeys, repokeys, repositories, revisions
from bridge_node.platform.store import buckets as bucket_store
from bridge_node.platform.vault import Vault, VaultError
from tests.platform.stocked import NOW, Stock, node


@pytest.fixture
async def stock(database: Database) -> AsyncIterator[Stock]:
    async with database.transaction() as connection:
        stock = Stock(connection)
        await stock.one_of_everything()
        yield stock


async def test_a_document_holds_what_a_node_needs_to_serve_a_repository(stock: Stock) -> None:
    document = await documents.build(stock.connection, stock.vault, "repo")
    assert (document.id, document.name, document.protocol, document.mode) == ("repo", "repo", "S3", "NORMAL")
    assert len(base64.b64decode(document.token_key, validate=True)) == 32
    assert not document.disabled
    assert not document.previous_token_key
    assert document.options == {"unattached_sources": True}
    media, own = document.attachments
    assert (media.id, media.bucket, media.folder) == ("media", "media-eu", "")
    assert media.backend.plain() == {
        "kind": "s3",
        "endpoint": "https://cloud.example.com",
        "region": "eu-west-1",
        "key": "AK-cloud",
        "secret": "cloud-secret",
        "root": "",
    }
    assert (own.id, own.folder, own.backend.key, own.backend.secret) == ("own", "second", "AK-own", "own-secret")
    (key,) = document.keys
    assert (key.id, key.key, key.secret, key.access, key.buckets) == ("ci", "AK-ci", "ci-secret", "WRITE", ("own-eu",))


async def test_the_same_repository_makes_the_same_document(stock: Stock) -> None:
    built = [await documents.build(stock.connection, stock.vault, "repo") for _ in range(2)]
    assert built[0].encode() == built[1].encode()


async def test_a_whole_account_is_reported_by_its_provider_key(stock: Stock) -> None:
    await stock.attach("repo", "account", bucket_id=None, provider_key_id="cloud", position=9)
    account = (await documents.build(stock.connection, stock.vault, "repo")).attachments[-1]
    assert (account.id, account.account, account.bucket, account.backend.secret) == ("cloud", True, "", "cloud-secret")


async def test_a_local_bucket_names_a_root_and_brings_no_credentials(stock: Stock) -> None:
    await stock.bucket("disk", storage_type="LOCAL", endpoint="edge", key="AK", secret="none of a node's business")
    await stock.attach("repo", "disk", position=9)
    disk = (await documents.build(stock.connection, stock.vault, "repo")).attachments[-1]
    assert disk.backend.plain() == {
        "kind": "local",
        "root": "edge",
        "endpoint": "",
        "region": "",
        "key": "",
        "secret": "",
    }


async def test_an_account_of_a_provider_that_stores_nothing_is_no_attachment(stock: Stock) -> None:
    await stock.provider_key("chat", provider="OPENAI")
    await stock.attach("repo", "account", bucket_id=None, provider_key_id="chat", position=9)
    document = await documents.build(stock.connection, stock.vault, "repo")
    assert [one.id for one in document.attachments] == ["media", "own"]


async def test_of_a_gcs_key_nodes_get_the_public_half(stock: Stock) -> None:
    pair = repokeys.Pair("a@b", "PRIVATE", "PUBLIC")
    await repokeys.add(stock.connection, stock.vault, "g", "org", "repo", pair, NOW, name="g", access="READ")
    (stored,) = await stock.connection.execute(select(repository_keys).where(repository_keys.c.id == "g"))
    assert "PRIVATE" not in str(stored)
    assert stored.secret_sealed is None
    key = (await documents.build(stock.connection, stock.vault, "repo")).keys[0]
    assert key.secret == "PUBLIC"


async def test_a_key_for_a_bucket_that_was_detached_opens_nothing(stock: Stock) -> None:
    await attachments.detach(stock.connection, "repo", "repo/own", NOW)
    document = await documents.build(stock.connection, stock.vault, "repo")
    assert [one.id for one in document.attachments] == ["media"]
    assert document.keys[0].buckets == ()


async def test_a_key_that_only_writes_is_one_that_older_nodes_do_not_see(stock: Stock) -> None:
    await stock.attach("repo", "account", bucket_id=None, provider_key_id="cloud", position=9)
    await stock.key("backup", "repo", access="WRITEONLY", bucket_names=["later", "now"])
    document = await documents.build(stock.connection, stock.vault, "repo")
    assert [key.id for key in document.keys] == ["ci"]
    (key,) = document.keys_by_rights or ()
    assert (key.id, key.rights, key.buckets) == ("backup", ("WRITE",), ("later", "now"))
    (row,) = await stock.connection.execute(select(repository_keys).where(repository_keys.c.id == "backup"))
    assert row.buckets == []  # a platform that knows ids alone opens nothing with it


async def test_a_right_that_a_node_does_not_know_is_not_granted(stock: Stock) -> None:
    await stock.key("backup", "repo", access="WRITEONLY")
    document = await documents.build(stock.connection, stock.vault, "repo")
    (key,) = document.keys_by_rights or ()
    for rights, access in (((), Access.NONE), (("TELEPORT",), Access.NONE), (("TELEPORT", "WRITE"), Access.WRITE)):
        of_tomorrow = key.model_copy(update={"rights": rights})
        given = served(document.model_copy(update={"keys": (), "keys_by_rights": (of_tomorrow,)}), Terms())
        assert [one.access for one in given.keys] == [access]


async def test_a_disabled_organisation_disables_its_repositories(stock: Stock) -> None:
    await stock.connection.execute(update(organisations).values(repos_disabled=True))
    assert (await documents.build(stock.connection, stock.vault, "repo")).disabled


async def test_a_deleted_repository_has_no_document_and_no_node(stock: Stock) -> None:
    await repositories.remove(stock.connection, "org", "repo", NOW)
    with pytest.raises(documents.NoSuchRepository):
        await documents.build(stock.connection, stock.vault, "repo")
    assert await documents.served_by(stock.connection, node()) == {}


async def test_another_master_key_opens_no_document(stock: Stock) -> None:
    with pytest.raises(VaultError):
        await documents.build(stock.connection, Vault(b"x" * 32), "repo")


async def test_no_secret_is_in_the_database_in_clear(stock: Stock) -> None:
    document = await documents.build(stock.connection, stock.vault, "repo")
    clear = {
        document.token_key,
        *(one.backend.secret for one in document.attachments),
        *(k.secret for k in document.keys),
    }
    for table in (buckets, provider_keys, repository_keys, repository_rows):
        for row in await stock.connection.execute(select(table)):
            assert not any(secret in str(row) for secret in clear)


Change = Callable[[Stock], Awaitable[None]]

CHANGES: dict[str, Change] = {
    "a repository's name": lambda s: repositories.change(s.connection, "org", "repo", name="new"),
    "a bucket": lambda s: bucket_store.change(s.connection, s.vault, "org", "own", region="eu-west-2"),
    "a bucket's secret": lambda s: bucket_store.change(s.connection, s.vault, "org", "own", secret="another"),
    "a provider key": lambda s: providerkeys.change(s.connection, s.vault, "org", "cloud", secret="rotated"),
    "an attachment": lambda s: attachments.change(s.connection, "repo", "repo/own", folder="third"),
    "a detached bucket": lambda s: attachments.detach(s.connection, "repo", "repo/own", NOW),
    "a new key": lambda s: s.key("new", "repo"),
    "a key": lambda s: repokeys.change(s.connection, "repo", "ci", access="READ"),
    "a deleted key": lambda s: repokeys.remove(s.connection, "repo", "ci", NOW),
    "the organisation": lambda s: revisions.organisation_changed(s.connection, "org"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_every_change_of_what_a_document_shows_makes_a_new_revision_and_wakes(
    stock: Stock, change: Change
) -> None:
    await stock.repository("untouched", "org")
    before, number = await documents.served_by(stock.connection, node()), await _number(stock)
    await change(stock)
    after = await documents.served_by(stock.connection, node())
    assert after["repo"] == before["repo"] + 1
    assert await _number(stock) > number


async def test_a_change_touches_only_the_repositories_that_show_it(stock: Stock) -> None:
    await stock.repository("other")
    await stock.bucket("elsewhere")
    await stock.attach("other", "elsewhere")
    before = await documents.served_by(stock.connection, node())
    await providerkeys.change(stock.connection, stock.vault, "org", "cloud", region="eu-west-3")
    await bucket_store.change(stock.connection, stock.vault, "org", "own", region="eu-west-3")
    after = await documents.served_by(stock.connection, node())
    assert after == {"repo": before["repo"] + 2, "other": before["other"]}


async def test_another_organisations_change_is_none(stock: Stock) -> None:
    before = await documents.served_by(stock.connection, node())
    await stock.organisation("foreign")
    await providerkeys.change(stock.connection, stock.vault, "foreign", "cloud", secret="stolen")
    await bucket_store.change(stock.connection, stock.vault, "foreign", "own", endpoint="https://evil.example.com")
    await repositories.change(stock.connection, "foreign", "repo", name="stolen")
    document = await documents.build(stock.connection, stock.vault, "repo")
    assert document.name == "repo"
    assert [one.backend.secret for one in document.attachments] == ["cloud-secret", "own-secret"]
    assert (await documents.served_by(stock.connection, node())).keys() == before.keys()


async def test_a_node_serves_its_organisation_and_no_other(stock: Stock) -> None:
    await stock.organisation("foreign")
    await stock.repository("theirs", "foreign")
    assert (await documents.served_by(stock.connection, node())).keys() == {"repo"}
    assert (await documents.served_by(stock.connection, node("foreign"))).keys() == {"theirs"}


async def test_where_the_organisation_assigns_a_node_serves_what_it_is_assigned(stock: Stock) -> None:
    await stock.repository("second")
    await stock.organisation("foreign")
    await stock.repository("theirs", "foreign")
    await stock.connection.execute(update(organisations).values(assigns_repositories=True))
    assert await documents.served_by(stock.connection, node()) == {}
    await _assign(stock, node_id="node-1", organisation="org", repositories=("second", "theirs"))
    assert (await documents.served_by(stock.connection, node())).keys() == {"second"}


async def test_a_public_node_serves_only_what_it_is_assigned_and_hears_of_its_changes(stock: Stock) -> None:
    await stock.repository("second")
    public = node("", "public-1")
    assert await documents.served_by(stock.connection, public) == {}
    await _assign(stock, node_id="public-1", organisation="", repositories=("repo",))
    assert (await documents.served_by(stock.connection, public)).keys() == {"repo"}
    await repokeys.remove(stock.connection, "repo", "ci", NOW)
    assert await _number(stock, "public-1") == 1


async def _number(stock: Stock, topic: str = "org") -> int:
    found = await stock.connection.execute(select(changes.c.number).where(changes.c.topic == topic))
    return int(found.scalar_one_or_none() or 0)


async def _assign(stock: Stock, *, node_id: str, organisation: str, repositories: tuple[str, ...]) -> None:
    row = insert(nodes).values(id=node_id, organisation_id=organisation, ip=node_id, created_at=NOW, seen_at=NOW)
    await stock.connection.execute(row)
    for repository in repositories:
        await stock.connection.execute(insert(assignments).values(node_id=node_id, repository_id=repository))
