import math

import numpy as np
import pytest
from ground_scenes import viewpoint
from street import BASE_FROM_OPTICAL, CAMERA, SIZE

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundPlane
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.tracking.camera_motion import box_motions

NOWHERE = np.full((1, 2), np.nan)
FISHEYE = CameraModel(
    SIZE[1], SIZE[0], CAMERA.K, "equidistant", np.array([0.02, -0.01, 0.002, 0.0])
)


def board_box(view, x, y, width=1.0, height=1.6):
    """Return the box of a board that always faces the camera, and stands on the ground at x, y."""
    foot = view.on_ground(np.array([[x, y]]))
    focal = view.camera.matrix[0, 0]
    (u, v), w, h = (
        view.camera.project(foot)[0][0] + 0.5,
        *(size * focal / foot[0, 2] for size in (width, height)),
    )
    return np.array([[u - w / 2, v - h, u + w / 2, v]])


@pytest.mark.parametrize("step", [Pose2D(1.0), Pose2D(0, 0, 0.05), Pose2D(0.7, 0.1, -0.03)])
@pytest.mark.parametrize("is_placed", [True, False])
@pytest.mark.parametrize("lens", [CAMERA, FISHEYE])
@pytest.mark.parametrize(
    "plane",
    [
        GroundPlane(),
        GroundPlane(height=-0.6),
        GroundPlane(height=0.4),
        GroundPlane.inclined(0.0, 0.04, 0.0),
        GroundPlane.inclined(0.1, -0.03, 0.05),
    ],
)
def test_a_resting_object_is_met_again(step, is_placed, lens, plane):
    view = viewpoint(lens, BASE_FROM_OPTICAL, plane)
    moved, place = step.inverse(), np.array([[15.0, 2.0]])
    old, new = board_box(view, *place[0]), board_box(view, *moved.apply(place)[0])
    scale, shift = box_motions(old, place if is_placed else NOWHERE, view, view, moved)
    np.testing.assert_allclose(scale * old + np.tile(shift, 2), new, atol=1e-6)


def test_what_is_passed_stays_where_it_is():
    view = viewpoint(CAMERA, BASE_FROM_OPTICAL)
    box = board_box(view, 5.0, 0.5)
    scale, shift = box_motions(box, np.array([[5.0, 0.5]]), view, view, Pose2D(-5.0))
    np.testing.assert_array_equal(scale, 1)
    np.testing.assert_array_equal(shift, 0)


def test_a_box_above_the_horizon_only_turns_with_the_camera():
    view, turned = viewpoint(CAMERA, BASE_FROM_OPTICAL), Pose2D(0, 0, math.radians(-1))
    scale, shift = box_motions(np.array([[250.0, 20.0, 260.0, 30.0]]), NOWHERE, view, view, turned)
    # The car turns left, so all moves right, by about an angle times the focal length.
    assert shift[0, 0] == pytest.approx(300 * math.radians(1), rel=0.2)
    assert scale == pytest.approx(1, abs=0.01)


def test_a_camera_that_nods_moves_all_boxes():
    level, down = (viewpoint(CAMERA, BASE_FROM_OPTICAL @ turned) for turned in (np.eye(4), _nod()))
    old, new = board_box(level, 15.0, 2.0), board_box(down, 15.0, 2.0)
    scale, shift = box_motions(old, np.array([[15.0, 2.0]]), level, down, Pose2D())
    assert shift[0, 1] == pytest.approx(-300 * 0.02, rel=0.2)
    np.testing.assert_allclose(scale * old + np.tile(shift, 2), new, atol=1e-6)


def _nod():
    turn = np.eye(4)
    # About x, to the right: the optical axis goes down.
    turn[1:3, 1:3] = [[math.cos(0.02), math.sin(0.02)], [-math.sin(0.02), math.cos(0.02)]]
    return turn


def test_a_place_that_the_lens_does_not_reach_moves_nothing():
    # Beyond 1 / sqrt(3 * 0.3) = 1.05 the polynomial turns back.
    lens = CameraModel(SIZE[1], SIZE[0], CAMERA.K, "plumb_bob", np.array([-0.3, 0, 0, 0, 0]))
    view = viewpoint(lens, BASE_FROM_OPTICAL)
    box, place = np.array([[480.0, 100.0, 512.0, 200.0]]), np.array([[4.5, -3.0]])
    scale, shift = box_motions(box, place, view, view, Pose2D(-1.0))
    np.testing.assert_array_equal([scale[0], *shift[0]], [1, 0, 0])
