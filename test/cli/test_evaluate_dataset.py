import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from street_files import SIZE, truth, write_cityscapes, write_model
from waiting import TIMEOUT, wait_for

from panoptic_ros.__main__ import main
from panoptic_ros.cli.evaluate.dataset import EXPORT_FORMATS
from panoptic_ros.datasets.exports import EXPORTS

# Enough that a process is stopped in their midst.
FRAMES = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    write_cityscapes(folder / "data", FRAMES)
    write_model(folder)
    return folder


def words(folder, out, *others, dataset="cityscapes"):
    options = ["--weights", str(folder / "quick.yaml"), "--device", "cpu", "--fusion", "stack"]
    data = ["--dataset", dataset, "--data", str(folder / "data"), "--out", str(out)]
    return ["evaluate", *data, *options, *others]


def start(arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "panoptic_ros", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=Path(__file__).parents[2],
    )


def frames_done(out):
    state = out / "frames.jsonl"
    return state.read_bytes().count(b"\n") - 1 if state.exists() else 0


def quality(out):
    # Another process may sum up in another order.
    text = (out / "results.json").read_text()
    results = json.loads(text, parse_float=lambda number: round(float(number), 6))
    return {k: results[k] for k in ("semantic", "detector", "fusion")}


def test_ctrl_c_keeps_what_is_done_and_the_same_command_goes_on(folder, tmp_path, capsys):
    interrupted, whole = tmp_path / "interrupted", tmp_path / "whole"
    process = start(words(folder, interrupted))
    wait_for(lambda: frames_done(interrupted) >= 3 or process.poll() is not None, "3 frames")
    assert process.poll() is None, process.stderr.read()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert f"what is done is in {interrupted}: the same command goes on" in err
    assert "Traceback" not in err
    done = frames_done(interrupted)
    assert 3 <= done < FRAMES
    assert not (interrupted / "results.json").exists()

    assert main(words(folder, interrupted)) == 0
    said = capsys.readouterr()
    assert f"{done}/{FRAMES}" in said.err  # the bar starts where the work does
    assert frames_done(interrupted) == FRAMES
    assert str(interrupted / "results.json") in said.out
    assert main(words(folder, whole)) == 0
    assert quality(interrupted) == quality(whole)


def test_other_settings_for_the_same_folder_are_refused(folder, tmp_path, capsys):
    assert main(words(folder, tmp_path, "--limit", "1")) == 0
    assert main(words(folder, tmp_path, "--limit", "1", "--predictions")) == 2
    assert "predictions was False and is True" in capsys.readouterr().err


def test_broken_files_are_told_by_name_and_exit_code(folder, tmp_path, capsys):
    names = write_cityscapes(tmp_path / "data", 2)
    image = tmp_path / f"data/leftImg8bit/val/aachen/{names[0]}_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:100])
    write_model(tmp_path)
    assert main(words(tmp_path, tmp_path / "out", "--workers", "0")) == 1
    err = capsys.readouterr().err
    assert f"broken: {image} is not an image" in err
    assert "1 broken frames were skipped" in err
    assert (tmp_path / "out" / "results.json").is_file()


def test_a_truth_of_void_alone_is_no_zero(tmp_path, capsys):
    write_cityscapes(tmp_path / "data", 1)
    for path in (tmp_path / "data" / "gtFine" / "val" / "aachen").iterdir():
        kind = np.uint8 if "labelIds" in path.name else np.uint16
        cv2.imwrite(str(path), np.zeros(SIZE, kind))
    write_model(tmp_path)
    assert main(words(tmp_path, tmp_path / "out", "--workers", "0")) == 2
    assert "nothing could be scored: 1 frames of" in capsys.readouterr().err
    assert quality(tmp_path / "out")["fusion"]["stack"]["panoptic"]["all"]["pq"] is None


@pytest.mark.parametrize(
    ("dataset", "named"),
    [
        ("cityscapes", "leftImg8bit/val is missing; expected ROOT/leftImg8bit"),
        ("town", "leftImg8bit/val is missing"),
        ("kitti", "training/image_2 is missing (splits that are there: none)"),
        ("coco_panoptic", "panoptic_val2017.json is missing"),
        ("nuscenes", "unknown data set 'nuscenes'; known: ['cityscapes', 'coco_panoptic'"),
    ],
)
def test_a_wrong_layout_is_told_before_anything_runs(folder, dataset, named, tmp_path, capsys):
    arguments = words(folder, tmp_path / "out", "--data", str(tmp_path), dataset=dataset)
    assert main(arguments) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (["--fusion", "median"], "unknown fusion 'median'; known: conv_head, "),
        (["--weights", "unheard-of"], "there is no model 'unheard-of'"),
        (["--device", "cuda:99"], "'cuda:99'"),
    ],
)
def test_wrong_options_are_named(folder, wrong, named, tmp_path, capsys):
    assert main(words(folder, tmp_path / "out", *wrong)) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("limit", ["0", "x"])
