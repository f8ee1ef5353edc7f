import math
from dataclasses import replace

import numpy as np
import pytest
from box_scene import SIZE, seen

from panoptic_ros.geometry.cuboid import Cuboid, cuboid_iou
from panoptic_ros.geometry.ground_plane import GroundPlane, Viewpoint
from panoptic_ros.tracking.box_fitting import SIZES, fit_box
from panoptic_ros.tracking.instance_points import InstancePoints, instance_points

CAR, OTHER = 26000, 26001
GROUND = GroundPlane()


def fitted(box, size=SIZES["car"], yaw=None, others=None, **options):
    """Return the box that is fitted to what is seen of one."""
    prediction, view = seen({CAR: box} | (others or {}))
    points = instance_points(prediction, view, GROUND)[CAR]
    return fit_box(points, Viewpoint.of(view, SIZE, GROUND), size, yaw, **options)


def turned(found, box):
    """Return the angle between two boxes that may point either way, radians."""
    return abs(math.remainder(found.cuboid.yaw - box.yaw, math.pi))


@pytest.mark.parametrize("yaw", [0.5, 1.0, 2.2, -0.6])
@pytest.mark.parametrize("size", [(4.4, 1.8, 1.5), (3.7, 1.6, 1.45), (5.4, 1.9, 2.2)])
def test_two_sides_give_all_of_a_box(yaw, size):
    box = Cuboid((11.0, 0.5, size[2] / 2), size, yaw)
    found = fitted(box)
    assert found.is_measured == (True, True, True)
    assert turned(found, box) < math.radians(3)
    assert math.dist(found.cuboid.center, box.center) < 0.2
    assert cuboid_iou(found.cuboid, box)[0] > 0.8


def test_the_length_behind_a_rear_is_as_expected():
    box = Cuboid((12.0, 0.0, 0.75), (4.6, 1.8, 1.5), 0.0)
    found = fitted(box)
    assert found.is_measured == (False, True, True)
    assert found.cuboid.size == pytest.approx((4.6, 1.8, 1.5), abs=0.12)
    assert turned(found, box) < math.radians(2)
    assert math.dist(found.cuboid.center, box.center) < 0.15


def test_the_width_behind_a_side_is_as_expected():
    box = Cuboid((12.0, 0.0, 0.75), (4.4, 1.95, 1.5), math.pi / 2)
    found = fitted(box)
    assert found.is_measured == (True, False, True)
    assert found.cuboid.size == pytest.approx((4.4, 1.95, 1.5), abs=0.15)
    assert math.dist(found.cuboid.center, box.center) < 0.15


@pytest.mark.parametrize("y", [-2.0, 2.0])
def test_a_hidden_end_is_where_it_is_hidden(y):
    """A pillar hides the third of a car's side."""
    box = Cuboid((12.0, 0.0, 0.75), (4.6, 1.95, 1.5), math.pi / 2)
    pillar = Cuboid((6.0, y / 1.7, 1.0), (0.5, 1.2, 2.0), 0.0)
    found = fitted(box, others={OTHER: pillar})
    assert not found.is_measured[0]
    assert math.dist(found.cuboid.center, box.center) < 0.2


def test_what_is_larger_than_expected_is_measured():
    box = Cuboid((14.0, 0.0, 1.5), (9.0, 2.5, 3.0), 0.8)
    assert cuboid_iou(fitted(box).cuboid, box)[0] > 0.8


def test_a_known_heading_decides_what_is_length():
    """Of a square nothing shows which side is its front."""
    box = Cuboid((12.0, 0.0, 0.75), (2.0, 2.0, 1.5), 0.0)
    for yaw in (0.0, math.pi / 2):
        found = fitted(box, size=(2.0, 2.0, 1.5), yaw=yaw)
        assert abs(math.remainder(found.cuboid.yaw - yaw, math.pi)) < math.radians(3)


def test_a_person_is_as_deep_as_expected_and_looks_the_way_it_goes():
    person = Cuboid((9.0, 0.0, 0.9), (0.7, 0.7, 1.8), 0.0)
    found = fitted(person, SIZES["person"], is_round=True)
    assert math.dist(found.cuboid.center, person.center) < 0.1
    assert found.cuboid.size == pytest.approx((0.7, 0.7, 1.8), abs=0.1)
    assert found.cuboid.yaw == pytest.approx(0.0, abs=0.05)
    assert fitted(person, SIZES["person"], yaw=1.2, is_round=True).cuboid.yaw == 1.2


def test_of_an_unknown_class_the_longer_side_is_the_length():
    box = Cuboid((12.0, 1.0, 0.75), (3.0, 1.0, 1.5), 0.9)
    found = fitted(box, size=None)
    assert turned(found, box) < math.radians(3)
    assert found.cuboid.size == pytest.approx(box.size, abs=0.2)


def test_a_height_out_of_the_picture_is_as_expected():
    box = Cuboid((3.6, 0.0, 0.85), (0.7, 0.7, 1.7), 0.0)
    prediction, view = seen({CAR: box})
    points = replace(instance_points(prediction, view, GROUND)[CAR], cut_top=True)
    found = fit_box(points, Viewpoint.of(view, SIZE, GROUND), (0.7, 0.7, 2.1), is_round=True)
    assert found.cuboid.size[2] == 2.1
    assert not found.is_measured[2]


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_few_points_are_no_box(count):
    _, view = seen({})
    points = InstancePoints(np.full((count, 3), 5.0))
    assert fit_box(points, Viewpoint.of(view, SIZE, GROUND), SIZES["car"]) is None


@pytest.mark.parametrize("size", [None, SIZES["car"]])
def test_points_at_one_place_are_a_box_of_some_size(size):
    _, view = seen({})
    points = InstancePoints(np.tile([5.0, 1.0, 0.8], (9, 1)))
    found = fit_box(points, Viewpoint.of(view, SIZE, GROUND), size)
    assert min(found.cuboid.size) > 0
    assert np.isfinite([*found.cuboid.center, found.cuboid.yaw, found.heading_sigma]).all()


def test_a_box_stands_on_an_inclined_ground():
    plane = GroundPlane(0.5, 0.05, 0.0)
    _, view = seen({})
    side = np.stack(np.meshgrid(np.linspace(-1, 1, 30), np.linspace(1.2, 2.5, 20)), -1)
    points = np.insert(side.reshape(-1, 2), 0, 10.0, axis=1)
    found = fit_box(InstancePoints(points), Viewpoint.of(view, SIZE, plane), SIZES["car"])
    x, y, z = found.cuboid.center
    assert z - found.cuboid.size[2] / 2 == pytest.approx(float(plane.z(x, y)))
