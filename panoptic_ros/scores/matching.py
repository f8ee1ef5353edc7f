"""Match detections with ground-truth instances."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.upsampling import Box

LEAST_IOU = 0.5
# A mask inside its box (x0, y0, x1, y1), bool [y1 - y0, x1 - x0]; false outside.
BoxMask = tuple[Box, np.ndarray]


@dataclass(frozen=True)
class Match:
    """Pair a detection's index with a ground-truth value; iou: of their masks, 0..1."""

    detection: int
    value: int
    iou: float


def match(
    class_ids: Sequence[int], masks: Sequence[BoxMask], instance_ids: np.ndarray
) -> list[Match]:
    """Return the detections that found an instance of their class.

    class_ids, masks: of the detections, best first; instance_ids: integer [H, W]. Each
    instance goes to the first detection whose mask overlaps it by more than LEAST_IOU; each
    detection takes the instance that it overlaps most among those still free.
    """
    areas = np.bincount(instance_ids.ravel())
    free = {int(v) for v in np.flatnonzero(areas) if v >= INSTANCE_DIVISOR}
    matches = []
    for i, (class_id, ((x0, y0, x1, y1), mask)) in enumerate(zip(class_ids, masks, strict=True)):
        common = np.bincount(instance_ids[y0:y1, x0:x1][mask], minlength=len(areas))
        area = int(mask.sum())
        overlaps = {
            v: common[v] / (area + areas[v] - common[v])
            for v in np.flatnonzero(common).tolist()
            if v in free and v // INSTANCE_DIVISOR == class_id
        }
        if not overlaps:
            continue
        value = max(overlaps, key=overlaps.__getitem__)
        if overlaps[value] > LEAST_IOU:
            free.remove(value)
            matches.append(Match(i, value, float(overlaps[value])))
    return matches
