"""The backends under test. Each test gets one, with an empty bucket of its own."""

import asyncio
import itertools
import os
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from bridge_node.backends.base import Backend
from bridge_node.backends.local import LocalBackend
from bridge_node.backends.memory import MemoryBackend
from tests.conformance.backends.subject import Subject

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


SUBJECTS = {"memory": _memory, "local": _local}


@pytest.fixture(params=SUBJECTS)
async def backend(request: pytest.FixtureRequest) -> AsyncIterator[Backend]:
    """One of the backends, as the node uses it."""
    async with aclosing(SUBJECTS[request.param](request)) as made:
        async for backend in made:
            yield backend


@pytest.fixture
async def subject(backend: Backend) -> Subject:
    bucket = f"conformance-{os.getpid()}-{next(_bucket_numbers)}"
    await backend.create_bucket(bucket)
    return Subject(backend, bucket)