def test_limit_must_be_positive(folder, limit, tmp_path):
    with pytest.raises(SystemExit, match="2"):
        main(words(folder, tmp_path, "--limit", limit))


def test_evaluate_alone_says_what_it_needs(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["evaluate"])
    assert "--dataset, --data, --out" in capsys.readouterr().err


def test_kitti_is_scored(folder, tmp_path):
    (name,) = write_cityscapes(tmp_path / "same", 1)
    image, labels = (
        tmp_path / "training" / kind / "000000_10.png" for kind in ("image_2", "instance")
    )
    for path in (image, labels):
        path.parent.mkdir(parents=True)
    shutil.copy(tmp_path / f"same/leftImg8bit/val/aachen/{name}_leftImg8bit.png", image)
    assert cv2.imwrite(str(labels), as_kitti(truth(0)))
    results = {}
    for dataset, data in (("kitti", tmp_path), ("cityscapes", tmp_path / "same")):
        out = tmp_path / f"out_{dataset}"
        assert main(words(folder, out, "--data", str(data), dataset=dataset)) == 0
        results[dataset] = quality(out)
    assert results["kitti"] == results["cityscapes"]


def test_coco_panoptic_is_scored_and_what_has_no_class_is_told(folder, tmp_path, capsys):
    (name,) = write_cityscapes(tmp_path / "data", 1)
    first, second = tmp_path / "first", tmp_path / "second"
    assert main(words(folder, first, "--data", str(tmp_path / "data"), "--predictions")) == 0
    # The truth as the first run wrote it, with one more category.
    content = json.loads((first / "predictions/truth.json").read_text())
    content["images"][0]["file_name"] = f"{name}_leftImg8bit.png"
    content["categories"].append({"id": 99, "name": "banana", "isthing": 1})
    annotations = tmp_path / "coco" / "annotations"
    shutil.copytree(first / "predictions/truth", annotations / "panoptic_v")
    (annotations / "panoptic_v.json").write_text(json.dumps(content))
    shutil.copytree(tmp_path / "data/leftImg8bit/val/aachen", tmp_path / "coco/v")

    arguments = words(folder, second, "--split", "v", dataset="coco_panoptic")
    assert main([*arguments, "--data", str(tmp_path / "coco")]) == 0
    assert quality(second) == quality(first)
    assert "counted as void: banana" in capsys.readouterr().err
    results = json.loads((second / "results.json").read_text())
    assert results["dataset"]["mapped_to_void"] == ["banana"]


def as_kitti(labels):
    """Return Cityscapes' instance ids as KITTI counts them: from 1, times 256."""
    labels = labels.astype(int)
    things = labels // 1000 * 256 + labels % 1000 + 1
    return np.where(labels >= 1000, things, labels * 256).astype(np.uint16)


def test_predict_labels_pictures_that_have_no_truth(folder, tmp_path, capsys):
    broken = tmp_path / "images" / "b.jpg"
    broken.parent.mkdir()
    broken.write_bytes(b"no picture")
    picture = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "images" / "a.png"), picture)
    model = ["--weights", str(folder / "quick.yaml"), "--device", "cpu"]
    places = ["--images", str(tmp_path / "images"), "--out", str(tmp_path / "out")]
    assert main(["evaluate", "predict", *places, *model, "--export", "coco", "kitti"]) == 1
    assert f"broken: {broken} is not an image" in capsys.readouterr().err
    for path in ("labels/a.png", "overlay/a.png", "exports/kitti/stack/pred_list/a.txt"):
        assert (tmp_path / "out" / path).is_file()
    (entry,) = json.loads((tmp_path / "out/exports/coco/stack.json").read_text())["annotations"]
    assert entry["image_id"] == "a"
    assert json.loads((tmp_path / "out/results.json").read_text())["labeled"] == 1
    places[-1] = str(tmp_path / "images" / "out")
    assert main(["evaluate", "predict", *places, *model]) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_predict_without_a_picture_says_so(folder, tmp_path, capsys):
    model = ["--weights", str(folder / "quick.yaml"), "--device", "cpu"]
    words = ["--images", str(tmp_path), "--out", str(tmp_path / "out"), *model]
    assert main(["evaluate", "predict", *words]) == 2
    assert f"{tmp_path}: no picture (.png, .jpg, .jpeg) below it" in capsys.readouterr().err


def test_exports_stand_for_every_frame_after_a_resumed_run(folder, tmp_path):
    formats = ["--export", "coco", "cityscapes_instances", "--workers", "0"]
    for limit in ("1", "2"):
        assert main(words(folder, tmp_path, *formats, "--limit", limit)) == 0
    content = json.loads((tmp_path / "exports/coco/stack.json").read_text())
    assert [a["image_id"] for a in content["annotations"]] == [
        "aachen_000000_000000", "aachen_000000_000001",
    ]  # fmt: skip
    lists = tmp_path / "exports/cityscapes_instances/stack/instances"
    assert len(list(lists.glob("*.txt"))) == 2


def test_the_formats_to_choose_from_are_those_that_can_be_written():
    assert EXPORT_FORMATS == EXPORTS
