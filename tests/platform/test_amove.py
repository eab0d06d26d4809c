"""The Amove-compatible storage API over HTTP: its errors, pages, flags and keys (contract amove-storage-api)."""

import asyncio
import itertools
import re
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from blockbuster import BlockBuster
from sqlalchemy import select, update

from bridge_node.agent.documents import Terms, served
from bridge_node.operations import Access
from bridge_node.platform import documents
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import (
    audit_events,
    members,
    organisations,
    provider_keys,
    repository_keys,
    storage_keys,
)
from bridge_node.platform.store import providerkeys
from tests.platform.clouds import gcs_subject
from tests.platform.world import PlatformUnderTest, running_platform
from tests.servers import S3Server

STORAGE = "/api/v1/storage"
ACCOUNTS = "/api/v1/cloudaccount"
EMPTY = b""
_numbers = itertools.count()


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """A platform whose operator lets clouds be on this host."""
    async with running_platform(database_url, tmp_path, allow_private_endpoints=True) as platform:
        yield platform


@pytest.fixture
def bucket() -> str:
    return f"amove-test-{next(_numbers)}"


async def provider_key(here: PlatformUnderTest, key_id: str, **values: str) -> str:
    async with here.platform.database.transaction() as connection:
        place = (key_id, "org-1", "ws-1", here.clock.ms())
        made: dict[str, Any] = {
            "provider": "OTHER",
            "key": "AK",
            "secret": "cloud-secret",
            "description": key_id,
            **values,
        }
        await providerkeys.add(connection, here.platform.vault, *place, **made)
    return key_id


@pytest.fixture
async def account(here: PlatformUnderTest, seaweedfs: S3Server) -> str:
    """The id of a cloud account at SeaweedFS."""
    values = {"key": seaweedfs.access_key, "secret": seaweedfs.secret_key, "endpoint": seaweedfs.endpoint}
    await provider_key(here, "cloud", **values)
    answer = await here.call(
        "POST", f"{ACCOUNTS}/insert", json={"apiKeyUuid": "cloud", "name": "Main", "storageTier": 2}
    )
    assert answer.status_code == 200, answer.text
    return "cloud"


def refused(answer: httpx.Response, code: str) -> str:
    """The message of a refusal that is written as the contract says."""
    assert answer.status_code == 499, answer.text
    assert answer.headers["error-code"] == code
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body.keys() == {"type", "status", "errors"}
    assert (body["type"], body["status"]) == (code, 499)
    assert list(body["errors"]) == [code]
    (message,) = body["errors"][code]
    assert isinstance(message, str)
    return message


def empty_success(answer: httpx.Response) -> None:
    assert (answer.status_code, answer.content) == (200, EMPTY), answer.text


async def make_bucket(here: PlatformUnderTest, bucket: str, **flags: Any) -> httpx.Response:
    return await here.call(
        "POST", f"{STORAGE}/create_bucket", json={"cloudAccountId": "cloud", "bucketName": bucket, **flags}
    )


async def status_of(here: PlatformUnderTest, bucket: str) -> dict[str, bool]:
    answer = await here.call("POST", f"{STORAGE}/bucket_status", json={"cloudAccountId": "cloud", "bucketName": bucket})
    assert answer.status_code == 200, answer.text
    flags: dict[str, bool] = answer.json()
    return flags


async def make_key(here: PlatformUnderTest, *, user: str = "owner-1", **fields: Any) -> httpx.Response:
    here.clock.now += 1
    wanted = {
        "name": "ci",
        "region": "eu-west-1",
        "storageDn": "objects.acme.test",
        "permission": 2,
        "allBuckets": True,
        "cloudAccountId": "cloud",
        **fields,
    }
    return await here.call("POST", f"{STORAGE}/create_storage_key", user=user, json=wanted)


async def keys_of(here: PlatformUnderTest, user: str = "owner-1", **query: Any) -> dict[str, Any]:
    answer = await here.call("GET", f"{STORAGE}/get_storage_key", user=user, params=query)
    assert answer.status_code == 200, answer.text
    page: dict[str, Any] = answer.json()
    return page


# --- buckets ----------------------------------------------------------------------------------------------------------


