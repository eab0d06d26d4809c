"""Repositories over HTTP (contract §2)."""

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from bridge_node.platform import documents
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import (
    audit_events,
    buckets,
    members,
    organisations,
    provider_keys,
    repositories,
    repository_buckets,
    repository_keys,
    workspaces,
)
from bridge_node.platform.settings import PlatformLimits
from tests.platform.world import OwnNode, PlatformUnderTest, running_platform

NEW = {"name": "Archive", "storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1"}
CREATED = "2026-02-02T02:40:00.000Z"


@pytest.fixture
async def stocked(here: PlatformUnderTest) -> PlatformUnderTest:
    """With more to attach: buckets of each kind, `b-NAME` called NAME, and a provider key."""
    mine = {"organisation_id": "org-1", "workspace_id": "ws-1", "created_at": here.clock.ms()}
    kinds = {"one": "S3", "two": "S3", "three": "GCS", "box": "BLOB", "crate": "BLOB"}
    rows = [
        {"id": f"b-{name}", "name": name.title(), "bucket": name, "storage_type": kind, "key": f"key-{kind}", **mine}
        for name, kind in kinds.items()
    ]
    cloud = {"id": "pk-1", "provider": "AWS", "key": "AKCLOUD", **mine}
    await here.change(insert(buckets).values(rows), insert(provider_keys).values(cloud))
    return here


async def call(here: PlatformUnderTest, method: str, path: str, body: Any = None, code: int = 200) -> dict[str, Any]:
    here.clock.now += 1
    answer = await here.call(method, path, json=body)
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def create(here: PlatformUnderTest, *parts: Mapping[str, Any], **fields: Any) -> str:
    made = await call(here, "POST", "/repo", {**NEW, "repoBuckets": parts, **fields})
    assert made == {"success": True, "repoId": made["repoId"]}
    return str(made["repoId"])


async def shown(here: PlatformUnderTest, repo_id: str) -> dict[str, Any]:
    (found,) = (await call(here, "GET", f"/repo?repoId={repo_id}"))["repos"]
    return dict(found)


def part(name: str, folder: str = "", *, master: bool = False, **more: Any) -> dict[str, Any]:
    return {"bucketId": f"b-{name}", "folder": folder, "master": master, **more}


# reading


async def test_a_repository_is_shown_with_its_buckets_and_keys_under_old_and_new_names(
    here: PlatformUnderTest,
) -> None:
    answer = await here.call("GET", "/repo?")
    assert answer.status_code == 200
    bucket = {
        "id": "bucket-1",
        "name": "Media",
        "bucket": "media",
        "storageType": "S3",
        "key": "AK",
        "createdAt": CREATED,
        "workspaceId": "ws-1",
    }
    named = {"folder": "", "master": False, "bucketId": "bucket-1", "unitId": "bucket-1"}
    key = {"id": "key-1", "name": "ci", "accessType": "WRITE", "key": "FBAK1", "createdAt": CREATED}
    assert answer.json() == {
        "success": True,
        "repos": [
            {
                "id": "repo-1",
                "name": "Photos",
                "storageType": "S3",
                "mode": "NORMAL",
                "workspaceId": "ws-1",
                "buckets": [{**named, "bucket": bucket}],
                "units": [{**named, "unit": bucket}],
                "apiKeys": [key],
                "createdAt": CREATED,
                "disabled": False,
            }
        ],
    }


async def test_filters_leave_out_what_they_do_not_name(stocked: PlatformUnderTest) -> None:
    archive = await create(stocked, walletAddress="G-WALLET")
    for query, found in {
        "": [archive, "repo-1"],
        "?workspaceId=undefined&repoId=null&walletAddress=": [archive, "repo-1"],
        f"?repoId={archive},repo-1,repo-2": [archive, "repo-1"],
        "?repoId=repo-1&repoId=repo-2": ["repo-1"],
        "?repoId=repo-2": [],
        "?walletAddress=G-WALLET": [archive],
        "?workspaceId=ws-1&walletAddress=other": [],
    }.items():
        repos = (await call(stocked, "GET", f"/repo{query}"))["repos"]
        assert sorted(one["id"] for one in repos) == found, query
    assert (await shown(stocked, archive))["walletAddress"] == "G-WALLET"


