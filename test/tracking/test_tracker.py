import itertools
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from street import BASE_FROM_OPTICAL, CAMERA, CAR, PERSON, REST, SIZE, Board, view

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundPlane, GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.tracking.tracker import InstanceTracker
from panoptic_ros.tracking.tracking_options import TrackingOptions

NOTHING = PanopticPrediction(np.zeros(SIZE, np.uint16), [])
HERE = GroundView(CAMERA, BASE_FROM_OPTICAL, REST)
PEDESTRIAN = Board(PERSON, 18.0, 3.0, width=0.6, height=1.7)
PARKED = Board(CAR, 20.0, -3.0)


def driving(time, speed=8.0, yaw_rate=0.1):
    """Return the pose of a car that drives along an arc."""
    yaw = yaw_rate * time
    radius = speed / yaw_rate
    return Pose2D(radius * math.sin(yaw), radius * (1 - math.cos(yaw)), yaw)


def seen_by(tracker, boards, time, pose=REST, *, placed=True, hidden=()):
    """Show a frame to a tracker; return the track of each board that has one."""
    shown = [b for i, b in enumerate(boards) if i not in hidden]
    names = [i for i in range(len(boards)) if i not in hidden]
    prediction, ground, owners = view(shown, time, pose)
    tracks = tracker.update(
        prediction,
        time=time,
        view=GroundView(CAMERA, BASE_FROM_OPTICAL, pose),
        placed=ground.values() if placed else (),
    )
    return {names[owners[t.instance_id]]: t for t in tracks if not t.coasting}, tracks


def test_a_track_tells_all_about_its_instance():
    tracker = InstanceTracker(CITYSCAPES)
    (track,) = seen_by(tracker, [PARKED], 0.0)[1]
    assert (track.track_id, track.class_id, track.score) == (1, CAR, 0.9)
    assert (track.age, track.coasting) == (0.0, False)
    prediction = view([PARKED], 0.0)[0]
    assert track.instance_id == prediction.segments[0].id
    assert track.box == prediction.segments[0].box
    assert track.position == pytest.approx((20, -3))
    assert track.velocity == (0, 0)
    assert track.covariance.shape == (4, 4)
    assert track.bearing == pytest.approx(math.atan2(-3, 20 - 1.5))
    assert track.width == pytest.approx(1.8)
    # The box ends on whole pixels, 0.06 m wide there.
    assert track.height == pytest.approx(1.5, abs=0.12)


@pytest.mark.parametrize("placed", [True, False])
def test_identities_last_while_the_car_drives(placed):
    tracker = InstanceTracker(CITYSCAPES)
    street = [
        PEDESTRIAN,
        PARKED,
        Board(CAR, 25, 2, vx=-6),
        Board(PERSON, 18, -6, vy=1.4, width=0.6),
    ]
    first, _ = seen_by(tracker, street, 0.0, driving(0.0), placed=placed)
    for step in range(1, 11):
        now, _ = seen_by(tracker, street, 0.1 * step, driving(0.1 * step), placed=placed)
        assert {i: t.track_id for i, t in now.items()}.items() <= {
            i: t.track_id for i, t in first.items()
        }.items()
    assert len(first) == 4


