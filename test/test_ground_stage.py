import itertools
import re
import sys
from dataclasses import replace

import numpy as np
import pytest

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.grid_options import DynamicGridOptions, ProjectionOptions
from panoptic_ros.grid.layers import UNKNOWN_CELL
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions, GroundStage
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


def test_what_moves_is_followed_where_it_is_asked_for_and_not_switched_off(stage):
    assert stage(street(), time_ns=SECOND, view=VIEW).dynamic is None
    layers = stage(street(), time_ns=SECOND * 11 // 10, view=VIEW, dynamic=True).dynamic
    assert layers.dynamic.shape == OPTIONS.window.shape
    off = GroundStage(CITYSCAPES, replace(OPTIONS, dynamic=DynamicGridOptions(enabled=False)))
    assert off(street(), time_ns=SECOND, view=VIEW, dynamic=True).dynamic is None


def test_a_track_makes_its_instances_cells_move(stage):
    """The car drives away: it is lower in the picture first, and its mask wide."""
    for number, bottom in enumerate((28, 27, 26, 25, 24, 23)):
        prediction = street()
        prediction.labels[14:24, 28:36] = ROAD
        prediction.labels[14:bottom, 24:40] = CAR
        [segment] = prediction.segments
        moved = PanopticPrediction(prediction.labels, [replace(segment, box=(24, 14, 40, bottom))])
        time_ns = SECOND + number * SECOND // 5
        result = stage(moved, time_ns=time_ns, view=VIEW, dynamic=True)
    ahead = result.dynamic.velocity[0]
    assert np.isfinite(ahead).any()
    assert np.nanmean(ahead) == pytest.approx(result.tracks[0].velocity[0], abs=1.5)


def test_depth_gives_tracks_boxes_where_they_are_wanted(stage):
    depth = np.where(street().labels == CAR, 6.0, 40.0).astype(np.float32)
    pose = Pose2D(10.0, 0.0, 0.0)
    view = replace(VIEW, depth=depth, pose=pose)
    [track] = stage(street(), time_ns=SECOND, view=view).tracks
    assert track.box_3d is None
    [track] = stage(street(), time_ns=2 * SECOND, view=view, boxes=True).tracks
    # In odom; its back is 6 m ahead of the camera.
    back = track.box_3d.cuboid.center[0] - track.box_3d.cuboid.size[0] / 2
    assert back == pytest.approx(10 + 6, abs=0.2)
    # Nothing is known of odom now.
    [track] = stage(street(), time_ns=3 * SECOND, view=replace(view, pose=None), boxes=True).tracks
    assert track.box_3d.cuboid.center[0] - track.box_3d.cuboid.size[0] / 2 == pytest.approx(
        6, abs=0.2
    )
    # It is not seen for a moment.
    later = stage(street(has_car=False), time_ns=int(3.1 * SECOND), view=view, boxes=True)
    assert [t.coasting for t in later.tracks] == [True]


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


@pytest.mark.parametrize(
    ("earlier", "problem"),
    [
        (0, r"its stamp, 2.000 s, is the last frame's: the stamps stand still"),
        (1000000, r"its stamp, 1.999 s, is older than the last frame's, 2.000 s: .* overtaken it"),
        (SECOND, r"its stamp, 1.000 s, is older than the last frame's, 2.000 s"),
    ],
)
def test_a_frame_that_is_not_newer_gives_nothing_and_says_so(stage, earlier, problem):
    stage(street(), time_ns=2 * SECOND, view=VIEW)
    late = stage(street(), time_ns=2 * SECOND - earlier, view=VIEW)
    assert late.frame is None
    assert late.tracks == []
    assert re.match(problem, late.problem)
    assert stage(street(), time_ns=2 * SECOND + 1, view=VIEW).track_ids == {CAR: 1}


@pytest.mark.parametrize("stamp", [0, 5 * SECOND])
def test_stamps_that_stand_still_are_a_problem_of_each_frame_but_the_first(stage, stamp):
    results = [stage(street(), time_ns=stamp, view=VIEW) for _ in range(3)]
    assert [bool(r.problem) for r in results] == [False, True, True]
    assert [r.frame is None for r in results] == [False, True, True]


def test_the_result_names_the_frame_of_its_positions():
    assert GroundStage(CITYSCAPES)(EMPTY, time_ns=1, view=None).base_frame == "base_link"
    stage = GroundStage(CITYSCAPES, GroundOptions(base_frame="rover"))
    for _ in range(2):
        assert stage(EMPTY, time_ns=1, view=None).base_frame == "rover"


@pytest.mark.parametrize(("height", "pitch"), [(-0.5, 0.0), (0.4, 0.0), (0.1, 0.06)])
def test_grid_and_tracks_share_the_ground(height, pitch):
    """See a car on raised or tilted ground with a camera that looks down by 0.3 radians."""
    ground = ProjectionOptions(ground_height=height, ground_pitch=pitch)
    stage = GroundStage(CITYSCAPES, GroundOptions(window=OPTIONS.window, projection=ground))
    labels = np.full((32, 64), ROAD, np.uint16)
    labels[14:24, 28:36] = CAR
    seen = PanopticPrediction(labels, [Segment(CAR, 26, True, 0.9, 80, (28, 14, 36, 24))])
    view = GroundView(CAMERA, optical_pose(0, 0, 1.5, 0, 0.3, 0), Pose2D())
    result = stage(seen, time_ns=SECOND, view=view)
    # The ray through the car's lower edge, 8 rows below the middle, meets the ground there.
    ahead = (1.5 - height) / (np.tan(np.arctan(8 / 32) + 0.3) - np.tan(pitch))
    place, [track] = result.instances[CAR], result.tracks
    assert place.position[0] == pytest.approx(ahead, rel=0.05)
    assert track.position == pytest.approx(place.position, abs=0.01)
    # Its 10 rows are as high as that place is far along the optical axis.
    below = 1.5 - height + place.position[0] * np.tan(pitch)
    depth = place.position[0] * np.cos(0.3) + below * np.sin(0.3)
    assert track.height == pytest.approx(10 * depth / 32)
    assert track.elevation == place.elevation == pytest.approx(1.5 - below)


@pytest.mark.parametrize("restart", ["time", "reset"])
def test_all_is_forgotten_where_time_starts_again(stage, restart):
    stage(street(), time_ns=100 * SECOND, view=VIEW)
    if restart == "reset":
        stage.reset()
    after = stage(EMPTY, time_ns=SECOND, view=VIEW)
    assert (after.frame.layers.occupancy == UNKNOWN_CELL).all()
    assert after.tracks == []
    assert stage(street(), time_ns=SECOND + 1, view=VIEW).track_ids == {CAR: 2}


def test_all_is_forgotten_where_the_pose_jumps(stage):
    stage(street(), time_ns=SECOND, view=VIEW)
    # It drives on: the car behind it was another one.
    on = replace(VIEW, pose=Pose2D(1.0, 0.0, 0.0))
    assert stage(street(), time_ns=SECOND + SECOND // 10, view=on).jump == ""
    jumped = replace(VIEW, pose=Pose2D(20.0, 0.0, 0.0))
    after = stage(EMPTY, time_ns=SECOND + SECOND // 5, view=jumped)
    assert after.jump == "the vehicle's pose jumped by 19.0 m, 0.0 rad in 0.100 s"
    assert after.problem == ""
    assert (after.frame.layers.occupancy == UNKNOWN_CELL).all()
    assert after.tracks == []
    assert stage(EMPTY, time_ns=SECOND + SECOND // 4, view=jumped).jump == ""


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
