import json
from multiprocessing import active_children
from threading import Thread

import cv2
import numpy as np
import pytest
from waiting import wait_for

from panoptic_ros.datasets import open_dataset
from panoptic_ros.labels import class_ids
from panoptic_ros.synthetic.generate import Job, generate
from panoptic_ros.synthetic.writer import encode_depth, write_frame

KINDS = {
    "leftImg8bit": ["leftImg8bit.png"],
    "gtFine": ["gtFine_instanceIds.png", "gtFine_labelIds.png"],
    "depth": ["depth.png"],
    "camera": ["camera.json"],
    "ego_pose": ["ego_pose.json"],
    "ground_plan": ["ground_plan.npz", "ground_plan.json"],
}


@pytest.fixture(scope="module")
def written(make_town, tmp_path_factory):
    root = tmp_path_factory.mktemp("town")
    town = make_town(6)
    frame = town.frame(3)
    write_frame(root, "val", town, frame)
    return root, town, frame


def test_files_lie_as_in_cityscapes(written):
    root, _, _ = written
    expected = {
        f"{kind}/val/town/town_000006_000003_{suffix}"
        for kind, suffixes in KINDS.items()
        for suffix in suffixes
    }
    found = {p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file()}
    assert found == expected


def test_what_is_read_back_is_what_was_rendered(written):
    root, town, frame = written
    data = open_dataset("town", root, "val")
    (sample,) = data
    np.testing.assert_array_equal(sample.load_image(), frame.image)
    np.testing.assert_array_equal(sample.load_instance_ids(), frame.labels)
    labels = sample.load_label_ids()
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels == 26, class_ids(frame.labels) == 26)
    np.testing.assert_array_equal(labels == 7, frame.labels == 7)
    near = frame.depth < 250
    np.testing.assert_allclose(data.depth(sample)[near], frame.depth[near], atol=1 / 512)
    arrays, plan = data.ground_plan(sample)
    np.testing.assert_array_equal(arrays["classes"], frame.plan.classes)
    np.testing.assert_array_equal(arrays["occupied"], frame.plan.occupied)
    assert [b["id"] for b in plan["boxes"]] == [b.id for b in frame.plan.boxes]
    assert data.camera(sample)["intrinsic"]["fx"] == pytest.approx(town.camera.focal)
    assert data.ego_pose(sample)["x"] == pytest.approx(frame.ego.x)
    assert data.ego_pose(sample)["time"] == pytest.approx(0.3)


def test_depth_beyond_the_range_is_none():
    depth = np.array([[0.0, 1.0, 255.99, 400.0]], np.float32)
    assert encode_depth(depth).tolist() == [[0, 256, 65533, 0]]


@pytest.mark.parametrize(("workers", "seeds"), [(1, [6]), (2, [6, 7])])
def test_many_seeds_in_one_or_more_processes(make_town, tmp_path, workers, seeds):
    make_town(6)  # Skips where nothing can be rendered.
    job = Job(tmp_path, "train", (64, 128), frames=2, stride=5)
    assert list(generate(job, seeds, workers)) == [2] * len(seeds)
    names = sorted(p.name[:18] for p in tmp_path.glob("leftImg8bit/train/town/*"))
    assert names == [f"town_{s:06d}_{i:06d}" for s in seeds for i in (0, 5)]


@pytest.mark.parametrize(
    ("size", "weather", "old", "new"),
    [
        ((128, 256), "night", "128x256, day", "128x256, night"),
        # Seed 6 is of the day.
        ((64, 128), "any", "128x256, day", "64x128, day"),
    ],
)
def test_frames_of_another_kind_are_not_written_over(written, size, weather, old, new):
    root, _, _ = written
    before = {path: path.read_bytes() for path in root.rglob("*.*")}
    job = Job(root, "val", size, frames=2, stride=3, weather=weather)
    said = (
        rf"town_000006_000003_ego_pose.json is of a frame of {old}; it would become {new} \(1 of 4 "
    )
    with pytest.raises(FileExistsError, match=said):
        next(generate(job, [5, 6], 1))
    assert {path: path.read_bytes() for path in root.rglob("*.*")} == before


@pytest.mark.parametrize(
    ("weather", "pose"),
    [
        ("any", None),
        ("day", None),
        ("rain", b"{"),
        ("rain", b"{}"),
        ("rain", b'{"size": 5, "weather": "day"}'),
    ],
)
def test_the_same_frames_and_damaged_ones_are_written_anew(make_town, tmp_path, weather, pose):
    town = make_town(6)
    write_frame(tmp_path, "val", town, town.frame(0))
    (path,) = tmp_path.rglob("*ego_pose.json")
    if pose is not None:
        path.write_bytes(pose)
    assert list(generate(Job(tmp_path, "val", (128, 256), 1, 1, weather=weather), [6], 1)) == [1]
    assert json.loads(path.read_text())["weather"] == weather.replace("any", "day")


def test_there_are_no_more_processes_than_cores(monkeypatch, tmp_path):
    # A process's threads are another matter.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("panoptic_ros.synthetic.generate.usable_cores", lambda: 3)
    asked = []

    def pool(processes, *_):
        asked.append(processes)
        raise InterruptedError

    monkeypatch.setattr("panoptic_ros.synthetic.generate.ProcessPoolExecutor", pool)
    with pytest.raises(InterruptedError):
        list(generate(Job(tmp_path, "train", (64, 128), frames=2, stride=5), [6, 7], 100_000))
    assert asked == [3]


def test_a_process_that_is_killed_is_told(make_town, tmp_path):
    make_town(6)  # Skips where nothing can be rendered.
    others = set(active_children())

    def kill():
        (victim,) = wait_for(lambda: list(set(active_children()) - others)[:1], "a renderer")
        victim.kill()

    killer = Thread(target=kill)
    killer.start()
    job = Job(tmp_path, "train", (64, 128), frames=50, stride=1)
    with pytest.raises(ChildProcessError, match=r"processes that render was killed.*--workers"):
        list(generate(job, range(4), 2))
    killer.join()
    assert set(active_children()) == others


def test_camera_file_has_the_fields_of_cityscapes(written):
    root, _, _ = written
    (path,) = root.glob("camera/val/town/*.json")
    camera = json.loads(path.read_text())
    assert set(camera["extrinsic"]) == {"baseline", "pitch", "roll", "x", "y", "yaw", "z"}
    assert set(camera["intrinsic"]) == {"fx", "fy", "u0", "v0"}


def test_instance_ids_are_sixteen_bits_on_disk(written):
    root, _, _ = written
    (path,) = root.glob("gtFine/val/town/*_instanceIds.png")
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image.dtype == np.uint16
    assert image.max() >= 24000