async def test_create_bucket_makes_it_with_its_flags_and_bucket_status_tells_them(
    here: PlatformUnderTest, account: str, bucket: str
) -> None:
    empty_success(await make_bucket(here, bucket, isEncrypted=True, versioningEnabled=True))
    assert await status_of(here, bucket) == {
        "versioningEnabled": True,
        "encryptionEnabled": True,
        "isPublic": False,
        "objectLockEnabled": False,
    }
    (event,) = await here.rows(select(audit_events).where(audit_events.c.context == Context.BUCKET))
    assert (event.event, event.context_id) == (Event.CREATED, f"cloud/{bucket}")


async def test_create_bucket_with_object_lock_has_versions_too(
    here: PlatformUnderTest, account: str, bucket: str
) -> None:
    empty_success(await make_bucket(here, bucket, objectLockEnabled=True))
    status = await status_of(here, bucket)
    assert (status["objectLockEnabled"], status["versioningEnabled"]) == (True, True)
    answer = await here.call(
        "PUT",
        f"{STORAGE}/update_bucket",
        json={"cloudAccountId": "cloud", "bucketName": bucket, "versioningEnabled": False},
    )
    refused(answer, "DEFAULT")


async def test_create_bucket_refuses_a_name_that_is_taken_and_one_that_is_none(
    here: PlatformUnderTest, account: str, bucket: str
) -> None:
    empty_success(await make_bucket(here, bucket))
    refused(await make_bucket(here, bucket), "DUPLICATE")
    refused(await make_bucket(here, "Not_A_Name"), "DEFAULT")


async def test_update_bucket_changes_what_is_named_and_leaves_the_rest(
    here: PlatformUnderTest, account: str, bucket: str
) -> None:
    empty_success(await make_bucket(here, bucket, versioningEnabled=True, isPublic=True))
    wanted = {"cloudAccountId": "cloud", "bucketName": bucket, "isEncrypted": True, "versioningEnabled": False}
    for _ in range(2):
        empty_success(await here.call("PUT", f"{STORAGE}/update_bucket", json=wanted))
    assert await status_of(here, bucket) == {
        "versioningEnabled": False,
        "encryptionEnabled": True,
        "isPublic": True,
        "objectLockEnabled": False,
    }
    events = [event for context, event, _ in await here.events() if context == Context.BUCKET]
    assert events == [Event.CREATED, Event.UPDATED]  # the second update found nothing to do


async def test_delete_bucket_takes_an_empty_one_away_and_refuses_others(
    here: PlatformUnderTest, account: str, bucket: str, seaweedfs: S3Server
) -> None:
    empty_success(await make_bucket(here, bucket))
    client = seaweedfs.client()
    await asyncio.to_thread(client.put_object, Bucket=bucket, Key="k", Body=b"x")
    where = {"cloudAccountId": "cloud", "bucketName": bucket}
    refused(await here.call("DELETE", f"{STORAGE}/delete_bucket", params=where), "DEFAULT")
    await asyncio.to_thread(client.delete_object, Bucket=bucket, Key="k")
    empty_success(await here.call("DELETE", f"{STORAGE}/delete_bucket", params=where))
    refused(await here.call("DELETE", f"{STORAGE}/delete_bucket", params=where), "NOT_FOUND")


@pytest.mark.parametrize(("method", "verb"), [("POST", "bucket_status"), ("PUT", "update_bucket")])
async def test_a_bucket_that_is_not_there_is_not_found(
    here: PlatformUnderTest, account: str, method: str, verb: str
) -> None:
    wanted = {"cloudAccountId": "cloud", "bucketName": "nowhere-at-all", "isPublic": True}
    refused(await here.call(method, f"{STORAGE}/{verb}", json=wanted), "NOT_FOUND")


async def test_buckets_are_made_at_google_too(here: PlatformUnderTest, gcs_policies: Any, bucket: str) -> None:
    google = gcs_subject(gcs_policies).account
    await provider_key(here, "cloud", provider="GCP", key=google.key, secret=google.secret, endpoint=google.endpoint)
    answer = await here.call("POST", f"{ACCOUNTS}/insert", json={"apiKeyUuid": "cloud", "name": "Google"})
    assert answer.json()["cloudType"] == 16
    empty_success(await make_bucket(here, bucket, versioningEnabled=True, isPublic=True))
    assert await status_of(here, bucket) == {
        "versioningEnabled": True,
        "encryptionEnabled": True,
        "isPublic": True,
        "objectLockEnabled": False,
    }


