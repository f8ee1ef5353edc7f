import math
from dataclasses import replace

import numpy as np
import pytest

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.tracking.box_tracks import TrackedBox
from panoptic_ros.tracking.markers import track_markers
from panoptic_ros.tracking.track import Track

TRACK = Track(
    track_id=12,
    instance_id=26003,
    class_id=26,
    score=0.9,
    box=(0.0, 0.0, 10.0, 10.0),
    position=(10.0, 5.0),
    velocity=(3.0, 4.0),
    covariance=np.diag([0.1, 0.1, 0.25, 0.25]),
    bearing=math.pi / 2,
    width=4.0,
    height=1.5,
    elevation=-0.5,
    age=1.0,
    coasting=False,
)


def test_a_box_reaches_back_from_the_contact_edge():
    (marker,) = track_markers([TRACK], CITYSCAPES)
    assert marker.track_id == 12
    assert marker.size == (1.5, 4.0, 1.5)
    assert marker.center == pytest.approx((10, 5 + 0.75, -0.5 + 0.75))
    assert marker.yaw == math.pi / 2
    assert all(0 <= c <= 1 for c in marker.color)


def test_a_box_that_is_measured_is_shown():
    box = TrackedBox(Cuboid((11.0, 5.0, 0.8), (4.0, 1.8, 1.6), 0.4), np.eye(2))
    # Something may hide where it stands.
    for position in (TRACK.position, None):
        (marker,) = track_markers([replace(TRACK, box_3d=box, position=position)], CITYSCAPES)
        assert marker.size == (4.0, 1.8, 1.6)
        assert marker.center == (11.0, 5.0, 0.8)
        assert marker.yaw == 0.4


def test_name_id_and_speed_are_written_on_it():
    (marker,) = track_markers([TRACK], CITYSCAPES)
    assert marker.text == "car 12 5.0 m/s"
    assert marker.velocity == (3.0, 4.0)


def test_a_velocity_that_may_be_noise_is_not_shown():
    unsure = replace(TRACK, covariance=np.diag([0.1, 0.1, 9.0, 9.0]))
    (marker,) = track_markers([unsure], CITYSCAPES)
    assert marker.velocity is None
    assert marker.text == "car 12"


def test_a_coasting_track_is_paler():
    seen, coasting = track_markers([TRACK, replace(TRACK, coasting=True)], CITYSCAPES)
    assert 0 < coasting.alpha < seen.alpha <= 1


def test_without_a_height_a_box_is_as_high_as_wide():
    (marker,) = track_markers([replace(TRACK, height=None)], CITYSCAPES)
    assert marker.size == (4.0, 4.0, 4.0)


def test_what_has_no_place_has_no_marker():
    nowhere = replace(TRACK, position=None, velocity=None, covariance=None, bearing=None)
    assert track_markers([nowhere], CITYSCAPES) == []
