import sys

import pytest

from tools import preflight


def test_this_machine_that_runs_the_tests_lacks_no_program():
    assert [problem for problem in preflight._programs() if problem] == []


def test_missing_programs_are_named_with_the_way_to_get_them(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    problems = "\n".join(preflight.problems(tmp_path, with_wheels=False))
    assert "`cmake` is not on the PATH: sudo apt-get install cmake" in problems
    assert "sudo apt-get install build-essential" in problems


@pytest.mark.parametrize("version", [(3, 9), (3, 15)])
def test_other_pythons_are_refused(monkeypatch, tmp_path, version):
    monkeypatch.setattr(sys, "version_info", version)
    problems = preflight.problems(tmp_path, with_wheels=False)
    assert any("3.10 to 3.14" in problem and "PYTHON=" in problem for problem in problems)


def test_a_full_disk_is_named_with_what_is_needed(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight, "ENVIRONMENT_GB", 1e6)
    (problem,) = (p for p in preflight.problems(tmp_path, with_wheels=False) if "GB" in p)
    assert str(tmp_path) in problem
    assert "1000" in problem


def test_wheels_are_for_one_kind_of_machine(monkeypatch, tmp_path):
    monkeypatch.setattr(preflight.platform, "machine", lambda: "aarch64")
    assert any("aarch64" in p for p in preflight.problems(tmp_path, with_wheels=True))
    assert not any("aarch64" in p for p in preflight.problems(tmp_path, with_wheels=False))
