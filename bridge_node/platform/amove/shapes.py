"""What this API answers with (contract §0.2), and pages of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bridge_node.platform.store.cloudaccounts import CloudAccount
from bridge_node.platform.store.providerkeys import ProviderKey
from bridge_node.platform.store.storagekeys import StorageKey

_CLOUD_TYPES = {"AWS": 1, "WASABI": 2, "AZURE": 4, "GCP": 16}
_GENERIC_S3 = 8


@dataclass(frozen=True, slots=True)
class Paging:
    """A page as it was asked for: numbers begin with 1, and a size of 0 means everything."""

    page: int
    size: int
    field: str
    descending: bool

    @property
    def skip(self) -> int:
        return (max(self.page, 1) - 1) * self.take if self.take else 0

    @property
    def take(self) -> int | None:
        return self.size or None

    def collection(self, data: list[dict[str, Any]], total: int) -> dict[str, Any]:
        """`DTOCollection`."""
        sort = [{"field": self.field, "descending": self.descending}]
        return {
            "data": data,
            "total": total,
            "options": {"pageSize": self.size, "page": max(self.page, 1), "sort": sort},
        }


def storage_key(key: StorageKey) -> dict[str, Any]:
    """`StorageApiKey`."""
    return {
        "id": key.repository_key_id,
        "userId": key.user_id,
        "accountId": key.organisation_id,
        "name": key.name,
        "accessKey": key.access_key,
        "description": key.description,
        "region": key.region,
        "storageDn": key.storage_dn,
        "storageTier": key.storage_tier,
        "createDate": _date(key.created_at),
    }


def cloud_account(account: CloudAccount, key: ProviderKey) -> dict[str, Any]:
    """`CloudAccount`."""
    return {
        "id": account.provider_key_id,
        "accountId": account.organisation_id,
        "userId": account.user_id,
        "cloudType": _CLOUD_TYPES.get(key.provider, _GENERIC_S3),
        "name": account.name,
        "serviceUrl": key.endpoint,
        "active": account.active,
        "shared": account.shared,
        "internalStorage": account.internal_storage,
        "storageTier": account.storage_tier,
    }


def _date(milliseconds: int) -> str:
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