@pytest.mark.parametrize("placed", [True, False])
@pytest.mark.parametrize("hidden", [PEDESTRIAN, Board(CAR, 22.0, 3.0, vx=6.0), PARKED])
def test_identity_is_kept_through_half_a_second_of_occlusion(hidden, placed):
    """Hide an object for 5 frames at 10 Hz while the car drives and turns."""
    tracker = InstanceTracker(CITYSCAPES)
    street = [hidden, Board(CAR, 30.0, 0.0), Board(PERSON, 25.0, 4.0, width=0.6)]
    ids = []
    for step in range(13):
        time = 0.1 * step
        is_hidden = 5 <= step < 10
        now, tracks = seen_by(
            tracker, street, time, driving(time), placed=placed, hidden=(0,) if is_hidden else ()
        )
        if is_hidden:
            (coasting,) = [t for t in tracks if t.coasting]
            assert (coasting.track_id, coasting.instance_id) == (ids[0], 0)
        else:
            ids.append(now[0].track_id)
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_a_box_lost_in_the_image_is_found_again_on_the_ground():
    """Hide the object while the car turns, with a calibration that hardly moves any box."""
    tracker = InstanceTracker(CITYSCAPES)
    wide = CameraModel(SIZE[1], SIZE[0], np.array([[3.0, 0, 255.5], [0, 3.0, 127.5], [0, 0, 1]]))
    ids = []
    for step in (0, 1, 2, 3, 9, 10):
        pose = Pose2D(0.0, 0.0, 0.06 * step)
        prediction, ground, _ = view([PEDESTRIAN], 0.1 * step, pose)
        view_of_it = GroundView(wide, BASE_FROM_OPTICAL, pose)
        (track,) = tracker.update(
            prediction, time=0.1 * step, view=view_of_it, placed=ground.values()
        )
        ids.append(track.track_id)
    assert len(set(ids)) == 1


def test_position_and_velocity_are_in_odom():
    tracker = InstanceTracker(CITYSCAPES)
    walker = Board(PERSON, 20.0, -2.0, vx=0.5, vy=1.5, width=0.6)
    for step in range(16):
        now, _ = seen_by(tracker, [walker, PARKED], 0.1 * step, driving(0.1 * step, speed=4.0))
    assert now[0].position == pytest.approx(tuple(walker.at(1.5)), abs=0.1)
    assert now[0].velocity == pytest.approx((0.5, 1.5), abs=0.2)
    assert now[1].velocity == pytest.approx((0, 0), abs=0.2)
    assert now[0].age == pytest.approx(1.5)


def test_a_coasting_track_goes_on_and_ends():
    tracker = InstanceTracker(CITYSCAPES, TrackingOptions(coast_time=0.5))
    walker = Board(PERSON, 10.0, -2.0, vy=2.0, width=0.6)
    for step in range(10):
        _, (last,) = seen_by(tracker, [walker], 0.1 * step)
    spread = np.trace(last.covariance)
    for step in range(10, 14):
        (track,) = tracker.update(NOTHING, time=0.1 * step, view=HERE)
        assert track.coasting
        assert track.position == pytest.approx(tuple(walker.at(0.1 * step)), abs=0.2)
        assert np.trace(track.covariance) > spread
    assert tracker.update(NOTHING, time=1.5, view=HERE) == []


@pytest.mark.parametrize(
    "plane",
    [
        GroundPlane(height=0.9),
        GroundPlane.inclined(0.0, -0.1, 0.0),
        GroundPlane.inclined(0.0, 0.0, 0.35),
    ],
)
def test_raised_and_tilted_ground_is_honoured(plane):
    """Hide the farther of two persons while the car comes so near that the other takes its place.

    Neither was placed: how far their boxes move is told by where the ground is.
    """
    tracker = InstanceTracker(CITYSCAPES, plane=plane)
    pair = [Board(PERSON, 9.5, y, width=0.3, height=1.7) for y in (2.0, 2.9)]
    ids = []
    for boards, time, x in ((pair, 0.0, 0.0), (pair[:1], 0.1, 2.5)):
        prediction, _, owners = view(boards, time, Pose2D(x), plane=plane)
        here = GroundView(CAMERA, BASE_FROM_OPTICAL, Pose2D(x))
        tracks = tracker.update(prediction, time=time, view=here)
        ids += [t.track_id for t in tracks if not t.coasting and owners[t.instance_id] == 0]
    assert len(ids) == 2
    assert ids[0] == ids[1]


