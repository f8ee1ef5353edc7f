import math
from types import SimpleNamespace

import cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling as official  # noqa: N813
import numpy as np
import pytest
from PIL import Image

from panoptic_ros.labels import CITYSCAPES, class_ids
from panoptic_ros.scores.cityscapes_iou import WeightedInstances, cityscapes_iou
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.overlaps import overlaps

VALUES = [0, 4, 7, 8, 11, 13, 17, 21, 22, 23, 24000, 24001, 25000, 26, 26000, 26001, 28000, 33000]


def pair(seed):
    """Return blocks of every kind of label, and a prediction that is often wrong."""
    rng = np.random.default_rng(seed)
    truth = np.kron(rng.choice(VALUES, (6, 8)), np.ones((5, 7), int)).astype(np.uint16)
    others = rng.choice([0, *CITYSCAPES.ids], truth.shape)
    return truth, np.where(rng.random(truth.shape) < 0.3, others, class_ids(truth))


def official_results(folder, pairs, monkeypatch):
    # The official script asks NumPy for a name that newer ones have given up.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)
    files = []
    for i, (truth, prediction) in enumerate(pairs):
        names = [folder / f"{i}_{kind}.png" for kind in ("labelIds", "instanceIds", "found")]
        images = (class_ids(truth).astype(np.uint8), truth, prediction.astype(np.uint8))
        for name, image in zip(names, images, strict=True):
            Image.fromarray(image).save(name)
        files.append([str(name) for name in names])
    arguments = SimpleNamespace(**vars(official.args))
    arguments.quiet, arguments.JSONOutput = True, False
    true, _, found = zip(*files, strict=True)
    return official.evaluateImgLists(list(found), list(true), arguments)


def ours(pairs):
    confusion, weighted = ConfusionMatrix(CITYSCAPES), WeightedInstances(CITYSCAPES)
    for truth, prediction in pairs:
        found = overlaps(truth, prediction)
        confusion.add_overlaps(found)
        weighted.add_overlaps(found)
    return confusion, cityscapes_iou(confusion, weighted.counts)


def same(value, expected):
    expected = None if math.isnan(expected) else pytest.approx(expected, abs=1e-9, rel=0)
    return value == expected


@pytest.mark.parametrize("count", [1, 4])
def test_equals_the_official_script(count, tmp_path, monkeypatch):
    pairs = [pair(seed) for seed in range(count)]
    expected = official_results(tmp_path, pairs, monkeypatch)
    confusion, found = ours(pairs)
    assert same(confusion.mean_iou(), expected["averageScoreClasses"])
    assert same(found["iiou"], expected["averageScoreInstClasses"])
    assert same(found["categories"]["iou"], expected["averageScoreCategories"])
    assert same(found["categories"]["iiou"], expected["averageScoreInstCategories"])
    for class_id, value in found["iiou_classes"].items():
        assert same(value, expected["classInstScores"][CITYSCAPES[class_id].name])
    for name, entry in found["categories"]["classes"].items():
        assert same(entry["iou"], expected["categoryScores"][name])
        assert same(entry["iiou"], expected["categoryInstScores"][name])


def test_an_instance_weighs_the_same_whatever_its_size():
    truth = np.full((20, 20), 7, np.uint16)
    truth[:2, :2], truth[10:, 10:] = 26000, 26001
    prediction = class_ids(truth)
    prediction[:2, :2] = 7  # the small one is missed
    _, found = ours([(truth, prediction)])
    assert found["iiou_classes"][26] == pytest.approx(0.5)
    assert found["categories"]["classes"]["vehicle"]["iiou"] == pytest.approx(0.5)


def test_nothing_is_none():
    _, found = ours([(np.zeros((2, 2), int), np.zeros((2, 2), int))])
    assert (found["iiou"], found["categories"]["iou"]) == (None, None)