async def test_members_see_the_repositories_of_their_workspaces(here: PlatformUnderTest) -> None:
    mine = {"organisation_id": "org-1", "name": "Other", "created_at": 1}
    await here.change(insert(workspaces).values(id="ws-3", **mine))
    await here.change(update(repositories).where(repositories.c.id == "repo-1").values(workspace_id="ws-3"))
    assert (await here.call("GET", "/repo", user="user-1")).json()["repos"] == []
    assert (await here.call("GET", "/repo?workspaceId=ws-3", user="user-1")).status_code == 403
    assert (await here.call("GET", "/repo?workspaceId=ws-2")).status_code == 404
    assert len((await here.call("GET", "/repo", user="admin-1")).json()["repos"]) == 1


# making


async def test_a_new_repository_has_what_was_asked_for(stocked: PlatformUnderTest) -> None:
    made = await create(stocked, part("one"), part("three", "/pictures"), mode="normal", storageType="azure")
    found = await shown(stocked, made)
    assert (found["name"], found["storageType"], found["mode"]) == ("Archive", "BLOB", "NORMAL")
    assert [(one["bucketId"], one["folder"], one["master"]) for one in found["buckets"]] == [
        ("b-one", "", False),
        ("b-three", "pictures", False),
    ]
    assert "options" not in found
    assert "walletAddress" not in found


@pytest.mark.parametrize("list_name", ["repoBuckets", "repoUnits", "buckets", "units"])
@pytest.mark.parametrize("item", [{"unitId": "b-one"}, {"bucketId": "b-one"}, {"bucket": {"id": "b-one"}}])
async def test_older_names_are_read_too(stocked: PlatformUnderTest, list_name: str, item: dict[str, Any]) -> None:
    made = await call(stocked, "POST", "/repo", {**NEW, list_name: [{"folder": "", "master": False, **item}]})
    assert [one["unitId"] for one in (await shown(stocked, made["repoId"]))["units"]] == ["b-one"]


async def test_backup_is_an_older_name_of_mirror(stocked: PlatformUnderTest) -> None:
    made = await create(stocked, part("one", master=True), part("two"), mode="BACKUP", repoAiLlms=[{"aiLlmId": "x"}])
    assert (await shown(stocked, made))["mode"] == "MIRROR"


async def test_a_whole_account_and_options_are_extensions_that_nobody_has_to_know(stocked: PlatformUnderTest) -> None:
    options = {"read_policy": "nearest", "hedging": True, "serve_stale": False, "unattached_sources": True}
    account = {"apiKeyUuid": "pk-1", "account": True, "options": {"bucket_configuration": True}}
    made = await create(stocked, part("one", options={"checksum": "md5"}), account, options=options)
    found = await shown(stocked, made)
    assert found["options"] == options
    assert found["buckets"][0]["options"] == {"checksum": "md5"}
    assert found["buckets"][1] == {"folder": "", "master": False, **account}
    async with stocked.platform.database.reading() as connection:
        document = await documents.build(connection, stocked.platform.vault, made)
    assert document.options == options
    assert [(one.id, one.account, one.options) for one in document.attachments] == [
        ("b-one", False, {"checksum": "md5"}),
        ("pk-1", True, {"bucket_configuration": True}),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"name": ""},
        {"name": "n" * 256},
        {"name": "nul\0"},
        {"storageType": "LOCAL"},
        {"storageType": None},
        {"mode": "RAID"},
        {"mode": None},
        {"workspaceId": None},
        {"repoBuckets": {}},
        {"repoBuckets": [{}]},
        {"repoBuckets": [{"bucketId": "b-one", "account": True}]},
        {"repoBuckets": [{"apiKeyUuid": "pk-1"}]},
        {"repoBuckets": [{"bucketId": "b-one", "folder": "f" * 1025}]},
        {"repoBuckets": [{"bucketId": "b-one"}] * 1001},
        {"options": {"serve_stale": "yes"}},
        {"options": {"read_policy": 1}},
        {"options": {"much": "x" * 20_000}},
        {"options": {"nul": "\0"}},
    ],
)
async def test_what_cannot_be_a_repository_is_refused_in_the_familys_own_shape(
    stocked: PlatformUnderTest, change: dict[str, Any]
) -> None:
    refused = await call(stocked, "POST", "/repo", {**NEW, **change}, 400)
    assert (refused["success"], refused["repoId"]) == (False, "")
    assert await stocked.count(repositories) == 2


