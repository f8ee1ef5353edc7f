"""How well boxes in space fit true ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np

from panoptic_ros.geometry.cuboid import Cuboid, cuboid_iou
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.scores.mots import MATCH_IOU
from panoptic_ros.scores.segments import label_image_segments
from panoptic_ros.scores.track_accuracy import mask_iou

# Distances of the objects from the vehicle, metres: from, to.
RANGES = ((0.0, 20.0), (20.0, 40.0))


class BoxScore:
    """Add up frames and score the boxes of their thing instances.

    An instance is asked for where a mask of the prediction with a track fits its own (IoU 0.5,
    class the same): its box shall be the true object's. A heading and its opposite count as
    one; persons and riders are not scored for theirs.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._has_heading = {c.id for c in labels.things if c.name not in ("person", "rider")}
        # Distance, error of the middle over the ground, of the heading, IoU above, of volumes.
        self._rows: list[tuple[float, float, float, float, float]] = []

    def add(
        self,
        truth: np.ndarray,
        prediction: np.ndarray,
        true_boxes: Mapping[int, Cuboid],
        boxes: Mapping[int, Cuboid],
        tracked: Collection[int],
    ) -> None:
        """Count a frame.

        truth, prediction: label images, integer [H, W]; true_boxes, boxes: by their values,
        base_link; tracked: values of the prediction that have a track.
        """
        pairs, true, predicted = label_image_segments(truth, prediction, self._labels)
        iou, _ = mask_iou(pairs, true, predicted)
        for row, value in enumerate(true.ids.tolist()):
            fits = np.flatnonzero(iou[row] >= MATCH_IOU)
            if value not in true_boxes or not len(fits):
                continue
            own = int(predicted.ids[fits[0]])
            if own in tracked:
                self._rows.append(self._row(true_boxes[value], boxes.get(own), value))

    def results(self) -> dict[str, Any]:
        """Return the scores by range "FROM-TO m": medians, means and counts.

        {"objects": asked for, "boxes": of them with one, "centre_error": median metres,
        "yaw_error": median degrees, "bev_iou", "iou": means, percent}; None where there is
        nothing to score.
        """
        rows = np.array(self._rows).reshape(-1, 5)
        found = {}
        for low, high in RANGES:
            chosen = rows[(rows[:, 0] >= low) & (rows[:, 0] < high)]
            found[f"{low:.0f}-{high:.0f} m"] = _summary(chosen)
        return found

    def _row(
        self, true: Cuboid, box: Cuboid | None, value: int
    ) -> tuple[float, float, float, float, float]:
        distance = math.hypot(*true.center[:2])
        if box is None:
            return distance, math.nan, math.nan, 0.0, 0.0
        off = math.dist(box.center[:2], true.center[:2])
        turned = abs(math.degrees(math.remainder(box.yaw - true.yaw, math.pi)))
        has_heading = value // INSTANCE_DIVISOR in self._has_heading
        return distance, off, turned if has_heading else math.nan, *cuboid_iou(box, true)


def _summary(rows: np.ndarray) -> dict[str, float | int | None]:
    """Return the score of rows [N, 5], as `BoxScore._row` gives them."""
    found = rows[np.isfinite(rows[:, 1])]
    turned = found[np.isfinite(found[:, 2]), 2]
    return {
        "objects": len(rows),
        "boxes": len(found),
        "centre_error": _rounded(np.median, found[:, 1]),
        "yaw_error": _rounded(np.median, turned),
        "bev_iou": _rounded(np.mean, 100 * rows[:, 3]),
        "iou": _rounded(np.mean, 100 * rows[:, 4]),
    }


def _rounded(average: Callable[[np.ndarray], Any], values: np.ndarray) -> float | None:
    return round(float(average(values)), 3) if len(values) else None
