import numpy as np
import pytest

from panoptic_ros import synthetic as town
from panoptic_ros.evaluation import held_out_frames as heldout


def write_frames(root, names):
    for name in names:
        for path in (
            root / f"leftImg8bit/val/town/{name}_leftImg8bit.png",
            root / f"gtFine/val/town/{name}_gtFine_labelIds.png",
            root / f"gtFine/val/town/{name}_gtFine_instanceIds.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def cannot_render():
    raise OSError("no EGL")


def test_frames_that_are_there_are_not_made_again(tmp_path, monkeypatch):
    monkeypatch.setattr(town, "check_rendering", cannot_render)
    others = ["town_000001_000000", "town_900000_000039"]
    write_frames(tmp_path, ["town_900000_000000", "town_900000_000040", *others])
    first, second = heldout.held_out_frames(tmp_path, limit=2)
    assert first.name == "town_900000_000000"
    assert second.name == "town_900000_000040"
    assert heldout.held_out_frames(tmp_path, limit=1) == [first]


def test_without_egl_missing_frames_are_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(town, "check_rendering", cannot_render)
    write_frames(tmp_path, ["town_900000_000000", "town_900000_000040", "town_900001_000000"])
    with pytest.raises(RuntimeError, match=f"{tmp_path} lacks 99 .* made here: no EGL"):
        heldout.held_out_frames(tmp_path)


def test_missing_frames_are_rendered(tmp_path):
    try:
        town.check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    first, second = heldout.held_out_frames(tmp_path, limit=2)
    assert first.load_image().shape == (512, 1024, 3)
    things = set(np.unique(second.load_instance_ids() // 1000)) - {0}
    assert things <= {24, 25, 26, 27, 28, 31, 32, 33}
    assert not np.array_equal(first.load_image(), second.load_image())
