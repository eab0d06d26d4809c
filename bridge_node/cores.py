"""How many processors this node may use: what workers = 0 means."""

import os
from math import ceil
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def available() -> int:
    """Cores that we may run on, or fewer where a container or a service has a quota of their time; at least one."""
    return max(1, min(len(os.sched_getaffinity(0)), _quota(CGROUPS, OWN_CGROUP)))


def _quota(cgroups: Path, own: Path) -> int:
    """The least `cpu.max` of our control group and those around it (cgroup v2), in whole cores, rounded up."""
    try:
        place = cgroups / own.read_text().strip().rpartition("::/")[2]
    except OSError:
        place = cgroups
    limits = []
    for group in (place, *place.parents):
        try:
            quota, period = (group / "cpu.max").read_text().split()
            limits.append(ceil(int(quota) / int(period)))
        except (OSError, ValueError):  # no such file, or "max"
            continue
    return min(limits, default=1_000_000)
