"""Somebody of one organisation tries every route with every id of another, and finds nothing (contract §0.2).

The routes are the application's own: one that comes to be is tried, too, or fails here until it is known what to fill
in. What is tried with an id of the other organisation is tried with one that never was: both have the same answer.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import AliasChoices, BaseModel
from sqlalchemy import insert, select

from bridge_node.platform import models
from bridge_node.platform.app import create_app
from bridge_node.platform.settings import PlatformLimits
from tests.platform import routes
from tests.platform.world import PlatformUnderTest, running_platform

OWN, THEIRS = "2", "1"
NOBODYS = "nowhere"

KINDS = {
    "organisation": "org",
    "workspace": "ws",
    "user": "user",
    "bucket": "bucket",
    "repository": "repo",
    "repository key": "key",
    "provider key": "pk",
    "link": "link",
    "organisation key": "ok",
    "node": "node",
    "cloud account": "acc",
    "storage key": "00000000-0000-7000-8000-00000000000",
    "event": "",
}
"""How ids of each kind begin; those of organisation N end in `-N`, those that have to be UUIDs in `N`."""

IN_PATHS = {
    "org_id": "organisation",
    "workspace_id": "workspace",
    "user_id": "user",
    "bucket_id": "bucket",
    "repo_id": "repository",
    "link_id": "link",
    "node_id": "node",
    "/repo key_id": "repository key",
    "/apikeys key_id": "provider key",
    "/organization key_id": "organisation key",
}

VALUES: dict[str, Any] = {
    # ids, in queries and bodies
    "workspaceId": "{workspace}",
    "repoId": "{repository}",
    "bucketId": "{bucket}",
    "unitId": "{bucket}",
    "apiKeyUuid": "{provider key}",
    "apiKeyId": "{provider key}",
    "userId": "{user}",
    "contextId": "{bucket}",
    "repoBuckets": [{"bucketId": "{bucket}"}, {"apiKeyUuid": "{provider key}", "account": True}],
    "buckets": ["{bucket}"],
    "id": "{event}",
    "ids": ["{event}"],
    # everything else that has to be there
    "name": "New",
    "bucket": "new",
    "storageType": "S3",
    "mode": "NORMAL",
    "key": "AK",
    "secret": "secret",
    "endpoint": "https://127.0.0.1:9",
    "provider": "AWS",
    "accessType": "READ",
    "role": "READ",
    "day": "2026-02-02",
    "cloudAccountId": "{cloud account}",
    "cloudaccountid": "{cloud account}",
    "/cloudaccount id": "{cloud account}",
    "/storage id": "{storage key}",
    "/v2 id": "{repository}",
    "scope": "repo",
    "window": "24h",
    "by": "buckets",
    "nodeServices": "0",
    "bucketName": "new",
    "bucketname": "new",
    "region": "eu-west-1",
    "storageDn": "storage.example.com",
    "permission": 0,
    "capability": "1",
}
ALSO_WITHOUT = {
    "walletAddress", "startDate", "endDate", "hosts", "provider",
    "page", "pagesize", "sortfield", "sortdescending", "sortorder", "descending",
    "limit", "offset", "includeSeries",
}  # fmt: skip
"""Query parameters that name nobody's row."""

SIGNED_BY_NODES = {
    "/register", "/unregister", "/status", "/node/status", "/nodestatus", "/secrets", "/node/config", "/node/result",
}  # fmt: skip
FOR_EVERYBODY = {"/health"}


@dataclass(frozen=True)
class Call:
    """`slots` are the kinds of ids in it, in order."""

    method: str
    path: str
    query: dict[str, Any]
    body: Any
    slots: tuple[str, ...]

    def filled(self, choose: Callable[[int, str], str | int]) -> tuple[str, dict[str, Any], Any]:
        """Path, query and body, with the id that `choose` gives to each slot."""
        numbers = iter(range(len(self.slots)))

        def put(value: Any) -> Any:
            if isinstance(value, dict):
                return {name: put(one) for name, one in value.items()}
            if isinstance(value, list):
                return [put(one) for one in value]
            match = re.fullmatch(r"\{([a-z ]+)\}", value) if isinstance(value, str) else None
            return choose(next(numbers), match[1]) if match else value

        path = "/".join(str(put(part)) for part in self.path.split("/"))
        return path, put(self.query), put(self.body)


def prepared(method: str, path: str, route: APIRoute) -> Call:
    """A call of a route that would do something; fails where it is not known what to fill in."""
    path = re.sub(r"\{(\w+)\}", lambda match: _in_path(route, match[1]), path)
    query = {
        field.alias: _value(field.alias, route)
        for field in route.dependant.query_params
        if field.alias not in ALSO_WITHOUT
    }
    body = _body(route)
    slots = re.findall(r"\{([a-z ]+)\}", f"{path} {query} {body}")
    return Call(method, path, query, body, tuple(slots))


