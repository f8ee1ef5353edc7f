import json
import shutil

import pytest
import system_files

from panoptic_ros.__main__ import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    system_files.write(folder, 2)
    return folder


def words(folder, out, *systems):
    files = [str(folder / f"{name}.yaml") for name in systems]
    data = ["--dataset", "cityscapes", "--data", str(folder / "data"), "--device", "cpu"]
    return ["compare", *data, "--systems", *files, "--limit", "1", "--out", str(out)]


def test_tables_page_and_what_is_left_out(folder, tmp_path, capsys):
    assert main(words(folder, tmp_path / "out", "shared", "absent")) == 0
    said = capsys.readouterr()
    assert "Table 2. Quality on 1 frames" in said.out
    assert "Table 3." in said.out
    assert "skipped: absent: no weights" in said.err
    results = json.loads((tmp_path / "out" / "systems.json").read_text())
    assert list(results["systems"]) == ["shared"]
    assert (tmp_path / "out" / "systems.html").read_text().startswith("<!doctype html>")


def test_no_weights_at_all_are_told_in_one_line(folder, tmp_path, capsys):
    assert main(words(folder, tmp_path / "out", "absent")) == 2
    assert "no system can run" in capsys.readouterr().err


def test_a_broken_frame_is_skipped_and_counted(folder, tmp_path, capsys):
    shutil.copytree(folder / "data", tmp_path / "data")
    broken = sorted((tmp_path / "data" / "leftImg8bit").rglob("*.png"))[0]
    broken.write_bytes(b"no picture")
    arguments = words(folder, tmp_path / "out", "shared")
    arguments[arguments.index(str(folder / "data"))] = str(tmp_path / "data")
    arguments[arguments.index("--limit") + 1] = "2"
    assert main(arguments) == 1
    assert "1 broken frames were skipped" in capsys.readouterr().err
