import numpy as np
import pytest

from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.bootstrap import interval, means, qualities, resampled
from panoptic_ros.scores.panoptic_quality import PanopticQuality
from panoptic_ros.scores.segments import label_image_segments


def counts(frames=40, seed=0, right=0.7):
    """Return one class in every frame, found with a probability: float64 [F, 1, 6]."""
    found = np.random.default_rng(seed).random(frames) < right
    table = np.zeros((frames, 1, 6))
    table[:, 0, 0], table[:, 0, 1], table[:, 0, 3] = found * 0.8, found, ~found
    table[:, 0, 4], table[:, 0, 5] = found * 10, 20
    return table


def test_qualities_are_those_of_panoptic_quality():
    rng = np.random.default_rng(1)
    truth = np.kron(rng.choice([0, 7, 23, 26000, 26001], (6, 6)), np.ones((3, 3), int))
    found = np.where(rng.random(truth.shape) < 0.1, 7, truth)
    quality = PanopticQuality.of(CITYSCAPES)
    quality.add(*label_image_segments(truth, found, CITYSCAPES))
    table = np.stack([quality.iou, quality.tp, quality.fp, quality.fn, *np.zeros((2, 19))], axis=-1)
    ours = means(qualities(table))
    for name in ("pq", "sq", "rq"):
        assert ours[name] == pytest.approx(quality.results()["all"][name])
    assert np.isnan(ours["miou"])


def test_draws_have_the_right_mean_and_spread():
    # PQ = 0.8 * hits / (hits + misses / 2): close to linear in hits, whose share is 0.7 or so.
    table = counts(400)
    drawn = qualities(resampled(table))["pq"][:, 0]
    share = table[:, 0, 1].mean()
    slope = 0.8 * 0.5 / (share + (1 - share) / 2) ** 2
    assert drawn.mean() == pytest.approx(qualities(table.sum(0))["pq"][0], abs=0.005)
    assert drawn.std() == pytest.approx(slope * np.sqrt(share * (1 - share) / 400), rel=0.1)


def test_paired_differences_are_tighter_than_unpaired_ones():
    before = counts(60)
    after = before.copy()
    after[0] = [[0, 0, 0, 1, 0, 20]]  # one frame more is missed
    drawn = [qualities(resampled(table))["pq"][:, 0] for table in (before, after)]
    paired = interval(drawn[1] - drawn[0])
    alone = interval(drawn[0])
    assert paired[0] <= qualities(after.sum(0))["pq"][0] - qualities(before.sum(0))["pq"][0] <= 0
    assert paired[1] - paired[0] < 0.4 * (alone[1] - alone[0])


def test_what_most_draws_lack_has_no_interval():
    assert interval(np.array([np.nan, np.nan, 1.0])) is None
    assert interval(np.array([0.0, 1.0])) == pytest.approx([0.025, 0.975])