def _in_path(route: APIRoute, name: str) -> str:
    """A word that the path may have there, or the kind of the id."""
    if name in VALUES:
        return str(VALUES[name])
    kind = IN_PATHS.get(name) or IN_PATHS.get(f"{_family(route)} {name}")
    assert kind, f"{route.path}: say in IN_PATHS what {name} is an id of"
    return "{" + kind + "}"


def _family(route: APIRoute) -> str:
    return "/" + route.path.split("/")[1]


def _value(name: str, route: APIRoute) -> Any:
    found = VALUES.get(f"{_family(route)} {name}", VALUES.get(name))
    assert found is not None, f"{route.path}: say in VALUES what {name} may be"
    return found


def _body(route: APIRoute) -> Any:
    """Everything that the body may hold and VALUES knows."""
    if route.body_field is None:
        return None
    model = _model(route.body_field.field_info.annotation)
    names = {_wire_name(name, field): field.is_required() for name, field in model.model_fields.items()}
    return {name: _value(name, route) for name, needed in names.items() if needed or name in VALUES}


def _model(annotation: Any) -> type[BaseModel]:
    choices = [annotation, *getattr(annotation, "__args__", ())]
    return next(one for one in choices if isinstance(one, type) and issubclass(one, BaseModel))


def _wire_name(name: str, field: Any) -> str:
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        alias = next(one for one in alias.choices if isinstance(one, str))
    return alias or name


def identified(kind: str, owner: str) -> str:
    if kind == "storage key":
        return KINDS[kind] + (owner if owner != NOBODYS else "0")
    return owner if owner == NOBODYS else f"{KINDS[kind]}-{owner}"


def attacks(call: Call, events: dict[str, int]) -> Iterator[tuple[Any, Any]]:
    """Each id of another organisation by itself among ids of one's own, and all of them; with what never was beside."""

    def chooser(strangers: Callable[[int], bool], whose: str) -> Callable[[int, str], str | int]:
        def choose(number: int, kind: str) -> str | int:
            owner = whose if strangers(number) else OWN
            if kind == "event":
                return events[owner]
            return identified(kind, owner)

        return choose

    one_each = [lambda number, wanted=wanted: number == wanted for wanted in range(len(call.slots))]
    for strangers in (*one_each, lambda number: True):
        yield call.filled(chooser(strangers, THEIRS)), call.filled(chooser(strangers, NOBODYS))


@pytest.fixture
async def both(database_url: str, tmp_path: Path) -> AsyncIterator[PlatformUnderTest]:
    """Two organisations with one of everything each."""
    limits = PlatformLimits(requests_per_second=100_000, validations_per_minute=100_000, connections=5)
    async with running_platform(database_url, tmp_path, limits=limits) as here:
        for number in (OWN, THEIRS):
            await here.change(*_everything(number))
        member = {"workspace_id": f"ws-{OWN}", "user_id": f"user-{OWN}", "access": "READ"}  # the others have theirs
        await here.change(insert(models.members).values(member))
        yield here


def _everything(number: str) -> Iterator[Any]:
    """What `populate` leaves out."""
    mine = {"organisation_id": f"org-{number}", "created_at": 1}
    at, bucket, node = {"minute": 1_769_999_940}, f"bucket-{number}", f"node-{number}"
    key = {"id": f"pk-{number}", "workspace_id": f"ws-{number}", "provider": "AWS", "key": f"AKCLOUD{number}", **mine}
    both = {"repository_id": f"repo-{number}", "provider_key_id": f"pk-{number}", "created_at": 1}
    yield insert(models.provider_keys).values(key)
    yield insert(models.repository_provider_keys).values(id=f"link-{number}", **both)
    yield insert(models.organisation_keys).values(id=f"ok-{number}", public_key=f"PUBLIC-{number}", **mine)
    yield insert(models.nodes).values(id=node, ip=f"ip-of-{node}", seen_at=1, **mine)
    yield insert(models.node_buckets).values(bucket_id=bucket, node_id=node, status="ONLINE", reported_at=1)
    yield insert(models.node_status_minutes).values(bucket_id=bucket, node_id=node, status="ONLINE", **at)
    moved = {"repository_id": f"repo-{number}", "key_id": f"key-{number}", "protocol": "s3", "host": f"host-{number}"}
    yield insert(models.usage_minutes).values(bucket_id=bucket, node_id=node, **moved, **at)
    hidden = {"id": f"hidden-{number}", "name": f"hidden-{number}", "workspace_id": f"ws-{number}", **mine}
    yield insert(models.repositories).values(storage_type="S3", mode="NORMAL", token_key_sealed=b"", **hidden)
    yield insert(models.provider_keys).values({**key, "id": f"acc-{number}"})
    owned = {"user_id": f"owner-{number}", **mine}
    account = {"provider_key_id": f"acc-{number}", "repository_id": f"hidden-{number}", **owned}
    yield insert(models.cloud_accounts).values(account)
    opens = {"id": identified("storage key", number), "repository_id": f"hidden-{number}", "access": "READ", **mine}
    yield insert(models.repository_keys).values(key=f"FBAK{number}-stored", **opens)
    yield insert(models.storage_keys).values(repository_key_id=opens["id"], access_key=f"FBAK{number}-stored", **owned)
    told = {"context": 1, "context_id": bucket, "event": 0, "user_id": f"owner-{number}", "at": 1}
    yield insert(models.audit_events).values(organisation_id=f"org-{number}", workspace_id=f"ws-{number}", **told)


