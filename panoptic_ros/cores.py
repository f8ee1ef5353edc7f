"""How many cores this process may use, which is often fewer than the machine has."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that affinity and a container's quota leave: for processes.

    At least 1. root: where /proc and /sys lie. A quota of less than a whole core is one core.
    Source: Linux's cgroup v2 (cpu.max) and v1 (cpu.cfs_quota_us, cpu.cfs_period_us).
    """
    affinity = getattr(os, "sched_getaffinity", None)
    limits: list[float] = [len(affinity(0)) if affinity else os.cpu_count() or 1]
    limits += _quotas(root)
    return max(1, math.ceil(min(limits)))


def usable_threads(root: Path = Path("/")) -> int:
    """Return how many threads a process is to have: `usable_cores`, or OMP_NUM_THREADS if fewer.

    That variable says nothing of how many processes there may be.
    """
    # Several numbers are for nested regions; the outer one is what runs our loops.
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    cores = usable_cores(root)
    return max(1, min(cores, int(wanted))) if wanted.isdigit() else cores


def _quotas(root: Path) -> Iterator[float]:
    """Yield the cores that each control group around this process may keep busy."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    base = root / "sys/fs/cgroup"
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        top = base / "cpu" if controllers else base
        # A container often sees its own group as the top one, and itself by the host's path.
        here = top / path.lstrip("/")
        for group in {here, *here.parents} if here.is_dir() else {top}:
            if group == top or top in group.parents:
                yield from _quota(group)


def _quota(group: Path) -> Iterator[float]:
    try:
        if (group / "cpu.max").is_file():
            quota, period = (group / "cpu.max").read_text().split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text()
            period = (group / "cpu.cfs_period_us").read_text()
        if quota.strip() != "max" and int(quota) > 0:
            yield int(quota) / int(period)
    except (OSError, ValueError):  # no limit here, or none that we can read
        return
