import argparse
import os
import subprocess
import sys

import pytest

from panoptic_ros.cli import town
from panoptic_ros.synthetic import check_rendering


def run(*words):
    parser = argparse.ArgumentParser()
    town.add_arguments(parser)
    return town.run(parser.parse_args(words))


@pytest.mark.parametrize(
    ("option", "value"), [("--count", "0"), ("--workers", "0"), ("--first-seed", "-1")]
)
def test_bad_options_are_named(tmp_path, option, value):
    with pytest.raises(ValueError, match=f"{option} is {value}"):
        run("--out", str(tmp_path), option, value)


@pytest.mark.parametrize("bag", [False, True])
def test_frames_or_a_bag_are_written(tmp_path, bag):
    try:
        check_rendering()
    except OSError as error:
        pytest.skip(str(error))
    words = ["--out", str(tmp_path), "--split", "val", "--frames", "2", "--size", "64", "128"]
    assert run(*words, *(["--bag"] if bag else [])) == 0
    if bag:
        assert (tmp_path / "val" / "town_000000" / "metadata.yaml").is_file()
    else:
        assert len(list(tmp_path.glob("leftImg8bit/val/town/*.png"))) == 2


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
