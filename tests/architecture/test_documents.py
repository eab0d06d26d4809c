"""Documents that would mislead when they fall behind the code."""

import re
from pathlib import Path

from fastapi.routing import APIRoute

from bridge_node import operations
from bridge_node.operations import Access, Operation
from bridge_node.platform import amove
from bridge_node.platform.app import ROUTERS

ROOT = Path(__file__).parents[2]
BASES = {"Operation", "BucketOperation", "ObjectOperation", "UploadOperation"}


def _leaves(base: type[Operation]) -> dict[str, type[Operation]]:
    found = {base.__name__: base} if base.__module__ == operations.__name__ and base.__name__ not in BASES else {}
    for child in base.__subclasses__():
        found |= _leaves(child)
    return found


def test_the_table_of_operations_names_each_with_the_access_that_it_needs() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    documented = dict(re.findall(r"^\| (\w+) \| .* \| (READ|WRITE|ADMIN) \|$", text, re.MULTILINE))
    assert documented == {name: operation.access.name for name, operation in _leaves(Operation).items()}
    assert set(documented.values()) <= set(Access.__members__)


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    dead = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert dead == []


def test_the_table_of_endpoints_names_every_route_and_tests_that_there_are() -> None:
    text = (ROOT / "docs" / "endpoints.md").read_text()
    routes = {
        f"{method} {prefix}{re.sub(r'{[^}]*}', '{}', route.path)}"
        for prefix, routers in (("", ROUTERS), (amove.PREFIX, amove.ROUTERS))
        for router in routers
        for route in router.routes
        if isinstance(route, APIRoute) and route.include_in_schema
        for method in route.methods or ()
    }
    named = {re.sub(r"{[^}]*}", "{}", row) for row in re.findall(r"^\| `([A-Z]+ /\S*)` \|", text, re.MULTILINE)}
    assert named == routes
    missing = [name for name in re.findall(r"`(\S+\.py::\w+)`", text) if not _is_a_test(name)]
    assert missing == []


def _is_a_test(name: str) -> bool:
    file, _, function = name.partition("::")
    path = ROOT / "tests" / (file if "/" in file else f"platform/{file}")
    return path.exists() and re.search(rf"^(async )?def {function}\(", path.read_text(), re.MULTILINE) is not None
