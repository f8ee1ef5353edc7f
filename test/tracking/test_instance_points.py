from dataclasses import replace

import cv2
import numpy as np
import pytest
from box_scene import SIZE, predicted, seen

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.ground_plane import GroundPlane
from panoptic_ros.tracking.instance_points import instance_points, measured_points

CAR, OTHER = 26000, 26001
BOX = Cuboid((10.0, 1.0, 0.8), (4.0, 1.8, 1.6), 0.3)
GROUND = GroundPlane()


def on_surface(points, box, within=0.05):
    """Return which points lie on a box's sides or roof."""
    c, s = np.cos(box.yaw), np.sin(box.yaw)
    xy = (points[:, :2] - box.center[:2]) @ np.array([[c, -s], [s, c]])
    off = np.array(box.size) / 2 - np.abs(np.column_stack([xy, points[:, 2] - box.center[2]]))
    return (off.min(axis=1) < within) & (off > -within).all(axis=1)


def test_the_points_of_a_mask_lie_on_its_object():
    found = instance_points(*seen({CAR: BOX}), GROUND)
    points = found[CAR].points
    assert len(points) > 200
    assert on_surface(points, BOX).all()
    # What is lower may be the ground.
    assert points[:, 2].min() >= 0.2
    assert found[CAR].hidden == (False, False)
    assert not found[CAR].cut_top


def test_points_of_a_cloud_are_those_in_the_mask():
    prediction, view = seen({CAR: BOX})
    optical, index = measured_points(view, SIZE)
    cloud = optical @ view.base_from_optical[:3, :3].T + view.base_from_optical[:3, 3]
    far_away = [[np.nan, 0, 0], [np.inf, 0, 1], [-5, 0, 1], [10, 40, 1]]
    cloud = np.concatenate([cloud, far_away]).astype(np.float32)
    scanned = replace(view, depth=None, points=cloud)
    again, of_pixel = measured_points(scanned, SIZE)
    np.testing.assert_array_equal(of_pixel, index)
    np.testing.assert_allclose(again, optical, atol=1e-3)
    assert on_surface(instance_points(prediction, scanned, GROUND)[CAR].points, BOX).all()


def test_mixed_pixels_and_ground_in_the_mask_are_left_out():
    """The mask is too large by two pixels, whose depths are between car and background."""
    prediction, view = seen({CAR: BOX})
    wide = np.zeros(SIZE, bool)
    rows, columns = np.nonzero(prediction.labels == CAR)
    for down in range(-2, 3):
        for right in range(-2, 3):
            wide[rows + down, columns + right] = True
    rim = wide & (prediction.labels != CAR)
    depth = view.depth.copy()
    depth[rim] = np.where(depth[rim] > 0, (depth[rim] + 12) / 2, 14)
    mixed = np.where(wide, CAR, prediction.labels).astype(np.uint16)
    points = instance_points(predicted(mixed), replace(view, depth=depth), GROUND)[CAR].points
    assert on_surface(points, BOX).mean() > 0.99


@pytest.mark.parametrize("gap", [1.1, 1.4, 2.0])
def test_edges_that_stereo_matching_blurs_are_left_out(gap):
    """A wall is close behind; depths within 5 x 5 pixels mix, and the mask is a pixel too large."""
    board, wall = (
        Cuboid((x, 0.0, height / 2), (0.2, width, height), 0.0)
        for x, width, height in ((10.1, 1.8, 1.8), (10.1 + gap, 30.0, 4.0))
    )
    prediction, view = seen({CAR: board, OTHER: wall})
    mask = cv2.dilate((prediction.labels == CAR).astype(np.uint8), np.ones((3, 3)))
    labels = np.where(mask, CAR, 0).astype(np.uint16)
    depth = cv2.blur(view.depth.astype(np.float32), (5, 5))
    points = instance_points(predicted(labels), replace(view, depth=depth), GROUND)[CAR].points
    assert len(points) > 1000
    assert (points[:, 0] > 10.1).mean() < 0.01


def test_of_two_cars_in_one_mask_the_nearer_stays():
    behind = Cuboid((16.0, 1.2, 0.8), (4.0, 1.8, 1.6), 0.3)
    prediction, view = seen({CAR: BOX, OTHER: behind})
    labels = np.where(prediction.labels == OTHER, CAR, prediction.labels)
    points = instance_points(predicted(labels), view, GROUND)[CAR].points
    assert len(points) > 200
    assert on_surface(points, BOX).all()


def test_a_few_pixels_of_something_nearer_are_not_the_object():
    prediction, view = seen({CAR: BOX, OTHER: Cuboid((5.0, 0.9, 0.6), (0.1, 0.1, 1.2), 0.0)})
    labels = np.where(prediction.labels == OTHER, CAR, prediction.labels)
    points = instance_points(predicted(labels), view, GROUND)[CAR].points
    assert on_surface(points, BOX).all()


@pytest.mark.parametrize(("y", "hidden"), [(1.2, (True, False)), (-0.35, (False, True))])
def test_an_end_that_something_nearer_hides(y, hidden):
    pillar = Cuboid((6.0, y, 1.0), (0.5, 0.9, 2.0), 0.0)
    straight = Cuboid((10.0, 0.7, 0.8), (4.0, 1.8, 1.6), 0.0)
    assert instance_points(*seen({CAR: straight, OTHER: pillar}), GROUND)[CAR].hidden == hidden


def test_an_end_out_of_the_picture_is_hidden():
    found = instance_points(*seen({CAR: Cuboid((6.0, 3.5, 2.0), (4.0, 1.8, 4.0), 0.0)}), GROUND)
    assert found[CAR].hidden == (True, False)
    assert found[CAR].cut_top


def test_broken_depth_is_left_out():
    prediction, view = seen({CAR: BOX})
    depth = view.depth.copy()
    depth[::2] = np.resize([np.nan, np.inf, 0, -1], (SIZE[0] // 2, SIZE[1]))
    found = instance_points(prediction, replace(view, depth=depth), GROUND)
    assert on_surface(found[CAR].points, BOX).all()


@pytest.mark.parametrize("measured", [{"depth": np.zeros(SIZE, np.float32)}, {"depth": None}])
def test_without_measurements_there_are_no_points(measured):
    prediction, view = seen({CAR: BOX})
    assert instance_points(prediction, replace(view, **measured), GROUND) == {}


def test_depth_of_another_size_is_refused():
    prediction, view = seen({CAR: BOX})
    with pytest.raises(ValueError, match=r"depth image is \(10, 10\) \(H, W\), the image"):
        instance_points(prediction, replace(view, depth=np.ones((10, 10))), GROUND)


def test_int32_labels():
    prediction, view = seen({CAR: BOX})
    wide = predicted(prediction.labels.astype(np.int32))
    first, second = (instance_points(p, view, GROUND)[CAR].points for p in (prediction, wide))
    np.testing.assert_array_equal(first, second)