def test_heights_are_measured_on_tilted_ground():
    tracker = InstanceTracker(CITYSCAPES, plane=GroundPlane.inclined(0.1, 0.04, -0.05))
    steep = optical_pose(1.5, 0.0, 1.3, 0.0, 0.6, 0.0)
    labels = np.zeros(SIZE, np.uint16)
    segment = Segment(26001, CAR, True, 0.9, 100, (200, 50, 260, 110))
    stands = GroundInstance(26001, CAR, (4.0, 1.0), 1.8, np.eye(2))
    here = GroundView(CAMERA, steep, REST)
    (track,) = tracker.update(
        PanopticPrediction(labels, [segment]), time=0.0, view=here, placed=[stands]
    )
    # How far the ground is below the camera there, 4 m ahead and 1 m to the left.
    below = 1.3 - 0.1 + 4 * math.tan(0.04) + math.tan(0.05) / math.cos(0.04)
    depth = 2.5 * math.cos(0.6) + below * math.sin(0.6)
    assert track.height == pytest.approx(60 * depth / 300)


def test_what_was_seen_once_does_not_coast():
    tracker = InstanceTracker(CITYSCAPES)
    seen_by(tracker, [PARKED], 0.0)
    assert tracker.update(NOTHING, time=0.1, view=HERE) == []


def test_a_person_never_becomes_a_car():
    tracker = InstanceTracker(CITYSCAPES)
    (first,) = seen_by(tracker, [PARKED], 0.0)[0].values()
    same_place = Board(PERSON, PARKED.x, PARKED.y)
    (second,) = seen_by(tracker, [same_place], 0.1)[0].values()
    assert second.class_id == PERSON
    assert second.track_id != first.track_id


@pytest.mark.parametrize("again", ["reset", "time goes back"])
def test_ids_are_never_given_again(again):
    tracker = InstanceTracker(CITYSCAPES)
    seen_by(tracker, [PEDESTRIAN, PARKED], 5.0)
    if again == "reset":
        tracker.reset()
    now, tracks = seen_by(tracker, [PEDESTRIAN, PARKED], 0.0)
    assert {t.track_id for t in tracks} == {3, 4}
    assert all(t.age == 0 for t in now.values())


def test_several_trackers_can_share_ids():
    ids = itertools.count(1)
    found = [
        track.track_id
        for tracker in (InstanceTracker(CITYSCAPES, ids=ids), InstanceTracker(CITYSCAPES, ids=ids))
        for track in seen_by(tracker, [PEDESTRIAN, PARKED], 0.0)[1]
    ]
    assert sorted(found) == [1, 2, 3, 4]


def test_frames_come_at_irregular_times():
    tracker = InstanceTracker(CITYSCAPES)
    car = Board(CAR, 12.0, -4.0, vy=4.0)
    ids = []
    for time in (0.0, 0.1, 0.2, 0.25, 0.6, 0.61, 1.1, 1.3, 1.3):
        (track,) = seen_by(tracker, [car], time)[0].values()
        ids.append(track.track_id)
    assert len(set(ids)) == 1
    assert track.velocity == pytest.approx((0, 4), abs=0.3)


def test_without_a_pose_there_are_no_positions():
    tracker = InstanceTracker(CITYSCAPES)
    prediction, ground, _ = view([PARKED], 0.0)
    view_only = GroundView(CAMERA, BASE_FROM_OPTICAL)
    (track,) = tracker.update(prediction, time=0.0, view=view_only, placed=ground.values())
    assert track.position is track.velocity is track.covariance is None
    assert track.bearing is track.width is track.height is None


