from pathlib import Path

from bridge_node import cores


def group(path: Path, limit: str) -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cpu.max").write_text(limit)


def test_a_quota_of_processor_time_counts_as_so_many_cores(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/system.slice/bridge-node.service\n")
    groups = tmp_path / "groups"
    group(groups / "system.slice/bridge-node.service", "max 100000\n")
    group(groups / "system.slice", "250000 100000\n")
    assert cores._quota(groups, own) == 3
    group(groups / "system.slice/bridge-node.service", "50000 100000\n")
    assert cores._quota(groups, own) == 1


def test_a_container_sees_its_own_quota_at_the_root(tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.write_text("0::/\n")
    group(tmp_path / "groups", "200000 100000\n")
    assert cores._quota(tmp_path / "groups", own) == 2


def test_without_a_quota_or_control_groups_the_cores_count(tmp_path: Path) -> None:
    assert cores._quota(tmp_path / "none", tmp_path / "nothing") > 1000
    assert cores.available() >= 1
