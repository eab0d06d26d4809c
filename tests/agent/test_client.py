"""What the agent learns from a platform's answers beside their content."""

import time
from email.utils import formatdate

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from bridge_node.agent.client import Call, PlatformClient


@pytest.mark.parametrize(("wait", "known"), [(0.0, True), (55.0, False)])
async def test_clocks_are_compared_by_answers_that_nobody_waited_for(wait: float, known: bool) -> None:
    async def behind(_: web.Request) -> web.Response:
        return web.Response(body=b"{}", headers={"Date": formatdate(time.time() - 60, usegmt=True)})

    app = web.Application()
    app.router.add_post("/status", behind)
    async with TestServer(app) as server, PlatformClient(str(server.make_url("")), "0", timeout=5.0) as client:
        await client.post(Call("/status", b"{}", None, wait))
        assert client.skew == (pytest.approx(-60, abs=5) if known else None)
