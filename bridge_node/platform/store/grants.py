"""What nodes were given, and what they are asked to do."""

from collections.abc import Collection, Iterable

from sqlalchemy import delete, func, select, update
from sqlalchemy import insert as new
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.messages import Task, TaskResult
from bridge_node.platform.models import assignments, grants, repositories, tasks
from bridge_node.platform.store.sql import insert

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


async def add_task(connection: AsyncConnection, node_id: str, task: Task, now: int, expires_at: int) -> None:
    """Asks a node to do something. Wake it: `changed(connection, node_id)`."""
    await connection.execute(
        new(tasks).values(
            id=task.id,
            node_id=node_id,
            kind=task.kind,
            repository_id=task.repository,
            bucket_id=task.bucket,
            created_at=now,
            expires_at=expires_at,
        )
    )


async def open_tasks(connection: AsyncConnection, node_id: str, now: int) -> tuple[Task, ...]:
    """What a node has still to answer, and was not asked a moment ago."""
    unanswered = (tasks.c.node_id == node_id, tasks.c.status == "", tasks.c.expires_at > now)
    wanted = select(tasks).where(*unanswered, tasks.c.delivered_at < now - ASKED_AGAIN_MS)
    rows = await connection.execute(wanted.order_by(tasks.c.id))
    return tuple(Task(id=row.id, kind=row.kind, repository=row.repository_id, bucket=row.bucket_id) for row in rows)


async def delivered(connection: AsyncConnection, task_ids: Collection[str], now: int) -> None:
    if task_ids:
        await connection.execute(update(tasks).where(tasks.c.id.in_(task_ids)).values(delivered_at=now))


async def answer_task(connection: AsyncConnection, node_id: str, result: TaskResult) -> bool:
    """Whether the node was asked this; the first answer stays."""
    mine = (tasks.c.id == result.id, tasks.c.node_id == node_id)
    answered = update(tasks).where(*mine, tasks.c.status == "")
    await connection.execute(
        answered.values(status=result.status, latency_ms=result.latency_ms, message=result.message)
    )
    return bool((await connection.execute(select(func.count()).select_from(tasks).where(*mine))).scalar_one())


async def sweep(connection: AsyncConnection, now: int) -> None:
    """Forgets tasks that nobody waits for any more."""
    await connection.execute(delete(tasks).where(tasks.c.expires_at < now - FORGOTTEN_AFTER_MS))
