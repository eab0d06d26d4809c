"""A large object in and out of a node, and how much memory that took: `python -m benchmarks.large_object`.

The object goes to a local directory by default, or through the node to SeaweedFS with `--over s3`. Its bytes are made
on the way in and checked on the way out, so that nothing here holds them.
"""

import argparse
import contextlib
import hashlib
import http.client
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.cores import MIB, children, cost
from bridge_node.protocols.s3.sigv4 import UNSIGNED_PAYLOAD, Signer
from tests.node import ACCESS_KEY, SECRET_KEY, Node, configuration, node, over_local, over_s3
from tests.servers import REGION, seaweedfs

PATH = "/large/object"
ALLOWED_GROWTH = 64.0
"""MiB that this project promises to stay below."""


class Body:
    """Bytes that differ from block to block, read once; afterwards `digest` is known."""

    def __init__(self, size: int, watch: "Watch") -> None:
        self._left = size
        self._block = random.Random(size).randbytes(MIB)  # noqa: S311 - any bytes will do
        self._sha256 = hashlib.sha256()
        self._watch = watch

    def __iter__(self) -> Iterator[bytes]:
        while self._left:
            block = (self._left.to_bytes(8, "big") + self._block[8:])[: self._left]
            self._left -= len(block)
            self._sha256.update(block)
            self._watch.look()
            yield block

    def digest(self) -> str:
        return self._sha256.hexdigest()


class Watch:
    """The largest memory that some processes were seen with, in MiB."""

    def __init__(self, pids: list[int]) -> None:
        self._pids = pids
        self._next = 0.0
        self.largest = 0.0

    def look(self) -> None:
        """Called often, looks ten times a second."""
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + 0.1
            self.largest = max(self.largest, cost(self._pids).resident)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.large_object", description=__doc__)
    parser.add_argument(
        "--gib", type=float, default=5.0, help="size of the object (default: 5, the most that PUT takes)"
    )
    parser.add_argument("--over", choices=("local", "s3"), default="local", help="where the node keeps it")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bridge-node-large-") as directory,
        _node(Path(directory), options.over) as up,
    ):
        growth = _measure(up, int(options.gib * 1024) * MIB)
    print(f"memory grew by {growth:.1f} MiB; promised: less than {ALLOWED_GROWTH:.0f} MiB")
    return 0 if growth < ALLOWED_GROWTH else 1


@contextlib.contextmanager
def _node(directory: Path, over: str) -> Iterator[Node]:
    with contextlib.ExitStack() as stack:
        if over == "s3":
            backend = over_s3(stack.enter_context(seaweedfs(directory / "seaweedfs")))
        else:
            backend = over_local(directory / "data")
        yield stack.enter_context(node(directory / "node", configuration(directory / "state", backend)))


def _measure(up: Node, size: int) -> float:
    """MiB that supervisor and worker together grew by at most, after a small object has warmed them up."""
    up.s3.create_bucket("large")
    pids = [up.supervisor.pid, *children(up.supervisor.pid)]
    for _ in range(20):
        _put(up, 8 * MIB, Watch(pids))
        _get(up, Watch(pids))
    before = cost(pids).resident
    watch = Watch(pids)
    sent = _timed("in", size, lambda: _put(up, size, watch))
    received = _timed("out", size, lambda: _get(up, watch))
    if sent != received:
        raise RuntimeError("what came out is not what went in")
    print(f"memory before {before:.1f} MiB, at most {watch.largest:.1f} MiB")
    return watch.largest - before


def _timed(direction: str, size: int, transfer: Callable[[], str]) -> str:
    started = time.monotonic()
    digest = transfer()
    seconds = time.monotonic() - started
    print(f"{size / 1024 / MIB:.1f} GiB {direction}: {seconds:.1f} s, {size / seconds / 1e6:,.0f} MB/s", flush=True)
    return digest


def _put(up: Node, size: int, watch: Watch) -> str:
    body = Body(size, watch)
    _exchange(up, "PUT", {"Content-Length": str(size)}, body).read()
    return body.digest()


def _get(up: Node, watch: Watch) -> str:
    answer = _exchange(up, "GET", {}, None)
    sha256 = hashlib.sha256()
    while block := answer.read(MIB):
        sha256.update(block)
        watch.look()
    return sha256.hexdigest()


def _exchange(up: Node, method: str, headers: dict[str, str], body: Body | None) -> http.client.HTTPResponse:
    host = up.s3.endpoint.removeprefix("http://")
    signed = Signer(ACCESS_KEY, SECRET_KEY, REGION).sign(
        method, PATH, "", [("Host", host)], UNSIGNED_PAYLOAD, time.time()
    )
    connection = http.client.HTTPConnection(host, timeout=120)
    connection.request(method, PATH, body=body, headers={**headers, **dict(signed)})
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{method} was answered {answer.status}: {answer.read(2000).decode()}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
