import argparse

import pytest

from panoptic_ros.cli import town
from panoptic_ros.synthetic.town import check_rendering


def run(*words):
    parser = argparse.ArgumentParser()
    town.add_arguments(parser)
    return town.run(parser.parse_args(words))


@pytest.mark.parametrize(
    ("option", "value"), [("--count", "0"), ("--workers", "0"), ("--first-seed", "-1")]
)
def test_bad_options_are_named(tmp_path, caplog, option, value):
    assert run("--out", str(tmp_path), option, value) == 1
    assert option in caplog.text
    assert value in caplog.text


@pytest.mark.parametrize("bag", [False, True])
def test_frames_or_a_bag_are_written(tmp_path, bag):
    try:
        check_rendering()
    except RuntimeError as error:
        pytest.skip(str(error))
    words = ["--out", str(tmp_path), "--split", "val", "--frames", "2", "--size", "64", "128"]
    assert run(*words, *(["--bag"] if bag else [])) == 0
    if bag:
        assert (tmp_path / "val" / "town_000000" / "metadata.yaml").is_file()
    else:
        assert len(list(tmp_path.glob("leftImg8bit/val/town/*.png"))) == 2
