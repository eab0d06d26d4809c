"""Fixtures that every test may ask for. The servers behind them are in `tests/servers.py`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx
from hypothesis import HealthCheck, settings

from tests import clients, cloud_servers, gcs_policies, servers
from tests.node import Node, configuration, node, over_local, over_s3

settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")  # a busy machine is no finding


@pytest.fixture(scope="session")
def seaweedfs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    """A SeaweedFS shared by the tests of this process: make your own bucket, named after your test."""
    with servers.seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.S3Server]:
    """A second opinion on S3's bucket configuration, shared as SeaweedFS is."""
    with cloud_servers.moto(tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def fake_gcs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The endpoint of a shared fake-gcs-server."""
    with cloud_servers.fake_gcs(tmp_path_factory.mktemp("fake-gcs")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session", name="gcs_policies")
def _gcs_policies(fake_gcs: str) -> Iterator[gcs_policies.Policies]:
    """The same with the policies of its buckets, which it leaves out."""
    with gcs_policies.before(fake_gcs) as policies:
        yield policies


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[cloud_servers.AzureServer]:
    """A shared Azurite."""
    with cloud_servers.azurite(tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(scope="session")
def local_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running node over local disk, shared: make your own bucket. Do not signal, reload or break it."""
    directory = tmp_path_factory.mktemp("local-node")
    with node(directory, configuration(directory / "state", over_local(directory / "data"))) as running:
        yield running


@pytest.fixture(scope="session")
def seaweedfs_node(tmp_path_factory: pytest.TempPathFactory, seaweedfs: servers.S3Server) -> Iterator[Node]:
    """A running node over SeaweedFS, shared as `local_node` is."""
    directory = tmp_path_factory.mktemp("seaweedfs-node")
    with node(directory, configuration(directory / "state", over_s3(seaweedfs))) as running:
        yield running


@pytest.fixture(scope="session")
def client_environment() -> Path:
    """A virtual environment with the current boto3, awscli, minio, pyarrow and s3cmd."""
    return clients.environment()


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
