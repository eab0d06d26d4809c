"""Provider keys linked to repositories (contract §2)."""

from typing import Any

import pytest
from sqlalchemy import insert, select, update

from bridge_node.platform.models import audit_events, members, provider_keys, repository_provider_keys
from tests.platform.world import PlatformUnderTest

LINKS = "/repo/repo-1/cloud-apikey"


@pytest.fixture
async def stocked(here: PlatformUnderTest) -> PlatformUnderTest:
    for number in ("1", "2"):
        row = {"organisation_id": f"org-{number}", "workspace_id": f"ws-{number}", "provider": "AWS", "created_at": 1}
        await here.change(insert(provider_keys).values(id=f"pk-{number}", **row))
    return here


async def linked(here: PlatformUnderTest) -> str:
    answer = await here.call("POST", LINKS, json={"repoId": "repo-1", "apiKeyId": "pk-1"})
    assert answer.status_code == 200, answer.text
    assert answer.json().keys() == {"success", "id"}
    return str(answer.json()["id"])


async def test_a_link_is_made_once_listed_and_taken_away(stocked: PlatformUnderTest) -> None:
    made = await linked(stocked)
    assert await linked(stocked) == made
    item = {"id": made, "repoId": "repo-1", "apiKeyId": "pk-1", "createdAt": "2026-02-02T02:40:00.000Z"}
    assert (await stocked.call("GET", LINKS)).json() == {"success": True, "items": [item]}
    assert (await stocked.call("DELETE", f"{LINKS}/{made}")).json() == {"success": True}
    assert (await stocked.call("DELETE", f"{LINKS}/{made}")).status_code == 404
    assert (await stocked.call("GET", LINKS)).json()["items"] == []
    rows = await stocked.rows(select(audit_events.c.data).order_by(audit_events.c.id))
    assert [row.data for row in rows] == [{"linked": "pk-1"}, {"unlinked": made}]


@pytest.mark.parametrize("body", [{}, {"apiKeyId": ""}, {"apiKeyId": 1}])
async def test_a_link_names_a_key(stocked: PlatformUnderTest, body: dict[str, Any]) -> None:
    assert (await stocked.call("POST", LINKS, json=body)).status_code == 400


async def test_nothing_is_linked_across_organisations(stocked: PlatformUnderTest) -> None:
    for key in ("pk-2", "nowhere"):
        answer = await stocked.call("POST", LINKS, json={"apiKeyId": key})
        assert (answer.status_code, answer.json()["error_code"], answer.json()["repoId"]) == (404, "NOT_FOUND", "")
    made = await linked(stocked)
    for method, path in (("GET", LINKS), ("POST", LINKS), ("DELETE", f"{LINKS}/{made}")):
        body = {"apiKeyId": "pk-2"}
        answer = await stocked.call(method, path, user="owner-2", organisation="org-2", json=body)
        assert answer.status_code == 404
    assert await stocked.count(repository_provider_keys) == 1


async def test_members_see_links_with_read_and_change_them_with_write(stocked: PlatformUnderTest) -> None:
    made = await linked(stocked)
    calls: list[tuple[str, str]] = [("GET", LINKS), ("POST", LINKS), ("DELETE", f"{LINKS}/{made}")]
    for access, expected in (("READ", [200, 403, 403]), ("WRITE", [200, 200, 200])):
        await stocked.change(update(members).values(access=access))
        answers = [await stocked.call(m, path, user="user-1", json={"apiKeyId": "pk-1"}) for m, path in calls]
        assert [answer.status_code for answer in answers] == expected
