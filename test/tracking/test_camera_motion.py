import math

import numpy as np
import pytest
from street import BASE_FROM_OPTICAL, CAMERA, SIZE

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.tracking.camera_motion import View, box_motions

START = Pose2D(5.0, -3.0, 0.4)


def optical(view, x, y, z):
    """Return a place in odom in the camera's frame."""
    place = view.pose.inverse().apply(np.array([x, y]))
    return view.to_optical(np.array([[*place, z]]))


def board_box(view, x, y, width=1.0, height=1.6):
    """Return the box of a board that always faces the camera, and stands at x, y in odom."""
    foot = optical(view, x, y, 0.0)
    focal = view.camera.matrix[0, 0]
    (u, v), w, h = (
        view.camera.project(foot)[0][0] + 0.5,
        *(size * focal / foot[0, 2] for size in (width, height)),
    )
    return np.array([[u - w / 2, v - h, u + w / 2, v]])


@pytest.mark.parametrize("step", [Pose2D(1.0), Pose2D(0, 0, 0.05), Pose2D(0.7, 0.1, -0.03)])
@pytest.mark.parametrize("is_placed", [True, False])
@pytest.mark.parametrize("lens", [CAMERA, "fisheye"])
def test_a_resting_object_is_met_again(step, is_placed, lens):
    if lens == "fisheye":
        lens = CameraModel(
            SIZE[1], SIZE[0], CAMERA.K, "equidistant", np.array([0.02, -0.01, 0.002, 0.0])
        )
    before = View(lens, BASE_FROM_OPTICAL, START)
    now = View(lens, BASE_FROM_OPTICAL, START.compose(step))
    x, y = START.apply(np.array([15.0, 2.0]))
    place = np.array([[x, y]]) if is_placed else np.full((1, 2), np.nan)
    old, new = board_box(before, x, y), board_box(now, x, y)
    scale, shift = box_motions(old, place, before, now)
    np.testing.assert_allclose(scale * old + np.tile(shift, 2), new, atol=1e-6)


def test_what_is_passed_stays_where_it_is():
    before = View(CAMERA, BASE_FROM_OPTICAL, Pose2D())
    now = View(CAMERA, BASE_FROM_OPTICAL, Pose2D(5.0))
    box = board_box(before, 5.0, 0.5)
    scale, shift = box_motions(box, np.array([[5.0, 0.5]]), before, now)
    np.testing.assert_array_equal(scale, 1)
    np.testing.assert_array_equal(shift, 0)


def test_a_box_above_the_horizon_only_turns_with_the_camera():
    before = View(CAMERA, BASE_FROM_OPTICAL, Pose2D())
    turned = View(CAMERA, BASE_FROM_OPTICAL, Pose2D(0, 0, math.radians(1)))
    box, nowhere = np.array([[250.0, 20.0, 260.0, 30.0]]), np.full((1, 2), np.nan)
    scale, shift = box_motions(box, nowhere, before, turned)
    # The car turns left, so all moves right, by about an angle times the focal length.
    assert shift[0, 0] == pytest.approx(300 * math.radians(1), rel=0.2)
    assert scale == pytest.approx(1, abs=0.01)


def test_a_place_that_the_lens_does_not_reach_moves_nothing():
    # Beyond 1 / sqrt(3 * 0.3) = 1.05 the polynomial turns back.
    lens = CameraModel(SIZE[1], SIZE[0], CAMERA.K, "plumb_bob", np.array([-0.3, 0, 0, 0, 0]))
    before = View(lens, BASE_FROM_OPTICAL, Pose2D())
    now = View(lens, BASE_FROM_OPTICAL, Pose2D(1.0))
    box, place = np.array([[480.0, 100.0, 512.0, 200.0]]), np.array([[4.5, -3.0]])
    scale, shift = box_motions(box, place, before, now)
    np.testing.assert_array_equal([scale[0], *shift[0]], [1, 0, 0])
