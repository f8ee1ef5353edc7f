import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.town_drive import bag_drive, files_drive
from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.labels import class_ids
from panoptic_ros.resources import share_dir

SAMPLE = share_dir() / "sample" / "town_drive"


def test_the_sample_drive():
    drive = bag_drive(SAMPLE, limit=3)
    assert drive.name == "town_drive"
    assert len(drive.frames) == 3
    assert drive.camera.size == (512, 1024)
    stamps = [frame.time_ns for frame in drive.frames]
    assert np.diff(stamps).tolist() == [10**8, 10**8]
    # The camera is above the front seats and looks ahead, a little down.
    x, y, z = drive.base_from_optical[:3, 3]
    assert (0 < x < 3, abs(y) < 1, 1 < z < 2) == (True, True, True)
    assert drive.base_from_optical[0, 2] > 0.99
    for frame in drive.frames:
        assert frame.truth.shape == (512, 1024)
        assert frame.truth.dtype == np.uint16
        assert frame.image().shape == (512, 1024, 3)
    # Its traffic is there in all three: ids last.
    first, last = (set(np.unique(drive.frames[i].truth)) for i in (0, -1))
    assert len({v for v in first & last if v >= 1000}) > 10


def test_without_a_limit_all_frames_come():
    assert len(bag_drive(SAMPLE).frames) == 80


def test_bags_that_cannot_be_used_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no bag .*nowhere"):
        bag_drive(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"{tmp_path} is not a bag that can be read"):
        bag_drive(tmp_path)
    (tmp_path / "metadata.yaml").write_text("no bag")
    with pytest.raises(ValueError, match=f"{tmp_path} is not a bag that can be read"):
        bag_drive(tmp_path)


def test_a_broken_drive_is_not_scored(tmp_path):
    (file,) = SAMPLE.glob("*.mcap")
    (tmp_path / file.name).write_bytes(file.read_bytes()[:5_000_000])
    with pytest.raises(ValueError, match=r"is broken: .* is cut off at byte 5000000"):
        bag_drive(tmp_path / file.name)


def test_frames_from_files(tmp_path):
    truth = np.array([[7, 26001, 26001], [7, 24002, 7]], np.uint16)
    for k in range(2):
        name = f"town_900002_{k:06d}"
        files = {
            f"leftImg8bit/drives/town/{name}_leftImg8bit.png": np.full((2, 3, 3), k, np.uint8),
            f"gtFine/drives/town/{name}_gtFine_instanceIds.png": truth,
            f"gtFine/drives/town/{name}_gtFine_labelIds.png": class_ids(truth).astype(np.uint8),
        }
        for path, array in files.items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            assert cv2.imwrite(str(tmp_path / path), array)
        mount = {"x": 1.5, "y": 0.1, "z": 1.3, "roll": 0.01, "pitch": 0.02, "yaw": 0.03}
        camera = {"extrinsic": mount, "intrinsic": {"fx": 5.0, "fy": 6.0, "u0": 1.0, "v0": 0.5}}
        (tmp_path / "depth/drives/town").mkdir(parents=True, exist_ok=True)
        depth = np.full((2, 3), 512 * k, np.uint16)
        assert cv2.imwrite(str(tmp_path / f"depth/drives/town/{name}_depth.png"), depth)
        (tmp_path / "ground_plan/drives/town").mkdir(parents=True, exist_ok=True)
        plan = tmp_path / f"ground_plan/drives/town/{name}_ground_plan.npz"
        np.savez(plan, surface=truth, classes=truth, occupied=truth)
        box = {"id": 26001, "center": [9, 1, 0.8], "size": [4, 2, 1.6], "yaw": 0.3, "class_id": 26}
        box["velocity"] = [0, 0]
        grid = {"resolution": 0.2, "x_range": [0, 1], "y_range": [0, 1]}
        plan.with_suffix(".json").write_text(json.dumps({"grid": grid, "boxes": [box]}))
        pose = {"x": 1.0 + k, "y": 2.0, "yaw": 0.5, "time": 0.1 * k}
        for kind, content in (("camera", camera), ("ego_pose", pose)):
            path = tmp_path / kind / "drives" / "town" / f"{name}_{kind}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(content))
    town = Town(tmp_path, "drives")
    drive = files_drive(town, town[:])
    assert drive.name == "town_900002"
    assert drive.camera.size == (2, 3)
    assert drive.camera.matrix.tolist() == [[5, 0, 1], [0, 6, 0.5], [0, 0, 1]]
    np.testing.assert_allclose(
        drive.base_from_optical, optical_pose(1.5, 0.1, 1.3, 0.01, 0.02, 0.03)
    )
    second = drive.frames[1]
    assert (second.time_ns, second.pose.x, second.pose.yaw) == (10**8, 2.0, 0.5)
    np.testing.assert_array_equal(second.truth, truth)
    assert (second.image() == 1).all()
    assert (second.depth() == 2).all()
    assert second.boxes() == {26001: Cuboid((9, 1, 0.8), (4, 2, 1.6), 0.3)}


_WITHOUT_MUJOCO = """
import sys
sys.modules["mujoco"] = None
from pathlib import Path
from panoptic_ros.evaluation import grid_report, grid_run, track_report
from panoptic_ros.evaluation.town_drive import bag_drive
from panoptic_ros.evaluation.track_run import score_tracks, track_drive, true_predictions
from panoptic_ros.labels import CITYSCAPES
drive = bag_drive(Path(sys.argv[1]), 2)
tracked = track_drive(drive, true_predictions(drive, CITYSCAPES), CITYSCAPES)
print(score_tracks([tracked], CITYSCAPES)["hota"])
"""


def test_drives_that_exist_are_scored_without_mujoco():
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_MUJOCO, str(SAMPLE)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 80
