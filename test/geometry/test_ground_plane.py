import numpy as np
import pytest
from ground_scenes import camera, pose, viewpoint

from panoptic_ros.geometry.ground_plane import GroundPlane, GroundView, Viewpoint


def test_the_plane_falls_away_ahead_and_to_the_right():
    ahead = GroundPlane.inclined(0.5, 0.1, 0)
    assert ahead.z(10, 0) == pytest.approx(0.5 - 10 * np.tan(0.1))
    assert ahead.z(0, 10) == pytest.approx(0.5)
    right = GroundPlane.inclined(0, 0, 0.1)
    assert right.z(0, -10) == pytest.approx(-10 * np.tan(0.1))
    # The normal is z turned about x, then about y.
    both = GroundPlane.inclined(0, 0.2, 0.1)
    normal = np.array([-both.slope_x, -both.slope_y, 1])
    expected = [np.cos(0.1) * np.sin(0.2), -np.sin(0.1), np.cos(0.1) * np.cos(0.2)]
    np.testing.assert_allclose(normal / np.linalg.norm(normal), expected)


def test_height_is_over_the_ground_below():
    view = viewpoint(camera(), pose(x=2, z=1.5), GroundPlane.inclined(-0.5, 0.1, 0))
    assert view.height == pytest.approx(1.5 + 0.5 + 2 * np.tan(0.1))


@pytest.mark.parametrize("yaw", [0.0, 0.7, 3.0, -2.0])
def test_range_and_bearing_are_undone(yaw):
    view = viewpoint(camera(), pose(x=1, y=2, yaw=yaw, pitch=0.1))
    assert view.heading == pytest.approx(yaw)
    xy = np.random.default_rng(0).uniform(-20, 20, (50, 2))
    distance, bearing = view.polar(xy)
    np.testing.assert_allclose(view.at(distance, bearing), xy, atol=1e-12)
    assert np.abs(bearing).max() <= np.pi
    assert view.polar(np.array([[1 + np.cos(yaw), 2 + np.sin(yaw)]]))[1] == pytest.approx(0)


def test_a_camera_that_looks_straight_down_heads_where_its_top_points():
    assert viewpoint(camera(), pose(pitch=np.pi / 2, yaw=0.3)).heading == pytest.approx(0.3)


def test_ground_points_in_the_optical_frame():
    view = viewpoint(camera(), pose(x=1, z=1.5))
    np.testing.assert_allclose(view.on_ground(np.array([[11.0, 2.0]])), [[-2, 1.5, 10]])
    np.testing.assert_allclose(view.on_ground(np.array([[11.0, 2.0]]), 0.5), [[-2, 1.0, 10]])


def test_directions_rise_from_the_ground_not_from_the_horizon():
    ahead, down = [1.0, 0.0, 0.0], [0.0, 0.0, -2.0]
    assert GroundPlane().rise(np.array([ahead, down])).tolist() == [0.0, -2.0]
    falls = GroundPlane.inclined(0.3, 0.1, 0.0)
    assert falls.rise(np.array([ahead])) == pytest.approx(np.tan(0.1))


def test_the_camera_is_brought_to_the_pictures_size():
    view = GroundView(camera(), pose())
    found = Viewpoint.of(view, (200, 400), GroundPlane())
    assert found.camera.size == (200, 400)
    assert found.camera is Viewpoint.of(view, (200, 400), GroundPlane()).camera


def test_a_pose_that_is_changed_in_place_is_another_view():
    mounted = pose()
    before = Viewpoint.of(GroundView(camera(), mounted), (400, 800), GroundPlane())
    height = before.height
    mounted[2, 3] += 0.5
    after = Viewpoint.of(GroundView(camera(), mounted), (400, 800), GroundPlane())
    assert after.height == height + 0.5
    assert before.position[2] + 0.5 == after.position[2]
    raised = Viewpoint.of(GroundView(camera(), mounted), (400, 800), GroundPlane(height=0.25))
    assert raised.height == height + 0.25
    other = Viewpoint.of(GroundView(camera(focal=321.0), mounted), (400, 800), GroundPlane())
    assert other.camera.matrix[0, 0] == 321.0