async def _rows_of(here: PlatformUnderTest, number: str) -> set[str]:
    """Every row that names something of an organisation."""
    names = {identified(kind, number) for kind in KINDS}
    found = set()
    for table in models.metadata.sorted_tables:
        if table is not models.changes:
            rows = await here.rows(select(table))
            found |= {f"{table.name} {tuple(row)}" for row in rows if names.intersection(map(str, row))}
    return found


async def _routes(here: PlatformUnderTest) -> list[tuple[str, str, APIRoute]]:
    return routes.every(await asyncio.to_thread(create_app, here.platform))


async def _told(here: PlatformUnderTest, method: str, filled: tuple[str, dict[str, Any], Any]) -> httpx.Response:
    path, query, body = filled
    return await here.call(
        method, path, user=f"owner-{OWN}", organisation=f"org-{OWN}", params=query or None, json=body
    )


_BEGINNINGS = "|".join([*filter(str.isalpha, KINDS.values()), "hidden", "owner", "admin", "host", "PUBLIC"])
_WHOLE = [identified("storage key", THEIRS), f"FBAK{THEIRS}", f"AKCLOUD{THEIRS}", f"Organisation {THEIRS}"]
TRACE = re.compile(rf"\b(?:{_BEGINNINGS})-{THEIRS}\b|{'|'.join(_WHOLE)}")
BY_CONTRACT = {"ACCESS": ["No right to this cloud account"]}
"""What the storage API answers of another organisation's account, where it says NOT_FOUND of none: its contract's
guard asks for both words."""


async def test_every_route_answers_for_strangers_ids_as_for_none(both: PlatformUnderTest) -> None:
    rows = await both.rows(select(models.audit_events.c.id, models.audit_events.c.organisation_id))
    events = {row.organisation_id.removeprefix("org-"): row.id for row in rows} | {NOBODYS: 10**9}
    before = await _rows_of(both, THEIRS)
    tried: set[str] = set()
    for method, path, route in await _routes(both):
        if not routes.is_for_people(route):
            assert path in SIGNED_BY_NODES | FOR_EVERYBODY, f"{path}: who may call it?"
            continue
        call = prepared(method, path, route)
        for theirs, nobodys in attacks(call, events):
            found, nothing = await _told(both, method, theirs), await _told(both, method, nobodys)
            what = f"{method} {theirs}: {found.status_code} {found.text}"
            answered = _without(TRACE.findall(str(theirs)), found.text)  # an id that was sent may be echoed
            assert found.status_code < 500, what
            assert not TRACE.search(answered), what
            if call.slots and not _is_by_contract(path, found):
                assert (found.status_code, _steady(answered)) == (nothing.status_code, _steady(nothing.text)), what
            if "{" in call.path and THEIRS in re.findall(r"-(\d)\b", theirs[0]):
                assert not found.is_success or found.json()["success"] is False, what
            tried.add(path)
        assert await _rows_of(both, THEIRS) == before, f"{method} {path}"
    assert tried > {"/repo/{repo_id}", "/unit/{bucket_id}", "/api/v1/storage/delete_storage_key"}


def _is_by_contract(path: str, answer: httpx.Response) -> bool:
    return path.startswith("/api/v1/") and answer.status_code == 499 and answer.json()["errors"] == BY_CONTRACT


def _without(sent: list[str], text: str) -> str:
    """A text with nobody's id in place of those that were sent."""
    for one in sent:
        text = text.replace(f'"{one}"', f'"{NOBODYS}"')
    return text


def _steady(text: str) -> str:
    """An answer without what is new in each."""
    return re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id", text)


async def test_the_probe_would_notice(both: PlatformUnderTest) -> None:
    """It finds what is its own, by the same routes: so its calls are well formed."""
    found = set()
    for method, path, route in await _routes(both):
        if method == "GET" and routes.is_for_people(route):
            filled = prepared(method, path, route).filled(lambda _, kind: identified(kind, OWN))
            answer = await _told(both, method, filled)
            assert answer.status_code == 200, f"{filled}: {answer.text}"
            found |= {kind for kind in KINDS.keys() - {"event"} if identified(kind, OWN) in answer.text}
    assert found == KINDS.keys() - {"event"}
