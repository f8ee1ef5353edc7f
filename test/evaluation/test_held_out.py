import numpy as np
import pytest
from held import held

from panoptic_ros import synthetic as town
from panoptic_ros.evaluation import held_out


def write_frames(root, split, names):
    for name in names:
        for path in (
            root / f"leftImg8bit/{split}/town/{name}_leftImg8bit.png",
            root / f"gtFine/{split}/town/{name}_gtFine_labelIds.png",
            root / f"gtFine/{split}/town/{name}_gtFine_instanceIds.png",
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()


def test_frames_that_are_there_are_not_made_again(tmp_path, no_egl):
    others = ["town_000001_000000", "town_900000_000039"]
    write_frames(tmp_path, "val", ["town_900000_000000", "town_900000_000040", *others])
    first, second = held_out.held_out_frames(tmp_path, limit=2)
    assert first.name == "town_900000_000000"
    assert second.name == "town_900000_000040"
    assert held_out.held_out_frames(tmp_path, limit=1) == [first]


def test_drives_that_are_there_are_returned_in_order(tmp_path, no_egl):
    for seed in held_out.DRIVE_SEEDS[:2]:
        write_frames(tmp_path, "drives", [f"town_{seed:06d}_{k:06d}" for k in range(3)])
    found = held_out.held_out_drives(tmp_path, count=2, limit=2)
    assert [[sample.name[-6:] for sample in drive] for drive in found] == [["000000", "000001"]] * 2
    assert found[1][0].name == f"town_{held_out.DRIVE_SEEDS[1]:06d}_000000"


def test_frames_that_are_missing_and_cannot_be_rendered_are_an_error(tmp_path, no_egl):
    names = ["town_900000_000000", "town_900000_000040", "town_900001_000000"]
    write_frames(tmp_path, "val", names)
    with pytest.raises(held_out.FramesMissing, match=f"{tmp_path} lacks 99 .* no libegl1"):
        held_out.held_out_frames(tmp_path)


def test_two_at_once_do_not_render_into_one_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(town, "check_rendering", lambda: None)
    with held(tmp_path), pytest.raises(ValueError, match=r"in use .* another --data"):
        held_out.held_out_frames(tmp_path, limit=1)


def test_drives_that_are_missing_and_cannot_be_rendered_are_an_error(tmp_path, no_egl):
    first = held_out.DRIVE_SEEDS[0]
    write_frames(tmp_path, "drives", [f"town_{first:06d}_{k:06d}" for k in range(2)])
    with pytest.raises(held_out.FramesMissing, match=f"{tmp_path} lacks 1 of .* no libegl1"):
        held_out.held_out_drives(tmp_path, count=2, limit=2)


@pytest.mark.parametrize("count", [0, 9])
def test_drives_that_do_not_exist_are_refused(tmp_path, count):
    with pytest.raises(ValueError, match=f"{count} drives are asked for; there are 1..8"):
        held_out.held_out_drives(tmp_path, count=count)


def test_the_drives_are_held_out():
    assert set(held_out.DRIVE_SEEDS) <= set(held_out.SEEDS)


def test_missing_frames_are_rendered(tmp_path):
    try:
        town.check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    first, second = held_out.held_out_frames(tmp_path, limit=2)
    assert first.load_image().shape == (512, 1024, 3)
    things = set(np.unique(second.load_instance_ids() // 1000)) - {0}
    assert things <= {24, 25, 26, 27, 28, 31, 32, 33}
    assert not np.array_equal(first.load_image(), second.load_image())
