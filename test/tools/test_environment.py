import re
import venv

import pytest

from tools import setup_environment
from tools.environment import DISTRIBUTIONS, Environment


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A source tree whose environment is there, without ROS 2 sourced."""
    monkeypatch.delenv("ROS_DISTRO", raising=False)
    (tmp_path / "requirements").mkdir()
    (tmp_path / "requirements" / "core.txt").write_text("numpy\n")
    venv.create(tmp_path / ".venv", with_pip=False)
    environment = Environment(tmp_path)
    environment._identity.write_text(environment._wanted_identity())
    environment._stamp.write_text(environment._fingerprint())
    return tmp_path


def test_an_installed_environment_is_complete(root):
    assert Environment(root).is_complete()


def test_a_changed_requirement_is_installed_but_the_environment_stays(root):
    (root / "requirements" / "core.txt").write_text("numpy>=2\n")
    assert not Environment(root).is_complete()
    assert not Environment(root)._must_be_made()


def test_an_interrupted_install_is_not_complete(root):
    (root / ".venv" / ".installed").unlink()
    assert not Environment(root).is_complete()


@pytest.mark.parametrize("damage", ["interpreter", "identity", "moved"])
def test_a_broken_environment_is_made_again(root, damage):
    if damage == "interpreter":
        (root / ".venv" / "bin" / "python").unlink()
    elif damage == "identity":
        (root / ".venv" / ".ros").unlink()
    else:
        root = root.rename(root.with_name("moved"))
    assert Environment(root)._must_be_made()


def test_a_sourced_ros_takes_the_place_of_the_wheels(root, monkeypatch):
    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    assert not Environment(root).on_wheels
    assert not Environment(root).is_complete()


def test_a_shell_without_ros_goes_on_with_the_ros_it_was_made_for(root, monkeypatch):
    (root / ".venv" / ".ros").write_text(f"jazzy\n{root}\n")
    assert Environment(root).ros == "jazzy"


def test_half_installed_packages_are_forgotten(root):
    (packages,) = (root / ".venv").glob("lib/python*/site-packages")
    whole, half = packages / "numpy-2.4.6.dist-info", packages / "torch-2.15.0.dist-info"
    for info in (whole, half):
        info.mkdir()
        (info / "METADATA").touch()
        (info / "RECORD").touch()
    (whole / "INSTALLER").touch()
    (packages / "~orch").mkdir()
    Environment(root)._forget_half_installed()
    assert whole.is_dir()
    assert not half.exists()
    assert not (packages / "~orch").exists()


@pytest.mark.parametrize(
    ("wanted", "ros", "distribution"),
    [("", "wheels", "kilted"), ("kilted", "wheels", "kilted"), ("jazzy", "wheels-jazzy", "jazzy")],
)
def test_the_wheels_of_a_distribution_may_be_chosen(root, wanted, ros, distribution):
    environment = Environment(root, wanted)
    assert (environment.ros, environment.distribution) == (ros, distribution)
    assert environment.on_wheels
    assert environment._must_be_made() == (distribution == "jazzy")
    asked = [name for arguments in environment._pip_arguments() for name in arguments]
    assert f"--requirement={root}/requirements/ros_{distribution}.txt" in asked


def test_the_chosen_wheels_stay(root):
    (root / ".venv" / ".ros").write_text(f"wheels-jazzy\n{root}\n")
    assert Environment(root).distribution == "jazzy"
    assert Environment(root, "kilted")._must_be_made()


@pytest.mark.parametrize(
    ("sourced", "wanted", "words"),
    [
        ("", "humble", "there are wheels of kilted and jazzy"),
        ("humble", "jazzy", "ROS 2 humble is sourced, but ROS=jazzy"),
        ("humble", "humble", ""),
        ("humble", "", ""),
        ("", "jazzy", ""),
    ],
)
def test_wheels_that_cannot_be_taken_are_told(monkeypatch, sourced, wanted, words):
    monkeypatch.setenv("ROS_DISTRO", sourced)
    said = setup_environment._unfit(wanted)
    assert words in said
    assert bool(said) == bool(words)


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_there_is_a_file_of_pinned_wheels(distribution):
    lines = (setup_environment.ROOT / "requirements" / f"ros_{distribution}.txt").read_text()
    pins = [line for line in lines.splitlines() if line.startswith("ros-")]
    assert f"ros-{distribution}-rclpy[fastrtps]" in {pin.split("==")[0] for pin in pins}
    assert all(re.fullmatch(r"ros-[\w-]+(\[fastrtps\])?==[\d.]+", pin) for pin in pins)
