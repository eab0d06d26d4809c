"""How well nodes reached buckets, day by day: `/stats/nodes/daily` and a bucket's own (contract §§1.5, 7, 9.7)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform import access, providers, spans
from bridge_node.platform.api import answers
from bridge_node.platform.api.shapes import node_url
from bridge_node.platform.auth import Principal
from bridge_node.platform.context import Platform
from bridge_node.platform.liveness import status_of
from bridge_node.platform.requests import Here, User
from bridge_node.platform.spans import Span
from bridge_node.platform.store import buckets, nodes, providerkeys, stats, uptime
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.stats import Newest
from bridge_node.platform.store.uptime import NodeDay
from bridge_node.platform.tolerance import iso, listed

router = APIRouter(tags=["statistics"])

_PUBLIC = ""
_API_WORDS = ("s3-", "gcs-", "blob-")


class DayOfBucket(BaseModel):
    day: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A day with what it is about."""

    day: NodeDay
    bucket: Bucket
    node: Node
    newest: Newest | None
    now: int
    """Milliseconds."""

    @property
    def is_today(self) -> bool:
        return self.day.day <= self.now // 1000 < self.day.day + spans.DAY

    @property
    def uptime(self) -> float:
        since = max(self.node.created_at, self.bucket.created_at) // 1000
        return round(self.day.uptime(since, self.now // 1000), 3)

    @property
    def status(self) -> str:
        """What the node said last on that day; of today, only while it is fresh."""
        if not self.is_today or self.newest is None:
            return self.day.last_status
        return status_of(self.newest, self.now)

    @property
    def at(self) -> int:
        return self.newest.reported_at if self.is_today and self.newest else self.day.last_minute * 1000


@router.get("/stats/nodes/daily")
async def daily(
    user: User,
    platform: Here,
    bucket_id: Annotated[list[str] | None, Query(alias="bucketId")] = None,
    unit_id: Annotated[list[str] | None, Query(alias="unitId")] = None,
    start: Annotated[str | None, Query(alias="startDate")] = None,
    end: Annotated[str | None, Query(alias="endDate")] = None,
) -> Response:
    """The last thirty days, unless the caller says otherwise. `data` is always there: clients walk it unasked."""
    wanted = listed([*(bucket_id or ()), *(unit_id or ())])
    span = spans.ddmmyyyy(start, end, now=platform.now_ms() // 1000, usual=30 * spans.DAY)
    async with platform.database.reading() as connection:
        workspaces = await access.readable(connection, user, None)
        visible = await buckets.of(connection, user.organisation_id, workspaces)
        asked = [one for one in visible if wanted is None or one.id in wanted]
        seen = await _seen(connection, platform, user, asked, span)
        keys = {key.id: key.provider for key in await providerkeys.of(connection, user.organisation_id)}
    return await answers.rows(seen, lambda one: _daily(one, keys))


@router.post("/bucket/{bucket_id}/stats")
async def of_bucket(bucket_id: str, wanted: DayOfBucket, user: User, platform: Here) -> dict[str, Any]:
    span = spans.day(wanted.day)
    async with platform.database.reading() as connection:
        bucket = await access.bucket(connection, user, bucket_id, "READ")
        seen = await _seen(connection, platform, user, [bucket], span)
    return {"success": True, "nodeStats": [_of_day(one, platform.settings.node_domain) for one in seen]}


async def _seen(
    connection: AsyncConnection, platform: Platform, user: Principal, asked: Sequence[Bucket], span: Span
) -> list[Seen]:
    """By nodes of the organisation and public ones, deleted nodes left out."""
    now, of_id = platform.now_ms(), {bucket.id: bucket for bucket in asked}
    known = {node.id: node for node in await nodes.living(connection, user.organisation_id, _PUBLIC)}
    newest: dict[tuple[str, str], Newest] = {}
    if span.start <= now // 1000 < span.end:
        reports = await stats.newest(connection, user.organisation_id, None, list(of_id))
        newest = {(one.bucket_id, one.node_id): one for one in reports}
    found = await uptime.days(connection, list(of_id), span.start, span.end)
    return [
        Seen(day, of_id[day.bucket_id], known[day.node_id], newest.get((day.bucket_id, day.node_id)), now)
        for day in found
        if day.node_id in known
    ]


def _daily(seen: Seen, provider_of_key: Mapping[str, str]) -> dict[str, Any]:
    bucket, node = seen.bucket, seen.node
    return {
        "nodeId": node.id,
        "bucketId": bucket.id,
        "unitId": bucket.id,
        "day": seen.day.day,
        "online": seen.uptime,
        "latency_ms": round(seen.day.average_ms, 3),
        "endpoint": bucket.endpoint,
        "region": bucket.region or node.region,
        "storageType": bucket.storage_type,
        "provider": providers.of_bucket(bucket, provider_of_key),
        "status": seen.status,
        "version": node.version,
    }


def _of_day(seen: Seen, domain: str) -> dict[str, Any]:
    latest = seen.newest.latency_ms if seen.is_today and seen.newest else seen.day.last_latency_ms
    return {
        "ip": seen.node.ip,
        "host": _pattern(node_url(seen.node, domain)),
        "perc_uptime": seen.uptime,
        "avg_latency_ms": round(seen.day.average_ms, 3),
        "version": seen.node.version,
        "node_status": seen.status,
        "last_updated": iso(seen.at),
        "last_latency_ms": latest if latest is not None else 0,
    }


def _pattern(url: str) -> str:
    """The host of a node, with `*` for the API's word."""
    host = urlsplit(url).hostname or ""
    word = next((word for word in _API_WORDS if host.startswith(word)), None)
    return f"*-{host.removeprefix(word)}" if word else host
