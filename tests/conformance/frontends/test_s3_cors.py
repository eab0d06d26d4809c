"""Browsers of the configured origins may call, and nobody else's pages may read."""

from collections.abc import AsyncIterator

import pytest

from bridge_node.settings import Cors
from bridge_node.settings import Gateway as GatewaySettings
from tests.conformance.frontends.harness import Answer, Gateway, running

PAGE = "https://app.example.com"
CORS = Cors(origins=(PAGE, "https://*.example.org"), methods=("GET", "PUT"), headers=("x-amz-*", "Content-Type"))


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(settings=GatewaySettings(cors=CORS)) as fresh:
        yield fresh


async def preflight(gateway: Gateway, origin: str, method: str = "PUT", headers: str = "") -> Answer:
    fields = [("Origin", origin), ("Access-Control-Request-Method", method)]
    if headers:
        fields.append(("Access-Control-Request-Headers", headers))
    return await gateway.plain("OPTIONS", "/photos/k", None, fields)


@pytest.mark.parametrize("origin", [PAGE, "https://a.example.org", "https://a.b.example.org"])
async def test_a_preflight_of_a_configured_origin_is_granted(gateway: Gateway, origin: str) -> None:
    answer = await preflight(gateway, origin, headers="X-Amz-Date, content-type")
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == origin
    assert "PUT" in answer.headers["access-control-allow-methods"]
    assert answer.headers["access-control-allow-headers"] == "X-Amz-Date, content-type"
    assert answer.headers["access-control-max-age"] == "3600"
    assert "Origin" in answer.headers["vary"]


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://evil.example", "PUT", ""),
        ("http://app.example.com", "PUT", ""),
        ("https://app.example.com.evil.example", "PUT", ""),
        ("https://example.org", "PUT", ""),
        (PAGE, "DELETE", ""),
        (PAGE, "PUT", "Authorization"),
    ],
)
async def test_a_preflight_of_anybody_else_is_refused(gateway: Gateway, origin: str, method: str, headers: str) -> None:
    answer = await preflight(gateway, origin, method, headers)
    assert (answer.status, answer.code) == (403, "AccessDenied")
    if origin != PAGE:
        assert "access-control-allow-origin" not in answer.headers


async def test_options_without_an_origin_is_no_preflight(gateway: Gateway) -> None:
    assert (await gateway.plain("OPTIONS", "/photos/k")).status == 400


@pytest.mark.parametrize(("target", "status"), [("/photos/k", 200), ("/photos/missing", 404)])
async def test_answers_and_errors_may_be_read_by_configured_origins_only(
    gateway: Gateway, target: str, status: int
) -> None:
    await gateway.put("/photos/k")
    ours = await gateway.call("GET", target, headers=[("Origin", PAGE)])
    assert (ours.status, ours.headers["access-control-allow-origin"]) == (status, PAGE)
    assert "ETag" in ours.headers["access-control-expose-headers"]
    theirs = await gateway.call("GET", target, headers=[("Origin", "https://evil.example")])
    assert "access-control-allow-origin" not in theirs.headers
    for answer in (ours, theirs, await gateway.call("GET", target)):
        assert "Origin" in answer.headers["vary"]


async def test_without_configured_origins_there_is_no_cors() -> None:
    async with running() as gateway:
        assert (await preflight(gateway, PAGE)).status == 403
        answer = await gateway.call("GET", "/photos", headers=[("Origin", PAGE)])
        assert "vary" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
