"""The benchmark of a fleet, with so few nodes that it takes seconds."""

import subprocess
import sys

from tests.node import ROOT


def test_every_simulated_node_hears_of_every_change_in_one_document() -> None:
    command = [sys.executable, "-m", "benchmarks.fleet", "--nodes", "5", "--seconds", "2", "--rows", "3"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 nodes enrolled and took up 100 documents" in done.stdout
    assert "cost of a change: 1.00 documents for each node" in done.stdout
    assert "complained" not in done.stdout
