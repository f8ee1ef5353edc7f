import venv

import pytest

from tools.environment import Environment


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
