from dataclasses import replace

import numpy as np
import pytest

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid import mapper as mapper_module
from panoptic_ros.grid.mapper import GroundMapper
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction

ROAD, SKY, CAR = 7, 23, 26001
HEIGHT, FOCAL = 1.5, 300.0
CAMERA = CameraModel(320, 240, np.array([[FOCAL, 0, 159.5], [0, FOCAL, 119.5], [0, 0, 1]]))
LEVEL = optical_pose(0.0, 0.0, HEIGHT, 0.0, 0.0, 0.0)
VIEW, HERE = GroundView(CAMERA, LEVEL), GroundView(CAMERA, LEVEL, Pose2D())
WINDOW = GridWindow(0.0, -10.0, 30.0, 20.0, 0.2)


def row_of(distance):
    """The picture's row that shows the ground at a distance."""
    return 119.5 + FOCAL * HEIGHT / distance


def street(contact=10.0):
    """Road below the horizon, and a car that fills the middle, down to its contact edge."""
    labels = np.full((240, 320), SKY, np.uint16)
    labels[120:] = ROAD
    labels[100 : round(row_of(contact)), 130:190] = CAR
    return PanopticPrediction(labels)


@pytest.fixture
def mapper():
    return GroundMapper(CITYSCAPES, WINDOW)


def test_a_car_is_placed_where_it_stands_and_the_road_before_it_is_free(mapper):
    frame = mapper(street(), VIEW, time=0.0)
    layers = frame.layers
    occupied = np.argwhere(layers.occupancy > 50)
    x, y = WINDOW.centers()[tuple(occupied.T)].T
    # Half a row of the picture is 0.11 m there, and a body begins behind its face.
    assert np.abs(x - 10.0).max() < 0.4
    assert np.abs(y).max() == pytest.approx(10.0 * 30 / FOCAL, abs=0.2)
    assert set(layers.classes[tuple(occupied.T)]) == {26}
    row = WINDOW.shape[0] // 2
    ahead = layers.occupancy[row, round(6 / 0.2) : round(9 / 0.2)]
    assert ((ahead >= 0) & (ahead < 50)).all()
    assert (layers.occupancy[row, round(12 / 0.2) :] == -1).all()
    (instance,) = frame.observation.instances
    assert instance.id == CAR


def test_frames_add_up_along_the_way(mapper):
    for k in range(5):
        frame = mapper(
            street(10.0 - k),
            GroundView(CAMERA, LEVEL, Pose2D(float(k), 0.0, 0.0)),
            time=0.1 * k,
        )
    column = round(6.0 / 0.2)
    assert frame.layers.occupancy[WINDOW.shape[0] // 2, column - 1 : column + 2].max() > 90


def test_a_camera_of_another_size_is_brought_to_the_labels(mapper):
    frame = mapper(street(), GroundView(CAMERA.scaled((480, 640)), LEVEL), time=0.0)
    assert (frame.layers.occupancy > 50).any()


@pytest.fixture
def built(monkeypatch):
    """Count the projections that are built; all are the first one."""
    real, views = mapper_module.GroundProjection, []

    def counting(view, *arguments):
        if not views:
            counting.first = real(view, *arguments)
        views.append(view)
        return counting.first

    monkeypatch.setattr(mapper_module, "GroundProjection", counting)
    return views


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pitch": 1e-5}, 1),
        ({"pitch": 0.02}, 2),
        ({"pitch": 4e-4}, 2),  # 0.023 degrees
        ({"z": HEIGHT + 0.004}, 1),
        ({"z": HEIGHT + 0.006}, 2),
    ],
)
def test_poses_that_nearly_agree_share_a_projection_and_others_do_not(
    mapper, built, changes, expected
):
    place = {"x": 0.0, "y": 0.0, "z": HEIGHT, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}
    for change in ({}, changes, {}):
        mapper(street(), GroundView(CAMERA, optical_pose(**{**place, **change})), time=0.0)
    assert len(built) == expected


def test_the_least_recently_used_of_49_projections_is_given_up(mapper, built):
    views = [GroundView(CAMERA, optical_pose(0, 0.1 * k, HEIGHT, 0, 0, 0)) for k in range(49)]
    for view in views[:48] + views[:48]:
        mapper(street(), view, time=0.0)
    assert len(built) == 48
    # The 49th takes the place of the first, which takes that of the second.
    for view in (views[48], views[0], views[2], views[48], views[0]):
        mapper(street(), view, time=0.0)
    assert len(built) == 50


def test_a_refused_frame_leaves_the_grid_as_it_was(mapper):
    before = mapper(street(), HERE, time=0.0).layers
    with pytest.raises(ValueError, match="depth"):
        mapper(street(), replace(HERE, depth=np.ones((2, 2), np.float32)), time=0.1)
    after = mapper(PanopticPrediction(np.zeros((240, 320), np.uint16)), HERE, time=0.0).layers
    np.testing.assert_array_equal(after.occupancy >= 0, before.occupancy >= 0)


def test_reset_forgets(mapper):
    mapper(street(), HERE, time=0.0)
    mapper.reset()
    layers = mapper(PanopticPrediction(np.zeros((240, 320), np.uint16)), HERE, time=0.0).layers
    assert (layers.occupancy == -1).all()
