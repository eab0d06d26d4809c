"""Audit events as people read them, and quotas (contract §§0.6, 0.7)."""

import json
from typing import Any

import pytest
from sqlalchemy import update

from bridge_node.platform import audit
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.auth import Principal, Role
from bridge_node.platform.models import event_reads, members, users
from tests.platform.world import PlatformUnderTest

PERSON = Principal("owner-1", "org-1", Role.OWNER, "Owner-1", "owner-1@example.com")


@pytest.fixture
async def happened(here: PlatformUnderTest) -> PlatformUnderTest:
    """Four events of organisation 1, a minute apart, and one of organisation 2."""
    events: list[tuple[Context, Event, str, str, str | None, dict[str, Any] | None]] = [
        (Context.ORG_KEY, Event.CREATED, "ok-1", "org-1", None, None),
        (Context.BUCKET, Event.CREATED, "b-1", "org-1", "ws-1", {"name": "Bücher"}),
        (Context.BUCKET, Event.DELETED, "b-1", "org-1", "ws-1", None),
        (Context.REPO, Event.UPDATED, "r-1", "org-1", "ws-9", None),
        (Context.REPO, Event.CREATED, "r-2", "org-2", "ws-2", None),
    ]
    async with here.platform.database.transaction() as connection:
        for number, (context, event, about, organisation, workspace, data) in enumerate(events):
            at = here.clock.ms() + number * 60_000
            terms: dict[str, Any] = {"at": at, "organisation_id": organisation, "workspace_id": workspace, "data": data}
            await audit.record(connection, context, event, about, user=PERSON, **terms)
    return here


async def ask(here: PlatformUnderTest, user: str = "owner-1", organisation: str = "org-1", **body: Any) -> Any:
    answer = await here.call("POST", "/systemevent", user=user, organisation=organisation, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: Any) -> list[str]:
    return [f"{one['context']} {one['event']}" for one in answer["events"]]


async def test_an_event_tells_what_happened_by_whom(happened: PlatformUnderTest) -> None:
    answer = await ask(happened, skip=2, take=1)
    (event,) = answer.pop("events")
    assert answer == {"total": 4, "skip": 2, "take": 1}
    assert json.loads(event.pop("jsonData")) == {"name": "Bücher"}
    assert isinstance(event.pop("id"), int)
    assert event == {
        "timestamp": "2026-02-02T02:41:00.000Z",
        "contextId": "b-1",
        "context": "bucket",
        "event": "created",
        "orgId": "org-1",
        "userId": "owner-1",
        "userName": "Owner-1",
        "userEmail": "owner-1@example.com",
        "workspaceId": "ws-1",
        "showUnread": True,
    }


ALL = ["repo updated", "bucket deleted", "bucket created", "orgkey created"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ALL),
        ({"contextId": "undefined", "userId": "null", "workspaceId": "", "from_timestamp": ""}, ALL),
        ({"context": 1}, ALL[1:3]),
        ({"context": 0}, []),
        ({"event": 0}, ALL[2:]),
        ({"contextId": "b-1", "event": 2}, ALL[1:2]),
        ({"workspaceId": "ws-1"}, ALL[1:3]),
        ({"workspaceId": "ws-2"}, []),
        ({"userId": "owner-1"}, ALL),
        ({"userId": "nobody"}, []),
        ({"from_timestamp": "2026-02-02T02:42:00.000Z"}, ALL[:2]),
        ({"to_timestamp": "2026-02-02T02:41:00Z"}, ALL[2:]),
        ({"from_timestamp": "2026-02-02", "to_timestamp": "2026-02-02"}, ALL),
        ({"from_timestamp": "2026-02-03"}, []),
        ({"skip": 3}, ALL[3:]),
        ({"take": 2}, ALL[:2]),
    ],
    ids=str,
)
async def test_filters_leave_out_what_they_do_not_name(
    happened: PlatformUnderTest, body: dict[str, Any], expected: list[str]
) -> None:
    assert ids(await ask(happened, **body)) == expected


@pytest.mark.parametrize(
    "body",
    [
        {"context": 14},
        {"context": "bucket"},
        {"event": 3},
        {"skip": -1},
        {"take": 1001},
        {"from_timestamp": "yesterday"},
        {"to_timestamp": "9" * 65},
        {"contextId": "x" * 129},
    ],
)
async def test_a_question_that_means_nothing_is_refused(happened: PlatformUnderTest, body: dict[str, Any]) -> None:
    assert (await happened.call("POST", "/systemevent", json=body)).status_code == 400


async def test_everybody_sees_what_is_theirs(happened: PlatformUnderTest) -> None:
    assert ids(await ask(happened, "user-1")) == ALL[1:3]
    await happened.change(update(users).where(users.c.id == "user-1").values(role=Role.WORKSPACES))
    assert ids(await ask(happened, "user-1")) == ALL[1:3]
    await happened.change(update(users).where(users.c.id == "user-1").values(role=Role.USER), members.delete())
    assert await ask(happened, "user-1") == {"events": [], "total": 0, "skip": 0, "take": 100}
    assert ids(await ask(happened, "owner-2", "org-2")) == ["repo created"]


async def test_what_somebody_has_read_is_read_for_them_alone(happened: PlatformUnderTest) -> None:
    newest, *older = [one["id"] for one in (await ask(happened))["events"]]
    for method, body in (("POST", {"id": newest}), ("POST", {"ids": [newest, *older[:1]]})):
        assert (await happened.call(method, "/systemevent/read", json=body)).json() == {"success": True}
    assert ids(await ask(happened, showUnread=True)) == ALL[2:]
    assert [one["showUnread"] for one in (await ask(happened, showUnread=False))["events"]] == [
        False,
        False,
        True,
        True,
    ]
    assert ids(await ask(happened, "admin-1", showUnread=True)) == ALL
    await happened.call("DELETE", "/systemevent/read", json={"id": newest})
    assert ids(await ask(happened, showUnread=True)) == [ALL[0], *ALL[2:]]


async def test_what_somebody_does_not_see_they_cannot_mark(happened: PlatformUnderTest) -> None:
    everything = [one["id"] for one in (await ask(happened))["events"]]
    theirs = {"user": "owner-2", "organisation": "org-2"}
    assert (await happened.call("POST", "/systemevent/read", json={"ids": everything}, **theirs)).status_code == 200
    assert await happened.count(event_reads) == 0
    assert (await happened.call("POST", "/systemevent/read", json={})).status_code == 400


async def test_a_quota_is_how_much_there_is_and_how_much_there_may_be(here: PlatformUnderTest) -> None:
    await here.new_key()
    answer = (await here.call("GET", "/user/quota", user="user-1")).json()
    assert answer["success"] is True
    assert answer["subscription"].keys() == {"id", "name", "description"}
    first = answer["quotaUsage"][0]
    assert first["capability"].keys() == {"id", "code", "description", "type", "periodType"}
    assert {one["capability"]["periodType"] for one in answer["quotaUsage"]} == {"ALL_TIME"}
    assert {one["capability"]["code"]: one["usage"] for one in answer["quotaUsage"]} == {
        "BUCKETS": {"current": 1, "max": 1000, "percentage": 0.1},
        "REPOS": {"current": 1, "max": 1000, "percentage": 0.1},
        "ORGKEYS": {"current": 1, "max": 5, "percentage": 20.0},
    }