async def test_a_cloud_that_fails_is_an_internal_error_and_names_no_secret(
    here: PlatformUnderTest, bucket: str
) -> None:
    await provider_key(here, "cloud", endpoint="http://127.0.0.1:9", secret="s3cr3t-of-the-cloud")
    await here.call("POST", f"{ACCOUNTS}/insert", json={"apiKeyUuid": "cloud", "name": "Gone"})
    assert "s3cr3t" not in refused(await make_bucket(here, bucket), "INTERNAL_ERROR")


# --- storage keys -----------------------------------------------------------------------------------------------------


async def test_create_storage_key_answers_with_the_secret_once(here: PlatformUnderTest, account: str) -> None:
    answer = await make_key(here)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    secret = made.pop("secretKey")
    assert len(secret) == 40
    assert made == {
        "id": str(uuid.UUID(made["id"])),
        "userId": "owner-1",
        "accountId": "org-1",
        "name": "ci",
        "accessKey": made["accessKey"],
        "description": "ReadWrite access on all buckets",
        "region": "eu-west-1",
        "storageDn": "objects.acme.test",
        "storageTier": 2,
        "createDate": "2026-02-02T02:40:01.000Z",
    }
    page = await keys_of(here)
    assert page == {
        "data": [made],
        "total": 1,
        "options": {"pageSize": 50, "page": 1, "sort": [{"field": "CreateDate", "descending": True}]},
    }
    (row,) = await here.rows(select(repository_keys).where(repository_keys.c.id == made["id"]))
    assert row.name == "owner-1+Tier2@example.com"
    for table in (repository_keys, storage_keys, audit_events):
        assert not any(secret in str(one) for one in await here.rows(select(table)))


@pytest.mark.parametrize(
    ("permission", "shown", "access"),
    [
        (0, "Read", Access.READ),
        (1, "Write", Access.WRITE),
        (2, "ReadWrite", Access.READ | Access.WRITE),
        ("Write", "Write", Access.WRITE),
    ],
)
async def test_a_key_gets_the_rights_of_its_permission_on_the_nodes(
    here: PlatformUnderTest, account: str, bucket: str, permission: Any, shown: str, access: Access
) -> None:
    empty_success(await make_bucket(here, bucket))
    answer = await make_key(here, permission=permission, allBuckets=False, selectedBuckets=[bucket, bucket])
    made = answer.json()
    assert made["description"] == f"{shown} access on selected buckets"
    given = await on_a_node(here, made["id"])
    (key,) = given.keys
    assert (key.id, key.access, key.buckets) == (made["accessKey"], access, frozenset({bucket}))
    assert given.repository.accounts[0].id == "cloud"


async def on_a_node(here: PlatformUnderTest, key_id: str) -> Any:
    """What a node makes of the document of the key's repository."""
    (row,) = await here.rows(select(repository_keys.c.repository_id).where(repository_keys.c.id == key_id))
    async with here.platform.database.reading() as connection:
        document = await documents.build(connection, here.platform.vault, row.repository_id)
    return served(document, Terms(allow_private_addresses=True))


async def test_keys_are_refused_without_a_bucket_or_a_right(here: PlatformUnderTest, account: str) -> None:
    for fields in (
        {"allBuckets": False},
        {"allBuckets": False, "selectedBuckets": []},
        {"allBuckets": False, "selectedBuckets": ["Not_A_Name"]},
        {"permission": 3},
        {"permission": True},
        {"permission": None},
        {"name": ""},
        {"name": None},
        {"region": None},
    ):
        refused(await make_key(here, **fields), "DEFAULT")
    refused(await make_key(here, allBuckets=False, selectedBuckets=["not-there-at-all"]), "NOT_FOUND")
    assert (await keys_of(here))["total"] == 0


async def test_a_cloud_that_refuses_us_makes_no_key_for_selected_buckets(
    here: PlatformUnderTest, seaweedfs: S3Server
) -> None:
    await provider_key(here, "cloud", endpoint=seaweedfs.endpoint, secret="wrong")
    await here.call("POST", f"{ACCOUNTS}/insert", json={"apiKeyUuid": "cloud", "name": "Locked out"})
    refused(await make_key(here, allBuckets=False, selectedBuckets=["bucket-one", "bucket-two"]), "INTERNAL_ERROR")
    assert (await keys_of(here))["total"] == 0


async def test_two_keys_may_have_one_name(here: PlatformUnderTest, account: str) -> None:
    ids = {(await make_key(here)).json()["id"] for _ in range(2)}
    assert len(ids) == 2