def test_without_a_pose_the_image_tells_the_cameras_motion():
    """Shift the whole picture by more than a box's width between frames."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.integers(0, 255, (SIZE[0], 2 * SIZE[1], 3), np.uint8), (0, 0), 3)
    texture = cv2.normalize(texture, None, 0, 255, cv2.NORM_MINMAX)
    ids = {True: [], False: []}
    for flow in ids:
        tracker = InstanceTracker(CITYSCAPES)
        for step, shift in enumerate((0, 0, 40, 40, 80)):
            x = 200 - shift
            box = (x, 100, x + 10, 130)
            segment = Segment(PERSON * 1000 + step, PERSON, True, 0.9, 300, box)
            tracks = tracker.update(
                PanopticPrediction(np.zeros(SIZE, np.uint16), [segment]),
                time=0.1 * step,
                image=np.ascontiguousarray(texture[:, shift : shift + SIZE[1]]) if flow else None,
            )
            ids[flow] += [t.track_id for t in tracks if not t.coasting]
    assert len(set(ids[True])) == 1
    assert len(set(ids[False])) > 1


def test_pictures_that_tell_no_motion_are_not_logged(caplog):
    image = np.zeros((*SIZE, 3), np.uint8)
    # Four corners.
    image[100:140, 100:140] = 255
    tracker = InstanceTracker(CITYSCAPES)
    for step in range(3):
        tracker.update(NOTHING, time=0.1 * step, image=image)
    assert not caplog.records


def test_groups_and_stuff_are_not_tracked():
    labels = np.zeros(SIZE, np.uint16)
    segments = [
        Segment(7, 7, False, 1.0, 100, (0, 0, 10, 10)),
        Segment(PERSON, PERSON, True, 0.9, 100, (20, 20, 30, 30)),
    ]
    assert InstanceTracker(CITYSCAPES).update(PanopticPrediction(labels, segments), time=0) == []


def test_hundreds_of_instances():
    tracker = InstanceTracker(CITYSCAPES)
    crowd = [
        Board(PERSON, 8.0 + row, 0.7 * (column - 12), width=0.4, height=1.0 + 0.1 * row)
        for row in range(14)
        for column in range(24)
    ]
    first, _ = seen_by(tracker, crowd, 0.0)
    assert len(first) > 250
    second, _ = seen_by(tracker, crowd, 0.1)
    assert {i: t.track_id for i, t in second.items()} == {i: t.track_id for i, t in first.items()}


def test_the_calibration_may_be_of_another_picture_size():
    ids = []
    large = CameraModel(
        2 * SIZE[1], 2 * SIZE[0], np.array([[600, 0, 511.5], [0, 600, 255.5], [0, 0, 1.0]])
    )
    tracker = InstanceTracker(CITYSCAPES)
    for step in range(4):
        pose = Pose2D(0, 0, 0.1 * step)
        prediction, _, _ = view([PEDESTRIAN], 0.1 * step, pose)
        tracks = tracker.update(
            prediction,
            time=0.1 * step,
            view=GroundView(large, BASE_FROM_OPTICAL, pose),
        )
        ids += [t.track_id for t in tracks if not t.coasting]
    assert ids == [1] * 4


def segments_of(draw):
    """Return segments of up to 6 instances with any box, class and score."""
    found = []
    for number in range(draw(st.integers(0, 6))):
        class_id = draw(st.sampled_from([PERSON, CAR]))
        x, y = draw(st.integers(0, 500)), draw(st.integers(0, 250))
        box = (x, y, x + draw(st.integers(1, 200)), y + draw(st.integers(1, 100)))
        score = draw(st.floats(0, 1))
        found.append(Segment(class_id * 1000 + number, class_id, True, score, 1, box))
    return found


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_whatever_comes_each_instance_has_at_most_one_track(data):
    tracker = InstanceTracker(CITYSCAPES)
    classes, time = {}, 0.0
    for _ in range(data.draw(st.integers(1, 8))):
        time += data.draw(st.floats(0, 0.8))
        segments = segments_of(data.draw)
        labels = np.zeros(SIZE, np.uint16)
        tracks = tracker.update(PanopticPrediction(labels, segments), time=time, view=HERE)
        by_id = {t.track_id: t for t in tracks}
        assert len(by_id) == len(tracks)
        seen = [t.instance_id for t in tracks if not t.coasting]
        assert len(set(seen)) == len(seen)
        assert {s.id for s in segments if s.score >= 0.6} <= set(seen) <= {s.id for s in segments}
        assert all(classes.setdefault(i, t.class_id) == t.class_id for i, t in by_id.items())


@pytest.mark.parametrize("time", [math.nan, math.inf])
def test_a_time_that_is_none_is_refused(time):
    with pytest.raises(ValueError, match=r"time is .*; it must be finite"):
        InstanceTracker(CITYSCAPES).update(NOTHING, time=time)
