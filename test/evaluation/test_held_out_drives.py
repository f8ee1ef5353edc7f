import pytest

from panoptic_ros import synthetic as town
from panoptic_ros.evaluation import held_out_drives as drives


def cannot_render():
    raise OSError("no EGL")


def write_frames(root, seed, frames):
    for index in range(frames):
        name = f"town_{seed:06d}_{index:06d}"
        for path in (
            root / f"leftImg8bit/drives/town/{name}_leftImg8bit.png",
            root / f"gtFine/drives/town/{name}_gtFine_labelIds.png",
            root / f"gtFine/drives/town/{name}_gtFine_instanceIds.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_frames_that_are_there_are_returned_by_drive_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(town, "check_rendering", cannot_render)
    for seed in drives.SEEDS[:2]:
        write_frames(tmp_path, seed, 3)
    found = drives.held_out_drives(tmp_path, count=2, frames=2)
    assert [[sample.name[-6:] for sample in drive] for drive in found] == [["000000", "000001"]] * 2
    assert found[1][0].name == f"town_{drives.SEEDS[1]:06d}_000000"


def test_what_is_missing_and_cannot_be_rendered_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(town, "check_rendering", cannot_render)
    write_frames(tmp_path, drives.SEEDS[0], 2)
    with pytest.raises(RuntimeError, match=f"{tmp_path} lacks 1 of .* made here: no EGL"):
        drives.held_out_drives(tmp_path, count=2, frames=2)


def test_more_drives_than_there_are_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"9 drives are asked for; there are 1..8"):
        drives.held_out_drives(tmp_path, count=9)


def test_the_drives_are_held_out():
    from panoptic_ros.evaluation.held_out_frames import SEEDS

    assert set(drives.SEEDS) <= set(SEEDS)
