import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.ap_interval import ap_intervals
from panoptic_ros.scores.bootstrap import draws, interval
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


@pytest.mark.parametrize("name", ["ap", "ap50"])
def test_each_draw_is_as_pycocotools_integrates_it(name):
    rng = np.random.default_rng(3)
    frames = [frame(rng, class_id) for class_id in (24, 26, 26, 24, 26, 33)]
    samples = []
    for draw, _ in zip(draws(len(frames)), range(200), strict=False):
        drawn = [f for f, times in zip(frames, draw, strict=True) for _ in range(times)]
        samples.append(average_precision(drawn, CITYSCAPES)[name])
    expected = interval(np.array(samples, float))
    assert ap_intervals(frames, CITYSCAPES)[name] == pytest.approx(expected, abs=1e-9)


def test_without_instances_there_is_none():
    assert ap_intervals([{}] * 5, CITYSCAPES) == {"ap": None, "ap50": None}
