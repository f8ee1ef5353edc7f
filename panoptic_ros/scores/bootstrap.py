"""Bootstrap over frames: how sure a quality, or a difference of two, is.

Source: Efron and Tibshirani 1993, the percentile method. Frames are drawn, not pixels or segments:
those of one frame are right or wrong together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np

SAMPLES = 1000
LEVEL = 0.95
_SEED = 0
# Of the counts' last axis, as `evaluation.intervals` writes them.
IOU, TP, FP, FN, INTERSECTION, UNION = range(6)


def qualities(counts: np.ndarray) -> dict[str, np.ndarray]:
    """Return quality per class from sums over frames, float64 [..., C], NaN where none occurs.

    counts: [..., C, 6], sum of IoU, TP, FP, FN, pixels of intersection and union.
    {"pq", "sq", "rq", "iou"}.
    """
    counts = np.asarray(counts, float)
    weight = counts[..., TP] + 0.5 * counts[..., FP] + 0.5 * counts[..., FN]
    occurs = weight > 0
    return {
        "pq": _ratio(counts[..., IOU], weight, occurs),
        # 0 for a class without a match, as the official scripts have it.
        "sq": _ratio(counts[..., IOU], np.maximum(counts[..., TP], 1), occurs),
        "rq": _ratio(counts[..., TP], weight, occurs),
        "iou": _ratio(counts[..., INTERSECTION], counts[..., UNION], counts[..., UNION] > 0),
    }


def means(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the means over the classes that occur, float64 [...], NaN where none does."""
    found = {}
    for name, of_class in values.items():
        known = ~np.isnan(of_class)
        count = known.sum(-1)
        sums = np.where(known, of_class, 0).sum(-1)
        found["miou" if name == "iou" else name] = _ratio(sums, count, count > 0)
    return found


def draws(frames: int) -> Iterator[np.ndarray]:
    """Yield how often each frame is drawn, int64 [F], without end: always the same draws."""
    rng = np.random.default_rng(_SEED)
    while True:
        yield np.bincount(rng.integers(0, frames, frames), minlength=frames)


def resampled(counts: np.ndarray) -> np.ndarray:
    """Return the sums over SAMPLES draws of as many frames as there are, [SAMPLES, C, 6].

    counts: [F, C, 6]. The draws depend on F alone: two runs over the same frames are drawn alike,
    so that their differences are paired.
    """
    frames = len(counts)
    flat = counts.reshape(frames, -1).astype(float)
    sums = np.empty((SAMPLES, flat.shape[1]))
    for i, weights in enumerate(islice(draws(frames), SAMPLES)):
        sums[i] = weights @ flat
    return sums.reshape(SAMPLES, *counts.shape[1:])


def interval(samples: np.ndarray) -> list[float] | None:
    """Return the LEVEL interval of samples, [low, high]; None where most are not known."""
    known = samples[~np.isnan(samples)]
    if len(known) < len(samples) / 2 or not len(known):
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(known, [tail, 100 - tail])
    return [float(low), float(high)]


def _ratio(part: np.ndarray, whole: np.ndarray, known: np.ndarray) -> np.ndarray:
    empty = np.full(np.shape(whole), np.nan)
    return np.divide(part, whole, out=empty, where=known)
