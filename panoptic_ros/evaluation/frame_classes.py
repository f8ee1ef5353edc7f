"""What one frame adds to the scores of its classes, sparsely: runs are compared by it."""

from __future__ import annotations

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.panoptic_quality import PanopticQuality

# Of PanopticQuality, and the pixels of truth and prediction for IoU.
COUNTS = ("iou", "tp", "fp", "fn", "intersection", "union")


def class_counts(
    quality: PanopticQuality, labels: LabelSet, intersection: np.ndarray, union: np.ndarray
) -> dict[str, list[float]]:
    """Return {class id: COUNTS} of the classes that occur in a frame.

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
