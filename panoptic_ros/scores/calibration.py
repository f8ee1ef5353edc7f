"""Calibration: whether what is given a score of 0.8 is right 8 times in 10."""

from __future__ import annotations

from typing import Any

import numpy as np

BINS = 10


class Calibration:
    """Count scores and whether they were right, in BINS equal bins of 0..1.

    counts: float64 [BINS, 3]: how many, the sum of their scores, how many were right.
    Source: Guo et al. 2017, "On Calibration of Modern Neural Networks" (ECE, reliability).
    """

    def __init__(self) -> None:
        self.counts = np.zeros((BINS, 3))

    def add(self, scores: np.ndarray, is_right: np.ndarray) -> None:
        """Count scores, float [N], 0..1, and bool [N]."""
        self._add(np.asarray(scores, float), np.ones(len(scores)), is_right)

    def add_map(self, confidence: np.ndarray, is_right: np.ndarray, is_known: np.ndarray) -> None:
        """Count the pixels of a confidence map, uint8 [H, W] (255 = 1), that are known."""
        right = np.bincount(confidence[is_known & is_right], minlength=256)
        all_ = np.bincount(confidence[is_known], minlength=256)
        self._add(np.arange(256) / 255, all_, right)

    def _add(self, scores: np.ndarray, times: np.ndarray, right: np.ndarray) -> None:
        bins = np.clip((scores * BINS).astype(int), 0, BINS - 1)
        for column, weights in enumerate((times, times * scores, right)):
            self.counts[:, column] += np.bincount(bins, weights, BINS)

    def results(self) -> dict[str, Any]:
        """Return {"ece", "bins": [{"count", "score", "right"}]}.

        ece: the expected calibration error, the mean distance of score and accuracy weighted by
        the bins' counts; score, right: of a bin, means, 0..1. None where there is nothing.
        """
        total = self.counts[:, 0].sum()
        error = np.abs(self.counts[:, 1] - self.counts[:, 2]).sum()
        return {
            "ece": float(error / total) if total else None,
            "bins": [_bin(*row) for row in self.counts.tolist()],
        }


def _bin(count: float, scores: float, right: float) -> dict[str, float | None]:
    return {
        "count": int(count),
        "score": scores / count if count else None,
        "right": right / count if count else None,
    }
