"""Time series and breakdowns for dashboards: `/v2/stats/storage`, in the vendor's newer words (contract §8).

Numbers are plain ones here, times epoch seconds. `summary` and the order of entities are of the bytes moved, both ways.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean, pstdev, quantiles
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, providers
from bridge_node.platform.auth import Principal
from bridge_node.platform.errors import BadRequest, NotFound
from bridge_node.platform.requests import Here, User
from bridge_node.platform.spans import DAY, MINUTE
from bridge_node.platform.store import buckets, nodes, providerkeys, repositories, series, workspaces
from bridge_node.platform.store.series import Breadth, By, Course, Metrics
from bridge_node.platform.store.usage import DAYS, HOURS, MINUTES, Grain
from bridge_node.platform.tolerance import given

router = APIRouter(prefix="/v2/stats/storage", tags=["statistics"])

_HOUR = 60 * MINUTE
_MOST_ENTITIES = 1000
_PUBLIC = ""


@dataclass(frozen=True, slots=True)
class Window:
    """How far back a series goes, and how wide its steps are."""

    seconds: int
    step: int
    step_name: str
    grain: Grain

    def until(self, now: int) -> Course:
        """The step that `now` is in is the last one."""
        end = now - now % self.step + self.step
        return Course(self.grain, end - self.seconds, end, self.step)


WINDOWS = {
    "24h": Window(DAY, 10 * MINUTE, "10m", MINUTES),
    "7d": Window(7 * DAY, _HOUR, "1h", HOURS),
    "30d": Window(30 * DAY, 6 * _HOUR, "6h", HOURS),
    "90d": Window(90 * DAY, 12 * _HOUR, "12h", HOURS),
    "180d": Window(180 * DAY, DAY, "1d", DAYS),
    "365d": Window(365 * DAY, DAY, "1d", DAYS),
}
BREAKDOWNS: Mapping[str, By] = {
    "workspaces": "workspace_id",
    "repos": "repository_id",
    "buckets": "bucket_id",
    "nodes": "node_id",
    "providers": "bucket_id",
}

Text = Annotated[str | None, Query()]


@dataclass(frozen=True, slots=True)
class Asked:
    """What both kinds of answers are of."""

    scope: str
    scope_id: str
    window: str
    course: Course
    breadth: Breadth

    def meta(self) -> dict[str, Any]:
        named = {"scopeId": self.scope_id} if self.scope_id else {}
        return {"start": self.course.start, "end": self.course.end, "scope": self.scope, **named}

    def empty(self) -> dict[int, Metrics]:
        """Every step, with nothing in it."""
        return {time: Metrics() for time in range(self.course.start, self.course.end, self.course.step)}


@router.get("")
async def time_series(
    user: User,
    platform: Here,
    scope: Text = None,
    id: Text = None,
    window: Text = None,
    bucket_id: Annotated[str | None, Query(alias="bucketId")] = None,
    api_key_id: Annotated[str | None, Query(alias="apiKeyId")] = None,
) -> dict[str, Any]:
    """Every step of the window is in the series, whether anything moved or not."""
    bucket, key = given(bucket_id), given(api_key_id)
    async with platform.database.reading() as connection:
        asked = await _asked(connection, user, scope, id, window, platform.now_ms() // 1000, bucket=bucket, key=key)
        found = await series.steps(connection, asked.course, asked.breadth)
    points = asked.empty() | found
    filters = [{"type": kind, "id": one} for kind, one in (("bucket", bucket), ("apiKey", key)) if one]
    filtered = {"resourceFilter": filters[0]} if filters else {}
    return {
        "success": True,
        "meta": {**asked.meta(), "window": asked.window, "timeBucketSize": WINDOWS[asked.window].step_name, **filtered},
        "summary": _summary([metrics.moved for metrics in points.values()]),
        "series": _series(points),
    }


@router.get("/breakdown/{by}")
async def breakdown(
    by: str,
    user: User,
    platform: Here,
    scope: Text = None,
    id: Text = None,
    window: Text = None,
    include_series: Annotated[str | None, Query(alias="includeSeries")] = None,
    limit: Text = None,
    offset: Text = None,
) -> dict[str, Any]:
    if by not in BREAKDOWNS:
        raise NotFound("No such breakdown")
    first, most = _number("offset", offset, 0), min(_number("limit", limit, 100), _MOST_ENTITIES)
    async with platform.database.reading() as connection:
        asked = await _asked(connection, user, scope, id, window, platform.now_ms() // 1000)
        found = await series.entities(connection, asked.course, asked.breadth, BREAKDOWNS[by])
        known = await _known(connection, by, user.organisation_id)
    entities = _joined(found, known)
    ranked = sorted(entities.items(), key=lambda item: (-_total(item[1]).moved, item[0]))
    shows_series = given(include_series) in {"true", "1"}
    meta = {"breakdownBy": by, "includesSeries": shows_series, "limit": most, "offset": first}
    return {
        "success": True,
        "meta": {**asked.meta(), **meta, "totalEntities": len(ranked)},
        "summary": {"total": sum(_total(steps).moved for steps in entities.values())},
        "entities": [
            {
                "entityId": entity.id,
                **entity.told(),
                "totals": _metrics(_total(steps)),
                **({"series": _series(asked.empty() | steps)} if shows_series else {}),
            }
            for entity, steps in ranked[first : first + most]
        ],
    }


async def _asked(
    connection: AsyncConnection,
    user: Principal,
    scope: str | None,
    scope_id: str | None,
    window: str | None,
    now: int,
    *,
    bucket: str | None = None,
    key: str | None = None,
) -> Asked:
    """Raises BadRequest, and NotFound and Forbidden for what the caller may not see."""
    kind, wanted, name = given(scope) or "org", given(scope_id), given(window) or "24h"
    if name not in WINDOWS:
        raise BadRequest(f"window: one of {', '.join(WINDOWS)}")
    workspace_ids, repository_id = None, None
    match kind, wanted:
        case "org", None:
            workspace_ids = await access.readable(connection, user, None)
        case "org", user.organisation_id:
            workspace_ids = await access.readable(connection, user, None)
        case "org", _:
            raise NotFound("No such organisation", "NOT_FOUND")
        case "workspace" | "repo", None:
            raise BadRequest(f"id: needed for the scope {kind}")
        case "workspace", str(workspace_id):
            workspace_ids = await access.readable(connection, user, workspace_id)
        case "repo", str(asked_repository):
            repository_id = (await access.repository(connection, user, asked_repository, "READ")).id
        case _:
            raise BadRequest("scope: one of org, workspace, repo")
    breadth = Breadth(user.organisation_id, workspace_ids, repository_id, bucket, key)
    return Asked(kind, wanted or "", name, WINDOWS[name].until(now), breadth)


@dataclass(frozen=True, slots=True, order=True)
class Entity:
    """One line of a breakdown. A provider is a kind of storage at one cloud and endpoint."""

    id: str
    name: str = ""
    protocol: str = ""
    provider: str = ""
    endpoint: str = ""

    def told(self) -> dict[str, str]:
        words = {"entityName": self.name, "protocol": self.protocol, "provider": self.provider}
        return {word: value for word, value in {**words, "endpoint": self.endpoint}.items() if value}


async def _known(connection: AsyncConnection, by: str, organisation_id: str) -> dict[str, Entity]:
    """What ids of a breakdown stand for; those that are not in it were deleted."""
    if by == "workspaces":
        return {one.id: Entity(one.id, one.name) for one in await workspaces.of(connection, organisation_id)}
    if by == "repos":
        return {one.id: Entity(one.id, one.name) for one in await repositories.of(connection, organisation_id)}
    if by == "nodes":
        return {one.id: Entity(one.id, one.ip) for one in await nodes.living(connection, organisation_id, _PUBLIC)}
    keys = await providerkeys.of(connection, organisation_id)
    accounts = {one.id: Entity(one.id, one.description or one.provider) for one in keys}
    found = await buckets.of(connection, organisation_id)
    if by == "buckets":
        return accounts | {one.id: Entity(one.id, one.name) for one in found}
    clouds = {key.id: key.provider for key in keys}
    of_accounts = {key.id: _provider("", key.provider, key.endpoint) for key in keys}
    return of_accounts | {
        one.id: _provider(one.storage_type, providers.of_bucket(one, clouds), one.endpoint) for one in found
    }


def _provider(protocol: str, provider: str, endpoint: str) -> Entity:
    return Entity("|".join((protocol, provider, endpoint)), provider, protocol, provider, endpoint)


def _joined(
    found: Mapping[str, Mapping[int, Metrics]], known: Mapping[str, Entity]
) -> dict[Entity, dict[int, Metrics]]:
    joined: dict[Entity, dict[int, Metrics]] = {}
    for one, steps in found.items():
        entity = joined.setdefault(known.get(one, Entity(one)), {})
        for time, metrics in steps.items():
            entity[time] = entity.get(time, Metrics()) + metrics
    return joined


def _total(steps: Mapping[int, Metrics]) -> Metrics:
    return sum(steps.values(), Metrics())


def _series(points: Mapping[int, Metrics]) -> list[dict[str, Any]]:
    return [{"ts": time, **_metrics(points[time])} for time in sorted(points)]


def _metrics(metrics: Metrics) -> dict[str, Any]:
    return {
        "uplBytes": metrics.upload_bytes,
        "dwlBytes": metrics.download_bytes,
        "sizeChange": metrics.size_change,
        "latencyMs": round(metrics.latency_ms / metrics.requests, 3) if metrics.requests else 0,
        "requests": metrics.requests,
    }


def _summary(values: Iterable[int]) -> dict[str, float]:
    ordered = sorted(values)
    cuts = quantiles(ordered, n=10, method="inclusive")
    return {
        "total": sum(ordered),
        "avg": fmean(ordered),
        "stdDev": pstdev(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "p10": cuts[0],
        "p50": cuts[4],
        "p90": cuts[8],
    }


def _number(name: str, text: str | None, usual: int) -> int:
    value = given(text)
    if value is None:
        return usual
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise BadRequest(f"{name}: not a number")
    return int(value)
