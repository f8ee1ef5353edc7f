import os
import shutil
from itertools import islice

import cv2
import numpy as np
import pytest

from panoptic_ros.bags.message_types import own_types
from panoptic_ros.demo.footage import Shot, open_footage, thinned
from panoptic_ros.resources import share_dir


def stamp(data, kind):
    stamp = own_types().deserialize_cdr(data, kind).header.stamp
    return stamp.sec + stamp.nanosec * 1e-9


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """Thirty frames at 20 Hz that grow brighter by 8."""
    file = tmp_path_factory.mktemp("video") / "ramp.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 20, (64, 32))
    for i in range(30):
        writer.write(np.full((32, 64, 3), (0, 0, 8 * i), np.uint8))
    writer.release()
    return file


@pytest.mark.parametrize(
    ("limit", "stride", "count"), [(60, 1, 30), (30, 1, 30), (10, 3, 10), (7, 4, 7), (1, 10, 1)]
)
def test_frames_of_a_video_are_evenly_spread(video, limit, stride, count):
    footage = open_footage(video, limit)
    shots = [shot for [shot] in footage.moments()]
    frames = [shot.image for shot in shots]
    assert not footage.mountings
    assert not any(shot.camera for shot in shots)
    assert [shot.time for shot in shots] == pytest.approx([i * stride / 20 for i in range(count)])
    assert all(shot.info is shot.odometry is None for shot in shots)
    assert (footage.name, footage.count, footage.rate) == ("ramp.mp4", count, 20 / stride)
    assert len(frames) == count
    # BGR in OpenCV's hands, RGB in ours; the codec is lossy.
    red = [frame[..., 0].mean() for frame in frames]
    assert red == pytest.approx([8 * stride * i for i in range(count)], abs=6)
    assert max(frame[..., 2].mean() for frame in frames) < 20


def test_the_shipped_drive_of_two_cameras_is_the_default():
    footage = open_footage(None, 3)
    moments = list(footage.moments())
    assert footage.count == 3
    taken = [[(shot.camera, round(shot.time, 3)) for shot in moment] for moment in moments]
    assert taken == [[("rear", 0), ("front", 0)], [("front", 0.1)], [("rear", 0.2), ("front", 0.2)]]
    frames = [shot.image for moment in moments for shot in moment]
    assert all(f.dtype == np.uint8 and f.ndim == 3 and f.std() > 20 for f in frames)


@pytest.mark.parametrize("camera", ["town_drive", "town_drive_rear"])
def test_a_broken_drive_is_told(tmp_path, monkeypatch, camera):
    shutil.copytree(share_dir() / "sample", tmp_path / "sample")
    file = tmp_path / "sample" / camera / f"{camera}.mcap"
    os.truncate(file, 1000)
    monkeypatch.setattr("panoptic_ros.demo.footage.share_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match=f"the shipped drive is broken: {file} is cut off"):
        open_footage(None, 3)


def test_of_skipped_moments_each_cameras_newest_shot_is_kept():
    image = np.zeros((1, 1, 3), np.uint8)
    moments = [
        [Shot(image, time, camera) for camera in cameras]
        for time, cameras in enumerate([("b", "a"), ("a",), ("b", "a"), ("a",), ("a",), ("b", "a")])
    ]
    shown = [[(s.camera, s.time) for s in moment] for moment in thinned(moments, 3)]
    assert shown == [[("b", 0), ("a", 0)], [("b", 2), ("a", 3)]]
    assert list(thinned(moments, 1)) == moments


def test_a_missing_video_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no video file .*gone\.mp4"):
        open_footage(tmp_path / "gone.mp4", 10)


def test_what_is_no_video_is_named(tmp_path):
    file = tmp_path / "text.mp4"
    file.write_text("this is not a video")
    with pytest.raises(ValueError, match=r"text\.mp4 is not a video"):
        open_footage(file, 10)


def test_the_drives_shots_hold_what_was_recorded_with_them():
    footage = open_footage(None, 80)
    assert (footage.count, round(footage.rate)) == (80, 10)
    (*_, first), [second] = islice(footage.moments(), 2)
    infos = [stamp(s.info, "sensor_msgs/msg/CameraInfo") for s in (first, second)]
    odometry = [stamp(s.odometry, "nav_msgs/msg/Odometry") for s in (first, second)]
    assert infos == odometry
    assert infos[1] - infos[0] == pytest.approx(0.1, abs=1e-3)
    assert (first.time, second.time) == pytest.approx((0, 0.1))
    assert first.image.shape == (512, 1024, 3)
    assert (first.image != second.image).any()


def test_the_drives_cameras_look_ahead_and_back():
    mountings = open_footage(None, 1).mountings
    for camera, yaw in {"front": 0, "rear": np.pi}.items():
        mounting = mountings[camera]
        assert 1 < mounting["z"] < 3
        assert 0 < mounting["pitch"] < 0.2
        assert np.allclose([mounting["roll"], abs(mounting["yaw"])], [0, yaw], atol=1e-9)
