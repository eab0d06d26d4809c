"""Workspaces and who belongs to them."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Role
from bridge_node.platform.models import audit_events, buckets, members, provider_keys, repositories, users
from tests.platform.world import PlatformUnderTest

MINE = "/workspace/ws-1"


async def call(
    here: PlatformUnderTest, method: str, path: str, body: Any = None, code: int = 200, user: str = "owner-1"
) -> dict[str, Any]:
    here.clock.now += 1
    answer = await here.call(method, path, json=body, user=user)
    assert answer.status_code == code, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_workspace_is_shown_with_its_people(here: PlatformUnderTest) -> None:
    person = {"id": "user-1", "name": "User-1", "lastName": "", "email": "user-1@example.com", "orgRole": 0}
    member = {"userId": "user-1", "role": "READ", "user": person}
    shown = {"id": "ws-1", "name": "Main", "orgId": "org-1", "users": [member]}
    assert await call(here, "GET", "/workspace") == {"success": True, "workspaces": [shown]}
    assert await call(here, "GET", MINE) == {"success": True, "workspace": shown}


async def test_a_workspace_is_made_renamed_and_deleted(here: PlatformUnderTest) -> None:
    made = (await call(here, "POST", "/workspace", {"name": "Second"}))["workspace"]
    assert made == {"id": made["id"], "name": "Second", "orgId": "org-1"}
    path = f"/workspace/{made['id']}"
    for taken in ("Main", "Second"):
        assert (await call(here, "POST", "/workspace", {"name": taken}, 400))["success"] is False
    await call(here, "PUT", path, {"name": "Main"}, 400)
    assert (await call(here, "PUT", path, {"name": "Renamed"}))["workspace"] == {**made, "name": "Renamed"}
    assert (await call(here, "PUT", path, {}))["workspace"]["name"] == "Renamed"
    assert await call(here, "DELETE", path) == {"success": True}
    await call(here, "GET", path, code=404)
    await call(here, "POST", "/workspace", {"name": "Renamed"})
    rows = await here.rows(select(audit_events).where(audit_events.c.context_id == made["id"]).order_by("id"))
    assert [(row.context, row.event) for row in rows] == [
        (Context.WORKSPACE, event) for event in (Event.CREATED, Event.UPDATED, Event.DELETED)
    ]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "n" * 256}, {"name": "a\nb"}])
async def test_a_workspace_has_a_name(here: PlatformUnderTest, body: dict[str, Any]) -> None:
    await call(here, "POST", "/workspace", body, 400)


async def test_only_an_empty_workspace_is_deleted(here: PlatformUnderTest) -> None:
    key = {"organisation_id": "org-1", "workspace_id": "ws-1", "provider": "AWS", "created_at": 1}
    await here.change(insert(provider_keys).values(id="pk-1", **key))
    for emptying in (
        update(repositories).values(deleted_at=1),
        update(buckets).values(deleted_at=1),
        provider_keys.delete(),
    ):
        await call(here, "DELETE", MINE, code=400)
        await here.change(emptying)
    await call(here, "DELETE", MINE)


async def test_people_of_the_organisation_become_members_and_cease_to_be(here: PlatformUnderTest) -> None:
    path = f"{MINE}/users"
    assert await call(here, "POST", path, {"userId": "admin-1", "role": "write"}) == {"success": True}
    await call(here, "POST", path, {"userId": "admin-1", "role": "READ"}, 400)
    assert await call(here, "PUT", f"{path}/admin-1", {"role": "ADMIN"}) == {"success": True}
    shown = (await call(here, "GET", MINE))["workspace"]["users"]
    assert {one["userId"]: one["role"] for one in shown} == {"admin-1": "ADMIN", "user-1": "READ"}
    assert await call(here, "DELETE", f"{path}/admin-1") == {"success": True}
    await call(here, "DELETE", f"{path}/admin-1", code=404)
    await call(here, "PUT", f"{path}/admin-1", {"role": "READ"}, 404)
    rows = await here.rows(select(audit_events).order_by(audit_events.c.id))
    assert [(row.context, row.event, row.context_id, row.workspace_id, row.data) for row in rows] == [
        (Context.WORKSPACE_USER, Event.CREATED, "admin-1", "ws-1", {"role": "WRITE"}),
        (Context.WORKSPACE_USER, Event.UPDATED, "admin-1", "ws-1", {"role": "ADMIN"}),
        (Context.WORKSPACE_USER, Event.DELETED, "admin-1", "ws-1", None),
    ]


@pytest.mark.parametrize("user", ["owner-2", "nobody"])
async def test_strangers_cannot_become_members(here: PlatformUnderTest, user: str) -> None:
    refused = await call(here, "POST", f"{MINE}/users", {"userId": user, "role": "READ"}, 404)
    assert refused["message"] == "No such user in this organisation"


async def test_somebody_who_left_is_no_member(here: PlatformUnderTest) -> None:
    await here.change(update(users).where(users.c.id == "user-1").values(deleted_at=1))
    assert (await call(here, "GET", MINE))["workspace"]["users"] == []


CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("GET", MINE, None),
    ("PUT", MINE, {"name": "x"}),
    ("POST", f"{MINE}/users", {"userId": "admin-1", "role": "READ"}),
    ("PUT", f"{MINE}/users/admin-1", {"role": "WRITE"}),
    ("DELETE", f"{MINE}/users/admin-1", None),
    ("POST", "/workspace", {"name": "New"}),
]


@pytest.mark.parametrize(
    ("access", "role", "statuses"),
    [
        (None, Role.USER, [403] * 6),
        ("READ", Role.USER, [200, 403, 403, 403, 403, 403]),
        ("WRITE", Role.BILLING, [200, 403, 403, 403, 403, 403]),
        ("ADMIN", Role.USER, [200, 200, 200, 200, 200, 403]),
        (None, Role.WORKSPACES, [200] * 6),
    ],
)
async def test_who_may_do_what(here: PlatformUnderTest, access: str | None, role: Role, statuses: list[int]) -> None:
    await here.change(members.delete(), update(users).where(users.c.id == "user-1").values(role=role))
    if access:
        await here.change(insert(members).values(workspace_id="ws-1", user_id="user-1", access=access))
    answers = [await here.call(method, path, user="user-1", json=body) for method, path, body in CALLS]
    assert [answer.status_code for answer in answers] == statuses
    seen = (await here.call("GET", "/workspace", user="user-1")).json()["workspaces"]
    assert bool(seen) is (access is not None or role == Role.WORKSPACES)


@pytest.mark.parametrize(("method", "path", "body"), CALLS[:-1])
async def test_another_organisation_finds_nothing(
    here: PlatformUnderTest, method: str, path: str, body: dict[str, Any] | None
) -> None:
    foreign = await here.call(method, path, user="owner-2", organisation="org-2", json=body)
    nowhere = await here.call(method, path.replace("ws-1", "no"), user="owner-2", organisation="org-2", json=body)
    assert foreign.status_code == nowhere.status_code == 404
    assert foreign.json() == nowhere.json()
