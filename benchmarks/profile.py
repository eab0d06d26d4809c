"""Where the microseconds of a request go: `python -m benchmarks.profile`.

Runs one gateway in this process, on one core, over memory, local disk or nginx playing an S3 server, loads it with
wrk from the other core, and prints which functions took how long for each request. The profiler itself makes everything
about twice as slow: compare shares, and take the first line, measured without it, for the true cost.
"""

import argparse
import asyncio
import contextlib
import cProfile
import os
import pstats
import socket
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator
from pathlib import Path

import uvloop

from benchmarks import load, nginx
from benchmarks.__main__ import CONNECTIONS, SIZES
from benchmarks.cores import LOAD_CORE, MEASURED_CORE, cost, pinned
from bridge_node import standalone
from bridge_node.backends.pool import BackendPool
from bridge_node.catalog import CatalogHolder
from bridge_node.gateway.pipeline import Pipeline
from bridge_node.gateway.s3.frontend import S3Frontend
from bridge_node.gateway.server import Server
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer
from bridge_node.settings import Settings
from bridge_node.telemetry import counters, metrics
from tests.node import ACCESS_KEY, SECRET_KEY
from tests.servers import REGION, free_ports, listening, process


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profile", description=__doc__)
    parser.add_argument("--method", choices=("GET", "PUT"), default="GET")
    parser.add_argument("--over", choices=("memory", "local", "s3"), default="s3")
    parser.add_argument("--size", choices=SIZES, default="1k")
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--lines", type=int, default=40, help="how many functions to print")
    options = parser.parse_args()
    os.sched_setaffinity(0, {MEASURED_CORE})
    with tempfile.TemporaryDirectory(prefix="bridge-node-profile-") as directory:
        uvloop.run(_profile(options, Path(directory)))
    return 0


async def _profile(options: argparse.Namespace, directory: Path) -> None:
    body = directory / "body"
    body.write_bytes(os.urandom(SIZES[options.size]))
    sent = body if options.method == "PUT" else None
    one = load.Load(options.method, ("/bench/object",), sent, False, CONNECTIONS[options.size])
    async with _gateway(options.over, directory) as host:

        def loaded() -> load.Done:
            script = directory / "wrk.lua"
            return load.run(one, host, _signer(), core=LOAD_CORE, seconds=options.seconds, script=script)

        before = cost([os.getpid()]).cpu
        done = await asyncio.to_thread(loaded)
        spent = (cost([os.getpid()]).cpu - before) / done.requests
        what = f"{options.method} {options.size} over {options.over}"
        print(f"{what}: {spent * 1e6:.1f} us of CPU a request, {done.rate:,.0f} requests/s\n")
        with cProfile.Profile() as profile:
            done = await asyncio.to_thread(loaded)
    _print(pstats.Stats(profile), done.requests, options.lines)


@contextlib.asynccontextmanager
async def _gateway(over: str, directory: Path) -> AsyncIterator[str]:
    """One worker's gateway in this process, with `/bench/object` behind it; yields its `address:port`."""
    with contextlib.ExitStack() as stack:
        settings = Settings.model_validate(_settings(over, directory, stack))
        recorder = metrics.Recorder(counters.Counters(counters.create()))
        pool = BackendPool(metrics.UpstreamRecorder(recorder))
        pipeline = Pipeline(
            S3Frontend(settings.s3, settings.gateway, settings.limits),
            CatalogHolder(standalone.from_settings(settings, 1)),
            pool,
            metrics.RequestRecorder(recorder, 1000),
            settings.limits,
        )
        bound = socket.create_server(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        server = Server(pipeline, settings.limits, metrics.ServerRecorder(recorder), protocol_port=port)
        await server.listen(bound)
        host = f"127.0.0.1:{port}"
        if over != "s3":
            await asyncio.to_thread(_fill, host, (directory / "body").read_bytes())
        yield host
        await server.drain(1)
        await pool.close()


def _settings(over: str, directory: Path, stack: contextlib.ExitStack) -> dict[str, object]:
    backend: dict[str, object] = {"kind": over}
    if over == "local":
        (directory / "disk").mkdir()
        backend["root"] = "disk"
    elif over == "s3":
        backend |= {"endpoint": _origin(directory, stack), "access_key": "origin", "secret_key": "origin-secret"}
    key = {"access_key": ACCESS_KEY, "secret_key": SECRET_KEY, "access": "ADMIN"}
    return {
        "state_directory": directory,
        "local_roots": {"disk": directory / "disk"},
        "backends": {"store": backend},
        "repositories": {"bench": {"accounts": ["store"], "keys": [key]}},
    }


def _origin(directory: Path, stack: contextlib.ExitStack) -> str:
    (directory / "root" / "bench").mkdir(parents=True)
    (directory / "root" / "bench" / "object").hardlink_to(directory / "body")
    (port,) = free_ports(1)
    with pinned(LOAD_CORE):
        command = nginx.origin_command(directory / "origin", port, directory / "root")
        child = stack.enter_context(process(command, directory / "origin.log"))
    listening(port, child, directory / "origin.log")
    return f"http://127.0.0.1:{port}"


def _fill(host: str, content: bytes) -> None:
    for path, body in (("/bench", b""), ("/bench/object", content)):
        headers = dict(_signer().sign("PUT", path, "", [("Host", host)], UNSIGNED_PAYLOAD, time.time()))
        request = urllib.request.Request(f"http://{host}{path}", data=body, headers=headers, method="PUT")
        urllib.request.urlopen(request, timeout=10).close()


def _signer() -> Signer:
    return Signer(ACCESS_KEY, SECRET_KEY, REGION)


def _print(stats: pstats.Stats, requests: int, lines: int) -> None:
    rows = sorted(stats.get_stats_profile().func_profiles.items(), key=lambda row: -row[1].tottime)
    print(f"{'us/request':>10} {'with calls':>10} {'calls':>6}")
    for name, row in rows[:lines]:
        where = f"{Path(row.file_name).name}:{row.line_number}" if row.line_number else ""
        own, whole = row.tottime / requests * 1e6, row.cumtime / requests * 1e6
        calls = int(str(row.ncalls).partition("/")[0]) / requests
        print(f"{own:10.1f} {whole:10.1f} {calls:6.1f}  {name} {where}")


if __name__ == "__main__":
    sys.exit(main())
