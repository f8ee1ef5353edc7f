import math

import numpy as np
import pytest

from panoptic_ros.grid.observation import GroundInstance, GroundObservation
from panoptic_ros.scores.grid_accuracy import Box, FreeSpace, GroundScore, GroundTruth

CAR = 26001
FOOT = np.zeros(2)


def row(*values):
    return np.array([values])


def observation(state, instances=()):
    state = np.int8(state)
    found, nothing = list(instances), np.zeros_like(state)
    return GroundObservation(state, np.uint8(state), np.float32(state), found, nothing, nothing)


def truth(visible, occupied, distance=None, boxes=None):
    visible = np.array(visible, bool)
    return GroundTruth(
        np.zeros(visible.shape, np.uint8),
        np.array(occupied, bool),
        visible,
        ~visible,
        np.full(visible.shape, 5.0) if distance is None else np.array(distance),
        boxes or {},
    )


def image(*values):
    return np.array([values], np.uint16)


def score(*frames):
    total = GroundScore()
    for observed, true, labels, true_labels in frames:
        total.add(observed, true, labels, true_labels, FOOT)
    return total.results()


def test_free_space_is_intersection_over_union():
    space = FreeSpace()
    assert space.iou is None
    space.add(np.array([True, True, False, False]), np.array([True, False, True, False]))
    assert (space.tp, space.fp, space.fn) == (1, 1, 1)
    assert space.iou == pytest.approx(1 / 3)


def test_only_cells_that_are_seen_and_near_count():
    # Right, unknown though free, free though occupied; then hidden, then too far.
    observed = observation(row(0, -1, 0, 0, 0))
    true = truth(row(1, 1, 1, 0, 1), row(0, 0, 1, 1, 1), distance=row(29.0, 29.0, 29.0, 29.0, 31.0))
    found = score((observed, true, image(0), image(0)))
    assert found["free_iou"] == pytest.approx(1 / 3)


def test_hidden_ground_that_is_marked_free_is_counted():
    # Four hidden cells without an obstacle, one of them free; one with an obstacle.
    found = score(
        (
            observation(row(0, -1, 1, -1, 0)),
            truth(row(*[0] * 5), row(0, 0, 0, 0, 1)),
            *[image(0)] * 2,
        )
    )
    assert found["behind_free_rate"] == 0.25
    assert found["free_iou"] is None


def placed(x, y, instance_id=26005):
    return GroundInstance(instance_id, instance_id // 1000, (x, y), 1.0, np.eye(2))


@pytest.mark.parametrize(
    ("center", "labels", "instance", "expected"),
    [
        # 4 m long, its near face at 8 m; placed 0.3 m before it.
        ((10.0, 0.0), image(26005, 26005, 26005, 7), placed(7.7, 0.0), 0.3),
        # Too little of the mask agrees.
        ((10.0, 0.0), image(26005, 7, 7, 7), placed(7.7, 0.0), None),
        # Another class.
        ((10.0, 0.0), image(28005, 28005, 28005, 7), placed(7.7, 0.0, 28005), None),
        # Its nearest point is beyond 20 m.
        ((23.0, 0.0), image(26005, 26005, 26005, 7), placed(20.7, 0.0), None),
    ],
)
def test_a_contact_is_as_wrong_as_it_is_far_from_its_object(center, labels, instance, expected):
    boxes = {CAR: Box(center, (4.0, 2.0), 0.0)}
    true = truth(row(1), row(0), boxes=boxes)
    found = score((observation(row(0), [instance]), true, labels, image(CAR, CAR, CAR, 7)))
    assert found["contact_error_m"] == (None if expected is None else pytest.approx(expected))
    assert found["contacts"] == (expected is not None)


@pytest.mark.parametrize(
    ("point", "distance", "gap"),
    [
        ((10.0, 7.0), 0.0, 0.0),  # the middle of the front
        ((10.0, 5.0), 1.0, 0.0),  # the middle: 1 m to either side
        ((11.5, 5.0), 0.5, 0.5),
        ((12.0, 8.0), math.hypot(1, 1), math.hypot(1, 1)),
    ],
)
def test_distance_to_an_outline(point, distance, gap):
    box = Box((10.0, 5.0), (4.0, 2.0), math.pi / 2)
    assert box.distance(point) == pytest.approx(distance, abs=1e-12)
    assert box.gap(point) == pytest.approx(gap, abs=1e-12)
