import shutil
import stat
from types import SimpleNamespace

import pytest

from tools import debian


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine whose programs are scripts that write down how they were called."""
    calls = tmp_path / "calls"
    calls.touch()
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setenv("PATH", str(programs))

    def program(name, script="exit 0"):
        path = programs / name
        path.write_text(f'#!/bin/sh\necho "{name} $@" >> {calls}\n{script}\n')
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def called():
        lines = calls.read_text().splitlines()
        return [line for line in lines if not line.startswith("dpkg-query")]

    return SimpleNamespace(program=program, called=called, monkeypatch=monkeypatch)


def _as_user(machine, number):
    machine.monkeypatch.setattr(debian.os, "geteuid", lambda: number)


def test_root_installs_what_is_missing_and_nothing_else(machine):
    _as_user(machine, 0)
    machine.program("dpkg-query", '[ "$3" = chromium ] || printf installed')
    machine.program("apt-get")
    assert debian.install_packages() == []
    assert machine.called() == ["apt-get install -y -qq --no-install-recommends chromium"]


def test_nothing_is_done_where_everything_is_there(machine):
    machine.program("dpkg-query", "printf installed")
    machine.program("apt-get")
    assert debian.install_packages() == []
    assert machine.called() == []


def test_package_lists_are_fetched_when_a_package_is_not_found(machine):
    _as_user(machine, 0)
    machine.program("dpkg-query", '[ "$3" = chromium ] || printf installed')
    machine.program("apt-get", "exit 1")
    assert debian.install_packages() == [
        "To test the report in a browser: sudo apt-get install chromium"
    ]
    assert [line.split()[1] for line in machine.called()] == ["install", "update"]


@pytest.mark.parametrize("sudo", [None, "exit 1"])
def test_who_may_not_install_is_told_what_to_do(machine, sudo):
    _as_user(machine, 1000)
    machine.program("dpkg-query", "exit 1")
    machine.program("apt-get")
    if sudo:
        machine.program("sudo", sudo)
    assert debian.install_packages() == [
        "To render the town: sudo apt-get install libegl1 libgl1-mesa-dri",
        "To test the report in a browser: sudo apt-get install chromium",
    ]
    assert not any(line.startswith("apt-get") for line in machine.called())


def test_a_system_without_apt_is_told_the_names(machine):
    assert shutil.which("apt-get") is None
    assert debian.install_packages()[1] == (
        "To test the report in a browser: install what your system has for Debian's chromium"
    )
