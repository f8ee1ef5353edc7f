import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.ap_interval import ap_intervals, cityscapes_ap_intervals
from panoptic_ros.scores.bootstrap import draws, interval
from panoptic_ros.scores.cityscapes_ap import cityscapes_average_precision
from panoptic_ros.scores.mask_ap import average_precision


def frame(rng, class_id):
    """Return `coco_matches` of some detections of a class, right up to random IoUs."""
    count = int(rng.integers(1, 6))
    passed = rng.integers(0, 11, count)
    letters = np.where(np.arange(10)[:, None] < passed, "h", "f")
    letters[:, rng.random(count) < 0.2] = "i"
    outcome = "".join(letters.ravel())
    scores = np.sort(rng.random(count))[::-1].tolist()
    return {str(class_id): [scores, [outcome] * 4, [count + 1] * 4]}


def cityscapes_frame(rng, class_id):
    """Return `cityscapes_matches` of some detections, several with the same score."""
    scores = (rng.integers(1, 6, 4) / 6).tolist()
    found = [[[s, int(rng.integers(0, 11))] for s in scores[i : i + 2]] for i in range(3)]
    return {str(class_id): [found, [[s, int(rng.integers(0, 11))] for s in scores]]}


@pytest.mark.parametrize("name", ["ap", "ap50"])
@pytest.mark.parametrize(
    ("make", "score", "intervals"),
    [
        (frame, average_precision, ap_intervals),
        (cityscapes_frame, cityscapes_average_precision, cityscapes_ap_intervals),
    ],
    ids=["coco", "cityscapes"],
)
def test_a_draw_is_scored_as_its_frames_would_be(make, score, intervals, name):
    rng = np.random.default_rng(3)
    frames = [make(rng, class_id) for class_id in (24, 26, 26, 24, 26, 33)]
    samples = []
    for draw, _ in zip(draws(len(frames)), range(200), strict=False):
        drawn = [f for f, times in zip(frames, draw, strict=True) for _ in range(times)]
        samples.append(score(drawn, CITYSCAPES)[name])
    expected = interval(np.array(samples, float))
    assert intervals(frames, CITYSCAPES)[name] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("intervals", [ap_intervals, cityscapes_ap_intervals])
def test_without_instances_there_is_none(intervals):
    assert intervals([{}] * 5, CITYSCAPES) == {"ap": None, "ap50": None}
