"""What a frame adds to its classes' scores, and confidence intervals by bootstrap over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.bootstrap import LEVEL, interval, means, qualities, resampled
from panoptic_ros.scores.panoptic_quality import PanopticQuality

# Of PanopticQuality, and the pixels of truth and prediction for IoU.
COUNTS = ("iou", "tp", "fp", "fn", "intersection", "union")
# Fewer frames say nothing of how much others would differ.
LEAST_FRAMES = 5


def class_counts(
    quality: PanopticQuality, labels: LabelSet, intersection: np.ndarray, union: np.ndarray
) -> dict[str, list[float]]:
    """Return {class id: COUNTS} of the classes that occur in a frame, by which runs are compared.

    intersection, union: int64 [C], in the order of the label set.
    """
    pixels = dict(zip(labels.ids.tolist(), zip(intersection, union, strict=True), strict=True))
    counts = zip(quality.iou, quality.tp, quality.fp, quality.fn, strict=True)
    found = {}
    for class_id, counted in zip(quality.class_ids.tolist(), counts, strict=True):
        values = [value.item() for value in (*counted, *pixels[class_id])]
        if any(values):
            found[str(class_id)] = values
    return found


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
