"""Who holds a root, and which writers live."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from bridge_node.backends.local import LocalBackend, RootUnusable, hold_root
from bridge_node.backends.local.locks import Writer, is_locked, writer_of

REPOSITORY = Path(__file__).parents[2]
OTHER_NODE = """
import sys, time
from pathlib import Path
from bridge_node.backends.local import hold_root
held = hold_root(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""
WORKER = """
import asyncio, sys
from pathlib import Path
from bridge_node.backends.local import LocalBackend
asyncio.run(LocalBackend(Path(sys.argv[1])).close())
"""


def python(script: str, root: Path) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        (sys.executable, "-c", script, str(root)),
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_root_held_by_another_node_is_refused(tmp_path: Path) -> None:
    with python(OTHER_NODE, tmp_path) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(RootUnusable, match=str(other.pid)):
            hold_root(tmp_path)
        with pytest.raises(RootUnusable, match="held by another node"):
            LocalBackend(tmp_path)
        other.communicate(b"")
    hold_root(tmp_path).close()


def test_a_root_is_shared_by_the_supervisor_and_its_workers(tmp_path: Path) -> None:
    held = hold_root(tmp_path)
    for worker in [python(WORKER, tmp_path) for _ in range(2)]:
        _, errors = worker.communicate()
        assert (worker.returncode, errors) == (0, b"")
    held.close()


def test_a_root_that_is_let_go_can_be_held_again(tmp_path: Path) -> None:
    for _ in range(2):
        held = hold_root(tmp_path)
        with pytest.raises(RootUnusable):
            hold_root(tmp_path)
        held.close()
        held.close()


def test_what_is_no_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for root in (file, tmp_path / "absent"):
        with pytest.raises(RootUnusable, match="not a directory"):
            hold_root(root)


def test_a_file_system_that_folds_case_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    # As such a file system answers: `case-…` is there once `Case-…` is.
    monkeypatch.setattr(
        Path, "exists", lambda self: exists(self) or exists(self.with_name(self.name.replace("case", "Case")))
    )
    with pytest.raises(RootUnusable, match="folds case"):
        hold_root(tmp_path)


def test_a_writer_is_seen_to_live_until_it_ends(tmp_path: Path) -> None:
    hold_root(tmp_path).close()
    writer = Writer(tmp_path)
    file = tmp_path / ".bridge-node" / "writers" / writer.id
    assert is_locked(file)
    assert writer_of(writer.new_name()) == writer.id
    assert writer_of(f"{time.time_ns():016x}.{writer.new_name()}") == writer.id
    writer.close(in_order=False)
    assert file.exists()
    assert not is_locked(file)


def test_a_writer_never_gives_a_name_twice(tmp_path: Path) -> None:
    hold_root(tmp_path).close()
    writers = [Writer(tmp_path) for _ in range(3)]
    names = [writer.new_name() for writer in writers for _ in range(100)]
    assert len(set(names)) == 300
    for writer in writers:
        writer.close(in_order=True)
    assert list((tmp_path / ".bridge-node" / "writers").iterdir()) == []
