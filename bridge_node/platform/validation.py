"""Whether a bucket answers: by nodes that are online, as they are who will use it, else by this process itself.

The place to try goes to the nodes as a task, sealed for each (node-protocol §4); it need not be attached anywhere.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from bridge_node.messages import PlaceDocument, Task, TaskResult
from bridge_node.platform import reaching
from bridge_node.platform.database import Database
from bridge_node.platform.identifiers import new_id
from bridge_node.platform.liveness import FRESH_MS
from bridge_node.platform.reaching import Reached, Unreachable
from bridge_node.platform.store import grants, nodes
from bridge_node.platform.vault import Vault
from bridge_node.platform.wakeups import Bell, Waker, changed

log = structlog.get_logger()

MOST_NODES = 3
"""How many nodes are asked: one may be gone without a word, or see less than the others."""


class Validator:
    """Tries buckets, for at most `seconds` by nodes and as long again by itself."""

    def __init__(
        self,
        database: Database,
        waker: Waker,
        vault: Vault,
        now_ms: Callable[[], int],
        *,
        allow_private: bool,
        seconds: float,
    ) -> None:
        self._database = database
        self._waker = waker
        self._vault = vault
        self._now_ms = now_ms
        self._allow_private = allow_private
        self._seconds = seconds

    async def tried(
        self, organisation_id: str, place: PlaceDocument, bucket_id: str | None = None
    ) -> Reached | Unreachable:
        """How `place` stands for the nodes of an organisation. Unreachable: nobody is there who could tell.

        `bucket_id`: the bucket that the place is, or would be, of those that are stored.
        """
        by_nodes = await self._by_nodes(organisation_id, place, bucket_id)
        if by_nodes is not None:
            return by_nodes
        return await reaching.reach(place, allow_private=self._allow_private, seconds=self._seconds)

    async def _by_nodes(self, organisation_id: str, place: PlaceDocument, bucket_id: str | None) -> Reached | None:
        """What the first node says that reaches it, else any; None when none knows."""
        now = self._now_ms()
        async with self._database.reading() as connection:
            since = now - FRESH_MS
            asked = await nodes.listening(connection, organisation_id, since, MOST_NODES, bucket_id=bucket_id)
        if not asked:
            return None
        node_ids = [node.id for node in asked]
        async with self._waker.waiting(node_ids) as bell:
            tasks = await self._ask(node_ids, place, now)
            try:
                return _best(await self._answers(tasks, bell))
            finally:
                async with self._database.transaction() as connection:
                    await grants.withdraw(connection, tasks, self._now_ms())

    async def _ask(self, node_ids: Sequence[str], place: PlaceDocument, now: int) -> list[str]:
        """The tasks' ids."""
        expires_at = now + int(self._seconds * 1000)
        tasks = [new_id(now) for _ in node_ids]
        async with self._database.transaction() as connection:
            for node_id, task_id in zip(node_ids, tasks, strict=True):
                sealed = grants.sealed_place(self._vault, task_id, place)
                task = Task(id=task_id, kind="probe")
                await grants.add_task(connection, node_id, task, now, expires_at, place_sealed=sealed)
            await changed(connection, *node_ids)
        return tasks

    async def _answers(self, tasks: Collection[str], bell: Bell) -> list[TaskResult]:
        """What came until one reached the bucket, all have answered, or the time is up."""
        found: list[TaskResult] = []
        deadline = asyncio.get_running_loop().time() + self._seconds
        while len(found) < len(tasks) and not any(one.status == "ONLINE" for one in found):
            if not await bell.rings_before(deadline):
                log.info("validation_unanswered", asked=len(tasks), answered=len(found))
                break
            bell.taken()
            async with self._database.reading() as connection:
                found = await grants.results(connection, tasks)
        return found


def _best(answers: Sequence[TaskResult]) -> Reached | None:
    for status in ("ONLINE", "DISCONNECTED"):
        for one in answers:
            if one.status == status:
                return reaching.judged(one.message if status != "ONLINE" else "", one.latency_ms)
    return None
