import numpy as np
import pytest

from panoptic_ros.geometry.poses import (
    mounting,
    optical_pose,
    rigid_transform,
    rotation_matrix,
    yaw,
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
def test_yaw(angle):
    assert yaw((0, 0, np.sin(angle / 2), np.cos(angle / 2))) == pytest.approx(angle)


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
