from types import SimpleNamespace

import numpy as np
import pytest
from cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling import getIouScoreForLabel

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.confusion import ConfusionMatrix


def test_iou_worked_out_on_paper():
    matrix = ConfusionMatrix(CITYSCAPES)
    # Road: 2 right, 1 called sidewalk, 1 left unlabeled. One void pixel called road.
    truth = np.array([[7, 7, 7, 7, 8, 8, 0]])
    matrix.add(truth, np.array([[7, 7, 8, 0, 8, 8, 7]]))
    assert matrix.iou()[:2] == pytest.approx([2 / 4, 2 / 3])
    assert np.isnan(matrix.iou()[2:]).all()
    assert matrix.mean_iou() == pytest.approx((2 / 4 + 2 / 3) / 2)


def test_instances_and_groups_count_as_their_class():
    matrix = ConfusionMatrix(CITYSCAPES)
    matrix.add(np.array([[26000, 26001, 26, 24003]]), np.array([[26, 26009, 24, 24]]))
    car, person = CITYSCAPES.classes.index(CITYSCAPES[26]), CITYSCAPES.classes.index(CITYSCAPES[24])
    assert matrix.counts[car, car] == 2
    assert matrix.counts[car, person] == 1
    assert matrix.counts[person, person] == 1
    assert matrix.counts.sum() == 4


def test_mean_of_nothing_is_nan():
    assert np.isnan(ConfusionMatrix(CITYSCAPES).mean_iou())


def test_equal_to_the_official_script():
    rng = np.random.default_rng(0)
    matrix = ConfusionMatrix(CITYSCAPES)
    known = [0, *CITYSCAPES.ids]
    full = np.zeros((34, 34), np.int64)
    for _ in range(3):
        truth, prediction = rng.integers(0, 34, (50, 60)), rng.choice(known, (50, 60))
        agree = rng.random(truth.shape) < 0.5
        prediction[agree] = np.where(np.isin(truth, known), truth, 0)[agree]
        matrix.add(truth, prediction)
        np.add.at(full, (truth, prediction), 1)
    args = SimpleNamespace(evalLabels=list(range(34)))
    expected = [getIouScoreForLabel(int(i), full, args) for i in CITYSCAPES.ids]
    assert matrix.iou() == pytest.approx(expected, abs=1e-12)
