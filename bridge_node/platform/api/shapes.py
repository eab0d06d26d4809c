"""Rows as clients read them, where several routes show the same (contract §§1 and 2). No secret is in any of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.repositories import Repository
from bridge_node.platform.tolerance import iso


def storage_bucket(
    bucket: Bucket, *, status: str = "", status_at: int | None = None, repos: Iterable[Repository] | None = None
) -> dict[str, Any]:
    """StorageBucket. What is empty is left out; `repos` only where the caller asked for them."""
    shown: dict[str, Any] = {
        "id": bucket.id,
        "name": bucket.name,
        "bucket": bucket.bucket,
        "storageType": bucket.storage_type,
        "createdAt": iso(bucket.created_at),
        "workspaceId": bucket.workspace_id,
        **_given(
            {
                "key": bucket.key,
                "endpoint": bucket.endpoint,
                "region": bucket.region,
                "projectId": bucket.project_id,
                "status": status,
                "walletAddress": bucket.wallet_address,
                "apiKeyId": bucket.provider_key_id,
            }
        ),
    }
    if status_at is not None:
        shown["lastStatusAt"] = iso(status_at)
    if repos is not None:
        shown["repos"] = [storage_repo_basic(repository) for repository in repos]
    return shown


def storage_repo_basic(repository: Repository) -> dict[str, Any]:
    """StorageRepoBasic: a repository as its buckets name it."""
    return {
        "id": repository.id,
        "name": repository.name,
        "storageType": repository.storage_type,
        "createdAt": iso(repository.created_at),
    }


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