async def test_keys_are_listed_in_pages_and_in_the_order_that_was_asked_for(
    here: PlatformUnderTest, account: str
) -> None:
    for name in ("b", "c", "a"):
        await make_key(here, name=name)

    async def names(**query: Any) -> list[str]:
        page = await keys_of(here, **query)
        assert page["total"] == 3
        return [key["name"] for key in page["data"]]

    assert await names() == ["a", "c", "b"]
    assert await names(descending="false") == ["b", "c", "a"]
    assert await names(SortField="Name", Descending="False") == ["a", "b", "c"]
    assert await names(PageSize=2, page=1) == ["a", "c"]
    assert await names(pagesize=2, page=2) == ["b"]
    assert await names(pagesize=2, page=0) == ["a", "c"]
    assert await names(pagesize=0) == ["a", "c", "b"]
    page = await keys_of(here, pagesize=2, page=2, sortfield="Name", descending="true")
    assert page["options"] == {"pageSize": 2, "page": 2, "sort": [{"field": "Name", "descending": True}]}
    refused(await here.call("GET", f"{STORAGE}/get_storage_key", params={"sortfield": "Secret"}), "DEFAULT")


async def test_everybody_lists_their_own_keys_only(here: PlatformUnderTest, account: str) -> None:
    await make_key(here)
    assert (await keys_of(here, user="admin-1"))["total"] == 0


async def test_delete_storage_key_ends_it_and_asks_whose_it_is(here: PlatformUnderTest, account: str) -> None:
    made = (await make_key(here)).json()
    where = {"Id": made["id"]}
    refused(await here.call("DELETE", f"{STORAGE}/delete_storage_key", user="admin-1", params=where), "ACCESS")
    answer = await here.call(
        "DELETE", f"{STORAGE}/delete_storage_key", user="owner-2", organisation="org-2", params=where
    )
    refused(answer, "NOT_FOUND")
    empty_success(await here.call("DELETE", f"{STORAGE}/delete_storage_key", params=where))
    assert (await keys_of(here))["total"] == 0
    assert (await on_a_node(here, made["id"])).keys == ()
    refused(await here.call("DELETE", f"{STORAGE}/delete_storage_key", params=where), "NOT_FOUND")
    refused(await here.call("DELETE", f"{STORAGE}/delete_storage_key", params={"id": "no uuid"}), "DEFAULT")


async def test_a_key_whose_access_ended_elsewhere_is_deleted_all_the_same(
    here: PlatformUnderTest, account: str
) -> None:
    made = (await make_key(here)).json()
    await here.change(update(repository_keys).values(deleted_at=1, secret_sealed=None))
    empty_success(await here.call("DELETE", f"{STORAGE}/delete_storage_key", params={"id": made["id"]}))
    assert (await keys_of(here))["total"] == 0


# --- cloud accounts ---------------------------------------------------------------------------------------------------


async def test_cloud_accounts_are_listed_as_the_contract_shows_them(
    here: PlatformUnderTest, account: str, seaweedfs: S3Server
) -> None:
    answer = await here.call("GET", f"{ACCOUNTS}/list")
    assert answer.json() == {
        "data": [
            {
                "id": "cloud",
                "accountId": "org-1",
                "userId": "owner-1",
                "cloudType": 8,
                "name": "Main",
                "serviceUrl": seaweedfs.endpoint,
                "active": True,
                "shared": True,
                "internalStorage": True,
                "storageTier": 2,
            }
        ],
        "total": 1,
        "options": {"pageSize": 0, "page": 1, "sort": [{"field": "CreateDate", "descending": True}]},
    }
    other = await here.call("GET", f"{ACCOUNTS}/list", user="owner-2", organisation="org-2")
    assert other.json()["data"] == []


async def test_a_provider_key_is_a_cloud_account_once_and_of_its_organisation(
    here: PlatformUnderTest, account: str
) -> None:
    wanted = {"apiKeyUuid": "cloud", "name": "Again"}
    refused(await here.call("POST", f"{ACCOUNTS}/insert", json=wanted), "DUPLICATE")
    theirs = await here.call("POST", f"{ACCOUNTS}/insert", user="owner-2", organisation="org-2", json=wanted)
    refused(theirs, "NOT_FOUND")
    await provider_key(here, "chat", provider="OPENAI")
    refused(await here.call("POST", f"{ACCOUNTS}/insert", json={"apiKeyUuid": "chat", "name": "x"}), "DEFAULT")


