import numpy as np
import pytest

from panoptic_ros.scores.calibration import Calibration


def test_worked_out_on_paper():
    # Bin 0.8..0.9: two of score 0.85, one right; bin 0.2..0.3: one of 0.25, wrong.
    found = Calibration()
    found.add(np.array([0.85, 0.85, 0.25]), np.array([True, False, False]))
    results = found.results()
    assert results["ece"] == pytest.approx((2 * (0.85 - 0.5) + 1 * 0.25) / 3)
    assert results["bins"][8] == {"count": 2, "score": pytest.approx(0.85), "right": 0.5}
    assert results["bins"][0] == {"count": 0, "score": None, "right": None}


def test_a_score_of_one_is_in_the_last_bin():
    found = Calibration()
    found.add(np.array([1.0, 0.0]), np.array([True, False]))
    assert found.results()["ece"] == 0
    assert [b["count"] for b in found.results()["bins"]] == [1, *[0] * 8, 1]


def test_a_map_counts_as_its_pixels_do():
    rng = np.random.default_rng(0)
    confidence = rng.integers(0, 256, (20, 30), dtype=np.uint8)
    right, known = rng.random((2, 20, 30)) < 0.6
    of_map, of_pixels = Calibration(), Calibration()
    of_map.add_map(confidence, right, known)
    of_pixels.add(confidence[known] / 255, right[known])
    assert of_map.counts == pytest.approx(of_pixels.counts)


def test_nothing_is_none():
    assert Calibration().results()["ece"] is None
