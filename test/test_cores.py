import os

import pytest

from panoptic_ros.cores import usable_cores, usable_threads


@pytest.fixture(autouse=True)
def many_cores(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(64), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def cgroup(root, path, quotas):
    """Write a group of cgroup v2 and those above it: path -> cpu.max."""
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "cgroup").write_text(f"0::{path}\n")
    for group, text in quotas.items():
        folder = root / "sys" / "fs" / "cgroup" / group
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "cpu.max").write_text(text)


def test_affinity_is_the_limit_where_nothing_else_is(tmp_path):
    assert usable_cores(tmp_path) == 64


@pytest.mark.parametrize(
    ("quotas", "expected"),
    [
        ({"a/b": "max 100000\n"}, 64),
        ({"a/b": "400000 100000\n"}, 4),
        ({"a/b": "150000 100000\n"}, 2),
        ({"a/b": "20000 100000\n"}, 1),
        ({"a/b": "400000 100000\n", "a": "200000 100000\n"}, 2),
        ({"": "300000 100000\n"}, 3),
        ({"a/b": "nonsense"}, 64),
    ],
)
def test_the_smallest_quota_of_the_groups_around_counts(tmp_path, quotas, expected):
    cgroup(tmp_path, "/a/b", quotas)
    assert usable_cores(tmp_path) == expected


def test_the_first_cgroups_have_two_files(tmp_path):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("5:memory:/x\n4:cpu,cpuacct:/x\n")
    folder = tmp_path / "sys" / "fs" / "cgroup" / "cpu" / "x"
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_quota_us").write_text("250000\n")
    (folder / "cpu.cfs_period_us").write_text("100000\n")
    assert usable_cores(tmp_path) == 3
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert usable_cores(tmp_path) == 64


@pytest.mark.parametrize(("value", "expected"), [("3", 3), ("2,1", 2), ("", 64), ("x", 64)])
def test_openmps_variable_is_for_threads_not_for_processes(tmp_path, monkeypatch, value, expected):
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert usable_threads(tmp_path) == expected
    assert usable_cores(tmp_path) == 64
