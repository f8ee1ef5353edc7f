"""The demo as a user runs it: real processes over the real middleware."""

import json
import signal
import subprocess
import sys
from importlib.util import find_spec

import cv2
import numpy as np
import psutil
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not on the path")

import model_file
from waiting import TIMEOUT, wait_for

from panoptic_ros.__main__ import main
from panoptic_ros.demo.panels import write_film


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "panoptic_ros", "demo", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_pictures_page_and_figures_that_add_up(tmp_path):
    small_model = model_file.write_untrained(tmp_path / "small.yaml")
    earlier = tmp_path / "pictures"
    earlier.mkdir()
    for file in (earlier / "0099.png", earlier / "mine.png", tmp_path / "viewer.log"):
        file.touch()
    arguments = ["--weights", small_model, "--device", "cpu", "--frames", 4, "--out", tmp_path]
    if find_spec("rerun"):
        arguments += ["--rerun", tmp_path / "demo.rrd"]
    process = start(*arguments)
    output, errors = process.communicate(timeout=3 * TIMEOUT)
    assert process.returncode == 0, errors
    summary = json.loads((tmp_path / "summary.json").read_text())
    frames = {k.removeprefix("frames_"): v for k, v in summary.items() if k.startswith("frames_")}
    assert frames["published"] >= 4
    assert frames["in"] == frames["published"] - frames["lost"]
    assert frames["in"] == frames["out"] + frames["dropped"] + frames["refused"]
    assert frames["received"] == frames["out"] > 0
    assert summary["weights"] == "small"
    assert sum(summary["segments_per_class"].values()) >= frames["out"]
    assert summary["latency_ms"].keys() == {"front", "rear"}
    for stages in summary["latency_ms"].values():
        latency = {stage: ms["p50"] for stage, ms in stages.items()}
        # What was received may be of a frame more or less: the ten seconds are another clock's.
        assert 0 < latency["inference"] < latency["total"]
        assert latency["received"] > 0
    (earlier / "mine.png").unlink()
    pictures = sorted(earlier.iterdir())
    # Each frame of the first camera has one, but for those that a busy machine drops.
    least = 1 if frames["dropped"] or frames["lost"] else 4
    assert least <= len(pictures) < frames["out"]
    # A busy machine leaves some frames without a grid, and says so in its diagnostics.
    assert 0 < summary["grids"] <= frames["out"]
    for file in pictures:
        stack, ground = np.split(cv2.imread(str(file)), [1024], axis=1)
        front, front_overlay, rear = np.split(stack, [512, 1024])
        for camera, overlay in ((front, front_overlay), np.split(rear, 2, axis=1)):
            assert camera.std() > 20
            assert overlay.std() > 5
            assert (camera != overlay).any()
        assert ground.shape[1] > 600
        assert ground.std() > 5
    page = (tmp_path / "index.html").read_text()
    assert all(f"pictures/{file.name}" in page for file in pictures)
    assert f"frames out{frames['out']:>16}" in output
    assert str(tmp_path / "index.html") in output
    if find_spec("rerun"):
        check_recording(tmp_path / "demo.rrd", len(pictures))


def check_recording(file, frames):
    """Check what is recorded for Rerun, the extra `rerun`, of a number of frames."""
    from recorded import logged, rows
    from rerun.chunk import RrdReader

    entities = logged(RrdReader(file).stream())
    vehicle = "/world/vehicle"
    shown = {f"{vehicle}/front/image", f"{vehicle}/front/labels", f"{vehicle}/grid"}
    for entity in shown | {f"{vehicle}/grid_velocities", "/world/tracks"}:
        assert {row["frame"] for row in entities[entity]} == set(range(frames)), entity
    for camera, size in {"front": [1024, 512], "rear": [640, 224]}.items():
        assert rows(entities[f"{vehicle}/{camera}"], "Pinhole:resolution")[0] == [size]
    stamps = rows(entities[f"{vehicle}/front/image"], "stamp")
    assert sorted(stamps.values()) == [stamps[i] for i in range(frames)]
    places = rows(entities["/world/vehicle"], "Transform3D:translation")
    assert len({tuple(place) for [place] in places.values()}) == frames
    [context] = entities["/"][0]["AnnotationContext:context"]
    assert "car" in {entry["class_description"]["info"]["label"] for entry in context}
    assert all(row["Scalars:scalars"][0] > 0 for row in entities.get("/latency/inference", []))


@pytest.mark.parametrize("name", ["pictures/holiday.png", "index.html", "summary.json", "demo.mp4"])
def test_what_is_of_no_demo_stays(tmp_path, capsys, name):
    mine = tmp_path / name
    mine.parent.mkdir(exist_ok=True)
    mine.write_text("mine")
    assert main(["demo", "--weights", "random", "--out", str(tmp_path)]) == 2
    there = tmp_path / name.split("/")[0]
    assert f"{there} is of no earlier demo: choose another --out" in capsys.readouterr().err
    assert mine.read_text() == "mine"


def test_a_video_is_not_written_over(tmp_path, capsys):
    film, picture = tmp_path / "demo.mp4", tmp_path / "0.png"
    cv2.imwrite(str(picture), np.zeros((64, 64, 3), np.uint8))
    assert write_film([picture] * 5, film, 5.0)
    (tmp_path / "viewer.log").touch()
    content = film.read_bytes()
    assert main(["demo", "--video", str(film), "--out", str(tmp_path)]) == 2
    assert f"{film} would be written over: choose another --out" in capsys.readouterr().err
    assert film.read_bytes() == content


def test_missing_weights_are_named_and_nothing_takes_their_place(tmp_path):
    model = tmp_path / "gone.yaml"
    model.write_text(
        "label_set: cityscapes\nsemantic: {weights: ./nowhere/semantic}\n"
        "instances: {weights: ./nowhere/instance}\n"
    )
    process = start("--weights", model, "--out", tmp_path / "out")
    _, errors = process.communicate(timeout=3 * TIMEOUT)
    assert process.returncode == 1
    assert "nowhere/semantic" in errors
    assert "`random` runs untrained networks" in errors
    assert "Traceback" not in errors
    assert not (tmp_path / "out" / "summary.json").exists()


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_an_interrupt_ends_everything(tmp_path, number, code):
    process = start("--weights", "random", "--device", "cpu", "--out", tmp_path)
    demo = psutil.Process(process.pid)
    wait_for(lambda: len(demo.children(recursive=True)) == 2, "the demo's processes")
    children = demo.children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=3 * TIMEOUT)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert not any(child.is_running() for child in children)
