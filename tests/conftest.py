"""Fixtures that every test may ask for. The servers behind them are in `tests/servers.py`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

from tests import servers


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    """A SeaweedFS shared by the tests of this process: make your own bucket, named after your test."""
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def data_directory(tmp_path: Path) -> Path:
    """An empty directory for objects of a local backend."""
    directory = tmp_path / "data"
    directory.mkdir()
    return directory


@pytest.fixture(autouse=True)
def blockbuster() -> Iterator[BlockBuster]:
    """Code of ours that blocks the event loop fails the test."""
    with blockbuster_ctx("bridge_node") as active:
        yield active
