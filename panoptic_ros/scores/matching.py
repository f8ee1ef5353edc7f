"""Which detection found which ground-truth instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.fusion.masks import paste, pixel_box
from panoptic_ros.labels import INSTANCE_DIVISOR
from panoptic_ros.prediction import InstancePrediction

MASK_THRESHOLD = 0.5


@dataclass(frozen=True)
class Match:
    """Pair a detection's index with a ground-truth value; iou: of their masks, 0..1."""

    detection: int
    value: int
    iou: float


def match(
    instances: InstancePrediction, instance_ids: np.ndarray, least_iou: float = 0.5
) -> list[Match]:
    """Return the detections that found an instance of their class, best score first.

    instance_ids: integer [H, W]. Each instance goes to the first detection whose mask
    (detector's, at 0.5) overlaps it by more than least_iou; each detection takes the
    instance that it overlaps most among those still free.
    """
    areas = np.bincount(instance_ids.ravel())
    class_ids = instances.class_ids.tolist()
    free = {int(v) for v in np.flatnonzero(areas) if v >= INSTANCE_DIVISOR}
    matches = []
    for i in instances.scores.argsort(descending=True).tolist():
        box = instances.boxes[i].double().cpu().numpy()
        x0, y0, x1, y1 = pixel_box(box, instance_ids.shape)
        mask = paste(instances.masks[i], box, (x0, y0, x1, y1)) >= MASK_THRESHOLD
        mask = mask.cpu().numpy()
        common = np.bincount(instance_ids[y0:y1, x0:x1][mask], minlength=len(areas))
        area = int(mask.sum())
        overlaps = {
            v: common[v] / (area + areas[v] - common[v])
            for v in np.flatnonzero(common).tolist()
            if v in free and v // INSTANCE_DIVISOR == class_ids[i]
        }
        if not overlaps:
            continue
        value = max(overlaps, key=overlaps.__getitem__)
        if overlaps[value] > least_iou:
            free.remove(value)
            matches.append(Match(i, value, float(overlaps[value])))
    return matches
