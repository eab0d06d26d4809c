"""Signed GET and PUT through this node and through nginx, measured in one run.

Whatever is measured has one core; the origin (nginx playing an S3 server) and the load (wrk) share another. The
repeats are interleaved, so that a slow minute of the machine meets all alike, and medians are printed. A ratio is the
requests a second beside those of nginx's `proxy_pass` before the same origin; its floor is what this project promises.
"""

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks import cores, load, nginx
from benchmarks.cores import LOAD_CORE, MEASURED_CORE, MIB
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer
from tests.node import ACCESS_KEY, SECRET_KEY, node
from tests.servers import REGION, free_ports, listening, process

SIZES = {"1k": 1024, "64k": 64 * 1024, "1m": MIB, "64m": 64 * MIB}
CONNECTIONS = {"1k": 32, "64k": 32, "1m": 16, "64m": 4}
KEYS = {"1k": 16, "64k": 16, "1m": 16, "64m": 1}
FLOORS = {("GET", "1k"): 0.5, ("PUT", "1k"): 0.4, ("GET", "64k"): 0.6, ("PUT", "64k"): 0.6} | {
    (method, size): 0.95 for method in ("GET", "PUT") for size in ("1m", "64m")
}
DISK = "disk-bench"

CONFIG = """
state_directory = "{directory}/state"

[local_roots]
disk = "{directory}/disk"

[gateway]
workers = 1
listeners = [{{ port = {port} }}]
drain_wait = 0.0

[admin]
port = {admin_port}

[backends.origin]
kind = "s3"
endpoint = "http://127.0.0.1:{origin}"
access_key = "origin"
secret_key = "origin-secret"

[backends.disk]
kind = "local"
root = "disk"

[repositories.bench]
buckets = [{{ backend = "origin", bucket = "{bucket}" }}]
accounts = ["disk"]

[[repositories.bench.keys]]
access_key = "{access_key}"
secret_key = "{secret_key}"
access = "ADMIN"
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that is measured: where it listens, which bucket is meant, which processes do the work."""

    name: str
    host: str
    bucket: str
    pids: tuple[int, ...]
    hashed: bool = False
    methods: tuple[str, ...] = ("GET", "PUT")
    floors: tuple[str, ...] = ()


@dataclass(slots=True)
class Figures:
    """What one contender did in one case, over all repeats."""

    rates: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resident: float = 0.0


def main() -> int:
    options = _options()
    missing = [tool for tool in ("nginx", "wrk", "taskset") if shutil.which(tool) is None]
    if missing:
        print(f"missing: {', '.join(missing)} (Debian packages nginx, wrk and util-linux)", file=sys.stderr)
        return 1
    if not {LOAD_CORE, MEASURED_CORE} <= os.sched_getaffinity(0):
        print("two cores are needed: one for what is measured, one for origin and load", file=sys.stderr)
        return 1
    memory = Path("/dev/shm")  # noqa: S108  # for the origin's files, so that its disk is not what is measured
    with (
        tempfile.TemporaryDirectory(prefix="bridge-node-bench-", dir=options.directory) as disk,
        tempfile.TemporaryDirectory(prefix="bridge-node-bench-", dir=memory if memory.is_dir() else None) as fast,
        _contenders(Path(disk), Path(fast)) as contenders,
    ):
        return _measure_all(options, contenders, Path(fast))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--sizes", default=",".join(SIZES), help="which of 1k,64k,1m,64m (default: all)")
    parser.add_argument("--methods", default="GET,PUT", help="GET, PUT or both (default)")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement (default: 5)")
    parser.add_argument("--repeats", type=int, default=3, help="how often each is measured (default: 3)")
    parser.add_argument("--directory", type=Path, help="where the local backend keeps its data (default: TMPDIR)")
    return parser.parse_args()


