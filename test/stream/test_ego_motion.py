import math
from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.stream.ego_motion import EgoMotion, PoseHistory

SECOND = 10**9


def message(seconds, x, frame="odom", child="base_link", turn=(0.0, 0.0, 0.0, 1.0)):
    """Return nav_msgs/Odometry of a place x, with the fields that are read."""
    pose = SimpleNamespace(
        position=SimpleNamespace(x=x, y=0.0, z=0.0),
        orientation=SimpleNamespace(**dict(zip("xyzw", turn, strict=True))),
    )
    stamp = SimpleNamespace(sec=math.floor(seconds), nanosec=round(seconds % 1 * SECOND))
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id=frame),
        child_frame_id=child,
        pose=SimpleNamespace(pose=pose),
    )


def mounted(frame):
    """Give base_link from "imu", 2 m ahead of it, and from itself."""
    if frame == "lost":
        raise LookupError("no transform from 'lost'")
    matrix = np.eye(4)
    matrix[0, 3] = {"base_link": 0.0, "imu": 2.0}[frame]
    return matrix


@pytest.fixture
def motion():
    return EgoMotion("base_link", "odom")


def test_a_pose_lies_between_two_messages(motion):
    assert motion.add(message(1.0, 0.0), mounted) == ""
    assert motion.add(message(2.0, 4.0), mounted) == ""
    assert motion.at(1_250_000_000).x == pytest.approx(1.0)
    assert motion.at(2_250_000_000) is None
    assert (motion.frame, motion.is_known, motion.is_refused) == ("odom", True, False)


def test_odometry_of_another_frame_is_moved_to_the_base(motion):
    motion.add(message(1.0, 5.0, child="imu"), mounted)
    assert motion.at(SECOND).x == pytest.approx(3.0)


def test_a_message_that_names_no_frames_is_of_the_base_in_odom(motion):
    motion.add(message(1.0, 5.0, frame="", child=""), mounted)
    assert (motion.at(SECOND).x, motion.frame) == (5.0, "odom")


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (message(-1.0, 0.0), "stamp sec -1"),
        (message(1.0, 0.0, frame="base_link", child="odom"), "are they swapped"),
        (message(1.0, 0.0, frame="/base_link", child=""), "are they swapped"),
        (message(1.0, 0.0, frame="imu", child="imu"), "are they swapped"),
        (message(1.0, 0.0, child="lost"), "no transform from 'lost'"),
        (message(1.0, 0.0, turn=(0.0, 0.0, 0.0, 0.0)), "quaternion"),
        (message(1.0, math.nan), "place [nan, 0.0, 0.0] is not within"),
        (message(1.0, 1e300), "is not within"),
    ],
)
def test_what_is_no_odometry_is_left_out_with_the_reason(motion, wrong, reason):
    assert reason in motion.add(wrong, mounted)
    assert (motion.is_known, motion.is_refused, motion.at(SECOND)) == (False, True, None)


def test_another_frame_begins_anew(motion):
    motion.add(message(1.0, 0.0), mounted)
    assert motion.add(message(1.5, 0.0, frame="/odom"), mounted) == ""
    assert "was 'odom' and is 'map'" in motion.add(message(2.0, 70.0, frame="/map"), mounted)
    assert motion.at(SECOND) is None
    assert (motion.at(2 * SECOND).x, motion.frame) == (70.0, "map")


@pytest.fixture
def history():
    history = PoseHistory()
    history.add(10 * SECOND, Pose2D(1.0, 2.0, 3.0))
    history.add(11 * SECOND, Pose2D(3.0, 1.0, -3.0))
    return history


def test_measured_times_are_exact(history):
    assert history.at(10 * SECOND) == Pose2D(1.0, 2.0, 3.0)
    assert history.at(11 * SECOND) == Pose2D(3.0, 1.0, -3.0)


def test_between_two_the_shorter_turn_is_taken(history):
    pose = history.at(10 * SECOND + SECOND // 4)
    assert (pose.x, pose.y) == pytest.approx((1.5, 1.75))
    assert pose.yaw == pytest.approx(3.0 + (math.tau - 6.0) / 4)


def test_the_turn_ends_within_half_a_circle(history):
    assert history.at(10 * SECOND + 3 * SECOND // 4).yaw == pytest.approx(-3.0 - (math.tau - 6) / 4)


@pytest.mark.parametrize("time", [9 * SECOND, 11 * SECOND + 1])
def test_outside_of_what_was_measured_nothing_is_known(history, time):
    assert history.at(time) is None
    assert PoseHistory().at(time) is None


def test_a_late_measurement_is_passed_over(history):
    history.add(SECOND * 21 // 2, Pose2D(100.0, 0.0, 0.0))
    assert history.at(10 * SECOND + SECOND // 2).x == pytest.approx(2.0)


def test_time_that_starts_again_begins_a_new_history(history):
    history.add(2 * SECOND, Pose2D(7.0, 0.0, 0.0))
    assert history.at(2 * SECOND) == Pose2D(7.0, 0.0, 0.0)
    assert history.at(10 * SECOND) is None


def test_what_is_older_than_ten_seconds_is_forgotten(history):
    history.add(21 * SECOND, Pose2D(5.0, 0.0, 0.0))
    assert history.at(10 * SECOND) is None
    assert history.at(11 * SECOND).x == 3.0


@pytest.mark.parametrize(
    ("seconds", "pose", "known"),
    [
        (2.0, Pose2D(5.0, 1.0, -3.0), True),
        (2.001, Pose2D(5.0, 1.0, -3.0), False),
        # Odometry that starts again, without and with a turn alone.
        (0.1, Pose2D(300.0, 1.0, -3.0), False),
        (0.1, Pose2D(3.0, 1.0, 0.0), False),
    ],
)
def test_over_gaps_and_jumps_nothing_is_interpolated(history, seconds, pose, known):
    end = 11 * SECOND + round(seconds * SECOND)
    history.add(end, pose)
    assert (history.at(end - SECOND // 100) is not None) == known
    assert history.at(end) == pose


def test_poses_can_be_forgotten(history):
    history.forget()
    assert history.at(11 * SECOND) is None
    history.add(SECOND, Pose2D())
    assert history.at(SECOND) == Pose2D()
