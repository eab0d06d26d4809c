"""Provider keys over HTTP (contract §4)."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, select

from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import audit_events, buckets, members, provider_keys, repositories, repository_buckets
from bridge_node.platform.store.providerkeys import ProviderKey
from tests.platform.test_buckets import call
from tests.platform.world import PlatformUnderTest

NEW = {"workspaceId": "ws-1", "provider": "AWS", "key": "AK", "secret": "provider-secret"}


async def create(here: PlatformUnderTest, **changes: Any) -> str:
    made = await call(here, "POST", "/apikeys", {**NEW, **changes})
    assert made.keys() == {"success", "message", "apiKeyId"}
    return str(made["apiKeyId"])


async def listed(here: PlatformUnderTest, query: str = "", **who: Any) -> list[dict[str, Any]]:
    found = await call(here, "GET", f"/apikeys{query}", **who)
    assert found["success"] is True
    keys: list[dict[str, Any]] = found["apiKeys"]
    return keys


async def row(here: PlatformUnderTest, key_id: str) -> ProviderKey:
    (found,) = await here.rows(select(provider_keys).where(provider_keys.c.id == key_id))
    return ProviderKey(**found._mapping)


async def used_by_a_bucket(here: PlatformUnderTest, key_id: str) -> None:
    """`bucket-9`, which is attached to repo-1."""
    mine = {"organisation_id": "org-1", "workspace_id": "ws-1", "created_at": 1}
    await here.change(
        insert(buckets).values(
            id="bucket-9", name="Ninth", bucket="ninth", storage_type="S3", provider_key_id=key_id, **mine
        ),
        insert(repository_buckets).values(id="rb-9", repository_id="repo-1", bucket_id="bucket-9"),
    )


async def test_a_key_is_stored_sealed_and_listed_without_its_secret(here: PlatformUnderTest) -> None:
    more = {"region": "eu-west-1", "tenantId": "t", "subscriptionId": "s", "description": "ours"}
    key_id = await create(here, endpoint="s3.example.com/", **more)
    await used_by_a_bucket(here, key_id)
    assert await listed(here, "?workspaceId=ws-1") == [
        {
            "id": key_id,
            "key": "AK",
            "provider": "AWS",
            "endpoint": "https://s3.example.com",
            "createdAt": "2026-02-02T02:40:01.000Z",
            "bucket_count": 1,
            "aillm_count": 0,
            **more,
        }
    ]
    stored = await row(here, key_id)
    assert b"provider-secret" not in (stored.secret_sealed or b"")
    assert stored.secret(here.platform.vault) == "provider-secret"


async def test_what_is_empty_is_not_shown(here: PlatformUnderTest) -> None:
    await create(here)
    (found,) = await listed(here, "?")
    assert found.keys() == {"id", "key", "provider", "createdAt", "bucket_count", "aillm_count"}


@pytest.mark.parametrize(
    ("query", "providers"),
    [
        ("?capability=1", {"AWS", "GCP", "WASABI"}),
        ("?capability=2", {"AWS", "GCP", "OPENAI", "WASABI"}),
        ("?capability=4", {"AWS", "GCP", "WASABI"}),
        ("?capability=undefined&provider=null", {"AWS", "GCP", "OPENAI", "WASABI"}),
        ("?provider=openai", {"OPENAI"}),
        ("?provider=AWS&capability=255", {"AWS"}),
        ("?provider=AZURE", set()),
    ],
)
async def test_keys_are_filtered_by_provider_and_by_what_it_offers(
    here: PlatformUnderTest, query: str, providers: set[str]
) -> None:
    for provider in ("AWS", "gcp", "OpenAI", "Wasabi"):
        await create(here, provider=provider)
    assert {one["provider"] for one in await listed(here, query)} == providers


@pytest.mark.parametrize("mask", ["-1", "x", "256", "1" * 5000, "1.0", "²"])
async def test_a_mask_that_is_none_is_refused(here: PlatformUnderTest, mask: str) -> None:
    await call(here, "GET", f"/apikeys?capability={mask}", None, 400)


@pytest.mark.parametrize(
    "changes",
    [
        {"workspaceId": None},
        {"provider": None},
        {"provider": ""},
        {"provider": "p" * 65},
        {"key": None},
        {"key": ""},
        {"key": "k" * 2000},
        {"secret": None},
        {"secret": ""},
        {"secret": "s" * 20_000},
        {"description": "d" * 2000},
        {"endpoint": "ftp://example.com"},
        {"endpoint": "http://127.0.0.1"},
        {"endpoint": "169.254.169.254"},
        {"endpoint": "https://metadata.localhost"},
        {"key": "arn:aws:iam::123456789012:role/storage", "secret": "external-id"},
        {"provider": "GCP", "key": "svc@example.com", "secret": '{"token_uri": "http://evil.example.com"}'},
        {"provider": "AZURE", "key": "account/../other", "secret": "c2VjcmV0"},
    ],
    ids=str,
)
async def test_a_key_that_cannot_be_is_refused(here: PlatformUnderTest, changes: dict[str, Any]) -> None:
    body = {name: value for name, value in {**NEW, **changes}.items() if value is not None}
    answer = await call(here, "POST", "/apikeys", body, 400)
    assert answer["success"] is False
    assert await here.count(provider_keys) == 0


async def test_only_what_is_given_changes_and_an_empty_secret_keeps_the_stored_one(here: PlatformUnderTest) -> None:
    key_id = await create(here, region="eu-west-1")
    answer = await call(here, "PUT", f"/apikeys/{key_id}", {"description": "ours", "secret": "", "workspaceId": "ws-2"})
    assert answer == {"success": True, "message": "updated"}
    stored = await row(here, key_id)
    assert (stored.description, stored.region, stored.workspace_id) == ("ours", "eu-west-1", "ws-1")
    assert stored.secret(here.platform.vault) == "provider-secret"
    await call(here, "PUT", f"/apikeys/{key_id}", {"endpoint": "10.0.0.1"}, 400)
    await call(here, "PUT", f"/apikeys/{key_id}", {"key": ""}, 400)


async def test_a_rotated_key_is_news_for_the_nodes_of_every_repository_behind_it(here: PlatformUnderTest) -> None:
    key_id = await create(here)
    await used_by_a_bucket(here, key_id)
    await here.platform.waker.listening.wait()
    async with here.platform.waker.waiting(["org-1"]) as bell:
        await call(here, "PUT", f"/apikeys/{key_id}", {"secret": "rotated"})
        await bell.wait()
    ((revision,),) = await here.rows(select(repositories.c.revision).where(repositories.c.id == "repo-1"))
    assert revision == 1
    assert (await row(here, key_id)).secret(here.platform.vault) == "rotated"


async def test_a_key_in_use_does_not_become_one_of_another_kind(here: PlatformUnderTest) -> None:
    key_id = await create(here)
    await used_by_a_bucket(here, key_id)
    refused = await call(here, "PUT", f"/apikeys/{key_id}", {"provider": "GCP"}, 400)
    assert "1 bucket" in refused["message"]
    await call(here, "PUT", f"/apikeys/{key_id}", {"provider": "Wasabi"})


async def test_a_key_in_use_is_not_deleted_and_what_is_deleted_is_gone(here: PlatformUnderTest) -> None:
    key_id = await create(here)
    await used_by_a_bucket(here, key_id)
    refused = await call(here, "DELETE", f"/apikeys/{key_id}", None, 400)
    assert refused == {"success": False, "message": "API key is still used by 1 bucket"}
    await call(here, "DELETE", "/repo/repo-1")
    await call(here, "DELETE", "/bucket/bucket-9")
    assert (await call(here, "DELETE", f"/apikeys/{key_id}"))["success"] is True
    assert await here.count(provider_keys) == 0
    await call(here, "DELETE", f"/apikeys/{key_id}", None, 404)


async def test_a_key_is_deleted_or_attached_but_never_both(here: PlatformUnderTest) -> None:
    key_id = await create(here)
    repository = {"name": "Raced", "mode": "NORMAL", "storageType": "S3", "workspaceId": "ws-1"}
    parts = [{"apiKeyUuid": key_id, "account": True}]
    attached, deleted = await asyncio.gather(
        here.call("POST", "/repo", json={**repository, "repoBuckets": parts}),
        here.call("DELETE", f"/apikeys/{key_id}"),
    )
    assert (attached.status_code, deleted.status_code) in {(200, 400), (404, 200)}


CALLS: list[tuple[str, Any]] = [("PUT", {"description": "x"}), ("DELETE", None)]


async def test_another_organisation_finds_nothing(here: PlatformUnderTest) -> None:
    key_id = await create(here)
    other = {"user": "owner-2", "organisation": "org-2"}
    for method, json in CALLS:
        foreign = await call(here, method, f"/apikeys/{key_id}", json, 404, **other)
        assert foreign == await call(here, method, "/apikeys/nowhere", json, 404, **other)
    assert await listed(here, **other) == []
    await call(here, "GET", "/apikeys?workspaceId=ws-1", None, 404, **other)
    await call(here, "POST", "/apikeys", NEW, 404, **other)


@pytest.mark.parametrize(
    ("access", "read", "write"), [(None, 403, 403), ("READ", 200, 403), ("WRITE", 200, 200), ("ADMIN", 200, 200)]
)
async def test_members_read_with_read_and_change_with_write(
    here: PlatformUnderTest, access: str | None, read: int, write: int
) -> None:
    key_id = await create(here)
    await here.change(members.delete())
    if access:
        await here.change(insert(members).values(workspace_id="ws-1", user_id="user-1", access=access))
    await call(here, "GET", "/apikeys?workspaceId=ws-1", None, read, user="user-1")
    assert len(await listed(here, user="user-1")) == (1 if access else 0)
    await call(here, "POST", "/apikeys", NEW, write, user="user-1")
    for method, json in CALLS:
        await call(here, method, f"/apikeys/{key_id}", json, write, user="user-1")


async def test_nobody_gets_anything_without_a_token(here: PlatformUnderTest) -> None:
    for method, path in (("GET", ""), ("POST", ""), ("PUT", "/x"), ("DELETE", "/x")):
        assert (await here.client.request(method, f"/apikeys{path}", json={})).status_code == 401


async def test_every_change_is_an_event_without_the_secret(here: PlatformUnderTest) -> None:
    key_id = await create(here, description="ours")
    await call(here, "PUT", f"/apikeys/{key_id}", {"secret": "rotated-secret"})
    await call(here, "DELETE", f"/apikeys/{key_id}")
    rows = await here.rows(select(audit_events).where(audit_events.c.context == Context.API_KEY))
    assert [(one.event, one.context_id) for one in rows] == [
        (event, key_id) for event in (Event.CREATED, Event.UPDATED, Event.DELETED)
    ]
    assert all("secret" not in str(one.data).replace("['secret']", "") for one in rows)
    assert rows[1].data == {"provider": "AWS", "key": "AK", "changed": ["secret"]}
