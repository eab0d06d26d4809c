"""What moved, step by step through a span of time: of all that somebody may see, or of each of its parts."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import ColumnElement, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import repositories
from bridge_node.platform.store.rollups import begun, summed
from bridge_node.platform.store.usage import Grain, Scope, facts

_NAMES = ("upload_bytes", "download_bytes", "size_change", "latency_ms", "requests")
By = Literal["workspace_id", "repository_id", "bucket_id", "node_id"]


@dataclass(frozen=True, slots=True)
class Metrics:
    """`latency_ms` is a sum over the requests."""

    upload_bytes: int = 0
    download_bytes: int = 0
    size_change: int = 0
    latency_ms: int = 0
    requests: int = 0

    @property
    def moved(self) -> int:
        return self.upload_bytes + self.download_bytes

    def __add__(self, other: "Metrics") -> "Metrics":
        return Metrics(
            self.upload_bytes + other.upload_bytes,
            self.download_bytes + other.download_bytes,
            self.size_change + other.size_change,
            self.latency_ms + other.latency_ms,
            self.requests + other.requests,
        )


@dataclass(frozen=True, slots=True)
class Breadth:
    """What counts: of an organisation, some of its workspaces or one repository; of one bucket or access key."""

    organisation_id: str
    workspace_ids: Collection[str] | None = None
    repository_id: str | None = None
    bucket_id: str | None = None
    key_id: str | None = None

    def conditions(self, columns: Any) -> list[ColumnElement[bool]]:
        visible = columns.repository_id.in_(Scope(self.organisation_id, self.workspace_ids).of(repositories))
        only = {"repository_id": self.repository_id, "bucket_id": self.bucket_id, "key_id": self.key_id}
        return [visible, *(columns[name] == value for name, value in only.items() if value is not None)]


@dataclass(frozen=True, slots=True)
class Course:
    """Steps of `step` seconds, from `start` until before `end`, counted from rows of a grain that is no coarser."""

    grain: Grain
    start: int
    end: int
    step: int


async def steps(connection: AsyncConnection, course: Course, breadth: Breadth) -> dict[int, Metrics]:
    """By when a step began; steps in which nothing moved are not there."""
    rows = facts(course.grain, course.start, course.end, breadth.conditions).c
    stepped = select(begun(rows.time, course.step).label("step"), *_sums(rows)).group_by("step")
    return {row.step: _metrics(row) for row in await connection.execute(stepped)}


async def entities(
    connection: AsyncConnection, course: Course, breadth: Breadth, by: By
) -> dict[str, dict[int, Metrics]]:
    """The same for each workspace, repository, bucket or node, by its id."""
    rows = facts(course.grain, course.start, course.end, breadth.conditions)
    part = repositories.c.workspace_id if by == "workspace_id" else rows.c[by]
    stepped = select(part.label("part"), begun(rows.c.time, course.step).label("step"), *_sums(rows.c))
    if by == "workspace_id":
        stepped = stepped.join_from(rows, repositories, repositories.c.id == rows.c.repository_id)
    found: dict[str, dict[int, Metrics]] = {}
    for row in await connection.execute(stepped.group_by("part", "step")):
        found.setdefault(row.part, {})[row.step] = _metrics(row)
    return found


def _sums(rows: Any) -> list[ColumnElement[int]]:
    return [summed(rows[name]).label(name) for name in _NAMES]


def _metrics(row: Any) -> Metrics:
    return Metrics(*(getattr(row, name) for name in _NAMES))
