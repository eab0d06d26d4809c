"""The OpenAPI document: what a person reads at /docs, and a tool reads by itself."""

from typing import Any

import pytest

from bridge_node.platform.api.bucketbodies import NewBucket
from bridge_node.platform.api.repositories import NewRepository
from tests.platform.world import PlatformUnderTest

WITHOUT_TOKEN = {"nodes' own", "health"}


@pytest.fixture
async def document(here: PlatformUnderTest) -> dict[str, Any]:
    answer = await here.client.get("/openapi.json")
    described: dict[str, Any] = answer.json()
    return described


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_route_of_people_says_that_it_takes_a_bearer_token(document: dict[str, Any]) -> None:
    scheme = document["components"]["securitySchemes"]["Bearer"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for name, operation in operations(document):
        people = not WITHOUT_TOKEN & set(operation["tags"])
        assert operation.get("security") == ([{"Bearer": []}] if people else None), name


def test_every_tag_is_described(document: dict[str, Any]) -> None:
    used = {tag for _, operation in operations(document) for tag in operation["tags"]}
    assert used == {tag["name"] for tag in document["tags"]}


def test_examples_are_what_the_routes_take() -> None:
    for model in (NewBucket, NewRepository):
        (example,) = model.model_json_schema()["examples"]
        model.model_validate(example)
