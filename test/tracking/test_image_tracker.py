import itertools

import numpy as np
import pytest
import supervision as sv
from trackers import BoTSORTTracker
from trackers.utils.state_representations import XYXYStateEstimator

from panoptic_ros.tracking.image_tracker import ImageTracker
from panoptic_ros.tracking.tracking_options import TrackingOptions

PERSON, CAR = 24, 26
LEFT, RIGHT = [10.0, 10.0, 30.0, 50.0], [200.0, 20.0, 240.0, 60.0]


def make(first_id=1, **options):
    return ImageTracker(TrackingOptions(**options), [PERSON, CAR], itertools.count(first_id))


def update(tracker, time, *rows, classes=None, score=0.9):
    boxes = np.array(rows, float).reshape(-1, 4)
    classes = classes or [CAR] * len(boxes)
    return tracker.update(boxes, classes, np.full(len(boxes), score), time).tolist()


def test_ids_come_in_the_order_of_the_boxes():
    tracker = make(first_id=7)
    assert update(tracker, 0.0, LEFT, RIGHT) == [7, 8]
    assert update(tracker, 0.1, RIGHT, LEFT) == [8, 7]
    np.testing.assert_allclose(tracker.boxes(), [LEFT, RIGHT])
    assert tracker.track_ids == [7, 8]


def test_classes_are_kept_apart():
    tracker = make()
    assert update(tracker, 0.0, LEFT, LEFT, classes=[PERSON, CAR]) == [1, 2]
    assert update(tracker, 0.1, LEFT, LEFT, classes=[CAR, PERSON]) == [2, 1]
    assert update(tracker, 0.2, RIGHT, classes=[CAR]) == [3]
    assert update(tracker, 0.3, RIGHT, classes=[PERSON]) == [4]


def test_even_the_least_similarity_keeps_classes_apart():
    tracker = make(min_similarity=0.05)
    wide = [0.0, 0.0, 4000.0, 3000.0]
    assert update(tracker, 0.0, wide, classes=[PERSON]) == [1]
    assert update(tracker, 0.1, wide, classes=[CAR]) == [2]


@pytest.mark.parametrize(
    ("size", "is_same"), [((20, 160), True), ((80, 40), True), ((80, 160), False), ((6, 12), False)]
)
def test_a_box_may_change_much_in_width_or_in_height_but_not_in_both(size, is_same):
    tracker = make()
    update(tracker, 0.0, LEFT)  # 20 x 40
    width, height = size
    box = [20 - width / 2, 30 - height / 2, 20 + width / 2, 30 + height / 2]
    assert update(tracker, 0.1, box) == [1 if is_same else 2]


def test_a_low_score_goes_on_with_a_track_but_starts_none():
    tracker = make(start_score=0.6)
    assert update(tracker, 0.0, LEFT, score=0.5) == [0]
    assert update(tracker, 0.1, LEFT, score=0.7) == [1]
    assert update(tracker, 0.2, RIGHT, LEFT, score=0.5) == [0, 1]


def test_tracks_end_after_the_coast_time():
    tracker = make(coast_time=0.5)
    update(tracker, 0.0, LEFT)
    assert update(tracker, 0.4) == []
    assert tracker.track_ids == [1]
    update(tracker, 0.6)
    assert tracker.track_ids == []
    assert tracker.boxes().shape == (0, 4)
    assert update(tracker, 0.7, LEFT) == [2]


def test_a_renamed_track_goes_on_under_the_lost_ones_id():
    tracker = make()
    update(tracker, 0.0, LEFT)
    assert update(tracker, 0.1, RIGHT) == [2]
    tracker.rename(2, 1)
    assert tracker.track_ids == [1]
    np.testing.assert_allclose(tracker.boxes(), [RIGHT])
    assert update(tracker, 0.2, RIGHT) == [1]


@pytest.mark.parametrize("class_id", [PERSON, CAR])
def test_boxes_move_as_the_librarys_camera_motion_moves_them(class_id):
    ours = make()
    update(ours, 0.0, LEFT, classes=[class_id])
    update(ours, 0.1, [14.0, 12.0, 34.0, 52.0], classes=[class_id])
    ours.move(np.array([1.5]), np.array([[5.0, -3.0]]))

    theirs = BoTSORTTracker(enable_cmc=False, state_estimator_class=XYXYStateEstimator)
    for time, box in ((0.0, LEFT), (0.1, [14.0, 12.0, 34.0, 52.0])):
        detections = sv.Detections(xyxy=np.array([box]), confidence=np.array([0.9]))
        theirs.update(detections, timestamp=time)
    (track,) = theirs.tracks
    track.apply_cmc(np.array([[1.5, 0, 5.0], [0, 1.5, -3.0]]))
    np.testing.assert_allclose(ours.boxes(), [track.get_state_bbox()])
    # And so they go on: velocities and covariances have moved along.
    moved = np.array([[29.0, 18.0, 61.0, 79.0]])
    update(ours, 0.2, moved[0], classes=[class_id])
    theirs.update(sv.Detections(xyxy=moved, confidence=np.array([0.9])), timestamp=0.2)
    np.testing.assert_allclose(ours.boxes(), [theirs.tracks[0].get_state_bbox()], atol=1e-6)


def test_boxes_are_filtered_as_the_library_filters_them():
    rng = np.random.default_rng(0)
    ours = make()
    theirs = BoTSORTTracker(
        enable_cmc=False, frame_rate=30, state_estimator_class=XYXYStateEstimator
    )
    for step in range(40):
        # An object that comes nearer, in boxes that tremble; two frames without it.
        grown = np.array([100.0, 80.0, 160.0, 200.0]) + step * np.array([1.0, 0.5, 4.0, 2.5])
        box = (grown + rng.normal(scale=2, size=4))[None][: 0 if step in (20, 21) else 1]
        update(ours, step / 10, *box)
        theirs.update(
            sv.Detections(xyxy=box, confidence=np.full(len(box), 0.9)), timestamp=step / 10
        )
        np.testing.assert_allclose(ours.boxes(), [theirs.tracks[0].get_state_bbox()], atol=1e-6)
