"""The backends under test. Each test gets one, with an empty bucket of its own."""

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pydantic import SecretStr

from bridge_node.backends.base import Backend, Unobserved
from bridge_node.backends.local import LocalBackend
from bridge_node.backends.memory import MemoryBackend
from bridge_node.backends.s3 import S3Backend
from bridge_node.catalog import BackendSpec
from bridge_node.operations import DeleteObject, DeleteObjects
from tests.conformance.backends.quirks import is_excluded
from tests.conformance.backends.subject import WIRE, Subject
from tests.node import Node
from tests.servers import S3Server

SMALL_PART = 64 * 1024
"""The smallest part of our own backends here; S3's 5 MiB would only cost time."""

_bucket_numbers = itertools.count()


async def _memory(request: pytest.FixtureRequest) -> AsyncGenerator[Backend, None]:
    yield MemoryBackend(min_part_size=SMALL_PART)


async def _local(request: pytest.FixtureRequest) -> AsyncGenerator[Backend, None]:
    root: Path = request.getfixturevalue("data_directory")
    backend = await asyncio.to_thread(LocalBackend, root, min_part_size=SMALL_PART)
    yield backend
    await backend.close()


async def _seaweedfs(request: pytest.FixtureRequest) -> AsyncGenerator[Backend, None]:
    server: S3Server = request.getfixturevalue("seaweedfs")
    backend = s3_backend(server)
    yield backend
    await backend.close()


async def _node(request: pytest.FixtureRequest) -> AsyncGenerator[Backend, None]:
    """Our own frontend over `local`, in a process of its own: signing and verifying check each other."""
    running: Node = request.getfixturevalue("local_node")
    backend = s3_backend(running.s3)
    yield backend
    await backend.close()


SUBJECTS = {"memory": _memory, "local": _local, "seaweedfs": _seaweedfs, "node": _node}


def s3_backend(server: S3Server) -> Backend:
    return S3Backend(
        BackendSpec(
            name="conformance",
            kind="s3",
            endpoint=server.endpoint,
            region=server.region,
            access_key=server.access_key,
            secret_key=SecretStr(server.secret_key),
        ),
        observer=Unobserved(),
    )


@pytest.fixture(params=SUBJECTS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """One of the backends, as the node uses it."""
    async with aclosing(SUBJECTS[request.param](request)) as made:
        async for backend in made:
            yield backend


@pytest.fixture
async def subject(backend: Backend) -> AsyncIterator[Subject]:
    before = {info.name for info in await backend.list_buckets()}
    bucket = f"conformance-{os.getpid()}-{next(_bucket_numbers)}"
    await backend.create_bucket(bucket)
    yield Subject(backend, bucket)
    for made in {info.name for info in await backend.list_buckets()} - before:
        await _remove(Subject(backend, made))


async def _remove(subject: Subject) -> None:
    """Servers are shared, and each bucket takes some of what they have."""
    async for page in subject.pages():
        items = tuple(DeleteObject(WIRE, info.key) for info in page.objects)
        if items:
            await subject.backend.delete_objects(subject.bucket, DeleteObjects(WIRE, items=items))
    await subject.backend.delete_bucket(subject.bucket)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Takes out the cases that a real server is known, and proven, to get wrong."""
    excluded = [item for item in items if _is_quirk(item)]
    config.hook.pytest_deselected(items=excluded)
    items[:] = [item for item in items if item not in excluded]


def _is_quirk(item: pytest.Item) -> bool:
    callspec = getattr(item, "callspec", None)
    server = callspec.params.get("backend") if callspec else None
    return server is not None and is_excluded(server, case_of(item.name, server))


def case_of(name: str, server: str) -> str:
    """A test's name as the quirk table has it: its parameters behind `=`, without the subject's."""
    test, _, parameters = name.rstrip("]").partition("[")
    others = f"-{parameters}-".replace(f"-{server}-", "-", 1).strip("-")
    return f"{test}={others}" if others else test