@contextlib.contextmanager
def _contenders(disk: Path, fast: Path) -> Iterator[list[Contender]]:
    """Starts origin, proxy and node; fills origin and disk with what is asked for."""
    origin_port, proxy_port, port, admin_port = free_ports(4)
    root = fast / "root" / nginx.BUCKET
    root.mkdir(parents=True)
    for size, length in SIZES.items():
        for key in range(KEYS[size]):
            (root / f"{size}-{key}").write_bytes(os.urandom(length))
    (disk / "disk").mkdir()
    config = CONFIG.format(
        directory=disk, port=port, admin_port=admin_port, origin=origin_port, bucket=nginx.BUCKET,
        access_key=ACCESS_KEY, secret_key=SECRET_KEY,
    )  # fmt: skip
    with contextlib.ExitStack() as stack:
        with cores.pinned(LOAD_CORE):
            command = nginx.origin_command(fast / "origin", origin_port, fast / "root")
            listening(origin_port, stack.enter_context(process(command, fast / "origin.log")), fast / "origin.log")
        with cores.pinned(MEASURED_CORE):
            command = nginx.proxy_command(fast / "proxy", proxy_port, origin_port)
            proxy = stack.enter_context(process(command, fast / "proxy.log"))
            listening(proxy_port, proxy, fast / "proxy.log")
            running = stack.enter_context(node(disk / "node", config))
        host = f"127.0.0.1:{port}"
        workers = tuple(cores.children(running.supervisor.pid))
        _put(host, f"/{DISK}", b"")
        for file in root.iterdir():
            _put(host, f"/{DISK}/{file.name}", file.read_bytes())
        yield [
            Contender("nginx proxy_pass", f"127.0.0.1:{proxy_port}", nginx.BUCKET, (proxy.pid,)),
            Contender("node, S3", host, nginx.BUCKET, workers, floors=("GET", "PUT")),
            Contender("node, S3, hashed", host, nginx.BUCKET, workers, hashed=True, methods=("PUT",)),
            Contender("node, local", host, DISK, workers, floors=("GET",)),
        ]


def _put(host: str, path: str, body: bytes) -> None:
    headers = dict(_signer().sign("PUT", path, "", [("Host", host)], UNSIGNED_PAYLOAD, time.time()))
    request = urllib.request.Request(f"http://{host}{path}", data=body, headers=headers, method="PUT")
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def _signer() -> Signer:
    return Signer(ACCESS_KEY, SECRET_KEY, REGION)


def _measure_all(options: argparse.Namespace, contenders: Sequence[Contender], scratch: Path) -> int:
    print(f"{'':10}{'':20}{'requests/s':>12}{'MB/s':>10}{'CPU us/req':>12}{'RSS MiB':>9}{'ratio':>7}  floor")
    missed = []
    for size in options.sizes.split(","):
        for method in options.methods.split(","):
            figures = _measure(method, size, [c for c in contenders if method in c.methods], options, scratch)
            missed += _print(method, size, figures)
    print("\nevery floor is kept" if not missed else "\nbelow the floor: " + ", ".join(missed))
    return 0


def _measure(
    method: str, size: str, contenders: Sequence[Contender], options: argparse.Namespace, scratch: Path
) -> dict[Contender, Figures]:
    figures = {contender: Figures() for contender in contenders}
    body = scratch / "root" / nginx.BUCKET / f"{size}-0" if method == "PUT" else None
    for _ in range(options.repeats):
        for contender in contenders:
            paths = tuple(f"/{contender.bucket}/{size}-{key}" for key in range(KEYS[size]))
            one = load.Load(method, paths, body, contender.hashed, CONNECTIONS[size])
            before = cores.cost(contender.pids)
            done = load.run(
                one, contender.host, _signer(), core=LOAD_CORE, seconds=options.seconds, script=scratch / "wrk.lua"
            )
            after = cores.cost(contender.pids)
            figures[contender].rates.append(done.rate)
            figures[contender].cpu.append((after.cpu - before.cpu) / done.requests)
            figures[contender].resident = after.resident
    return figures


def _print(method: str, size: str, figures: dict[Contender, Figures]) -> list[str]:
    """One line for each contender; returns what is below its floor."""
    missed = []
    reference = median(next(iter(figures.values())).rates)
    for contender, figure in figures.items():
        rate = median(figure.rates)
        floor = FLOORS[method, size] if method in contender.floors else None
        verdict = "" if floor is None else f"{floor:.2f} {'kept' if rate >= floor * reference else 'MISSED'}"
        if verdict.endswith("MISSED"):
            missed.append(f"{method} {size} {contender.name}")
        print(
            f"{method + ' ' + size:10}{contender.name:20}{rate:12,.0f}{rate * SIZES[size] / 1e6:10,.1f}"
            f"{median(figure.cpu) * 1e6:12,.1f}{figure.resident:9.1f}{rate / reference:7.2f}  {verdict}".rstrip(),
            flush=True,
        )
    return missed


if __name__ == "__main__":
    sys.exit(main())
