"""Which frame every training sample shows: a pure function of seed and sample number.

A resumed training therefore sees the samples that an uninterrupted one would have seen,
and needs no generator state for it.
"""

from __future__ import annotations

import numpy as np


def repeat_factors(presence: np.ndarray, threshold: float) -> np.ndarray:
    """Return how often each frame should be seen relative to the others, float64 [N], >= 1.

    presence: bool [N, K], whether class k occurs in frame n; threshold: classes in a smaller
    share of the frames are repeated. Source: Gupta et al. 2019, LVIS, repeat factor
    sampling: r(c) = max(1, sqrt(t / f(c))), r(frame) = the largest r of its classes.
    """
    share = presence.mean(axis=0)
    per_class = np.ones_like(share)
    seen = share > 0
    per_class[seen] = np.maximum(1.0, np.sqrt(threshold / share[seen]))
    return np.where(presence, per_class, 1.0).max(axis=1, initial=1.0)


class Order:
    """Map a sample number to an index, epoch by epoch, each index as often as its weight asks.

    weights: float [N], relative frequency of each index. An epoch is N samples, drawn
    without more chance than rounding needs (systematic sampling), then shuffled.
    """

    def __init__(self, weights: np.ndarray, seed: int) -> None:
        if len(weights) == 0:
            raise ValueError("there is nothing to sample from: the training set is empty")
        self._edges = np.cumsum(weights) / np.sum(weights)
        self._seed = seed
        # The epoch that was drawn last: a training's samples ascend.
        self._drawn = (-1, np.zeros(0, np.intp))

    def __getitem__(self, sample: int) -> int:
        """Return the index of a sample (0, 1, ... without end)."""
        epoch, position = divmod(sample, len(self._edges))
        if epoch != self._drawn[0]:
            self._drawn = epoch, self._draw(epoch)
        return int(self._drawn[1][position])

    def _draw(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((self._seed, epoch))
        n = len(self._edges)
        points = (np.arange(n) + rng.random()) / n
        # The last edge may be 1 - 1e-16 while the last point is not below it.
        index = np.searchsorted(self._edges, points, side="right").clip(max=n - 1)
        return rng.permutation(index)
