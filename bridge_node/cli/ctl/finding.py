"""People say names where the API wants ids: what is meant, found in a listing."""

from collections.abc import Sequence
from typing import Any

from bridge_node.cli.ctl.client import Client

Item = dict[str, Any]


class NotOne(Exception):
    """Nothing is called so, or several are."""


def one(kind: str, wanted: str, items: Sequence[Item], name: str = "name") -> Item:
    """The one with this id, else the only one with this name. Raises NotOne."""
    for item in items:
        if item["id"] == wanted:
            return item
    match [item for item in items if item.get(name) == wanted]:
        case [found]:
            return found
        case []:
            raise NotOne(f"there is no {kind} {wanted}")
    raise NotOne(f"several are called {wanted}: say which {kind} by its id")


def workspace(client: Client, wanted: str) -> str:
    """The id of a workspace; that of the only one when none is named. Raises NotOne."""
    items = client.get("/workspace")["workspaces"]
    if wanted:
        return str(one("workspace", wanted, items)["id"])
    if len(items) == 1:
        return str(items[0]["id"])
    raise NotOne("say which --workspace: " + (", ".join(sorted(item["name"] for item in items)) or "there is none"))


def maybe_workspace(client: Client, wanted: str) -> str | None:
    """None when none is named."""
    return workspace(client, wanted) if wanted else None


def bucket(client: Client, wanted: str) -> Item:
    return one("bucket", wanted, client.get("/bucket")["buckets"])


def repository(client: Client, wanted: str) -> Item:
    return one("repository", wanted, client.get("/repo")["repos"])


def provider_key(client: Client, wanted: str) -> Item:
    """By its id or its description."""
    return one("API key", wanted, client.get("/apikeys")["apiKeys"], "description")