async def test_of_calls_that_come_at_once_one_makes_the_cloud_account(here: PlatformUnderTest) -> None:
    await provider_key(here, "cloud")
    wanted = {"apiKeyUuid": "cloud", "name": "Main"}
    answers = await asyncio.gather(*(here.call("POST", f"{ACCOUNTS}/insert", json=wanted) for _ in range(5)))
    made, *others = sorted(answers, key=lambda answer: answer.status_code)
    assert made.status_code == 200
    for answer in others:
        refused(answer, "DUPLICATE")


async def test_a_cloud_account_that_is_deactivated_serves_nothing_until_it_is_activated(
    here: PlatformUnderTest, account: str, bucket: str
) -> None:
    made = (await make_key(here)).json()
    empty_success(await here.call("PUT", f"{ACCOUNTS}/deactivate", params={"id": "cloud"}))
    refused(await make_bucket(here, bucket), "DEFAULT")
    refused(await make_key(here), "DEFAULT")
    assert (await on_a_node(here, made["id"])).repository.accounts == ()
    empty_success(await here.call("PUT", f"{ACCOUNTS}/activate", params={"id": "cloud"}))
    assert [one.id for one in (await on_a_node(here, made["id"])).repository.accounts] == ["cloud"]
    empty_success(await make_bucket(here, bucket))


CALLS: list[tuple[str, str, bool]] = [
    ("POST", "create_storage_key", True),
    ("POST", "create_bucket", True),
    ("POST", "bucket_status", True),
    ("PUT", "update_bucket", True),
    ("DELETE", "delete_bucket", False),
]


@pytest.mark.parametrize(("method", "verb", "has_body"), CALLS)
async def test_the_guard_of_cloud_accounts_is_the_same_for_every_call(
    here: PlatformUnderTest, account: str, method: str, verb: str, has_body: bool
) -> None:
    async def call(account_id: str, user: str = "owner-1", organisation: str = "org-1") -> httpx.Response:
        fields: dict[str, Any] = {"cloudAccountId": account_id, "bucketName": "some-bucket"}
        if verb == "create_storage_key":
            fields |= {"name": "n", "region": "r", "storageDn": "d", "permission": 0, "allBuckets": True}
        sent: dict[str, Any] = {"json": fields} if has_body else {"params": fields}
        return await here.call(method, f"{STORAGE}/{verb}", user=user, organisation=organisation, **sent)

    await provider_key(here, "outside")
    outside = {"apiKeyUuid": "outside", "name": "Outside", "internalStorage": False}
    assert (await here.call("POST", f"{ACCOUNTS}/insert", json=outside)).status_code == 200
    refused(await call("nobody-knows"), "NOT_FOUND")
    refused(await call("cloud", "owner-2", "org-2"), "ACCESS")
    refused(await call("cloud", "user-1"), "ACCESS" if verb != "bucket_status" else "NOT_FOUND")  # who may read there
    refused(await call("outside"), "DEFAULT")
    await here.call("PUT", f"{ACCOUNTS}/deactivate", params={"id": "cloud"})
    refused(await call("cloud"), "DEFAULT")


async def test_an_account_that_is_not_shared_is_its_users_and_the_administrators(here: PlatformUnderTest) -> None:
    await provider_key(here, "mine")
    await here.change(update(members).values(access="WRITE"))
    private = {"apiKeyUuid": "mine", "name": "Mine", "shared": False}
    assert (await here.call("POST", f"{ACCOUNTS}/insert", json=private)).status_code == 200
    assert (await here.call("GET", f"{ACCOUNTS}/list", user="user-1")).json()["total"] == 0
    assert (await here.call("GET", f"{ACCOUNTS}/list", user="admin-1")).json()["total"] == 1
    refused(await make_key(here, user="user-1", cloudAccountId="mine"), "ACCESS")


