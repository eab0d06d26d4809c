"""Routes answer as the OpenAPI document says, whatever is asked: nothing breaks, and no status is a surprise."""

import asyncio
from collections.abc import Iterator
from typing import Any

import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase
from schemathesis import Case, GenerationMode
from schemathesis.core.result import Ok

from bridge_node.platform import amove
from bridge_node.platform.app import create_app
from bridge_node.platform.settings import PlatformLimits
from tests.platform import routes
from tests.platform.world import URL, PlatformUnderTest, running_platform

AnyCase = Case[Any]

CASES_OF_AN_OPERATION = 6
REAL = {"org_id": "org-1", "repo_id": "repo-1", "bucket_id": "bucket-1", "workspace_id": "ws-1", "user_id": "user-1"}
"""With ids that nobody has, most requests end early: half of them get one that somebody has."""
LIMITS = PlatformLimits(
    requests_per_second=100_000, bad_signatures_per_minute=50, connections=5, validation_seconds=0.1
)


async def document_of(here: PlatformUnderTest, room: str = "") -> dict[str, Any]:
    found: dict[str, Any] = (await here.client.get(f"{room}/openapi.json")).json()
    return found


def cases(document: dict[str, Any]) -> Iterator[AnyCase]:
    """Requests as the document allows them, and as it does not; those that delete come last."""
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    loaded = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(loaded) == sum(len(path) for path in document["paths"].values())
    for operation in sorted(loaded, key=lambda one: one.method.upper() == "DELETE"):
        named = {one.name: REAL[one.name] for one in operation.path_parameters if one.name in REAL}
        modes = [GenerationMode.POSITIVE]
        if operation.body or operation.query:
            modes.append(GenerationMode.NEGATIVE)
        for mode in modes:
            for fixed in ({}, named) if named else ({},):
                yield from drawn(operation.as_strategy(mode, path_parameters=fixed or None))


def drawn(strategy: Any) -> list[AnyCase]:
    """The same ones every time."""
    found: list[AnyCase] = []

    @hypothesis.settings(
        max_examples=CASES_OF_AN_OPERATION,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(strategy)
    def draw(case: AnyCase) -> None:
        found.append(case)

    draw()
    return found


def request(case: AnyCase, room: str = "") -> dict[str, Any]:
    """As httpx wants it: a body that is no JSON is content."""
    asked = case.as_transport_kwargs(base_url=URL + room)
    wanted = {name: asked[name] for name in ("method", "params", "json") if asked.get(name) is not None}
    if isinstance(asked.get("data"), str | bytes):
        wanted["content"] = asked["data"]
    return {**wanted, "path": asked["url"]}


async def test_no_request_breaks_a_route_or_has_an_answer_that_is_not_documented(
    database_url: str, tmp_path: Any
) -> None:
    settings = {"limits": LIMITS, "check_credentials": False}
    async with running_platform(database_url, tmp_path, **settings) as here:
        document = await document_of(here)
        surprises = []
        for case in await asyncio.to_thread(lambda: list(cases(document))):
            here.clock.now += 1
            asked = request(case)
            answer = await here.call(**asked)
            documented = document["paths"][case.operation.path][case.operation.method.lower()]["responses"]
            if answer.status_code >= 500 or str(answer.status_code) not in documented:
                surprises.append(f"{case.operation.label}: {answer.status_code} {answer.text} for {asked}")
        assert surprises == []


async def test_the_storage_api_knows_three_statuses_whatever_is_asked(database_url: str, tmp_path: Any) -> None:
    """Its contract documents 500 as well: that is for faults, and nothing here is one."""
    async with running_platform(database_url, tmp_path, limits=LIMITS) as here:
        document = await document_of(here, amove.PREFIX)
        surprises = []
        for case in await asyncio.to_thread(lambda: list(cases(document))):
            asked = request(case, amove.PREFIX)
            answer = await here.call(**asked)
            if answer.status_code not in {200, 401, 499}:
                surprises.append(f"{case.operation.label}: {answer.status_code} {answer.text} for {asked}")
        assert surprises == []


async def test_every_route_says_how_it_refuses_and_who_may_call_it(here: PlatformUnderTest) -> None:
    document = await document_of(here)
    for method, path, route in routes.every(await asyncio.to_thread(create_app, here.platform)):
        if not route.include_in_schema or path.startswith("/api/v1/"):
            continue
        said = document["paths"][path][method.lower()]
        assert {"200", "400", "401", "403", "404", "429", "503"} <= said["responses"].keys(), path
        assert "422" not in said["responses"]
        assert bool(said.get("security")) is routes.is_for_people(route), path


async def test_the_document_can_be_read_by_people(here: PlatformUnderTest) -> None:
    assert (await here.client.get("/docs")).status_code == 200