async def test_the_name_of_a_live_repository_is_taken_in_its_organisation(stocked: PlatformUnderTest) -> None:
    refused = await call(stocked, "POST", "/repo", {**NEW, "name": "Photos"}, 400)
    assert refused == {
        "success": False,
        "message": "A repository of this name exists already",
        "error_code": "NAME_ALREADY_USED",
        "error_message": "A repository of this name exists already",
        "errorCode": "NAME_ALREADY_USED",
        "errorMessage": "A repository of this name exists already",
        "repoId": "",
    }
    archive = await create(stocked)
    assert await call(stocked, "PUT", f"/repo/{archive}", {"name": "Photos"}, 400) == refused
    await call(stocked, "DELETE", "/repo/repo-1")
    await call(stocked, "PUT", f"/repo/{archive}", {"name": "Photos"})


async def test_what_is_not_there_cannot_be_attached(stocked: PlatformUnderTest) -> None:
    for wrong in ({"bucketId": "nowhere"}, {"bucketId": "bucket-2"}, {"apiKeyUuid": "pk-2", "account": True}):
        refused = await call(stocked, "POST", "/repo", {**NEW, "repoBuckets": [wrong]}, 404)
        assert (refused["error_code"], refused["repoId"]) == ("NOT_FOUND", "")
        found = await call(stocked, "POST", "/repo/validate", {"mode": "NORMAL", "repoBuckets": [wrong]})
        assert (found["success"], found["error_code"]) == (False, "NOT_FOUND")
    assert (await call(stocked, "POST", "/repo", {**NEW, "workspaceId": "ws-2"}, 404))["error_code"] == "NOT_FOUND"


async def test_an_account_that_stores_nothing_cannot_be_attached(stocked: PlatformUnderTest) -> None:
    await stocked.change(update(provider_keys).values(provider="OPENAI"))
    await call(stocked, "POST", "/repo", {**NEW, "repoBuckets": [{"apiKeyUuid": "pk-1", "account": True}]}, 400)


async def test_an_organisation_has_so_many_repositories_and_a_deleted_one_counts_no_more(
    database_url: str, tmp_path: Any
) -> None:
    limits = PlatformLimits(repositories=2, connections=5)
    async with running_platform(database_url, tmp_path, limits=limits) as here:
        await create(here)
        refused = await call(here, "POST", "/repo", {**NEW, "name": "Third"}, 429)
        assert (refused["error_code"], refused["repoId"]) == ("QUOTA_EXCEEDED", "")
        await call(here, "DELETE", "/repo/repo-1")
        await create(here, name="Third")


# the rules behind the codes

BROKEN: dict[str, tuple[str, list[dict[str, Any]]]] = {
    "MIRROR_MASTER_UNIT_COUNT_INVALID": ("MIRROR", [part("one"), part("two")]),
    "MIRROR_MASTER_UNIT_COUNT_INVALID two": ("MIRROR", [part("one", master=True), part("two", master=True)]),
    "MIRROR_MASTER_UNIT_MISSING": ("MIRROR", []),
    "MIRROR_UNIT_ALREADY_IN_OTHER_REPO": (
        "MIRROR",
        [part("one", master=True), {"bucketId": "bucket-1", "folder": "", "master": False}],
    ),
    "NORMAL_UNIT_FOLDER_ALREADY_USED": ("NORMAL", [part("one", "same"), part("two", "/same")]),
    "NORMAL_UNIT_FOLDER_ALREADY_USED bucket": ("NORMAL", [part("one", "two"), part("two")]),
    "NORMAL_UNIT_FOLDER_ALREADY_USED twice": ("NORMAL", [part("one"), part("one", "again")]),
    " twice": ("MIRROR", [part("one", master=True), part("one")]),
    " account": ("MIRROR", [part("one", master=True), {"apiKeyUuid": "pk-1", "account": True}]),
    " account twice": ("NORMAL", [{"apiKeyUuid": "pk-1", "account": True}] * 2),
}


@pytest.mark.parametrize("broken", BROKEN)
async def test_each_rule_refuses_and_validation_tells_with_200(stocked: PlatformUnderTest, broken: str) -> None:
    code = broken.partition(" ")[0]
    mode, listed = BROKEN[broken]
    refused = await call(stocked, "POST", "/repo", {**NEW, "mode": mode, "repoBuckets": listed}, 400)
    assert refused.get("error_code", "") == code
    found = await call(stocked, "POST", "/repo/validate", {"repoId": "new", "mode": mode, "repoBuckets": listed})
    assert found == {name: value for name, value in refused.items() if name != "repoId"}
    assert await stocked.count(repositories) == 2
    assert await stocked.count(repository_buckets) == 2


