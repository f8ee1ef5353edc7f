import numpy as np
import pytest
import torch

from panoptic_ros.prediction import InstancePrediction, empty_instances
from panoptic_ros.scores.matching import match


def _detections(*rows):
    """Return detections (class id, score, x0, y0, x1, y1) that fill their boxes.

    Masks are constant: one of 28 x 28 would be weaker than 0.5 in the box's corners only.
    """
    table = torch.tensor(rows, dtype=torch.float32)
    return InstancePrediction(
        boxes=table[:, 2:],
        class_ids=table[:, 0].long(),
        scores=table[:, 1],
        masks=torch.ones(len(rows), 28, 28),
    )


@pytest.fixture
def ids():
    image = np.full((40, 60), 7, np.uint16)
    image[10:30, 0:20] = 26000
    image[10:30, 30:50] = 26001
    image[0:4, :] = 24
    return image


def test_each_instance_goes_to_its_best_scored_detection(ids):
    found = _detections(
        (26, 0.6, 0, 10, 20, 30), (26, 0.9, 0, 10, 19, 30), (26, 0.8, 30, 10, 50, 30)
    )
    matches = match(found, ids)
    assert [(m.detection, m.value) for m in matches] == [(1, 26000), (2, 26001)]
    assert [m.iou for m in matches] == pytest.approx([0.95, 1.0])


def test_another_class_is_no_match(ids):
    assert match(_detections((27, 0.9, 0, 10, 20, 30)), ids) == []


def test_half_an_instance_is_not_enough(ids):
    assert match(_detections((26, 0.9, 0, 10, 10, 30)), ids) == []
    assert len(match(_detections((26, 0.9, 0, 10, 11, 30)), ids)) == 1


def test_a_group_has_no_instances(ids):
    assert match(_detections((24, 0.9, 0, 0, 60, 4)), ids) == []


def test_nothing_detected(ids):
    assert match(empty_instances(), ids) == []
