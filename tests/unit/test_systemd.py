import configparser
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge_node import fleet
from bridge_node.settings import Gateway
from bridge_node.systemd import Notifier

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "systemd/bridge-node.service"


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """Stands for systemd: a datagram socket that states arrive at."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(5)
        yield end


def test_states_arrive_as_the_manager_reads_them(manager: socket.socket, tmp_path: Path) -> None:
    notifier = Notifier(str(tmp_path / "notify"))
    notifier.ready()
    notifier.alive()
    notifier.status("2 of 2 ready")
    notifier.reloading()
    notifier.stopping(within=65)
    received = [manager.recv(4096).decode() for _ in range(5)]
    assert received[:3] == ["READY=1", "WATCHDOG=1", "STATUS=2 of 2 ready"]
    name, _, usec = received[3].partition("\n")
    assert (name, usec.startswith("MONOTONIC_USEC="), usec[15:].isdigit()) == ("RELOADING=1", True, True)
    assert received[4] == "STOPPING=1\nEXTEND_TIMEOUT_USEC=80000000"


def test_the_abstract_namespace_is_understood() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0bridge-node-test")
        end.settimeout(5)
        Notifier("@bridge-node-test").ready()
        assert end.recv(4096) == b"READY=1"


def test_without_a_manager_nothing_happens(tmp_path: Path) -> None:
    Notifier("").ready()
    Notifier(str(tmp_path / "nobody")).ready()


def test_the_unit_gives_a_drain_the_time_it_needs_by_default() -> None:
    unit = configparser.RawConfigParser(strict=False)
    unit.read(UNIT)
    gateway = Gateway()
    allowed = float(unit["Service"]["TimeoutStopSec"])
    assert allowed > gateway.drain_wait + gateway.drain_limit + fleet.OVERTIME_SECONDS


def test_the_unit_is_hardened() -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed here: the unit's exposure was not measured")
    command = [analyze, "security", "--offline=true", "--threshold=15", str(UNIT)]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert found.returncode == 0, found.stdout[-500:] + found.stderr
