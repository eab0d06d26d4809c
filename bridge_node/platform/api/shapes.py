"""Rows as clients read them, where several routes show the same (contract §§1 and 2). No secret is in any of them."""

from collections.abc import Iterable, Mapping
from typing import Any

from bridge_node.platform.store.attachments import Attachment
from bridge_node.platform.store.buckets import Bucket
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.repokeys import RepositoryKey
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


def storage_repository(
    repository: Repository, attached: Iterable[Attachment], keys: Iterable[RepositoryKey]
) -> dict[str, Any]:
    """Repo, under today's names and those of older clients."""
    parts = list(attached)
    return {
        **storage_repo_basic(repository),
        "mode": repository.mode,
        "workspaceId": repository.workspace_id,
        "buckets": [_part(one, "bucket") for one in parts],
        "units": [_part(one, "unit") for one in parts],
        "apiKeys": [repository_key(key) for key in keys],
        "disabled": repository.disabled,
        **_given({"walletAddress": repository.wallet_address}),
        **_extended(repository.options),
    }


def _part(one: Attachment, word: str) -> dict[str, Any]:
    """RepoBucketInfo; whole accounts are our extension."""
    target = one.target
    named: dict[str, Any] = {"apiKeyUuid": target.id, "account": True}
    if isinstance(target, Bucket):
        named = {"bucketId": target.id, "unitId": target.id, word: storage_bucket(target)}
    return {"folder": one.folder, "master": one.master, **named, **_extended(one.options)}


def repository_key(key: RepositoryKey) -> dict[str, Any]:
    """ApiKey; `lastUsedAt` and `buckets` are our extensions, there when there is something to tell."""
    shown: dict[str, Any] = {
        "id": key.id,
        "name": key.name,
        "accessType": "WRITE" if key.access == "READWRITE" else key.access,  # WRITE reads, too
        "key": key.key,
        "createdAt": iso(key.created_at),
    }
    if key.last_used_at is not None:
        shown["lastUsedAt"] = iso(key.last_used_at)
    if key.buckets is not None:
        shown["buckets"] = key.buckets
    return shown


def _extended(options: Mapping[str, Any]) -> dict[str, Any]:
    return {"options": dict(options)} if options else {}


def node_url(node: Node, domain: str) -> str:
    """Where a node is reached: as it said, else as nodes usually are called."""
    usual = "-".join(part.lower() for part in ("s3", node.region, node.provider) if part)
    return node.url or f"https://{usual}.{domain}"


def _given(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
