import math

import numpy as np
import pytest

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.box_accuracy import BoxScore

CAR, PERSON, FOUND, OTHER = 26003, 24001, 26000, 24000
TRUE = {
    CAR: Cuboid((10.0, 0.0, 1.0), (4.0, 2.0, 2.0), 0.0),
    PERSON: Cuboid((25.0, 3.0, 0.9), (0.6, 0.6, 1.8), 0.0),
}
TRUTH = np.array([[CAR] * 4 + [PERSON] * 4 + [7] * 8], np.uint16)
SEEN = np.array([[FOUND] * 4 + [OTHER] * 4 + [7] * 8], np.uint16)
NOTHING = {"objects": 0, "boxes": 0, "centre_error": None, "yaw_error": None}


def scored(boxes, prediction=SEEN, tracked=(FOUND, OTHER)):
    score = BoxScore(CITYSCAPES)
    score.add(TRUTH, prediction, TRUE, boxes, tracked)
    return score.results()


def test_boxes_are_compared_by_range():
    near, far = scored(
        {
            # 1 m ahead and pointing the other way: 3 of 5 m are shared.
            FOUND: Cuboid((11.0, 0.0, 1.0), (4.0, 2.0, 2.0), math.pi + 0.1),
            OTHER: Cuboid((25.3, 3.4, 0.9), (0.6, 0.6, 1.8), 1.0),
        }
    ).values()
    assert near["objects"] == near["boxes"] == far["objects"] == far["boxes"] == 1
    assert near["centre_error"] == pytest.approx(1.0)
    assert near["yaw_error"] == pytest.approx(math.degrees(0.1), abs=0.01)
    assert near["bev_iou"] == near["iou"] == pytest.approx(60, abs=5)
    assert far["centre_error"] == pytest.approx(0.5)
    # Nobody sees where a person looks.
    assert far["yaw_error"] is None


def test_a_perfect_box():
    near = scored({FOUND: TRUE[CAR]})["0-20 m"]
    assert near["centre_error"] == near["yaw_error"] == 0
    assert near["bev_iou"] == near["iou"] == pytest.approx(100)


def test_a_track_without_a_box_shares_nothing_with_the_true_one():
    near = scored({})["0-20 m"]
    assert near == {
        "objects": 1, "boxes": 0, "centre_error": None, "yaw_error": None, "bev_iou": 0, "iou": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    "unasked",
    [
        {"tracked": ()},
        {"prediction": np.where(TRUTH == CAR, 7, SEEN)},
        # Another class.
        {"prediction": np.where(TRUTH == CAR, 27000, SEEN), "tracked": (27000, OTHER)},
    ],
)
def test_what_has_no_track_of_its_class_is_not_asked_for(unasked):
    assert scored({}, **unasked)["0-20 m"] == NOTHING | {"bev_iou": None, "iou": None}
