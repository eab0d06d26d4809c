"""What a platform counts about itself, as Prometheus reads it."""

import asyncio
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from bridge_node.platform.figures import Figures, served
from bridge_node.platform.settings import Metrics
from tests.node import ROOT
from tests.platform.world import PlatformUnderTest, VendorNode
from tests.servers import free_ports


def samples(here: PlatformUnderTest) -> dict[tuple[str, ...], float]:
    """Every sample that has a value, by its name and its labels' values."""
    found = (one for family in here.platform.figures.registry.collect() for one in family.samples)
    return {(one.name, *one.labels.values()): one.value for one in found if one.value}


async def test_calls_are_counted_by_route_and_not_by_what_they_name(here: PlatformUnderTest) -> None:
    for repository in "one", "two":
        await here.call("GET", f"/repo/{repository}/apikey")
    await here.call("GET", "/nothing/here")
    await here.client.request("BREW", "/node")
    await here.call("GET", "/api/v1/storage/get_storage_key")
    found = samples(here)
    assert found["bridge_platform_requests_total", "GET", "/repo/{repo_id}/apikey", "404"] == 2
    assert found["bridge_platform_requests_total", "GET", "other", "404"] == 1
    assert found["bridge_platform_requests_total", "GET", "/api/v1", "200"] == 1
    assert found["bridge_platform_request_seconds_count", "/repo/{repo_id}/apikey"] == 2
    assert not [labels for labels in found if "BREW" in labels]


async def test_nodes_that_are_not_believed_are_counted(here: PlatformUnderTest) -> None:
    node = VendorNode(here, await here.new_key())
    assert (await node.post("/register", version="1", status="up", signature="bm8=")).status_code == 400
    assert samples(here)["bridge_platform_node_calls_refused_total", "/register"] == 1


async def test_rows_that_are_none_of_a_nodes_business_are_counted(here: PlatformUnderTest) -> None:
    node = VendorNode(here, await here.new_key())
    await node.register()
    here.clock.now += 1
    moment = "2026-02-02T02:40:00.000Z"
    row = {"unitId": "of-nobody", "status": "ONLINE", "latencyMs": 3, "createdAt": moment}
    assert (await node.post("/status", buckets=[row])).status_code == 200
    found = samples(here)
    assert found["bridge_platform_report_rows_total", "dropped"] == 1
    assert ("bridge_platform_report_rows_total", "taken") not in found


@pytest.fixture
def figures() -> Figures:
    return Figures()


async def test_prometheus_reads_them_at_a_port_of_their_own(figures: Figures) -> None:
    (port,) = free_ports(1)
    async with served(figures, Metrics(port=port)):
        text = await asyncio.to_thread(read, f"http://127.0.0.1:{port}/metrics")
    assert {"bridge_platform_requests", "bridge_platform_build_info"} <= {
        family.name for family in text_string_to_metric_families(text)
    }


async def test_a_port_that_is_taken_is_refused(figures: Figures) -> None:
    (port,) = free_ports(1)
    async with served(figures, Metrics(port=port)):
        with pytest.raises(OSError, match="in use"):
            async with served(figures, Metrics(port=port)):
                pass


def test_the_documented_table_is_what_there_is(here: PlatformUnderTest) -> None:
    text = (ROOT / "docs/metrics.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `bridge_platform_")]
    assert rows == [documented(family) for family in families(here)]


def families(here: PlatformUnderTest) -> Iterator[Metric]:
    return iter(here.platform.figures.registry.collect())


def documented(family: Metric) -> str:
    name = family.name + ("_total" if family.type == "counter" else "")
    return f"| `{name}` | {family.type} | {family.documentation} |"


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text: str = answer.read().decode()
        return text
