"""The node as processes: what survives a kill, what a reload changes, how it leaves (promises 21–25)."""

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from pydantic import SecretStr

from bridge_node import channel
from bridge_node.catalog import AccessKey, Catalog
from bridge_node.channel import Start
from bridge_node.operations import Access
from bridge_node.settings import Settings
from tests import node as nodes
from tests.integration.load import Connection, Load, load, once
from tests.node import Node, configuration, over_local, over_s3
from tests.servers import S3Server, free_ports, process

DEADLINE = 30.0
BUCKET = "bucket"


@dataclass
class Admin:
    """The operator's port of a node."""

    url: str

    def ask(self, path: str, method: str = "GET", accept: str = "*/*") -> tuple[int, str]:
        request = urllib.request.Request(self.url + path, method=method, headers={"Accept": accept})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def status(self) -> Any:
        return json.loads(self.ask("/status")[1])

    def workers(self) -> list[int]:
        """Process ids of the workers that serve."""
        return [worker["pid"] for worker in self.status()["workers"] if worker["state"] == "ready"]

    def count(self, name: str, **labels: str) -> float:
        """Sum of a counter's or gauge's series with these labels."""
        families = parse_text(self.ask("/metrics")[1])
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == f"bridge_node_{name}" and labels.items() <= sample.labels.items()
        )


async def until(condition: Callable[[], bool], what: str) -> None:
    """Polls; fails with `what` after the deadline. The condition may block: it asks the node."""
    deadline = time.monotonic() + DEADLINE
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < deadline, f"not within {DEADLINE} s: {what}"
        await asyncio.sleep(0.02)


async def more(seen: Load, requests: int) -> None:
    """Returns when the clients have had so many more answers."""
    target = seen.total + requests
    await until(lambda: seen.total >= target, f"{requests} more requests")


def is_replaced(worker: int, admin: Admin) -> bool:
    return len(set(admin.workers()) - {worker}) == 2


def has_renewed(workers: int, admin: Admin) -> bool:
    return admin.count("worker_restarts_total", reason="renewed") == workers


def of_process(pid: int, file: str) -> str:
    return Path(f"/proc/{pid}/{file}").read_text()


def is_gone(pid: int) -> bool:
    """Ended; a zombie that nobody here can reap has ended too."""
    try:
        return of_process(pid, "stat").rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def local(directory: Path) -> str:
    """A configuration with one worker over local disk."""
    return configuration(directory, over_local(directory / "data"))


@contextlib.contextmanager
def running(directory: Path, *, workers: int = 2, more: str = "", **env: str) -> Iterator[tuple[Node, Admin]]:
    config = configuration(directory, over_local(directory / "data"), workers=workers, more=more)
    variables = {f"BRIDGE_NODE__{name}": value for name, value in env.items()}
    with nodes.node(directory, config, env=variables) as node:
        node.s3.create_bucket(BUCKET)
        yield node, Admin(node.admin_url)


@contextlib.asynccontextmanager
async def upload(node: Node, admin: Admin) -> AsyncIterator[Connection]:
    """An upload that has arrived by half: the node waits for the other five bytes."""
    async with Connection(node.s3) as client:
        await client.begin("PUT", f"/{BUCKET}/held", 10)
        await client.send(b"01234")
        await until(lambda: admin.count("requests_in_flight") == 1, "the upload is under way")
        yield client


# --- workers die ---------------------------------------------------------------------------------------------------


async def test_kill_9_of_a_worker_under_load_costs_only_the_requests_it_held(tmp_path: Path) -> None:
    clients = 8
    with running(tmp_path) as (node, admin):
        async with load(node.s3, BUCKET, clients) as seen:
            for round_ in range(3):
                await more(seen, 100)
                victim = admin.workers()[round_ % 2]
                os.kill(victim, signal.SIGKILL)
                await until(partial(is_replaced, victim, admin), "the worker is replaced")
            await more(seen, 100)
        assert seen.refused == 0
        assert len(seen.failures) <= 3 * clients
        assert all("Reset" in failure or "Incomplete" in failure for failure in seen.failures), seen.failures
        # What was acknowledged is there, and every answer that a client saw was counted, by whoever gave it.
        for path, body in seen.acknowledged.items():
            status, stored = await once(node.s3, "GET", path)
            assert (status, stored) == (200, body) or seen.failures
        counted = admin.count("requests_total", operation="PutObject", code="200")
        assert seen.succeeded["PUT"] <= counted <= seen.succeeded["PUT"] + len(seen.failures)
        assert admin.count("worker_restarts_total", reason="died") == 3


