import math
from types import SimpleNamespace

import numpy as np
import pytest

from panoptic_ros.geometry.poses import (
    Pose2D,
    jump,
    message_pose,
    mounting,
    optical_pose,
    planar_pose,
    rigid_transform,
    rotation_matrix,
)

HALF = np.sqrt(0.5)


@pytest.mark.parametrize(
    ("quaternion", "expected"),
    [
        ((0, 0, 0, 1), np.eye(3)),
        ((0, 0, 0, -1), np.eye(3)),
        ((0, 0, HALF, HALF), [[0, -1, 0], [1, 0, 0], [0, 0, 1]]),
        ((1, 0, 0, 0), np.diag([1, -1, -1])),
        # REP-103's optical frame in a body frame.
        ((-0.5, 0.5, -0.5, 0.5), [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]),
    ],
)
def test_rotation_of_a_quaternion(quaternion, expected):
    np.testing.assert_allclose(rotation_matrix(quaternion), expected, atol=1e-12)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (0, 0, 0, 1.1), (np.nan, 0, 0, 1)])
def test_a_quaternion_that_is_no_rotation(quaternion):
    with pytest.raises(ValueError, match="length"):
        rotation_matrix(quaternion)


@pytest.mark.parametrize("angle", [-3.0, 0.0, 0.4, 3.1])
def test_place_and_heading_of_a_message(angle):
    place = SimpleNamespace(x=1.0, y=2.0, z=3.0)
    turn = SimpleNamespace(x=0, y=0, z=np.sin(angle / 2), w=np.cos(angle / 2))
    pose = planar_pose(message_pose(place, turn))
    assert (pose.x, pose.y, pose.yaw) == pytest.approx((1, 2, angle))


def seen_at(point, **pose):
    """Return where a camera sees a point of base_link, in its optical frame."""
    mounting = {"x": 0, "y": 0, "z": 0, "roll": 0, "pitch": 0, "yaw": 0} | pose
    return np.linalg.solve(optical_pose(**mounting), [*point, 1])[:3]


@pytest.mark.parametrize(
    ("point", "pose", "expected"),
    [
        ((5, 0, 0), {}, (0, 0, 5)),
        ((5, 1, 2), {}, (-1, -2, 5)),
        ((5, 1, 2), {"x": 1, "y": 1, "z": 1}, (0, -1, 4)),
        # Looking down, what lies below moves to the middle; to the left, what lies there.
        ((1, 0, -1), {"pitch": np.pi / 4}, (0, 0, np.sqrt(2))),
        ((1, 1, 0), {"yaw": np.pi / 4}, (0, 0, np.sqrt(2))),
        # Rolled to the right: what is above is seen to the left.
        ((1, 0, 1), {"roll": np.pi / 2}, (-1, 0, 1)),
    ],
)
def test_a_mounted_camera(point, pose, expected):
    np.testing.assert_allclose(seen_at(point, **pose), expected, atol=1e-12)


def test_rigid_transform():
    turn = rotation_matrix((0, 0, HALF, HALF))
    moved = rigid_transform((1, 2, 3), turn) @ [1, 0, 0, 1]
    np.testing.assert_allclose(moved, [1, 3, 3, 1], atol=1e-12)


def test_mounting_is_what_the_pose_was_made_of():
    values = {"x": 1.0, "y": -0.2, "z": 1.5, "roll": 0.1, "pitch": 0.2, "yaw": -0.3}
    assert mounting(optical_pose(**values)) == pytest.approx(values)


def test_a_quarter_turn_puts_what_is_ahead_to_the_left():
    pose = Pose2D(10.0, 5.0, math.pi / 2)
    np.testing.assert_allclose(pose.apply(np.array([[2.0, 0.0], [0.0, 1.0]])), [[10, 7], [9, 5]])


def test_inverse_leads_back():
    pose = Pose2D(3.0, -2.0, 2.5)
    points = np.array([[1.0, 2.0], [-4.0, 0.5]])
    np.testing.assert_allclose(pose.inverse().apply(pose.apply(points)), points, atol=1e-12)


def test_composing_is_applying_one_after_the_other():
    outer, inner = Pose2D(1.0, 2.0, 3.0), Pose2D(-4.0, 0.5, 1.0)
    both = outer.compose(inner)
    point = np.array([0.3, 0.7])
    np.testing.assert_allclose(both.apply(point), outer.apply(inner.apply(point)), atol=1e-12)
    assert both.yaw == pytest.approx(4.0 - 2 * math.pi)


@pytest.mark.parametrize(
    ("pose", "seconds", "words"),
    [
        (Pose2D(3.0, 1.0, 3.0), 1.0, ""),
        # A car on a motorway, seen once in a second; a robot that turns on the spot.
        (Pose2D(61.0, 1.0, 3.0), 1.0, ""),
        (Pose2D(1.0, 1.0, -3.0), 0.1, ""),
        (Pose2D(1.0, 1.0, 0.0), 0.0, "jumped by 0.0 m, 3.0 rad in 0.000 s"),
        (Pose2D(-3.0, 4.0, 3.0), 0.01, "jumped by 5.0 m, 0.0 rad in 0.010 s"),
    ],
)
def test_what_a_vehicle_cannot_do_is_a_jump(pose, seconds, words):
    found = jump(Pose2D(1.0, 1.0, 3.0), pose, seconds)
    assert found == (words and f"the vehicle's pose {words}")


@pytest.mark.parametrize("field", ["x", "y", "yaw"])
def test_what_is_not_finite_is_refused(field):
    with pytest.raises(ValueError, match=f"pose: {field} is nan"):
        Pose2D(**{field: math.nan})
