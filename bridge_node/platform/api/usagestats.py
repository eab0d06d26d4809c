"""What moved: by minutes and days, and since ever (contract §§1.6, 2, 8). Large numbers are written as strings."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from bridge_node.platform import access, spans
from bridge_node.platform.api import answers
from bridge_node.platform.auth import Principal
from bridge_node.platform.context import Platform
from bridge_node.platform.errors import BadRequest
from bridge_node.platform.requests import Here, User
from bridge_node.platform.spans import Span
from bridge_node.platform.store import usage
from bridge_node.platform.store.usage import Grain, Moved, Scope, Totals, Wanted
from bridge_node.platform.tolerance import listed

router = APIRouter(tags=["statistics"])

MOST_ROWS = 100_000

Ids = Annotated[list[str] | None, Query()]
RepoIds = Annotated[list[str] | None, Query(alias="repoId")]
BucketIds = Annotated[list[str] | None, Query(alias="bucketId")]
UnitIds = Annotated[list[str] | None, Query(alias="unitId")]
Start = Annotated[str | None, Query(alias="startDate")]
End = Annotated[str | None, Query(alias="endDate")]


@router.get("/stats/minute")
async def minute(
    user: User,
    platform: Here,
    start: Start = None,
    end: End = None,
    repo_id: RepoIds = None,
    bucket_id: BucketIds = None,
    unit_id: UnitIds = None,
    hosts: Ids = None,
) -> Response:
    """The last day's minutes, unless the caller says otherwise; more than 100,000 rows are refused."""
    span = spans.dated(start, end, now=_second(platform), usual=spans.DAY, size=spans.MINUTE)
    return await _rows(platform, user, usage.MINUTES, span, repo_id, [*(bucket_id or ()), *(unit_id or ())], hosts)


@router.get("/stats/daily")
async def daily(
    user: User,
    platform: Here,
    start: Start = None,
    end: End = None,
    repo_id: RepoIds = None,
    bucket_id: BucketIds = None,
    unit_id: UnitIds = None,
    hosts: Ids = None,
) -> Response:
    """The last thirty days, unless the caller says otherwise. The newest report is in it."""
    span = spans.dated(start, end, now=_second(platform), usual=30 * spans.DAY, size=spans.DAY)
    return await _rows(platform, user, usage.DAYS, span, repo_id, [*(bucket_id or ()), *(unit_id or ())], hosts)


@router.get("/repo/stats")
async def of_repositories(user: User, platform: Here, repo_id: RepoIds = None) -> dict[str, Any]:
    wanted = listed(repo_id)
    async with platform.database.reading() as connection:
        scope = Scope(user.organisation_id, await access.readable(connection, user, None))
        found = await usage.totals_of_repositories(connection, scope, wanted)
    return {"success": True, "stats": [{"repoId": one, **_bytes(totals)} for one, totals in found.items()]}


@router.get("/bucket/stats")
async def of_buckets(
    user: User, platform: Here, bucket_id: BucketIds = None, unit_id: UnitIds = None
) -> dict[str, Any]:
    wanted = listed([*(bucket_id or ()), *(unit_id or ())])
    async with platform.database.reading() as connection:
        scope = Scope(user.organisation_id, await access.readable(connection, user, None))
        found = await usage.totals_of_buckets(connection, scope, wanted)
    return {
        "success": True,
        "stats": [
            {"bucketId": one, "unitId": one, "totalCount": str(totals.requests), **_bytes(totals)}
            for one, totals in found.items()
        ],
    }


def _bytes(totals: Totals) -> dict[str, str]:
    return {
        "totalUploadBytes": str(totals.upload_bytes),
        "totalDownloadBytes": str(totals.download_bytes),
        "totalSizeChange": str(totals.size_change),
    }


async def _rows(
    platform: Platform,
    user: Principal,
    grain: Grain,
    span: Span,
    repo_id: Sequence[str] | None,
    bucket_id: Sequence[str],
    hosts: Sequence[str] | None,
) -> Response:
    ids = {"repository_ids": listed(repo_id), "bucket_ids": listed(bucket_id), "hosts": listed(hosts)}
    async with platform.database.reading() as connection:
        scope = Scope(user.organisation_id, await access.readable(connection, user, None))
        found = await usage.moved(connection, grain, Wanted(scope, span.start, span.end, **ids), MOST_ROWS + 1)
    if len(found) > MOST_ROWS:
        raise BadRequest(f"More than {MOST_ROWS:,} rows: ask for a shorter time, or for fewer buckets")
    return await answers.rows(found, _row)


def _row(moved: Moved) -> dict[str, Any]:
    return {
        "timestamp": moved.time,
        "repoId": moved.repository_id,
        "bucketId": moved.bucket_id,
        "unitId": moved.bucket_id,
        "upl_bytes": str(moved.upload_bytes),
        "dwl_bytes": str(moved.download_bytes),
        "size_change": str(moved.size_change),
        "latency_ms": round(moved.latency_ms / moved.requests, 3) if moved.requests else 0,
        "host": moved.host,
    }


def _second(platform: Platform) -> int:
    return platform.now_ms() // 1000
