import math

import numpy as np
import pytest
from box_scene import SIZE, seen

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.ground_plane import GroundPlane, Viewpoint
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.tracking.box_tracks import BoxTracks
from panoptic_ros.tracking.instance_points import instance_points
from panoptic_ros.tracking.tracking_options import TrackingOptions

CAR, PERSON, TRACK = 26000, 24000, 5
GROUND, STEP = GroundPlane(), 0.1
HERE = Pose2D()
AT = Viewpoint.of(seen({})[1], SIZE, GROUND)


@pytest.fixture
def tracks():
    return BoxTracks(TrackingOptions(), CITYSCAPES)


def show(tracks, box, value=CAR, pose=HERE):
    """Take one frame, in which a box of base_link is seen; return the track's box in odom."""
    tracks.predict(STEP, [TRACK])
    if box is not None:
        points = instance_points(*seen({value: box}), GROUND)[value]
        tracks.update({TRACK: (value // 1000, points)}, AT, pose)
    return tracks.boxes()[TRACK].cuboid


def car(x, y=0.5, yaw=0.6, length=4.4):
    return Cuboid((x, y, 0.75), (length, 1.8, 1.5), yaw)


def test_a_box_is_in_odom(tracks):
    pose = Pose2D(100.0, -50.0, 1.0)
    found, true = show(tracks, car(11), pose=pose), car(11).moved(pose)
    assert math.dist(found.center, true.center) < 0.2
    assert math.remainder(found.yaw - true.yaw, math.pi) == pytest.approx(0, abs=0.05)
    covariance = tracks.boxes()[TRACK].covariance
    assert covariance.shape == (2, 2)
    assert (np.linalg.eigvalsh(covariance) > 0).all()


def test_a_box_does_not_lag_and_looks_the_way_it_goes(tracks):
    """6 m/s for 1.5 s, backwards to the heading that the fit happens to give."""
    course = 0.6
    for number in range(15):
        way = 0.6 * number
        true = car(9 + way * math.cos(course), -1.5 + way * math.sin(course), course + math.pi)
        found = show(tracks, true)
    assert math.dist(found.center, true.center) < 0.35
    assert math.remainder(found.yaw - course, math.tau) == pytest.approx(0, abs=0.1)


def test_what_drives_fast_is_followed_from_the_start(tracks):
    """30 m/s: 3 m from one frame to the next."""
    for number in range(9):
        true = car(7 + 3 * number, y=-1.0, yaw=0.0)
        found = show(tracks, true)
        assert math.dist(found.center, true.center) < 1.2, number
    assert math.dist(found.center, true.center) < 0.5
    assert found.yaw == pytest.approx(0, abs=0.1)


def test_a_missed_frame_leaves_the_box_on_its_way(tracks):
    for number in range(12):
        show(tracks, car(9 + 0.5 * number, yaw=0.5))
    for number in range(12, 15):
        found = show(tracks, None)
        assert found.center[0] == pytest.approx(9 + 0.5 * number, abs=0.6)
    assert found.size == pytest.approx((4.4, 1.8, 1.5), abs=0.5)


def test_what_has_been_measured_is_not_forgotten(tracks):
    """The side of a long car is seen first, then its rear only."""
    for _ in range(4):
        show(tracks, car(11, yaw=0.6, length=5.3))
    for yaw in (0.4, 0.2, 0.0, 0.0):
        found = show(tracks, car(11, y=0.0, yaw=yaw, length=5.3))
    assert found.size[0] == pytest.approx(5.3, abs=0.5)
    assert math.dist(found.center[:2], (11, 0)) < 0.3


def test_another_objects_points_do_not_move_a_box_at_once(tracks):
    for _ in range(3):
        before = show(tracks, car(11))
    strayed = show(tracks, car(16))
    assert math.dist(strayed.center, before.center) < 0.3
    # A track that goes on with another object has that one's box.
    assert math.dist(show(tracks, car(16)).center, car(16).center) < 0.3


def test_a_persons_size_stays_plausible(tracks):
    for y in np.arange(-0.5, 0.5, 0.1):
        found = show(tracks, Cuboid((8.0, y, 0.9), (0.5, 0.6, 1.8), 0.0), PERSON)
    assert found.size == pytest.approx((0.7, 0.65, 1.8), abs=0.15)
    assert found.center[2] == pytest.approx(found.size[2] / 2)


def test_the_dead_are_forgotten(tracks):
    show(tracks, car(11))
    tracks.predict(STEP, [])
    assert tracks.boxes() == {}
