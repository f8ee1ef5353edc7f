import argparse
import os
import subprocess
import sys

import pytest

from panoptic_ros.bags import BagReader
from panoptic_ros.cli import town
from panoptic_ros.geometry.poses import rotation_matrix
from panoptic_ros.synthetic import check_rendering


def run(*words):
    parser = argparse.ArgumentParser()
    town.add_arguments(parser)
    return town.run(parser.parse_args(words))


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--count", "0", "0"),
        ("--workers", "0", "0"),
        ("--first-seed", "-1", "-1"),
        ("--split", "../val", "'../val', it must be a name"),
        ("--split", "/data", "'/data', it must be a name"),
        ("--size", "31 64", r"\[31, 64\], both"),
        ("--size", "9999 9999", r"\[9999, 9999\], more than"),
    ],
)
def test_bad_options_are_named(tmp_path, option, value, words):
    with pytest.raises(ValueError, match=f"{option} is {words}"):
        run("--out", str(tmp_path), option, *value.split())


def test_a_split_has_a_name(tmp_path):
    with pytest.raises(ValueError, match="--split is '', it must be a name"):
        run("--out", str(tmp_path), "--split", "")


def test_another_weather_is_refused(tmp_path, capsys):
    with pytest.raises(SystemExit):
        run("--out", str(tmp_path), "--weather", "snow")
    assert "choose from" in capsys.readouterr().err


def test_files_of_the_rear_camera_are_refused(tmp_path):
    with pytest.raises(ValueError, match="--camera rear needs --bag"):
        run("--out", str(tmp_path), "--camera", "rear")


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--weather", "rain"],
        ["--setting", "oldtown", "--weather", "night"],
        ["--bag", "--camera", "rear", "--setting", "highway", "--weather", "night"],
    ],
)
def test_frames_or_a_bag_are_written(tmp_path, options):
    try:
        check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    words = ["--out", str(tmp_path), "--split", "val", "--frames", "2", "--size", "64", "128"]
    assert run(*words, *options) == 0
    if "--bag" in options:
        with BagReader(tmp_path / "val" / "highway_000000") as bag:
            messages = [
                message.message
                for message in bag.messages({"/tf_static", "/rear/image/compressed"})
            ]
        mounting, *images = messages
        assert [image.header.frame_id for image in images] == ["rear_optical_frame"] * 2
        turn = mounting.transforms[0].transform.rotation
        forward = rotation_matrix((turn.x, turn.y, turn.z, turn.w))[:, 2]
        assert forward[0] < -0.95, "the optical axis points back"
    else:
        setting = "oldtown" if "oldtown" in options else "town"
        assert len(list(tmp_path.glob(f"leftImg8bit/val/{setting}/*.png"))) == 2


def test_without_egl_the_packages_to_install_are_named(tmp_path):
    pytest.importorskip("mujoco")
    done = subprocess.run(
        [sys.executable, "-m", "panoptic_ros", "town", "--out", str(tmp_path)],
        env={**os.environ, "MUJOCO_GL": "disabled"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "libegl1" in done.stderr
    assert not list(tmp_path.iterdir())
