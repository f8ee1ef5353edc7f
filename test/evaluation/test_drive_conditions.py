import math

import numpy as np
import pytest

from panoptic_ros.evaluation.drive_conditions import drifted, pitched
from panoptic_ros.geometry.poses import Pose2D, optical_pose


def test_without_drift_poses_stay():
    poses = [Pose2D(1.0, 2.0, 0.5), Pose2D(2.0, 2.5, 0.6), Pose2D(3.0, 3.5, 0.6)]
    for found, pose in zip(drifted(poses, 0.0), poses, strict=True):
        assert (found.x, found.y, found.yaw) == pytest.approx((pose.x, pose.y, pose.yaw))


def test_drift_overrates_ways_and_turns():
    straight = [Pose2D(10.0 + step, 5.0) for step in range(11)]
    last = list(drifted(straight, 0.02))[-1]
    assert (last.x, last.y) == pytest.approx((10 + 10.2, 5))
    turning = [Pose2D(0, 0, 0.1 * step) for step in range(11)]
    assert list(drifted(turning, 0.02))[-1].yaw == pytest.approx(1.02)


def test_a_pitched_camera_looks_further_up():
    level = optical_pose(1.0, 0.2, 1.3, 0.0, 0.0, 0.3)
    expected = optical_pose(1.0, 0.2, 1.3, 0.0, -math.radians(1), 0.3)
    np.testing.assert_allclose(pitched(level, math.radians(1)), expected, atol=1e-12)
