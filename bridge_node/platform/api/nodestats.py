"""`GET /stats/nodes/minute`: what each node last said about each bucket (contract §§7, 9.7)."""

from typing import Annotated, Any

from fastapi import APIRouter, Query

from bridge_node.platform.liveness import status_of
from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import stats
from bridge_node.platform.store.stats import Newest
from bridge_node.platform.tolerance import iso, listed

router = APIRouter(prefix="/stats/nodes", tags=["statistics"])


@router.get("/minute")
async def minute(
    user: User,
    platform: Here,
    bucket_id: Annotated[list[str] | None, Query(alias="bucketId")] = None,
    unit_id: Annotated[list[str] | None, Query(alias="unitId")] = None,
) -> dict[str, Any]:
    """`data` is always there: clients walk it unasked."""
    wanted = listed([*(bucket_id or ()), *(unit_id or ())])
    member = None if user.sees_every_workspace else user.user_id
    async with platform.database.reading() as connection:
        found = await stats.newest(connection, user.organisation_id, member, wanted)
    return {"success": True, "data": [_row(newest, platform.now_ms()) for newest in found]}


def _row(newest: Newest, now: int) -> dict[str, Any]:
    return {
        "nodeId": newest.node_id,
        "bucketId": newest.bucket_id,
        "unitId": newest.bucket_id,
        "nodeStatus": status_of(newest, now),
        "lastUpdated": iso(newest.reported_at),
        "latency_ms": newest.latency_ms if newest.latency_ms is not None else 0,
        "latencyMs": newest.latency_ms if newest.latency_ms is not None else 0,
    }
