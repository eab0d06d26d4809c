"""What the platform asks this node to do once (node-protocol.md §4): so far, to try a bucket."""

import asyncio
from collections.abc import Callable, Collection

import structlog

from bridge_node.agent.answers import Reader
from bridge_node.agent.client import Call, PlatformAway, PlatformClient, PlatformRefused
from bridge_node.agent.documents import Unusable
from bridge_node.agent.identity import OwnKeys
from bridge_node.agent.probing import Prober
from bridge_node.crypto.sealing import SealBroken
from bridge_node.health import BackendHealth
from bridge_node.messages import BadMessage, Task, TaskResult

ROUTE = "/node/result"
AT_ONCE = 8
MOST_WAITING = 64
"""Further tasks are left to the platform, which asks again."""

log = structlog.get_logger()


class Tasks:
    """Takes tasks at any time and does them a few at a time; each once, however often it is asked for meanwhile.

    `reader` opens what is sealed for this node, while it is enrolled.
    """

    def __init__(self, prober: Prober, keys: OwnKeys, reader: Callable[[], Reader | None]) -> None:
        self._prober = prober
        self._keys = keys
        self._reader = reader
        self._waiting: asyncio.Queue[Task] = asyncio.Queue(MOST_WAITING)
        self._taken: set[str] = set()

    def take(self, tasks: Collection[Task]) -> None:
        for task in tasks:
            if task.id not in self._taken and not self._waiting.full():
                self._taken.add(task.id)
                self._waiting.put_nowait(task)

    async def run(self, client: PlatformClient) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(AT_ONCE):
                group.create_task(self._work(client), name=f"platform task {number}")

    async def _work(self, client: PlatformClient) -> None:
        while True:
            task = await self._waiting.get()
            try:
                result = await self._result(task)
                await client.post(Call(ROUTE, result.encode(), self._keys.signing))
            except (PlatformAway, PlatformRefused) as error:
                log.warning("platform_task_unanswered", task=task.id, reason=str(error))
            finally:
                self._taken.discard(task.id)

    async def _result(self, task: Task) -> TaskResult:
        if task.kind != "probe":
            return TaskResult(id=task.id, status="unsupported", message=f"kind {task.kind}")
        try:
            health = await self._probed(task)
        except (SealBroken, BadMessage, Unusable) as error:
            return TaskResult(id=task.id, status="unsupported", message=str(error))
        if health is None:
            return TaskResult(id=task.id, status="DISCONNECTED", message="this node does not serve the bucket")
        return TaskResult(
            id=task.id,
            status="ONLINE" if health.found else "DISCONNECTED",
            latencyMs=round(health.seconds * 1000, 3),
            message=health.reason,
        )

    async def _probed(self, task: Task) -> BackendHealth | None:
        """Raises SealBroken, BadMessage and Unusable for what this node cannot try."""
        if task.sealed is None:
            return await self._prober.ask(task.bucket or "")
        reader = self._reader()
        if reader is None:
            raise Unusable("this node is not enrolled")
        spec, bucket = reader.place(task.id, task.sealed)
        return await self._prober.try_once(spec, bucket)
