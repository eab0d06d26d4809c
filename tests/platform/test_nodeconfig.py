"""What nodes may serve, sealed and signed: node-protocol §§3 and 4."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import delete, insert, update
from structlog.testing import capture_logs

from bridge_node.crypto import sealing
from bridge_node.messages import ConfigAnswer, Task
from bridge_node.platform.models import (
    assignments,
    buckets,
    grants,
    nodes,
    organisations,
    repositories,
    repository_buckets,
    repository_keys,
)
from bridge_node.platform.models import tasks as task_rows
from bridge_node.platform.store import grants as grant_store
from tests.platform.world import TOKEN_KEY, OwnNode, PlatformUnderTest

REVISE = update(repositories).where(repositories.c.id == "repo-1").values(revision=2, name="Pictures")


@pytest.fixture
async def node(here: PlatformUnderTest) -> AsyncIterator[OwnNode]:
    node = OwnNode(here, await here.new_key())
    await node.enrol()
    yield node
    here.platform.polls.close()


async def polling(node: OwnNode, known: dict[str, str]) -> asyncio.Task[ConfigAnswer]:
    """A long poll that has begun to wait."""
    task = asyncio.get_running_loop().create_task(node.config(known, wait=20), name="poll")
    for _ in range(1000):
        if node.here.platform.waker.waited_for("org-1"):
            return task
        await asyncio.sleep(0.01)
    raise TimeoutError("the poll never began to wait")


async def test_a_node_gets_its_organisations_repositories_sealed(here: PlatformUnderTest, node: OwnNode) -> None:
    answer = await node.config()
    assert (answer.org, answer.node, answer.revoked) == ("org-1", "node-1", False)
    assert answer.issued_at == here.clock.ms()
    assert answer.not_after == here.clock.ms() + 72 * 3600 * 1000
    documents = node.unsealed(answer)
    assert {name: one.digest for name, one in zip(documents, answer.documents, strict=True)} == answer.serves
    (document,) = documents.values()
    assert (document.id, document.name, document.token_key) == ("repo-1", "Photos", TOKEN_KEY)
    assert document.attachments[0].backend.secret == "backend-secret-1"
    assert document.keys[0].secret == "client-secret"


async def test_a_document_opens_for_its_node_alone(here: PlatformUnderTest, node: OwnNode) -> None:
    (sealed,) = (await node.config()).documents
    other = OwnNode(here, node.organisation_key, ip="node-2")
    with pytest.raises(sealing.SealBroken):
        sealing.unseal(sealed.sealed, sealing.Address("org-1", "node-1", "repo-1"), other.seal)


async def test_only_what_changed_is_sent(here: PlatformUnderTest, node: OwnNode) -> None:
    first = await node.config()
    again = await node.config(first.serves)
    assert (again.serves, again.documents, again.removed) == (first.serves, (), ())
    await here.change(REVISE)
    changed = await node.config(first.serves)
    assert [one.id for one in changed.documents] == ["repo-1"]
    assert node.unsealed(changed)["repo-1"].name == "Pictures"
    await here.change(update(repositories).where(repositories.c.id == "repo-1").values(deleted_at=1))
    gone = await node.config(changed.serves)
    assert (gone.serves, gone.documents, gone.removed) == ({}, (), ("repo-1",))


async def test_versions_only_grow_and_follow_the_clock(here: PlatformUnderTest, node: OwnNode) -> None:
    versions = [(await node.config()).version for _ in range(3)]
    assert versions == [here.clock.ms(), here.clock.ms() + 1, here.clock.ms() + 2]
    here.clock.now += 1
    assert (await node.config()).version == here.clock.ms()
    here.clock.now -= 100
    assert (await node.config()).version == here.clock.ms() + 100_001


async def test_a_change_ends_the_wait_at_once(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    poll = await polling(node, known)
    await here.change(update(organisations).where(organisations.c.id == "org-2").values(name="x"), topic="org-2")
    await asyncio.sleep(0.2)
    assert not poll.done()
    committed = time.monotonic()
    await here.change(REVISE)
    answer = await asyncio.wait_for(poll, 2)
    assert time.monotonic() - committed < 1
    assert [one.id for one in answer.documents] == ["repo-1"]


async def test_without_news_a_poll_ends_when_its_patience_does(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    here.clock.now += 1
    begun = time.monotonic()
    answer = await node.config(known, wait=1)
    assert 0.9 < time.monotonic() - begun < 5
    assert (answer.serves, answer.documents) == (known, ())
    assert answer.not_after == here.clock.ms() + 72 * 3600 * 1000


async def test_a_deleted_node_is_told_at_once_that_it_is_revoked(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    poll = await polling(node, known)
    await here.call("DELETE", "/organization/org-1/node/node-1")
    answer = await asyncio.wait_for(poll, 2)
    assert (answer.revoked, answer.serves, answer.documents, answer.removed) == (True, {}, (), ("repo-1",))
    assert (await node.config()).revoked
    assert (await node.post("/node/result", {"id": "t", "status": "ONLINE"})).status_code == 401


async def test_a_node_whose_keys_were_replaced_is_revoked(here: PlatformUnderTest, node: OwnNode) -> None:
    heir = OwnNode(here, node.organisation_key)
    await heir.enrol()
    assert (await node.config()).revoked
    assert not (await heir.config()).revoked


async def test_a_second_poll_ends_the_first(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    first = await polling(node, known)
    second = asyncio.get_running_loop().create_task(node.config(known, wait=20), name="second")
    assert (await asyncio.wait_for(first, 2)).serves == known
    assert not second.done()
    await here.change(REVISE)
    assert [one.id for one in (await asyncio.wait_for(second, 2)).documents] == ["repo-1"]


async def test_a_platform_that_stops_answers_its_polls(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    poll = await polling(node, known)
    here.platform.polls.close()
    assert (await asyncio.wait_for(poll, 2)).serves == known


async def test_where_an_organisation_assigns_a_node_gets_what_is_assigned(
    here: PlatformUnderTest, node: OwnNode
) -> None:
    ((node_id,),) = await here.rows(nodes.select().with_only_columns(nodes.c.id))
    await here.change(update(organisations).where(organisations.c.id == "org-1").values(assigns_repositories=True))
    assert (await node.config()).serves == {}
    assign = insert(assignments).values(node_id=node_id, repository_id="repo-1")
    await here.change(assign)
    known = (await node.config()).serves
    assert set(known) == {"repo-1"}
    await here.change(delete(assignments))
    assert (await node.config(known)).removed == ("repo-1",)


BROKEN = {
    "a secret that does not open": update(repositories).values(token_key_sealed=b"broken", revision=3),
    "a kind that nobody knows": update(buckets).values(storage_type="TAPE"),
    "a value of another type": update(repository_keys).values(buckets=7),
}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_a_document_that_cannot_be_built_leaves_what_the_node_has(
    here: PlatformUnderTest, node: OwnNode, broken: Any
) -> None:
    known = (await node.config()).serves
    await here.change(broken, update(repositories).values(revision=3))
    with capture_logs() as logs:
        for _ in range(2):
            answer = await node.config(known)
            assert (answer.serves, answer.documents, answer.removed) == (known, (), ())
        assert (await node.config()).serves == {}
    assert [log["repository"] for log in logs if log["event"] == "document_broken"] == ["repo-1"]
    assert here.platform.polls.broken_documents >= 3  # a change that rings in the middle of a poll makes it look again


async def test_what_a_node_was_given_is_remembered(here: PlatformUnderTest, node: OwnNode) -> None:
    assert await here.count(grants) == 0
    await node.config()
    await node.config()
    assert await here.count(grants) == 1


async def test_a_task_reaches_its_node_and_is_answered(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    ((node_id,),) = await here.rows(nodes.select().with_only_columns(nodes.c.id))
    poll = await polling(node, known)
    task = Task(id="task-1", kind="probe", repository="repo-1", bucket="bucket-1")
    async with here.platform.database.transaction() as connection:
        now = here.clock.ms()
        await grant_store.add_task(connection, node_id, task, now, now + 60_000)
    await here.change(topic=node_id)
    assert (await asyncio.wait_for(poll, 2)).tasks == (task,)
    assert (await node.config(known)).tasks == ()  # it has only just been asked
    here.clock.now += 30
    assert (await node.config(known)).tasks == (task,)
    result = {"id": "task-1", "status": "ONLINE", "latencyMs": 18.5, "message": "reachable"}
    other = OwnNode(here, node.organisation_key, ip="node-2")
    await other.enrol()
    assert (await other.post("/node/result", result)).status_code == 404
    assert (await node.post("/node/result", result)).json() == {"success": True, "message": "ok"}
    (row,) = await here.rows(task_rows.select())
    assert (row.status, row.latency_ms, row.message) == ("ONLINE", 18.5, "reachable")
    here.clock.now += 30
    assert (await node.config(known)).tasks == ()


@pytest.mark.parametrize("path", ["/node/config", "/node/result"])
async def test_nothing_but_an_enrolled_nodes_signature_is_accepted(here: PlatformUnderTest, path: str) -> None:
    body = {"id": "t", "status": "ONLINE"}
    assert (await here.client.post(path, json=body)).status_code == 401
    assert (await here.call("POST", path, json=body)).status_code == 401
    stranger = OwnNode(here, await here.new_key())
    assert (await stranger.post(path, body)).status_code == 401


@pytest.mark.parametrize("body", [{"waitSeconds": 56}, {"known": {"a": "b"}}, {"known": [1]}, {"waitSeconds": -1}])
async def test_a_question_that_is_none_is_refused(
    here: PlatformUnderTest, node: OwnNode, body: dict[str, object]
) -> None:
    assert (await node.post("/node/config", body)).status_code == 400


async def test_detached_buckets_leave_the_document(here: PlatformUnderTest, node: OwnNode) -> None:
    known = (await node.config()).serves
    await here.change(
        update(repository_buckets).where(repository_buckets.c.id == "rb-1").values(deleted_at=here.clock.ms()), REVISE
    )
    assert node.unsealed(await node.config(known))["repo-1"].attachments == ()
