import math

import pytest

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.stream.pose_history import PoseHistory

SECOND = 1_000_000_000


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
    assert history.at(16 * SECOND).x == pytest.approx(4.0)