async def test_a_composition_that_holds_is_valid(stocked: PlatformUnderTest) -> None:
    for mode, listed in {
        "MIRROR": [part("one", master=True), part("box")],
        "NORMAL": [part("one", "one"), part("two"), part("box"), part("crate"), {"bucketId": "bucket-1"}],
    }.items():
        assert await call(stocked, "POST", "/repo/validate", {"mode": mode, "repoBuckets": listed}) == {"success": True}
    assert await call(stocked, "POST", "/repo/validate", {"repoId": "x", "mode": "NORMAL"}) == {"success": True}


async def test_an_azure_account_may_not_be_called_as_a_bucket(stocked: PlatformUnderTest) -> None:
    await stocked.change(update(buckets).where(buckets.c.id == "b-two").values(bucket="key-BLOB"))
    listed = [part("two"), part("box")]
    refused = await call(stocked, "POST", "/repo", {**NEW, "repoBuckets": listed}, 400)
    assert refused["error_code"] == "NORMAL_UNIT_FOLDER_ALREADY_USED"
    await stocked.change(
        update(buckets).where(buckets.c.id == "b-box").values(provider_key_id="pk-1"),
        update(provider_keys).values(key="key-BLOB"),
    )
    await call(stocked, "POST", "/repo", {**NEW, "repoBuckets": listed}, 400)


async def test_a_mirrors_buckets_are_in_no_other_repository(stocked: PlatformUnderTest) -> None:
    await create(stocked, part("one", master=True), mode="MIRROR")
    again = {**NEW, "name": "Again", "repoBuckets": [part("one")]}
    assert (await call(stocked, "POST", "/repo", again, 400))["error_code"] == "MIRROR_UNIT_ALREADY_IN_OTHER_REPO"
    repo = await create(stocked, part("two"), name="Again")
    change = {"repoBuckets": [part("two"), part("one")]}
    refused = await call(stocked, "PUT", f"/repo/{repo}", change, 400)
    assert refused["error_code"] == "MIRROR_UNIT_ALREADY_IN_OTHER_REPO"
    await create(stocked, part("two"), name="Shared with another that is no mirror")
    refused = await call(
        stocked, "PUT", f"/repo/{repo}", {"mode": "MIRROR", "repoBuckets": [part("two", master=True)]}, 400
    )
    assert refused["error_code"] == "MIRROR_UNIT_ALREADY_IN_OTHER_REPO"


# changing


async def test_without_buckets_in_the_body_what_is_attached_stays(stocked: PlatformUnderTest) -> None:
    body = {**NEW, "name": "Renamed", "walletAddress": "G", "options": {"serve_stale": True}}
    assert await call(stocked, "PUT", "/repo/repo-1", body) == {"success": True, "repoId": "repo-1"}
    found = await shown(stocked, "repo-1")
    assert (found["name"], found["walletAddress"], found["options"]) == ("Renamed", "G", {"serve_stale": True})
    assert [one["bucketId"] for one in found["buckets"]] == ["bucket-1"]


async def test_buckets_are_added_in_the_order_of_the_list(stocked: PlatformUnderTest) -> None:
    listed = [
        part("two", "/second"),
        {"bucketId": "bucket-1", "options": {"a": 1}},
        {"apiKeyUuid": "pk-1", "account": True},
    ]
    await call(stocked, "PUT", "/repo/repo-1", {"repoUnits": listed})
    found = (await shown(stocked, "repo-1"))["buckets"]
    assert [one.get("bucketId", one.get("apiKeyUuid")) for one in found] == ["b-two", "bucket-1", "pk-1"]
    assert found[1]["options"] == {"a": 1}
    await call(stocked, "PUT", "/repo/repo-1", {"repoUnits": [{"bucketId": "bucket-1"}, {"bucketId": "b-two"}]})
    found = (await shown(stocked, "repo-1"))["buckets"]
    assert [(one["bucketId"], one["folder"]) for one in found] == [("bucket-1", ""), ("b-two", "second")]
    assert found[0]["options"] == {"a": 1}


