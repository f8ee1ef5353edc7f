import itertools

import numpy as np
from trackers import CMC

from panoptic_ros.tracking.class_tracker import ClassTracker, move_boxes
from panoptic_ros.tracking.options import TrackingOptions

LEFT, RIGHT = [10.0, 10.0, 30.0, 50.0], [200.0, 20.0, 240.0, 60.0]


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def test_ids_come_in_the_order_of_the_boxes():
    tracker = ClassTracker(TrackingOptions(), itertools.count(7))
    first = tracker.update(boxes(LEFT, RIGHT), np.array([0.9, 0.8]), 0.0)
    assert first.tolist() == [7, 8]
    assert tracker.update(boxes(RIGHT, LEFT), np.array([0.9, 0.8]), 0.1).tolist() == [8, 7]


def test_a_low_score_goes_on_with_a_track_but_starts_none():
    tracker = ClassTracker(TrackingOptions(start_score=0.6), itertools.count(1))
    assert tracker.update(boxes(LEFT), np.array([0.5]), 0.0).tolist() == [0]
    assert tracker.update(boxes(LEFT), np.array([0.7]), 0.1).tolist() == [1]
    ids = tracker.update(boxes(RIGHT, LEFT), np.array([0.5, 0.5]), 0.2)
    assert ids.tolist() == [0, 1]


def test_tracks_end_after_the_coast_time():
    tracker = ClassTracker(TrackingOptions(coast_time=0.5), itertools.count(1))
    nothing = boxes(), np.zeros(0)
    tracker.update(boxes(LEFT), np.array([0.9]), 0.0)
    assert tracker.update(*nothing, 0.4).tolist() == []
    assert [t.tracker_id for t in tracker.tracklets] == [1]
    tracker.update(*nothing, 0.6)
    assert tracker.tracklets == []
    assert tracker.update(boxes(LEFT), np.array([0.9]), 0.7).tolist() == [2]


def test_a_renamed_track_goes_on_under_the_lost_ones_id():
    tracker = ClassTracker(TrackingOptions(), itertools.count(1))
    tracker.update(boxes(LEFT), np.array([0.9]), 0.0)
    assert tracker.update(boxes(RIGHT), np.array([0.9]), 0.1).tolist() == [2]
    tracker.rename(2, 1)
    assert [t.tracker_id for t in tracker.tracklets] == [1]
    assert tracker.update(boxes(RIGHT), np.array([0.9]), 0.2).tolist() == [1]


def test_boxes_move_as_the_librarys_camera_motion_moves_them():
    ours, theirs = (ClassTracker(TrackingOptions(), itertools.count(1)) for _ in range(2))
    for tracker in (ours, theirs):
        tracker.update(boxes(LEFT, RIGHT), np.array([0.9, 0.9]), 0.0)
    shift = np.array([5.0, -3.0])
    move_boxes(ours.tracklets, np.full(2, 1.5), np.tile(shift, (2, 1)))
    CMC.apply_batch(np.column_stack([1.5 * np.eye(2), shift]), theirs.tracklets)
    for our, their in zip(ours.tracklets, theirs.tracklets, strict=True):
        np.testing.assert_allclose(our.get_state_bbox(), their.get_state_bbox())
        np.testing.assert_allclose(
            our.state_estimator.kf.state_covariance, their.state_estimator.kf.state_covariance
        )
    np.testing.assert_allclose(ours.tracklets[0].get_state_bbox(), [20, 12, 50, 72])
