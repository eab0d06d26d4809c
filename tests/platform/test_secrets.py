"""Stored secrets leave the platform in sealed documents only: no route that reads tells one."""

import base64
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from fastapi.routing import APIRoute

from bridge_node.platform import amove
from bridge_node.platform.app import ROUTERS
from bridge_node.platform.audit import Context, Event, record
from bridge_node.platform.auth import Principal, Role
from bridge_node.platform.settings import PlatformLimits
from bridge_node.platform.store import attachments, providerkeys
from tests.platform.world import MASTER, TOKEN_KEY, PlatformUnderTest, running_platform

SECRETS = ("backend-secret-1", "client-secret", "provider-secret", TOKEN_KEY, MASTER)
IDS = ("org-1", "ws-1", "repo-1", "bucket-1", "cloud", "key-1", "owner-1")
"""Whatever a path asks for is one of these."""


def reading_paths() -> Iterator[str]:
    """Every path that is read, with every id in every place."""
    for prefix, routers in (("", ROUTERS), (amove.PREFIX, amove.ROUTERS)):
        for router in routers:
            for route in router.routes:
                if isinstance(route, APIRoute) and "GET" in (route.methods or ()):
                    path = prefix + route.path
                    yield from {re.sub(r"{[^}]*}", one, path) for one in IDS}
                    yield re.sub(r"{[^}]*}$", "key-1", path).replace("{repo_id}", "repo-1")


@pytest.fixture
async def here(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """A platform that takes many calls of one user."""
    limits = PlatformLimits(requests_per_second=10_000, connections=5)
    async with running_platform(database_url, tmp_path, limits=limits) as platform:
        yield platform


async def test_no_route_that_reads_tells_a_secret(here: PlatformUnderTest) -> None:
    vault, now = here.platform.vault, here.clock.ms()
    owner = Principal("owner-1", "org-1", Role.OWNER, "Owner", "owner-1@example.com")
    async with here.platform.database.transaction() as connection:
        place = ("cloud", "org-1", "ws-1", now)
        await providerkeys.add(connection, vault, *place, provider="AWS", key="AK", secret="provider-secret")
        await attachments.attach(connection, "account", "repo-1", provider_key_id="cloud", position=5)
        event = (Context.BUCKET, Event.CREATED, "bucket-1")
        await record(connection, *event, at=now, organisation_id="org-1", user=owner)
    await here.call("POST", f"{amove.PREFIX}/cloudaccount/insert", json={"apiKeyUuid": "cloud", "name": "Main"})
    hidden = [form for secret in SECRETS for form in (secret, base64.b64encode(secret.encode()).decode()[:-3])]
    answered = set()
    for path in sorted(set(reading_paths())):
        here.clock.now += 1
        answer = await here.call("GET", path)
        assert answer.status_code in {200, 400, 403, 404, 422, 499}, path
        assert [secret for secret in hidden if secret in answer.text] == [], path
        if answer.status_code == 200:
            answered.add(path)
    assert {"/bucket", "/apikeys", "/repo", "/repo/repo-1/apikey", "/api/v1/cloudaccount/list"} <= answered
