"""Many who change the same at once: no rule of the contract is broken, and whoever loses is told so."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select

from bridge_node.platform.models import buckets, organisation_keys, repositories, repository_buckets, workspaces
from bridge_node.platform.settings import PlatformLimits
from tests.platform.world import PlatformUnderTest, another_process, running_platform

AT_ONCE = 8
LIMITS = PlatformLimits(repositories=4, organisation_keys=3, connections=5)
NEW = {"storageType": "S3", "mode": "NORMAL", "workspaceId": "ws-1"}

Call = tuple[str, str, Any]


@pytest.fixture
async def processes(database_url: str, tmp_path: Path) -> AsyncIterator[list[PlatformUnderTest]]:
    """Two platforms on one database, with a bucket `b-1` that nobody has attached."""
    async with (
        running_platform(database_url, tmp_path, limits=LIMITS) as one,
        another_process(database_url, tmp_path, limits=LIMITS) as other,
    ):
        mine = {"organisation_id": "org-1", "workspace_id": "ws-1", "created_at": 1}
        await one.change(insert(buckets).values(id="b-1", name="One", bucket="one", storage_type="S3", **mine))
        yield [one, other]


async def at_once(processes: list[PlatformUnderTest], calls: list[Call]) -> list[tuple[int, str]]:
    """Status and code of each call; they go to the processes in turn."""

    async def send(number: int, call: Call) -> tuple[int, str]:
        method, path, body = call
        answer = await processes[number % len(processes)].call(method, path, json=body)
        found = answer.json()
        return answer.status_code, found.get("error_code", "") if isinstance(found, dict) else ""

    return list(await asyncio.gather(*(send(number, call) for number, call in enumerate(calls))))


async def test_a_name_is_given_once(processes: list[PlatformUnderTest]) -> None:
    outcomes = Counter(await at_once(processes, [("POST", "/repo", {**NEW, "name": "Same"})] * AT_ONCE))
    assert outcomes == {(200, ""): 1, (400, "NAME_ALREADY_USED"): AT_ONCE - 1}
    outcomes = Counter(await at_once(processes, [("POST", "/workspace", {"name": "Same"})] * AT_ONCE))
    assert outcomes == {(200, ""): 1, (400, ""): AT_ONCE - 1}
    names = [
        row.name for row in await processes[0].rows(select(workspaces).where(workspaces.c.organisation_id == "org-1"))
    ]
    assert sorted(names) == ["Main", "Same"]


async def test_a_quota_is_never_exceeded(processes: list[PlatformUnderTest]) -> None:
    calls: list[Call] = [("POST", "/repo", {**NEW, "name": f"New {number}"}) for number in range(AT_ONCE)]
    outcomes = Counter(await at_once(processes, calls))
    assert outcomes == {(200, ""): 3, (429, "QUOTA_EXCEEDED"): AT_ONCE - 3}  # with the one that was there
    outcomes = Counter(await at_once(processes, [("POST", "/organization/org-1/key", None)] * AT_ONCE))
    assert outcomes == {(200, ""): 3, (400, ""): AT_ONCE - 3}
    assert await processes[0].count(organisation_keys) == 3


async def test_a_bucket_comes_into_one_mirror(processes: list[PlatformUnderTest]) -> None:
    part = [{"bucketId": "b-1", "folder": "", "master": True}]
    calls: list[Call] = [
        ("POST", "/repo", {**NEW, "name": f"Mirror {number}", "mode": "MIRROR", "repoBuckets": part})
        for number in range(AT_ONCE)
    ]
    outcomes = Counter(await at_once(processes, calls))
    assert outcomes == {(200, ""): 1, (400, "MIRROR_UNIT_ALREADY_IN_OTHER_REPO"): AT_ONCE - 1}


async def test_a_mirror_has_one_master_whoever_names_it(processes: list[PlatformUnderTest]) -> None:
    ids = ["bucket-1", "b-1"]

    def parts(master: str) -> list[dict[str, Any]]:
        return [{"bucketId": one, "folder": "", "master": one == master} for one in ids]

    change = {"mode": "MIRROR", "repoBuckets": parts("bucket-1")}
    assert await at_once(processes, [("PUT", "/repo/repo-1", change)]) == [(200, "")]
    calls: list[Call] = [("PUT", "/repo/repo-1", {"repoBuckets": parts(ids[turn % 2])}) for turn in range(AT_ONCE)]
    assert set(await at_once(processes, calls)) == {(200, "")}
    rows = await processes[0].rows(select(repository_buckets).where(repository_buckets.c.repository_id == "repo-1"))
    assert [row.master for row in rows if row.deleted_at is None].count(True) == 1


async def test_a_bucket_is_attached_or_deleted_and_never_both(processes: list[PlatformUnderTest]) -> None:
    calls: list[Call] = [
        ("PUT", "/repo/repo-1", {"repoBuckets": [{"bucketId": "bucket-1"}, {"bucketId": "b-1", "folder": "f"}]}),
        ("DELETE", "/bucket/b-1", None),
    ]
    attached, deleted = await at_once(processes, calls)
    assert sorted([attached[0], deleted[0]]) in ([200, 403], [200, 404])


async def test_keys_and_changes_of_a_repository_do_not_wait_for_each_other_for_ever(
    processes: list[PlatformUnderTest],
) -> None:
    calls: list[Call] = []
    for number in range(AT_ONCE // 2):
        calls += [
            ("POST", "/repo/repo-1/apikey", {"name": f"k{number}", "accessType": "READ"}),
            ("PUT", "/repo/repo-1", {"name": f"Photos {number}"}),
            ("PUT", "/bucket/bucket-1", {"name": f"Media {number}"}),
            ("PUT", "/organization/org-1", {"reposDisabled": number % 2 == 0}),
        ]
    statuses = Counter(status for status, _ in await at_once(processes, calls))
    assert statuses[200] >= len(calls) - AT_ONCE // 2  # a bucket's change may find that another came before it
    assert set(statuses) <= {200, 400}
    (row,) = await processes[0].rows(select(repositories.c.revision).where(repositories.c.id == "repo-1"))
    assert row.revision >= AT_ONCE // 2
