"""The pool of backends: one for equal specifications, none for longer than a catalog names it."""

import asyncio
from pathlib import Path

from pydantic import SecretStr

from bridge_node.backends.base import Unobserved
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import BackendSpec, BucketAttachment, Catalog, Repository
from bridge_node.operations import GetObject
from tests.peers import until
from tests.unit.s3_store import found, store

MEMORY = BackendSpec("memory", "memory")


def naming(*specs: BackendSpec) -> Catalog:
    buckets = tuple(BucketAttachment(f"id-{number}", spec, "bucket") for number, spec in enumerate(specs))
    return Catalog(repositories={"r": Repository("r", "r", "s3", bytes(32), buckets)})


async def test_equal_specifications_share_a_backend_and_other_credentials_do_not() -> None:
    pool = BackendPool(Unobserved())
    one, same, other = (BackendSpec("s", "s3", secret_key=SecretStr(secret)) for secret in ("a", "a", "b"))
    assert pool.get(one) is pool.get(same)
    assert pool.get(one) is not pool.get(other)
    await pool.close()


async def test_backends_are_made_by_their_kind(tmp_path: Path) -> None:
    pool = BackendPool(Unobserved())
    local = await asyncio.to_thread(pool.get, BackendSpec("l", "local", root=str(tmp_path)))
    kinds = [type(pool.get(spec)).__name__ for spec in (MEMORY, BackendSpec("s", "s3"))]
    assert [*kinds, type(local).__name__] == ["MemoryBackend", "S3Backend", "LocalBackend"]
    await pool.close()


async def test_what_a_catalog_still_names_is_kept_and_the_rest_ends() -> None:
    pool = BackendPool(Unobserved(), linger=0.0)
    gone = BackendSpec("gone", "memory")
    kept, retired = pool.get(MEMORY), pool.get(gone)
    await retired.create_bucket("bucket")
    pool.apply(naming(MEMORY))
    assert pool.get(MEMORY) is kept
    await until(lambda: not pool._retiring)
    assert list(await retired.list_buckets()) == []  # closed
    assert pool.get(gone) is not retired
    await pool.close()


async def test_a_request_that_began_before_a_reload_is_served() -> None:
    async with store(found(b"x")) as it:
        pool = BackendPool(Unobserved())
        pool._backends[MEMORY] = it.backend
        backend = pool.get(MEMORY)
        pool.apply(naming())
        stream = await backend.get_object("bucket", GetObject("b", "k"))
        assert await stream.source.read() == b"x"
        await pool.close()


async def test_a_call_after_the_end_leaves_nothing_open() -> None:
    async with store(found(b"x"), found(b"x")) as it:
        await it.backend.get_object("bucket", GetObject("b", "k"))
        await it.backend.close()
        await it.backend.get_object("bucket", GetObject("b", "k"))
        routes = it.backend._client.transport._routes.values()
        assert sum(len(route.open) for route in routes) == 0
