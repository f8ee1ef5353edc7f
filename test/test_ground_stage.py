import itertools
import sys

import numpy as np
import pytest

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.layers import UNKNOWN_CELL
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions, GroundStage, GroundView
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction, Segment

pytest.importorskip("trackers", reason="needs the library trackers")

ROAD, SKY, CAR = 7, 23, 26000
SECOND = 1_000_000_000
CAMERA = CameraModel(64, 32, [32.0, 0, 31.5, 0, 32.0, 15.5, 0, 0, 1])
VIEW = GroundView(CAMERA, optical_pose(0, 0, 1.5, 0, 0, 0), Pose2D())
OPTIONS = GroundOptions(window=GridWindow(0.0, -5.0, 12.0, 10.0, 0.5))


def street(*, has_car=True):
    labels = np.full((32, 64), SKY, np.uint16)
    labels[16:] = ROAD
    segments = []
    if has_car:
        labels[14:24, 28:36] = CAR
        segments.append(Segment(CAR, 26, True, 0.9, 80, (28, 14, 36, 24)))
    return PanopticPrediction(labels, segments)


EMPTY = PanopticPrediction(np.zeros((32, 64), np.uint16))


@pytest.fixture
def stage():
    return GroundStage(CITYSCAPES, OPTIONS)


def test_a_frame_gives_grid_places_and_tracks(stage):
    result = stage(street(), time_ns=SECOND, view=VIEW)
    assert result.problem == ""
    assert result.frame.layers.occupancy.shape == OPTIONS.window.shape
    assert (result.frame.layers.occupancy > 50).any()
    # f * height / (row below the car - middle) = 32 * 1.5 / (23.5 - 15.5).
    assert result.instances[CAR].position[0] == pytest.approx(6.0, abs=0.5)
    assert result.track_ids == {CAR: 1}
    [track] = result.tracks
    assert track.position == pytest.approx(result.instances[CAR].position, abs=0.1)
    assert result.frame.layers.class_probabilities is None
    more = stage(street(), time_ns=SECOND + 1, view=VIEW, class_probabilities=True)
    assert more.frame.layers.class_probabilities.shape == (19, *OPTIONS.window.shape)


def test_without_a_view_instances_are_followed_all_the_same(stage):
    first = stage(street(), time_ns=SECOND, view=None)
    second = stage(street(), time_ns=SECOND * 11 // 10, view=None)
    assert first.frame is second.frame is None
    assert first.track_ids == second.track_ids == {CAR: 1}
    assert first.instances == {}


def test_a_camera_that_sees_no_ground_costs_the_grid_only(stage):
    skyward = GroundView(CAMERA, optical_pose(0, 0, 1.5, 0, -1.5, 0))
    below = GroundView(CAMERA, optical_pose(0, 0, -1.5, 0, 0, 0))
    for number, view in enumerate((skyward, below), 1):
        result = stage(street(), time_ns=number * SECOND // 10, view=view)
        assert result.track_ids == {CAR: 1}
    assert result.frame is None
    assert result.problem


def test_a_frame_that_newer_ones_have_overtaken_gives_nothing(stage):
    stage(street(), time_ns=2 * SECOND, view=VIEW)
    late = stage(street(), time_ns=2 * SECOND - 1000, view=VIEW)
    assert late.frame is None
    assert late.tracks == []


@pytest.mark.parametrize("restart", ["time", "reset"])
def test_all_is_forgotten_where_time_starts_again(stage, restart):
    stage(street(), time_ns=100 * SECOND, view=VIEW)
    if restart == "reset":
        stage.reset()
    after = stage(EMPTY, time_ns=SECOND, view=VIEW)
    assert (after.frame.layers.occupancy == UNKNOWN_CELL).all()
    assert after.tracks == []
    assert stage(street(), time_ns=SECOND + 1, view=VIEW).track_ids == {CAR: 2}


def test_without_the_library_there_is_a_grid_and_no_track(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    for name in [n for n in sys.modules if n.startswith("panoptic_ros.tracking.")]:
        monkeypatch.delitem(sys.modules, name)
    stage = GroundStage(CITYSCAPES, OPTIONS)
    result = stage(street(), time_ns=SECOND, view=VIEW)
    assert not stage.has_tracker
    assert result.frame is not None
    assert result.tracks == []


def test_stages_of_one_node_share_their_ids():
    ids = itertools.count(1)
    for expected in (1, 2):
        stage = GroundStage(CITYSCAPES, OPTIONS, ids)
        assert stage(street(), time_ns=SECOND, view=VIEW).track_ids == {CAR: expected}
