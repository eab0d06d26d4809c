"""The transport and what stands on it are tested on the event loop that the node runs on."""

import asyncio
from collections.abc import Mapping

import pytest
import uvloop
from pytest_asyncio.plugin import LoopFactory


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, LoopFactory]:
    if item.path.name.startswith(("test_transport", "test_s3_backend")):
        return {"uvloop": uvloop.new_event_loop}
    if item.path.name.startswith("test_server"):
        return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
    return {"asyncio": asyncio.new_event_loop}
