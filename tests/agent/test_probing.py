"""Probes: every attached bucket and account, each backend by one of them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from bridge_node.agent.probing import Place, Prober, Traffic
from bridge_node.backends.base import Unobserved
from bridge_node.backends.local import LocalBackend
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import AccountAttachment, BackendSpec, BucketAttachment, Catalog, Repository
from bridge_node.settings import Admin
from tests.agent.test_fleet_agent import until


def catalog(spec: BackendSpec, *names: str, account: bool = False) -> Catalog:
    buckets = tuple(BucketAttachment(f"id-of-{name}", spec, name) for name in names)
    accounts = (AccountAttachment("whole", spec),) if account else ()
    return Catalog(1, {"r": Repository("r", "r", "s3", bytes(32), buckets, accounts)})


@contextlib.asynccontextmanager
async def probing(given: Catalog, traffic: Traffic = dict) -> AsyncIterator[Prober]:
    pool = BackendPool(Unobserved(), linger=0)
    for spec in given.backends():
        await asyncio.to_thread(pool.get, spec)
    prober = Prober(pool, given, Admin(probe_seconds=0.05), "node-1", traffic)
    running = asyncio.create_task(prober.run(), name="probes")
    try:
        yield prober
    finally:
        running.cancel()
        await asyncio.wait([running])
        await pool.close()
        if not running.cancelled():
            running.result()


async def local(directory: Path) -> BackendSpec:
    backend = await asyncio.to_thread(LocalBackend, directory)
    await backend.create_bucket("photos")
    await backend.close()
    return BackendSpec("disk", "local", root=str(directory))


async def test_every_attached_bucket_is_probed_and_a_missing_one_is_told_apart(data_directory: Path) -> None:
    spec = await local(data_directory)
    async with probing(catalog(spec, "photos", "lost", account=True)) as prober:
        await until(lambda: len(prober.view.attachments) == 3)
        found = {name: health.found for name, health in prober.view.attachments.items()}
        assert found == {"id-of-photos": True, "id-of-lost": False, "whole": True}
        assert prober.view.backends["disk"].found
        assert prober.backends == 1


async def test_what_is_attached_no_more_is_forgotten(data_directory: Path) -> None:
    spec = await local(data_directory)
    async with probing(catalog(spec, "photos", "lost")) as prober:
        await until(lambda: len(prober.view.attachments) == 2)
        prober.apply(catalog(spec, "photos"), Admin(probe_seconds=0.05))
        assert set(prober.view.attachments) == {"id-of-photos"}


async def test_an_account_is_only_as_well_as_its_buckets_that_move_traffic(data_directory: Path) -> None:
    spec = await local(data_directory)
    requests: dict[tuple[str, ...], float] = {("r", "deleted"): 1.0, ("another", "photos"): 1.0}
    async with probing(catalog(spec, account=True), lambda: requests) as prober:
        await until(lambda: "whole" in prober.view.attachments)
        assert prober.view.attachments["whole"].found  # that a bucket is gone is no fault of the account
        asked: list[str | None] = []
        answers = prober._answers

        async def watched(place: Place) -> tuple[bool, str]:
            asked.append(place.bucket)
            return (False, "timeout") if place.bucket == "photos" and len(asked) < 9 else await answers(place)

        prober._answers = watched  # type: ignore[method-assign]  # the only fault that a directory cannot have
        requests["r", "photos"] = 1.0
        await until(lambda: prober.view.attachments["whole"].reason == "timeout")
        await until(lambda: prober.view.attachments["whole"].found)
        assert asked.count("photos") > 1


async def test_one_attachment_can_be_asked_for_at_once(data_directory: Path) -> None:
    spec = await local(data_directory)
    async with probing(catalog(spec, "photos")) as prober:
        health = await prober.ask("id-of-photos")
        assert health is not None
        assert health.found
        assert await prober.ask("unknown") is None