async def test_the_repository_behind_a_cloud_account_is_hidden_and_served(
    here: PlatformUnderTest, account: str
) -> None:
    made = (await make_key(here)).json()
    (row,) = await here.rows(select(repository_keys.c.repository_id).where(repository_keys.c.id == made["id"]))
    shown = await here.call("GET", "/repo")
    assert [one["id"] for one in shown.json()["repos"]] == ["repo-1"]
    for method, path in (("GET", f"/repo/{row.repository_id}/apikey"), ("DELETE", f"/repo/{row.repository_id}")):
        assert (await here.call(method, path)).status_code == 404
    await here.change(update(organisations).values(assigns_repositories=True))
    async with here.platform.database.reading() as connection:
        node = type("Node", (), {"id": "node-1", "organisation_id": "org-1"})()
        assert (await documents.served_by(connection, node)).keys() == {row.repository_id}


# --- the form of refusals ---------------------------------------------------------------------------------------------


async def test_without_a_token_there_is_401_and_nothing_else(here: PlatformUnderTest) -> None:
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic eDp5"}):
        for method, path in (
            ("GET", f"{STORAGE}/get_storage_key"),
            ("GET", f"{ACCOUNTS}/list"),
            ("DELETE", f"{STORAGE}/delete_storage_key"),
        ):
            answer = await here.client.request(method, path, headers=headers)
            assert (answer.status_code, answer.content) == (401, EMPTY)


@pytest.mark.parametrize(
    ("method", "path", "content", "code"),
    [
        ("POST", f"{STORAGE}/create_bucket", b"{", "DEFAULT"),
        ("POST", f"{STORAGE}/create_bucket", b"[]", "DEFAULT"),
        ("POST", f"{STORAGE}/create_bucket", b"", "DEFAULT"),
        ("POST", f"{STORAGE}/create_bucket", b'{"cloudAccountId": 7, "bucketName": []}', "DEFAULT"),
        ("POST", f"{STORAGE}/create_bucket", b'{"cloudAccountId": "a\\u0000b", "bucketName": "b"}', "DEFAULT"),
        ("POST", f"{STORAGE}/create_bucket", b"x" * (1024 * 1024 + 1), "DEFAULT"),
        ("DELETE", f"{STORAGE}/delete_bucket", b"", "DEFAULT"),
        ("GET", f"{STORAGE}/get_storage_key?pagesize=-1", b"", "DEFAULT"),
        ("GET", f"{STORAGE}/get_storage_key?page=x", b"", "DEFAULT"),
        ("GET", f"{STORAGE}/create_bucket", b"", "DEFAULT"),
        ("GET", f"{STORAGE}/nothing_of_the_kind", b"", "NOT_FOUND"),
        ("POST", "/api/v1/whatever", b"", "NOT_FOUND"),
    ],
)
async def test_whatever_is_wrong_is_said_in_the_one_form(
    here: PlatformUnderTest, method: str, path: str, content: bytes, code: str
) -> None:
    headers = {"Content-Type": "application/json"} if content else {}
    refused(await here.call(method, path, content=content, headers=headers), code)


async def test_too_many_calls_of_one_user_are_refused_in_the_same_form(here: PlatformUnderTest) -> None:
    most = here.platform.settings.limits.requests_per_second
    answers = await asyncio.gather(*(here.call("GET", f"{ACCOUNTS}/list") for _ in range(most + 20)))
    too_many = [answer for answer in answers if answer.status_code != 200]
    assert too_many
    for answer in too_many:
        refused(answer, "SECURITY")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_fault_of_ours_is_500_and_says_nothing(
    here: PlatformUnderTest, account: str, blockbuster: BlockBuster
) -> None:
    blockbuster.deactivate()  # the traceback is printed with the lines of its files
    await here.change(update(provider_keys).values(secret_sealed=b"not of any vault"))
    answer = await make_bucket(here, "some-bucket")
    assert (answer.status_code, answer.content) == (500, EMPTY)


async def test_the_calls_are_in_a_document_of_their_own_with_the_statuses_that_they_have(
    here: PlatformUnderTest,
) -> None:
    document = (await here.client.get("/api/v1/openapi.json")).json()
    assert sum(path.startswith("/storage/") for path in document["paths"]) == 7
    assert all(re.fullmatch(r"/(storage|cloudaccount)/[a-z_]+", path) for path in document["paths"])
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert {status for one in operations for status in one["responses"]} == {"200", "4XX", "500"}


async def test_a_token_of_another_organisation_than_its_users_is_worth_nothing(here: PlatformUnderTest) -> None:
    answer = await here.call("GET", f"{ACCOUNTS}/list", user="owner-2", organisation="org-1")
    assert (answer.status_code, answer.content) == (401, EMPTY)
