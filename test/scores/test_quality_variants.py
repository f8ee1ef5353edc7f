import json

import cv2
import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES, LabelClass, LabelSet
from panoptic_ros.scores.boundaries import boundary_overlaps, boundary_width, on_boundary
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.quality_variants import QualityVariants, thing_distances
from panoptic_ros.scores.segments import label_image_segments

ROAD, CAR = 7, 26


def scored(*pairs, labels=CITYSCAPES, boundaries=False):
    variants = QualityVariants(labels)
    for truth, prediction in pairs:
        found = label_image_segments(np.array(truth), np.array(prediction), labels)
        own = boundary_overlaps(np.array(truth), np.array(prediction)) if boundaries else None
        variants.add_image(*found, own)
    return variants


def test_the_modified_quality_of_torchmetrics_example():
    """Its docstring: categories 0 and 1 are things, 6 and 7 stuff, 255 is void; 23 / 30."""
    labels = LabelSet(
        "example",
        tuple(LabelClass(i, str(i), i < 6, (0, 0, 0)) for i in (1, 2, 6, 7)),
    )
    # Things 0, 1 are classes 1, 2 here: 0 is void in a label image.
    truth = [[1001, 1000, 6, 7, 6, 0]]
    prediction = [[1000, 1001, 6, 7, 1002, 2000]]
    found = scored((truth, prediction), labels=labels).results()["pq_dagger"]
    assert found["all"] == pytest.approx(23 / 30, abs=1e-12)
    assert found["per_class"] == {1: 0.8, 2: None, 6: 0.5, 7: 1.0}


def test_stuff_counts_whatever_its_iou():
    truth = [[ROAD, ROAD, ROAD, 8]]
    prediction = [[ROAD, 8, 8, 8]]
    found = scored((truth, prediction)).results()["pq_dagger"]
    assert found["per_class"][ROAD] == pytest.approx(1 / 3)
    assert found["per_class"][8] == pytest.approx(1 / 3)
    assert (found["all"], found["stuff"]) == (pytest.approx(1 / 3),) * 2
    assert found["things"] is None


def test_sizes_share_the_matches_out():
    truth = np.full((200, 200), ROAD)
    truth[:10, :10] = 26000  # found
    truth[20:70, :50] = 26001  # missed
    prediction = np.where(truth == 26001, ROAD, truth)
    prediction[100:110, 100:110] = 26002  # invented, small
    variants = scored((truth, prediction))
    small, medium, large = (variants.by_size[n] for n in ("small", "medium", "large"))
    at = CITYSCAPES.ids.tolist().index(CAR)
    assert [(q.tp[at], q.fp[at], q.fn[at]) for q in (small, medium, large)] == [
        (1, 1, 0), (0, 0, 1), (0, 0, 0),
    ]  # fmt: skip
    assert variants.results()["by_size"]["small"]["things"]["pq"] == pytest.approx(1 / 1.5)
    assert variants.results()["by_size"]["large"]["things"]["pq"] is None
    for count in ("iou", "tp", "fp", "fn"):
        parts = [getattr(part, count) for part in (small, medium, large)]
        assert sum(parts) == pytest.approx(getattr(variants.quality, count))


def slow_boundary(mask):
    """Return a mask's boundary as the paper's code erodes it: step by step, by 3 x 3."""
    padded = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    for _ in range(boundary_width(mask.shape)):
        padded = cv2.erode(padded, np.ones((3, 3), np.uint8))
    return mask & ~padded[1:-1, 1:-1].astype(bool)


def pictures(seed):
    rng = np.random.default_rng(seed)
    truth = np.full((70, 90), ROAD)
    truth[:9] = 0
    for i in range(6):
        y, x = rng.integers(0, 60), rng.integers(0, 70)
        truth[y : y + rng.integers(5, 40), x : x + rng.integers(5, 40)] = 26000 + i
    dy, dx = rng.integers(-2, 3, 2)
    prediction = np.roll(np.where(truth == 0, 8, truth), (dy, dx), (0, 1))
    return truth, prediction


@pytest.mark.parametrize("seed", range(3))
def test_boundaries_are_those_of_each_mask_alone(seed):
    truth, _ = pictures(seed)
    found = on_boundary(truth)
    for value in np.unique(truth):
        assert (found[truth == value] == slow_boundary(truth == value)[truth == value]).all()


