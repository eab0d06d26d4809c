"""What nodes were given, and what they are asked to do."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from sqlalchemy import delete, func, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import PlaceDocument, Task, TaskResult
from bridge_node.platform.models import assignments, grants, repositories, tasks
from bridge_node.platform.store.sql import among, insert
from bridge_node.platform.vault import Vault

_TASKS = tasks.name

ASKED_AGAIN_MS = 20_000
"""How long a node has for a task before it is asked again."""

FORGOTTEN_AFTER_MS = 3600 * 1000


async def grant(connection: AsyncConnection, node_id: str, repository_ids: Iterable[str], now: int) -> None:
    """Remembers that a node was given these repositories: it may report about them from now on."""
    rows = [{"node_id": node_id, "repository_id": one, "created_at": now} for one in sorted(repository_ids)]
    if rows:
        await connection.execute(insert(connection, grants).on_conflict_do_nothing(), rows)


async def organisations_assigned_from(connection: AsyncConnection, node_id: str) -> set[str]:
    """Whose repositories are assigned to a node: their changes are news for it."""
    rows = await connection.execute(
        select(repositories.c.organisation_id)
        .join(assignments, assignments.c.repository_id == repositories.c.id)
        .where(assignments.c.node_id == node_id)
        .distinct()
    )
    return set(rows.scalars())


@dataclass(frozen=True, slots=True)
class Asked:
    """A task that waits for its node; the place that it names is kept under the vault's seal."""

    task: Task
    place_sealed: bytes | None = field(repr=False)

    def place(self, vault: Vault) -> bytes | None:
        """A PlaceDocument in clear; None where the task names none. Raises VaultError."""
        return vault.open(self.place_sealed, _TASKS, self.task.id).encode() if self.place_sealed else None


def sealed_place(vault: Vault, task_id: str, place: PlaceDocument) -> bytes:
    """How a task keeps the place that it names."""
    return vault.seal(place.encode().decode(), _TASKS, task_id)


async def add_task(
    connection: AsyncConnection,
    node_id: str,
    task: Task,
    now: int,
    expires_at: int,
    *,
    place_sealed: bytes | None = None,
) -> None:
    """Asks a node to do something. Wake it: `changed(connection, node_id)`."""
    await connection.execute(
        new(tasks).values(
            id=task.id,
            node_id=node_id,
            kind=task.kind,
            repository_id=task.repository,
            bucket_id=task.bucket,
            place_sealed=place_sealed,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def open_tasks(connection: AsyncConnection, node_ids: Collection[str], now: int) -> dict[str, tuple[Asked, ...]]:
    """What nodes have still to answer, and were not asked a moment ago."""
    theirs = among(connection, tasks.c.node_id, node_ids)
    wanted = select(tasks).where(theirs, tasks.c.status == "", tasks.c.expires_at > now)
    rows = await connection.execute(wanted.where(tasks.c.delivered_at < now - ASKED_AGAIN_MS).order_by(tasks.c.id))
    found: dict[str, tuple[Asked, ...]] = {}
    for row in rows:
        task = Task(id=row.id, kind=row.kind, repository=row.repository_id, bucket=row.bucket_id)
        found[row.node_id] = (*found.get(row.node_id, ()), Asked(task, row.place_sealed))
    return found


async def delivered(connection: AsyncConnection, task_ids: Collection[str], now: int) -> None:
    if task_ids:
        await connection.execute(update(tasks).where(tasks.c.id.in_(task_ids)).values(delivered_at=now))


async def results(connection: AsyncConnection, task_ids: Collection[str]) -> list[TaskResult]:
    """What was answered so far."""
    answered = select(tasks).where(tasks.c.id.in_(task_ids), tasks.c.status != "").order_by(tasks.c.id)
    return [
        TaskResult(id=row.id, status=row.status, latencyMs=row.latency_ms, message=row.message)
        for row in await connection.execute(answered)
    ]


async def withdraw(connection: AsyncConnection, task_ids: Collection[str], now: int) -> None:
    """Nobody waits for these any more: they are asked of no node from now on, and name no place."""
    over = update(tasks).where(tasks.c.id.in_(task_ids), tasks.c.expires_at > now)
    await connection.execute(over.values(expires_at=now, place_sealed=None))


async def answer_task(connection: AsyncConnection, node_id: str, result: TaskResult) -> bool:
    """Whether the node was asked this; the first answer stays."""
    mine = (tasks.c.id == result.id, tasks.c.node_id == node_id)
    answered = update(tasks).where(*mine, tasks.c.status == "")
    await connection.execute(
        answered.values(status=result.status, latency_ms=result.latency_ms, message=result.message, place_sealed=None)
    )
    return bool((await connection.execute(select(func.count()).select_from(tasks).where(*mine))).scalar_one())


async def sweep(connection: AsyncConnection, now: int) -> None:
    """Forgets tasks that nobody waits for any more."""
    await connection.execute(delete(tasks).where(tasks.c.expires_at < now - FORGOTTEN_AFTER_MS))
