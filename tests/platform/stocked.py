"""A store with one of everything, as the tests of documents and of `apply` need it."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from bridge_node.platform.models import organisations, workspaces
from bridge_node.platform.store import attachments, buckets, providerkeys, repokeys, repositories
from bridge_node.platform.store.nodes import Node
from bridge_node.platform.store.repokeys import Pair
from bridge_node.platform.vault import Vault

NOW = 1_770_000_000_000


@dataclass
class Stock:
    """Organisation `org` with bucket `own`, `media` through provider key `cloud`, and repository `repo` with a key."""

    connection: AsyncConnection
    vault: Vault = field(default_factory=lambda: Vault(b"m" * 32))

    async def organisation(self, name: str) -> None:
        await self.connection.execute(insert(organisations).values(id=name, name=name, created_at=NOW))
        row = insert(workspaces).values(id=f"{name}-ws", organisation_id=name, name="Main", created_at=NOW)
        await self.connection.execute(row)

    async def bucket(self, name: str, organisation: str = "org", **values: str) -> None:
        made = {"name": name, "bucket": f"{name}-eu", "storage_type": "S3", **values}
        await buckets.add(self.connection, self.vault, name, organisation, f"{organisation}-ws", NOW, **made)

    async def provider_key(self, name: str, organisation: str = "org", **values: str) -> None:
        made = {"provider": "AWS", "key": f"AK-{name}", "secret": f"{name}-secret", "description": name, **values}
        await providerkeys.add(self.connection, self.vault, name, organisation, f"{organisation}-ws", NOW, **made)

    async def repository(self, name: str, organisation: str = "org", **values: Any) -> None:
        made = {"name": name, "storage_type": "S3", "mode": "NORMAL", **values}
        await repositories.add(self.connection, self.vault, name, organisation, f"{organisation}-ws", NOW, **made)

    async def attach(self, repository: str, target: str, **values: Any) -> None:
        made: dict[str, Any] = {"bucket_id": target, "position": 0} | values
        await attachments.attach(self.connection, f"{repository}/{target}", repository, **made)

    async def key(self, name: str, repository: str, **values: Any) -> None:
        made: dict[str, Any] = {"name": name, "access": "WRITE"} | values
        pair = Pair(f"AK-{name}", f"{name}-secret")
        await repokeys.add(self.connection, self.vault, name, "org", repository, pair, NOW, **made)

    async def one_of_everything(self) -> None:
        await self.organisation("org")
        await self.provider_key("cloud", endpoint="https://cloud.example.com", region="eu-west-1")
        await self.bucket("media", provider_key_id="cloud")
        await self.bucket("own", key="AK-own", secret="own-secret", endpoint="https://own.example.com")
        await self.repository("repo", options={"unattached_sources": True})
        await self.attach("repo", "own", position=1, folder="/second")
        await self.attach("repo", "media", position=0)
        await self.key("ci", "repo", buckets=["own"])


def node(organisation: str = "org", node_id: str = "node-1") -> Node:
    said: dict[str, Any] = {"region": "", "version": "", "status": "", "provider": "", "url": "", "services": 1}
    return Node(
        id=node_id,
        organisation_id=organisation,
        ip=node_id,
        config_version=0,
        created_at=NOW,
        seen_at=NOW,
        unregistered_at=None,
        deleted_at=None,
        **said,
    )
