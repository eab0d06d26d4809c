"""An organisation over HTTP: its name, and whether its repositories may be changed at nodes."""

from typing import Any

import pytest
from sqlalchemy import select

from bridge_node.platform import documents
from bridge_node.platform.audit import Context, Event
from bridge_node.platform.models import audit_events
from tests.platform.world import PlatformUnderTest

PATH = "/organization/org-1"


async def test_members_see_their_organisation(here: PlatformUnderTest) -> None:
    answer = await here.call("GET", PATH, user="user-1")
    assert answer.json() == {
        "success": True,
        "data": {
            "id": "org-1",
            "name": "Organisation 1",
            "domain": "",
            "reposDisabled": False,
            "is_business": False,
            "mfaEnforced": False,
        },
    }


async def test_administrators_disable_all_repositories_and_nodes_hear_of_it(here: PlatformUnderTest) -> None:
    await here.platform.waker.listening.wait()
    async with here.platform.waker.waiting(["org-1"]) as bell:
        answer = await here.call("PUT", PATH, user="admin-1", json={"name": "Renamed", "reposDisabled": True})
        await bell.wait()
    assert (answer.json()["data"]["name"], answer.json()["data"]["reposDisabled"]) == ("Renamed", True)
    async with here.platform.database.reading() as connection:
        assert (await documents.build(connection, here.platform.vault, "repo-1")).disabled
        assert not (await documents.build(connection, here.platform.vault, "repo-2")).disabled
    (event,) = await here.rows(select(audit_events))
    assert (event.context, event.event, event.context_id) == (Context.ORG, Event.UPDATED, "org-1")
    assert event.data == {"name": "Renamed", "reposDisabled": True}


async def test_what_changes_nothing_is_no_event(here: PlatformUnderTest) -> None:
    assert (await here.call("PUT", PATH, json={"name": "Organisation 1", "domain": "x"})).status_code == 200
    assert await here.count(audit_events) == 0


@pytest.mark.parametrize("body", [{"name": ""}, {"name": 1}, {"reposDisabled": "perhaps"}])
async def test_what_means_nothing_is_refused(here: PlatformUnderTest, body: dict[str, Any]) -> None:
    assert (await here.call("PUT", PATH, json=body)).status_code == 400


async def test_members_change_nothing_and_strangers_see_nothing(here: PlatformUnderTest) -> None:
    assert (await here.call("PUT", PATH, user="user-1", json={"name": "x"})).status_code == 403
    for path in (PATH, "/organization/nowhere"):
        for method in ("GET", "PUT"):
            answer = await here.call(method, path, user="owner-2", organisation="org-2", json={"name": "x"})
            assert answer.status_code == 403