def slow_boundary_quality(truth, prediction):
    """Score one image as boundary-iou-api does, mask by mask: iou, tp, fp, fn of the cars."""
    void = truth == 0
    pairs = []
    true = [v for v in np.unique(truth) if v >= 1000]
    found = [v for v in np.unique(prediction) if v >= 1000]
    for t in true:
        for p in found:
            masks, edges = [], []
            for image, value in ((truth, t), (prediction, p)):
                masks.append(image == value)
                edges.append(slow_boundary(image == value))
            ratios = []
            for a, b in (masks, edges):
                common = (a & b).sum()
                ratios.append(common / (a.sum() + b.sum() - common - (b & void).sum()))
            if min(ratios) > 0.5:
                pairs.append((t, p, min(ratios)))
    excused = [p for p in found if (void & (prediction == p)).sum() / (prediction == p).sum() > 0.5]
    matched = {p for _, p, _ in pairs}
    wrong = [p for p in found if p not in matched and p not in excused]
    return sum(iou for *_, iou in pairs), len(pairs), len(wrong), len(true) - len(pairs)


@pytest.mark.parametrize("seed", range(6))
def test_boundary_quality_equals_a_slow_one(seed):
    pair = pictures(seed)
    part = scored(pair, boundaries=True).boundary
    at = CITYSCAPES.ids.tolist().index(CAR)
    found = (part.iou[at], part.tp[at], part.fp[at], part.fn[at])
    assert found == pytest.approx(slow_boundary_quality(*pair), abs=1e-9)


def test_a_boundary_is_stricter_than_a_mask():
    truth = np.full((100, 100), ROAD)
    truth[20:80, 20:80] = 26000
    prediction = np.full((100, 100), ROAD)
    prediction[22:82, 22:82] = 26000
    results = scored((truth, prediction), boundaries=True).results()
    assert results["boundary"]["things"]["pq"] < 0.5
    assert scored((truth, prediction)).results()["boundary"] is None


def test_counts_come_back_from_json():
    variants = scored(*(pictures(seed) for seed in range(3)), boundaries=True)
    again = QualityVariants(CITYSCAPES)
    again.quality = variants.quality
    again.add_json(json.loads(json.dumps(variants.to_json())))
    assert again.results() == variants.results()


def test_the_plain_quality_is_panoptic_quality():
    quality = PanopticQuality.of(CITYSCAPES)
    pairs = [pictures(seed) for seed in range(3)]
    for pair in pairs:
        quality.add(*label_image_segments(*pair, CITYSCAPES))
    assert scored(*pairs).quality.results() == quality.results()


def test_things_share_the_matches_out_by_their_distance():
    truth = np.full((20, 20), ROAD)
    truth[:5, :5] = 26000  # found, 8 m
    truth[5:10, :5] = 26001  # missed, 30 m
    truth[15:, :5] = 26003  # missed, of unknown distance
    prediction = np.where(truth >= 26001, ROAD, truth)
    prediction[:4, 15:] = 26002  # invented, 70 m
    depth = np.zeros((20, 20), np.float32)
    depth[:5, :5], depth[5:10, :5], depth[:4, 15:] = 8, 30, 70
    depth[0, 0] = 500  # of the median it is one
    pairs, true, ours = label_image_segments(truth, prediction, CITYSCAPES)
    distances = [
        thing_distances(image, segments, depth, CITYSCAPES)
        for image, segments in ((truth, true), (prediction, ours))
    ]
    np.testing.assert_array_equal(distances[0], [np.nan, 8, 30, np.nan])
    variants = QualityVariants(CITYSCAPES)
    variants.add_image(pairs, true, ours, distances=tuple(distances))
    again = QualityVariants(CITYSCAPES)
    again.add_json(variants.to_json())
    found = again.results()["by_distance"]
    assert {name: (q["pq"], q["n"]) for name, q in found.items()} == {
        "0-10 m": (1.0, 1),
        "10-25 m": (None, 0),
        "25-50 m": (0.0, 1),
        "50- m": (0.0, 1),
    }
    assert QualityVariants(CITYSCAPES).results()["by_distance"] is None