@pytest.mark.parametrize(
    ("code", "listed"),
    [
        ("NORMAL_UNIT_FOLDER_CANNOT_DELETE", []),
        ("NORMAL_UNIT_FOLDER_CANNOT_DELETE", [part("one")]),
        ("NORMAL_UNIT_CANNOT_EDIT_FOLDER", [{"bucketId": "bucket-1", "folder": "new"}, part("one")]),
        ("NORMAL_UNIT_FOLDER_ALREADY_USED", [{"bucketId": "bucket-1"}, part("one", "media")]),
    ],
)
async def test_clients_of_a_normal_repository_keep_the_names_that_they_know(
    stocked: PlatformUnderTest, code: str, listed: list[dict[str, Any]]
) -> None:
    before = await shown(stocked, "repo-1")
    body = {"mode": "NORMAL", "repoBuckets": listed}
    refused = await call(stocked, "PUT", "/repo/repo-1", {**NEW, **body}, 400)
    assert (refused["error_code"], refused["repoId"]) == (code, "")
    found = await call(stocked, "POST", "/repo/repo-1/validate", {"repoId": "repo-1", **body})
    assert (found["success"], found["error_code"]) == (False, code)
    assert await shown(stocked, "repo-1") == before


async def test_a_mirrors_master_hands_over_before_it_goes(stocked: PlatformUnderTest) -> None:
    repo = await create(stocked, part("one", master=True), part("two"), mode="MIRROR")
    for code, listed in [
        ("MIRROR_MASTER_UNIT_MISSING", [part("two", master=True)]),
        ("MIRROR_MASTER_UNIT_COUNT_INVALID", [part("one"), part("two")]),
    ]:
        refused = await call(stocked, "PUT", f"/repo/{repo}", {"repoBuckets": listed}, 400)
        assert refused["error_code"] == code
    await call(stocked, "PUT", f"/repo/{repo}", {"repoBuckets": [part("one"), part("two", master=True)]})
    await call(stocked, "PUT", f"/repo/{repo}", {"repoBuckets": [part("two", master=True), part("three")]})
    found = (await shown(stocked, repo))["buckets"]
    assert [(one["bucketId"], one["master"]) for one in found] == [("b-two", True), ("b-three", False)]


async def test_what_clients_speak_never_changes(stocked: PlatformUnderTest) -> None:
    refused = await call(stocked, "PUT", "/repo/repo-1", {"storageType": "GCS"}, 400)
    assert (refused["success"], refused["repoId"]) == (False, "")


async def test_a_repository_moves_to_a_workspace_that_its_mover_may_write_to(stocked: PlatformUnderTest) -> None:
    mine = {"organisation_id": "org-1", "name": "Other", "created_at": 1}
    await stocked.change(insert(workspaces).values(id="ws-3", **mine), update(members).values(access="WRITE"))
    move = {"workspaceId": "ws-3"}
    assert (await stocked.call("PUT", "/repo/repo-1", user="user-1", json=move)).status_code == 403
    await call(stocked, "PUT", "/repo/repo-1", move)
    assert (await shown(stocked, "repo-1"))["workspaceId"] == "ws-3"
    await call(stocked, "PUT", "/repo/repo-1", {"workspaceId": "ws-2"}, 404)


async def test_to_attach_a_bucket_takes_the_right_to_write_to_it(stocked: PlatformUnderTest) -> None:
    mine = {"organisation_id": "org-1", "name": "Other", "created_at": 1}
    await stocked.change(
        insert(workspaces).values(id="ws-3", **mine),
        update(members).values(access="WRITE"),
        update(buckets).where(buckets.c.id == "b-one").values(workspace_id="ws-3"),
    )
    body = {**NEW, "repoBuckets": [part("one")]}
    assert (await stocked.call("POST", "/repo", user="user-1", json=body)).status_code == 403
    assert (
        await stocked.call("POST", "/repo", user="user-1", json={**NEW, "repoBuckets": [part("two")]})
    ).status_code == 200


async def test_a_deleted_repository_is_gone_with_its_keys_and_frees_its_buckets(stocked: PlatformUnderTest) -> None:
    node = OwnNode(stocked, await stocked.new_key())
    await node.enrol()
    assert set((await node.config()).serves) == {"repo-1"}
    assert await call(stocked, "DELETE", "/repo/repo-1") == {"success": True}
    assert (await node.config()).serves == {}
    assert (await call(stocked, "GET", "/repo"))["repos"] == []
    await call(stocked, "GET", "/repo/repo-1/apikey", code=404)
    assert (await call(stocked, "DELETE", "/repo/repo-1", code=404))["repoId"] == ""
    (key,) = await stocked.rows(select(repository_keys).where(repository_keys.c.id == "key-1"))
    assert (key.secret_sealed, key.deleted_at is not None) == (None, True)
    await create(stocked, {"bucketId": "bucket-1", "folder": "", "master": True}, mode="MIRROR")


# who may, and what is written down

CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "/repo", None),
    ("POST", "/repo/repo-1/validate", {"mode": "NORMAL"}),
    ("POST", "/repo", NEW),
    ("PUT", "/repo/repo-1", {"name": "x"}),
    ("PUT", "/repo/repo-1", {"disabled": True}),
    ("DELETE", "/repo/repo-1", None),
]


@pytest.mark.parametrize(
    ("level", "statuses"),
    [
        (None, [200, 403, 403, 403, 403, 403]),
        ("READ", [200, 200, 403, 403, 403, 403]),
        ("WRITE", [200, 200, 200, 200, 403, 200]),
        ("ADMIN", [200] * 6),
    ],
)
async def test_members_read_with_read_change_with_write_and_disable_with_admin(
    here: PlatformUnderTest, level: str | None, statuses: list[int]
) -> None:
    await here.change(members.delete())
    if level:
        await here.change(insert(members).values(workspace_id="ws-1", user_id="user-1", access=level))
    answers = [await here.call(method, path, user="user-1", json=body) for method, path, body in CALLS]
    assert [answer.status_code for answer in answers] == statuses


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_nobody_gets_anything_without_a_token(
    here: PlatformUnderTest, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert (await here.client.request(method, path, json=body)).status_code == 401


async def test_another_organisation_finds_nothing(here: PlatformUnderTest) -> None:
    theirs = {"user": "owner-2", "organisation": "org-2"}
    for method, path, body in CALLS[3:]:
        foreign = await here.call(method, path, json=body, **theirs)
        nowhere = await here.call(method, path.replace("repo-1", "nowhere"), json=body, **theirs)
        assert foreign.status_code == nowhere.status_code == 404
        assert foreign.json() == nowhere.json()
    found = await here.call("POST", "/repo/repo-1/validate", json={"mode": "NORMAL"}, **theirs)
    assert found.json()["error_code"] == "NOT_FOUND"


async def test_every_change_is_an_event_and_what_changes_nothing_is_none(stocked: PlatformUnderTest) -> None:
    repo = await create(stocked, part("one"), options={"note": "private"})
    await call(stocked, "PUT", f"/repo/{repo}", {**NEW, "repoBuckets": [part("one")]})
    await call(stocked, "PUT", f"/repo/{repo}", {"name": "Renamed", "repoBuckets": [part("one"), part("two")]})
    await call(stocked, "PUT", f"/repo/{repo}", {"disabled": True})
    await call(stocked, "DELETE", f"/repo/{repo}")
    rows = await stocked.rows(select(audit_events).where(audit_events.c.context == Context.REPO).order_by("id"))
    assert [(row.event, row.context_id, row.workspace_id, row.user_id) for row in rows] == [
        (event, repo, "ws-1", "owner-1") for event in (Event.CREATED, Event.UPDATED, Event.UPDATED, Event.DELETED)
    ]
    assert [row.data for row in rows] == [
        {"name": "Archive", "storageType": "S3", "mode": "NORMAL", "buckets": ["b-one"]},
        {"name": "Renamed", "buckets": ["b-one", "b-two"]},
        {"disabled": True},
        {"name": "Renamed"},
    ]


async def test_every_change_wakes_the_organisations_nodes_before_it_is_answered(stocked: PlatformUnderTest) -> None:
    await stocked.platform.waker.listening.wait()
    changes: list[tuple[str, str, dict[str, Any] | None]] = [
        ("POST", "/repo", NEW),
        ("PUT", "/repo/repo-1", {"name": "Renamed"}),
        ("PUT", "/repo/repo-1", {"repoBuckets": [{"bucketId": "bucket-1"}, part("one")]}),
        ("DELETE", "/repo/repo-1", None),
    ]
    for method, path, body in changes:
        async with stocked.platform.waker.waiting(["org-1"]) as bell:
            await call(stocked, method, path, body)
            await bell.wait()


async def test_a_disabled_repository_or_organisation_says_so_to_nodes(stocked: PlatformUnderTest) -> None:
    async def disabled() -> bool:
        async with stocked.platform.database.reading() as connection:
            return (await documents.build(connection, stocked.platform.vault, "repo-1")).disabled

    assert not await disabled()
    await call(stocked, "PUT", "/repo/repo-1", {"disabled": True})
    assert await disabled()
    assert (await shown(stocked, "repo-1"))["disabled"] is True
    await call(stocked, "PUT", "/repo/repo-1", {"disabled": False})
    await stocked.change(update(organisations).values(repos_disabled=True))
    assert await disabled()
