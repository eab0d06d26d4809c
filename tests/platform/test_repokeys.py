"""Access keys of repositories over HTTP (contract §3)."""

import base64
import uuid
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from sqlalchemy import insert, select, update

from bridge_node.crypto import orgkey
from bridge_node.platform import documents
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import audit_events, members, repositories, repository_keys
from bridge_node.platform.store import repokeys
from tests.platform.world import PlatformUnderTest

KEYS = "/repo/repo-1/apikey"


async def create(here: PlatformUnderTest, **fields: Any) -> dict[str, Any]:
    here.clock.now += 1
    answer = await here.call("POST", KEYS, json={"name": "ci", "accessType": "WRITE", **fields})
    assert answer.status_code == 200, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_a_new_key_is_answered_with_its_secret_this_one_time(here: PlatformUnderTest) -> None:
    answer = await here.call("POST", KEYS, json={"name": "ci-2", "accessType": "WRITE", "repoId": "ignored"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    made = answer.json()
    assert made.keys() == {"success", "id", "key", "secret"}
    assert made["success"] is True
    assert len(made["key"]) == 20
    assert len(made["secret"]) == 40
    assert made["secret"] not in (await here.call("GET", KEYS)).text
    (row,) = await here.rows(select(repository_keys).where(repository_keys.c.id == made["id"]))
    assert made["secret"] not in str(row)
    key = repokeys.RepositoryKey(**row._mapping)
    assert key.verifier(here.platform.vault) == made["secret"]


async def test_keys_are_listed_newest_first_and_without_secrets(here: PlatformUnderTest) -> None:
    made = await create(here, name="newer")
    answer = await here.call("GET", KEYS)
    assert answer.status_code == 200
    assert answer.json() == {
        "success": True,
        "keys": [
            {
                "id": made["id"],
                "name": "newer",
                "accessType": "WRITE",
                "key": made["key"],
                "createdAt": "2026-02-02T02:40:01.000Z",
            },
            {
                "id": "key-1",
                "name": "ci",
                "accessType": "WRITE",
                "key": "FBAK1",
                "createdAt": "2026-02-02T02:40:00.000Z",
            },
        ],
    }


async def test_a_gcs_key_is_an_email_and_a_private_key_of_which_only_the_public_half_is_kept(
    here: PlatformUnderTest,
) -> None:
    await speaks(here, "GCS")
    made = await create(here)
    assert made["key"] == f"{made['id']}@repo-1.nodes.local"
    private = serialization.load_pem_private_key(made["secret"].encode(), None)
    assert isinstance(private, RSAPrivateKey)
    (row,) = await here.rows(select(repository_keys).where(repository_keys.c.id == made["id"]))
    assert row.secret_sealed is None
    assert row.public_key == orgkey.public_pem(private.public_key())


async def test_a_blob_key_is_an_account_name_and_32_bytes_in_base64(here: PlatformUnderTest) -> None:
    await speaks(here, "BLOB")
    made = await create(here)
    assert str(uuid.UUID(made["key"])) == made["key"]
    assert len(base64.b64decode(made["secret"], validate=True)) == 32


async def speaks(here: PlatformUnderTest, storage_type: str) -> None:
    async with here.platform.database.transaction() as connection:
        await connection.execute(update(repositories).values(storage_type=storage_type))


async def test_access_is_an_alias_and_its_case_does_not_matter(here: PlatformUnderTest) -> None:
    answer = await here.call("POST", KEYS, json={"name": "seed", "access": "admin"})
    assert answer.status_code == 200
    keys = (await here.call("GET", KEYS)).json()["keys"]
    assert [key["accessType"] for key in keys if key["name"] == "seed"] == ["ADMIN"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "ci"},
        {"accessType": "READ"},
        {"name": "", "accessType": "READ"},
        {"name": "n" * 256, "accessType": "READ"},
        {"name": "ci", "accessType": "OWNER"},
        {"name": "ci", "accessType": 1},
        {"name": ["ci"], "accessType": "READ"},
        {"name": "nul\0", "accessType": "READ"},
    ],
)
async def test_a_key_without_a_name_or_a_known_access_is_refused(here: PlatformUnderTest, body: dict[str, Any]) -> None:
    answer = await here.call("POST", KEYS, json=body)
    assert answer.status_code == 400
    assert answer.json()["success"] is False
    assert await here.count(repository_keys) == 2


@pytest.mark.parametrize(
    ("change", "name", "access"),
    [
        ({"name": "ci-2", "accessType": "READ"}, "ci-2", "READ"),
        ({"name": "ci-2"}, "ci-2", "WRITE"),
        ({"accessType": "ADMIN"}, "ci", "ADMIN"),
        ({"accessType": "ADMIN", "name": None}, "ci", "ADMIN"),
    ],
)
async def test_name_and_access_change_each_alone_or_both(
    here: PlatformUnderTest, change: dict[str, Any], name: str, access: str
) -> None:
    answer = await here.call("PUT", f"{KEYS}/key-1", json=change)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "updated"}
    (key,) = (await here.call("GET", KEYS)).json()["keys"]
    assert (key["name"], key["accessType"]) == (name, access)


async def test_a_change_of_nothing_is_refused(here: PlatformUnderTest) -> None:
    assert (await here.call("PUT", f"{KEYS}/key-1", json={})).status_code == 400
    assert (await here.call("PUT", f"{KEYS}/key-1", json={"accessType": "EVERYTHING"})).status_code == 400


