from pathlib import Path

import numpy as np
import pytest
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.demo.bag_frames import Drive
from panoptic_ros.resources import share_dir

STORE = get_typestore(Stores.ROS2_HUMBLE)


@pytest.fixture(scope="module")
def drive():
    return Drive(share_dir() / "sample" / "town_drive")


def stamp(data, kind):
    stamp = STORE.deserialize_cdr(data, kind).header.stamp
    return stamp.sec + stamp.nanosec * 1e-9


def test_shots_hold_what_was_recorded_with_them(drive):
    assert (drive.count, round(drive.rate)) == (80, 10)
    shots = drive.shots()
    first, second = next(shots), next(shots)
    infos = [stamp(s.info, "sensor_msgs/msg/CameraInfo") for s in (first, second)]
    odometry = [stamp(s.odometry, "nav_msgs/msg/Odometry") for s in (first, second)]
    assert infos == odometry
    assert infos[1] - infos[0] == pytest.approx(0.1, abs=1e-3)
    assert (first.time, second.time) == pytest.approx((0, 0.1))
    assert first.image.shape == (512, 1024, 3)
    assert (first.image != second.image).any()


def test_the_mounting_is_that_of_a_camera_that_looks_ahead(drive):
    mounting = drive.mounting()
    assert 1 < mounting["z"] < 3
    assert 0 < mounting["pitch"] < 0.2
    assert np.allclose([mounting["roll"], mounting["yaw"]], 0, atol=1e-9)


def test_a_missing_drive_is_named():
    with pytest.raises(FileNotFoundError, match="gone"):
        Drive(Path("gone"))
