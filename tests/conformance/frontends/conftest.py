"""Fixtures of the frontend tests; what is behind them is in `harness`."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.frontends.harness import Gateway, running


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    """A fresh gateway over memory."""
    async with running() as fresh:
        yield fresh