async def test_a_worker_that_does_not_take_up_a_catalog_within_two_seconds_is_replaced(tmp_path: Path) -> None:
    with running(tmp_path, GATEWAY__DRAIN_LIMIT="1") as (node, admin):
        stuck, healthy = admin.workers()
        os.kill(stuck, signal.SIGSTOP)
        began = time.monotonic()
        node.supervisor.send_signal(signal.SIGHUP)
        await until(lambda: set(admin.workers()).isdisjoint({stuck}) and len(admin.workers()) == 2, "replaced")
        assert time.monotonic() - began > 2
        assert healthy in admin.workers()
        assert admin.count("worker_restarts_total", reason="lagging") == 1
        await until(lambda: is_gone(stuck), "the stuck worker is killed")
        await until(lambda: versions(admin) == {2}, "every worker that is left has the new catalog")


async def test_kill_9_of_the_supervisor_lets_requests_finish_and_workers_leave(tmp_path: Path) -> None:
    with running(tmp_path) as (node, admin):
        workers = admin.workers()
        async with upload(node, admin) as client:
            node.supervisor.kill()
            status, _ = await client.finish(b"56789")
            assert status == 200
            await until(lambda: all(is_gone(pid) for pid in workers), "workers leave")


async def test_a_hung_worker_is_killed_and_replaced(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as (node, admin):
        (stuck,) = admin.workers()
        os.kill(stuck, signal.SIGSTOP)
        await until(lambda: is_gone(stuck), "the silent worker is killed")
        await until(lambda: len(set(admin.workers()) - {stuck}) == 1, "it is replaced")
        assert admin.count("worker_restarts_total", reason="hung") == 1
        assert (await once(node.s3, "PUT", f"/{BUCKET}/x", b"x"))[0] == 200


async def test_a_worker_that_keeps_dying_is_replaced_at_once_and_then_after_growing_pauses(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as (node, admin):
        lived: list[int] = []
        times: list[float] = []
        for _ in range(4):
            await until(partial(has_newcomer, admin, lived), "there is another worker")
            times.append(time.monotonic())
            lived += [pid for pid in pids(admin) if pid not in lived]
            os.kill(lived[-1], signal.SIGKILL)
        await until(lambda: len(set(admin.workers()) - set(lived)) == 1, "a worker that may live serves")
        # The third replacement in a row waits half a second, the fourth a whole one.
        assert times[3] - times[2] > 0.5
        assert (await once(node.s3, "PUT", f"/{BUCKET}/x", b"x"))[0] == 200


def versions(admin: Admin) -> set[int]:
    return {worker["catalog_version"] for worker in admin.status()["workers"]}


def has_newcomer(admin: Admin, known: list[int]) -> bool:
    return not set(pids(admin)) <= set(known)


def pids(admin: Admin) -> list[int]:
    return [worker["pid"] for worker in admin.status()["workers"]]


# --- renewal and reload --------------------------------------------------------------------------------------------


async def test_nine_rolling_restarts_and_a_reload_under_load_fail_no_request(tmp_path: Path) -> None:
    with running(tmp_path) as (node, admin):
        async with load(node.s3, BUCKET) as seen:
            for number in range(1, 10):
                node.supervisor.send_signal(signal.SIGUSR2)
                await until(partial(has_renewed, 2 * number, admin), "both workers are renewed")
            node.supervisor.send_signal(signal.SIGHUP)
            await until(lambda: admin.count("reloads_total", result="ok") == 1, "reloaded")
            await more(seen, 100)
        assert seen.failures == []
        assert seen.refused == 0
        assert seen.total > 500


async def test_a_reload_takes_up_new_keys_and_settings(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as (node, admin):
        before = admin.workers()
        newcomer = S3Server(node.s3.endpoint, "NEWCOMERKEY000000001", "newcomer-secret-0123456789")
        assert (await once(newcomer, "GET", f"/{BUCKET}/x"))[0] == 403
        key = f'access_key = "{newcomer.access_key}"\nsecret_key = "{newcomer.secret_key}"\naccess = "ADMIN"\n'
        text = node.config.read_text() + f"\n[[repositories.tests.keys]]\n{key}"
        node.config.write_text(text)
        node.supervisor.send_signal(signal.SIGHUP)
        await until(lambda: admin.status()["catalog_version"] == 2, "the catalog is taken up")
        assert (await once(newcomer, "GET", f"/{BUCKET}/x"))[0] == 404
        assert admin.workers() == before
        node.config.write_text(text + "\n[limits]\nheader_fields = 5\n")
        node.supervisor.send_signal(signal.SIGHUP)
        await until(lambda: admin.workers() != before and len(admin.workers()) == 1, "workers are renewed")


async def test_a_bad_configuration_changes_nothing_and_is_counted(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as (node, admin):
        good = node.config.read_text()
        node.config.write_text(good + "\n[gatewy]\nworkers = 3\n")
        node.supervisor.send_signal(signal.SIGHUP)
        await until(lambda: admin.count("reloads_total", result="failed") == 1, "the reload is refused")
        assert "gatewy" in node.log.read_text()
        assert (await once(node.s3, "PUT", f"/{BUCKET}/x", b"x"))[0] == 200
        assert admin.ask("/readyz")[0] == 200
        node.config.write_text(good.replace("[admin]", "[admin]\nhost = '127.0.0.2'"))
        node.supervisor.send_signal(signal.SIGHUP)
        await until(lambda: admin.count("reloads_total", result="ok") == 1, "a good one is taken up")
        assert "admin.host" in node.log.read_text(), "settings that wait for a restart are named"


# --- leaving -------------------------------------------------------------------------------------------------------


async def test_sigterm_finishes_what_runs_and_leaves_with_0(tmp_path: Path) -> None:
    with running(tmp_path) as (node, admin):
        async with upload(node, admin) as client:
            node.supervisor.terminate()
            await until(lambda: admin.ask("/readyz")[0] == 503, "readiness turns false")
            assert admin.ask("/healthz")[0] == 200
            assert "[-] serving: draining" in admin.ask("/readyz?verbose")[1]
            status, _ = await client.finish(b"56789")
            assert status == 200
            assert await asyncio.to_thread(node.supervisor.wait, DEADLINE) == 0


async def test_while_the_load_balancer_is_waited_for_clients_are_still_served(tmp_path: Path) -> None:
    with running(tmp_path, workers=1, GATEWAY__DRAIN_WAIT="1") as (node, admin):
        node.supervisor.terminate()
        await until(lambda: admin.ask("/readyz")[0] == 503, "readiness turns false")
        assert (await once(node.s3, "PUT", f"/{BUCKET}/late", b"x"))[0] == 200
        assert await asyncio.to_thread(node.supervisor.wait, DEADLINE) == 0


async def test_what_outlasts_the_drain_limit_is_cut_off(tmp_path: Path) -> None:
    with running(tmp_path, workers=1, GATEWAY__DRAIN_LIMIT="0.3") as (node, admin):
        async with upload(node, admin) as client:
            node.supervisor.terminate()
            assert await asyncio.to_thread(node.supervisor.wait, DEADLINE) == 0
            with pytest.raises((EOFError, OSError)):
                await client.finish(b"56789")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with running(tmp_path) as (node, admin):
        workers = admin.workers()
        async with upload(node, admin):
            node.supervisor.send_signal(number)
            await until(lambda: admin.status()["draining"], "it drains")
            node.supervisor.send_signal(number)
            assert await asyncio.to_thread(node.supervisor.wait, 5) == 1
            await until(lambda: all(is_gone(pid) for pid in workers), "workers are gone")


# --- starting ------------------------------------------------------------------------------------------------------


async def test_a_port_in_use_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    with running(tmp_path / "first", workers=1) as (node, _):
        port = int(node.s3.endpoint.rpartition(":")[2])
        second = tmp_path / "second"
        config = configuration(second, over_local(second / "data"))
        config = re.sub(r"listeners = .*", f"listeners = [{{ port = {port} }}]", config)
        code, said = await asyncio.to_thread(run_to_its_end, second, config)
    assert code == 1
    assert re.fullmatch(rf"[^\n]*127\.0\.0\.1:{port}[^\n]*in use[^\n]*\n", said), said


async def test_an_admin_port_in_use_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    config = local(tmp_path)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = re.sub(r"\[admin\]\nport = .*", f"[admin]\nport = {port}", config)
        code, said = await asyncio.to_thread(run_to_its_end, tmp_path, config)
    assert code == 1
    assert re.fullmatch(rf"[^\n]*admin port 127\.0\.0\.1:{port}[^\n]*in use[^\n]*\n", said), said


async def test_an_access_log_that_cannot_be_written_is_one_clear_line_and_exit_code_1(tmp_path: Path) -> None:
    log = f'\n[log.access]\nenabled = true\npath = "{tmp_path}/missing/access.log"\n'
    config = configuration(tmp_path, over_local(tmp_path / "data"), more=log)
    code, said = await asyncio.to_thread(run_to_its_end, tmp_path, config)
    assert code == 1
    assert re.fullmatch(r"[^\n]*missing/access\.log: No such file[^\n]*\n", said), said


async def test_a_directory_that_another_node_serves_is_refused(tmp_path: Path) -> None:
    with running(tmp_path / "first", workers=1):
        second = tmp_path / "second"
        config = configuration(second, over_local(tmp_path / "first" / "data"))
        code, said = await asyncio.to_thread(run_to_its_end, second, config)
    assert code == 1
    assert re.fullmatch(r"[^\n]*held by another node[^\n]*\n", said), said


async def test_a_configuration_that_cannot_work_is_exit_code_2(tmp_path: Path) -> None:
    config = local(tmp_path) + "\n[gatewy]\nworkers = 3\n"
    code, said = await asyncio.to_thread(run_to_its_end, tmp_path, config)
    assert code == 2
    assert "gatewy" in said
    assert "Traceback" not in said


def run_to_its_end(directory: Path, config: str) -> tuple[int, str]:
    directory.mkdir(exist_ok=True)
    file = directory / "node.toml"
    file.touch(mode=0o600)
    file.write_text(config)
    command = [*nodes.COMMAND, "run", "--config", str(file)]
    environment = {**os.environ, "PYTHONPATH": str(nodes.ROOT)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False)
    return ended.returncode, ended.stderr


async def test_a_backend_that_cannot_be_reached_is_named_and_tried_again(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    away = S3Server(f"http://127.0.0.1:{port}", nodes.ACCESS_KEY, nodes.SECRET_KEY)
    near = configuration(tmp_path / "near", over_s3(away)).replace("[admin]", "[admin]\nprobe_seconds = 1.0")
    far = configuration(tmp_path / "far", over_local(tmp_path / "far" / "data"))
    far = re.sub(r"listeners = .*", f"listeners = [{{ port = {port} }}]", far)
    with starting(tmp_path / "near", near) as admin:
        await until(lambda: "[-] backends: 0 of 1 reachable; store: connect_failed" in admin(), "it is named")
        await until(lambda: "[+] workers: 1 of 1 ready" in admin(), "it serves nevertheless")
        with nodes.node(tmp_path / "far", far):
            await until(lambda: "[+] backends: 1 of 1 reachable" in admin(), "it is found again")


@contextlib.contextmanager
def starting(directory: Path, config: str) -> Iterator[Callable[[], str]]:
    """A node that need not become ready; gives what `/readyz?verbose` says."""
    directory.mkdir(parents=True, exist_ok=True)
    file, log = directory / "node.toml", directory / "node.log"
    file.touch(mode=0o600)
    file.write_text(config)
    found = re.search(r"\[admin\][^[]*?\nport = (\d+)", config)
    assert found is not None
    admin = Admin(f"http://127.0.0.1:{found[1]}")

    def readiness() -> str:
        with contextlib.suppress(OSError):
            return admin.ask("/readyz?verbose")[1]
        return ""

    command = [*nodes.COMMAND, "run", "--config", str(file)]
    with process(command, log, env={"PYTHONPATH": str(nodes.ROOT)}, grace=15):
        yield readiness


async def test_objects_in_memory_are_not_lost_to_a_renewal(tmp_path: Path) -> None:
    config = configuration(tmp_path, '[backends.store]\nkind = "memory"\n', workers=1)
    with nodes.node(tmp_path, config) as node:
        admin = Admin(node.admin_url)
        before = admin.workers()
        await asyncio.to_thread(node.s3.create_bucket, BUCKET)
        assert (await once(node.s3, "PUT", f"/{BUCKET}/x", b"x"))[0] == 200
        node.supervisor.send_signal(signal.SIGUSR2)
        await until(lambda: "workers_not_renewed" in node.log.read_text(), "the renewal is refused")
        assert admin.workers() == before
        assert (await once(node.s3, "GET", f"/{BUCKET}/x")) == (200, b"x")


# --- what others see of it -----------------------------------------------------------------------------------------


async def test_no_secret_is_in_arguments_environment_core_dumps_or_log(tmp_path: Path) -> None:
    with running(tmp_path, LOG__LEVEL="debug") as (node, admin):
        assert (await once(node.s3, "PUT", f"/{BUCKET}/x", b"x"))[0] == 200
        for pid in (node.supervisor.pid, *admin.workers()):
            assert nodes.SECRET_KEY not in of_process(pid, "cmdline") + of_process(pid, "environ")
            assert re.search(r"Max core file size\s+0\s+0", of_process(pid, "limits"))
        for path in ("/status", "/metrics", "/readyz?verbose"):
            assert nodes.SECRET_KEY not in admin.ask(path)[1]
        assert nodes.SECRET_KEY not in node.log.read_text()


def test_a_worker_of_other_code_says_so_in_one_line_without_a_secret() -> None:
    ours, theirs = socket.socketpair()
    start = Start(0, Settings(), Catalog(keys={"AK": AccessKey("AK", SecretStr("s3cr3t"), "r", Access.READ)}), (), 0, 0)
    data = channel.encode(start)[5:].replace(b'"counters"', b'"cou_ters"')
    ours.sendall(struct.pack("!IB", len(data), channel.VERSION) + data)
    command = [sys.executable, "-m", "bridge_node.worker", str(theirs.fileno())]
    environment = {**os.environ, "PYTHONPATH": str(nodes.ROOT)}
    ended = subprocess.run(
        command, env=environment, pass_fds=(theirs.fileno(),), capture_output=True, text=True, timeout=30, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert json.loads(ended.stderr)["reason"].startswith("Start comes without counters")
    assert "s3cr3t" not in ended.stderr
    ours.close()
    theirs.close()


def test_a_listener_with_a_certificate_speaks_tls_and_tells_its_days(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "node.pem"))
    (tmp_path / "node.pem").chmod(0o600)
    tls = f'tls = [{{ certificate = "{tmp_path}/node.pem", private_key = "{tmp_path}/node.pem" }}]'
    config = re.sub(r"listeners = \[\{ (.*) \}\]", rf"listeners = [{{ \1, {tls} }}]", local(tmp_path))
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    with nodes.node(tmp_path, config) as node:
        url = node.s3.endpoint.replace("http://127.0.0.1", "https://localhost")
        with urllib.request.urlopen(f"{url}/health", timeout=5, context=trusting) as answer:
            assert answer.status == 200
        assert Admin(node.admin_url).count("certificate_days", certificate=f"{tmp_path}/node.pem") > 1


async def test_the_admin_port_only_reads(tmp_path: Path) -> None:
    with running(tmp_path, workers=1) as (node, admin):
        for path in ("/healthz", "/readyz", "/metrics", "/status"):
            assert admin.ask(path)[0] == 200
            assert admin.ask(path, "HEAD") == (200, "")
            for method in ("POST", "PUT", "DELETE"):
                assert admin.ask(path, method)[0] == 405
        assert admin.ask("/")[0] == 404
        status, text = admin.ask("/metrics", accept="application/openmetrics-text; version=1.0.0")
        assert status == 200
        assert len(list(parse_openmetrics(text))) > 30  # type: ignore[no-untyped-call]  # has no types
        # It is no client port, and client ports tell nothing of it.
        assert Admin(node.s3.endpoint).ask("/metrics")[0] == 403
        assert Admin(node.s3.endpoint).ask("/health")[0] == 200


async def test_the_access_log_is_reopened_on_sigusr1(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    with running(tmp_path, LOG__ACCESS__ENABLED="true", LOG__ACCESS__PATH=str(log)) as (node, _):
        await once(node.s3, "PUT", f"/{BUCKET}/first", b"x")
        await until(lambda: "/first" in log.read_text(), "the first line is written")
        log.rename(tmp_path / "access.log.1")
        node.supervisor.send_signal(signal.SIGUSR1)
        await until(log.exists, "the file is made anew")
        await once(node.s3, "PUT", f"/{BUCKET}/second", b"x")
        await until(lambda: "/second" in log.read_text(), "the second line is written")
        line = json.loads(log.read_text().splitlines()[-1])
        assert (line["operation"], line["status"], line["received"]) == ("PutObject", 200, 1)


async def test_systemd_is_told_of_every_turn(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(DEADLINE)

        def told(what: str) -> bool:
            while what not in manager.recv(4096).decode():
                pass
            return True

        config = local(tmp_path)
        with nodes.node(tmp_path, config, env={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as node:
            await until(lambda: told("READY=1"), "ready")
            await until(lambda: told("WATCHDOG=1"), "the watchdog is fed")
            await until(lambda: told("STATUS=workers: 1 of 1 ready; backends: 1 of 1 reachable"), "status")
            node.supervisor.send_signal(signal.SIGHUP)
            await until(lambda: told("RELOADING=1\nMONOTONIC_USEC="), "reloading")
            await until(lambda: told("READY=1"), "reloaded")
            node.supervisor.terminate()
            await until(lambda: told("STOPPING=1"), "stopping")
            assert await asyncio.to_thread(node.supervisor.wait, DEADLINE) == 0
