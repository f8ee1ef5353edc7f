"""Confidence intervals of a run's quality, by bootstrap over its frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from panoptic_ros.evaluation.frame_classes import COUNTS
from panoptic_ros.scores.bootstrap import LEVEL, interval, means, qualities, resampled

# Fewer frames say nothing of how much others would differ.
LEAST_FRAMES = 5


def class_table(frames: Sequence[Mapping[str, Sequence[float]]], ids: Sequence[int]) -> np.ndarray:
    """Return frames' counts of `class_counts` as float64 [F, C, 6], 0 where none occurs."""
    rank = {str(class_id): i for i, class_id in enumerate(ids)}
    table = np.zeros((len(frames), len(ids), len(COUNTS)))
    for row, frame in enumerate(frames):
        for class_id, counts in frame.items():
            table[row, rank[class_id]] = counts
    return table


def quality_intervals(
    frames: Sequence[Mapping[str, Sequence[float]]], ids: Sequence[int]
) -> dict[str, Any] | None:
    """Return intervals as fractions, [low, high] each; None for fewer than LEAST_FRAMES frames.

    {"level", "pq", "sq", "rq", "miou", "per_class": {class id: {"pq", "iou"}}}; None where a class
    is in less than half of the draws.
    """
    if len(frames) < LEAST_FRAMES:
        return None
    drawn = qualities(resampled(class_table(frames, ids)))
    return {
        "level": LEVEL,
        **{name: interval(samples) for name, samples in means(drawn).items()},
        "per_class": {
            str(class_id): {name: interval(drawn[name][:, i]) for name in ("pq", "iou")}
            for i, class_id in enumerate(ids)
        },
    }
