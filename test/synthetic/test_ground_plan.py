import numpy as np
import pytest

from panoptic_ros.synthetic.ego_drive import EgoPose
from panoptic_ros.synthetic.ground_plan import RESOLUTION, X_RANGE, Y_RANGE, grid_shape, survey
from panoptic_ros.synthetic.scene import Actor, Obstacle
from panoptic_ros.synthetic.scene_model import Scene
from panoptic_ros.synthetic.street_layout import make_street


def cell(x, y):
    return int((x - X_RANGE[0]) // RESOLUTION), int((y - Y_RANGE[0]) // RESOLUTION)


@pytest.fixture
def plan():
    """A car 20 m ahead that drives away, a wall to the left; the ego car looks along +y."""
    street = make_street(np.random.default_rng(2))
    ego = EgoPose(100.0, 50.0, np.pi / 2, 5.0, 0.0)
    car = Actor(26003, (4.0, 2.0, 1.5), [], lambda time: (100.0, 70.0 + 3 * time, 0.0, np.pi / 2))
    wall = np.array([[90, 55], [90, 65], [90.6, 65], [90.6, 55]], float)
    scene = Scene(None, None, None, [car], [Obstacle(12, wall, 2.0)], [])
    return survey(scene, street, ego, 0.0)


def test_boxes_are_in_base_link(plan):
    (box,) = plan.boxes
    assert (box.id, box.class_id) == (26003, 26)
    np.testing.assert_allclose(box.center, [20.0, 0.0, 0.75], atol=1e-9)
    np.testing.assert_allclose(box.velocity, [3.0, 0.0], atol=1e-9)
    assert box.yaw == pytest.approx(0.0)


def test_what_stands_on_the_ground_is_occupied_with_its_class(plan):
    assert plan.classes.shape == plan.occupied.shape == plan.surface.shape == grid_shape()
    for x, y, class_id in ((20, 0, 26), (18.2, 0.8, 26), (10, 9.7, 12)):
        assert plan.occupied[cell(x, y)]
        assert plan.classes[cell(x, y)] == class_id
    for x, y in ((17.5, 0), (20, 1.4), (10, 8.9), (4, 9.7)):
        assert not plan.occupied[cell(x, y)]
        assert plan.classes[cell(x, y)] == plan.surface[cell(x, y)]


def test_a_footprint_has_its_area(plan):
    cells = (plan.classes == 26).sum() * RESOLUTION**2
    assert cells == pytest.approx(8.0, rel=0.2)
