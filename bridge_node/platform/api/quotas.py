"""What an organisation has of what is limited, and how much it may have (contract §0.7)."""

from typing import Any

from fastapi import APIRouter

from bridge_node.platform.requests import Here, User
from bridge_node.platform.store import quotas

router = APIRouter(prefix="/user/quota", tags=["quotas"])

_SUBSCRIPTION = {"id": "operator", "name": "Operator", "description": "Limits that this platform's operator has set"}


@router.get("")
async def usage(user: User, platform: Here) -> dict[str, Any]:
    limits = platform.settings.limits
    async with platform.database.reading() as connection:
        used = await quotas.used(connection, user.organisation_id)
    return {
        "success": True,
        "subscription": _SUBSCRIPTION,
        "quotaUsage": [
            _item("BUCKETS", "Buckets of the organisation", used.buckets, limits.buckets),
            _item("REPOS", "Repositories of the organisation", used.repositories, limits.repositories),
            _item("ORGKEYS", "Keys of the organisation", used.organisation_keys, limits.organisation_keys),
        ],
    }


def _item(code: str, description: str, current: int, most: int) -> dict[str, Any]:
    capability = {"id": code, "code": code, "description": description, "type": "COUNT", "periodType": "ALL_TIME"}
    usage = {"current": current, "max": most, "percentage": round(100 * current / most, 2)}
    return {"capability": capability, "usage": usage}