async def test_a_deleted_key_is_hidden_and_its_secret_forgotten(here: PlatformUnderTest) -> None:
    made = await create(here)
    answer = await here.call("DELETE", f"{KEYS}/{made['id']}")
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "message": "deleted"}
    assert [key["id"] for key in (await here.call("GET", KEYS)).json()["keys"]] == ["key-1"]
    (row,) = await here.rows(select(repository_keys).where(repository_keys.c.id == made["id"]))
    assert row.deleted_at is not None
    assert row.secret_sealed is None
    assert (await here.call("DELETE", f"{KEYS}/{made['id']}")).status_code == 404
    assert (await here.call("PUT", f"{KEYS}/{made['id']}", json={"name": "back"})).status_code == 404


async def test_a_key_may_be_limited_to_buckets_of_its_repository(here: PlatformUnderTest) -> None:
    made = await create(here, buckets=["bucket-1"])
    listed = {key["id"]: key for key in (await here.call("GET", KEYS)).json()["keys"]}
    assert listed[made["id"]]["buckets"] == ["bucket-1"]
    assert "buckets" not in listed["key-1"]
    async with here.platform.database.reading() as connection:
        document = await documents.build(connection, here.platform.vault, "repo-1")
    assert {key.id: key.buckets for key in document.keys} == {made["id"]: ("media",), "key-1": None}
    for buckets in (["bucket-2"], ["bucket-1", "nowhere"]):
        body = {"name": "n", "accessType": "READ", "buckets": buckets}
        assert (await here.call("POST", KEYS, json=body)).status_code == 404
        assert (await here.call("PUT", f"{KEYS}/key-1", json={"buckets": buckets})).status_code == 404
    changes: list[list[str] | None] = [None, [], ["bucket-1"]]
    for limits in changes:
        assert (await here.call("PUT", f"{KEYS}/{made['id']}", json={"buckets": limits})).status_code == 200
        (key,) = await here.rows(select(repository_keys).where(repository_keys.c.id == made["id"]))
        assert key.buckets == limits


async def test_when_a_key_was_last_used_is_shown_once_it_was(here: PlatformUnderTest) -> None:
    await here.change(update(repository_keys).where(repository_keys.c.id == "key-1").values(last_used_at=1000))
    (key,) = (await here.call("GET", KEYS)).json()["keys"]
    assert key["lastUsedAt"] == "1970-01-01T00:00:01.000Z"


CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", "", None),
    ("POST", "", {"name": "x", "accessType": "READ"}),
    ("PUT", "/key-1", {"name": "x"}),
    ("DELETE", "/key-1", None),
]


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_another_organisation_finds_nothing(
    here: PlatformUnderTest, method: str, path: str, body: dict[str, Any] | None
) -> None:
    foreign = await here.call(method, KEYS + path, user="owner-2", organisation="org-2", json=body)
    nowhere = await here.call(method, f"/repo/nowhere/apikey{path}", user="owner-2", organisation="org-2", json=body)
    assert foreign.status_code == nowhere.status_code == 404
    assert foreign.json() == nowhere.json()
    assert foreign.json()["success"] is False


async def test_a_key_of_another_repository_is_not_there(here: PlatformUnderTest) -> None:
    assert (await here.call("PUT", f"{KEYS}/key-2", json={"name": "x"})).status_code == 404
    assert (await here.call("DELETE", f"{KEYS}/key-2")).status_code == 404


@pytest.mark.parametrize(("method", "path", "body"), CALLS)
async def test_nobody_gets_anything_without_a_token(
    here: PlatformUnderTest, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert (await here.client.request(method, KEYS + path, json=body)).status_code == 401


@pytest.mark.parametrize(
    ("access", "statuses"),
    [(None, [403, 403, 403, 403]), ("READ", [200, 403, 403, 403]), ("WRITE", [200] * 4), ("ADMIN", [200] * 4)],
)
async def test_members_read_with_read_and_change_with_write(
    here: PlatformUnderTest, access: str | None, statuses: list[int]
) -> None:
    async with here.platform.database.transaction() as connection:
        await connection.execute(members.delete())
        if access:
            await connection.execute(insert(members).values(workspace_id="ws-1", user_id="user-1", access=access))
    answers = [await here.call(method, KEYS + path, user="user-1", json=body) for method, path, body in CALLS]
    assert [answer.status_code for answer in answers] == statuses


async def test_every_change_is_an_event_without_the_secret(here: PlatformUnderTest) -> None:
    made = await create(here)
    await here.call("PUT", f"{KEYS}/{made['id']}", json={"name": "renamed"})
    await here.call("DELETE", f"{KEYS}/{made['id']}")
    events = [(event, key) for context, event, key in await here.events() if context == Context.API_KEY]
    assert events == [(event, made["id"]) for event in (Event.CREATED, Event.UPDATED, Event.DELETED)]
    rows = await here.rows(select(audit_events))
    assert all(made["secret"] not in str(row) for row in rows)
    assert rows[0].data == {"repoId": "repo-1", "name": "ci", "accessType": "WRITE"}
    assert (rows[0].workspace_id, rows[0].user_id) == ("ws-1", "owner-1")


async def test_every_change_wakes_the_organisations_nodes_before_it_is_answered(here: PlatformUnderTest) -> None:
    await here.platform.waker.listening.wait()
    for method, path, body in CALLS[1:]:
        async with here.platform.waker.waiting(["org-1"]) as flag:
            assert (await here.call(method, KEYS + path, json=body)).status_code == 200
            await flag.wait()
    ((revision,),) = await here.rows(select(repositories.c.revision).where(repositories.c.id == "repo-1"))
    assert revision == 3
