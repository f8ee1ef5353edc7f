import os
from pathlib import Path

import pytest

from panoptic_ros.checkpoints import places


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(places.VARIABLE, str(tmp_path / "own"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "own"


def _put(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text("{}")


def test_the_users_own_folder_comes_first_then_the_packages(own, tmp_path):
    _put(own, "town/head")
    assert places.find("town/head") == own / "town" / "head"
    assert places.find("town/semantic").parent.parent == places.folders()[1]
    assert places.folders()[2] == tmp_path / "data" / "panoptic_ros" / "weights"


def test_who_has_no_home_has_the_other_folders(own, monkeypatch):
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert [folder.name for folder in places.folders()] == ["own", "weights"]


def test_the_own_folder_may_be_below_home(own, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(places.VARIABLE, "~/own")
    assert places.folders()[0] == own


def test_a_dot_in_a_name_is_no_suffix(own):
    _put(own, "deeplab.v3")
    assert places.find("deeplab.v3") == own / "deeplab.v3"
    assert places.find("deeplab") is None


def test_installed_names_each_checkpoint_once(own):
    _put(own, "mine")
    _put(own, "town/head")
    found = places.installed()
    assert found["mine"] == own / "mine"
    assert found["town/head"] == own / "town" / "head"
    assert "town/semantic" in found


def test_new_weights_go_to_the_first_folder_that_can_be_made(own):
    assert places.target() == own


def test_no_folder_that_can_be_written_is_told(own, monkeypatch):
    monkeypatch.setattr(places.os, "access", lambda *_: False)
    with pytest.raises(OSError, match="set PANOPTIC_WEIGHTS"):
        places.target()
