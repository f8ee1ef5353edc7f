"""Cityscapes' own average precision of instances: another metric than COCO's of that name.

Source: Cordts et al. 2016, section 4.1; cityscapesscripts' evalInstanceLevelSemanticLabeling,
whose rules and corner cases these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.mask_ap import SMALLEST_INSTANCE, MaskFrame
from panoptic_ros.scores.mask_codes import as_coco

IOU_THRESHOLDS = np.arange(0.5, 1.0, 0.05)


@dataclass
class _Class:
    """Gather one class over all frames.

    found: per true instance [confidence, IoU] of every detection that touches it; wrong: per
    detection confidence, best IoU with any true region of the class, share that is ignored.
    """

    found: list[list[tuple[float, float]]] = field(default_factory=list)
    wrong: list[tuple[float, float, float]] = field(default_factory=list)


def cityscapes_average_precision(frames: Iterable[MaskFrame], labels: LabelSet) -> dict[str, Any]:
    """Return AP as fractions, None where no instance is in the truth.

    {"ap", "ap50", "classes": {class id: {"ap", "ap50"}}}: as `average_precision` gives it, but
    matched and integrated as Cityscapes does: each IoU threshold by itself, several detections
    of one instance count as one hit and false alarms, and the curve's area is taken between
    its own points.
    """
    classes = {c.id: _Class() for c in labels.things}
    for frame in frames:
        for class_id, gathered in classes.items():
            _gather(frame, class_id, gathered)
    table = np.array([[_ap(c, t) for t in IOU_THRESHOLDS] for c in classes.values()])
    summaries = {i: _summary(table[row]) for row, i in enumerate(classes)}
    return {**_summary(table), "classes": summaries}


def _gather(frame: MaskFrame, class_id: int, gathered: _Class) -> None:
    truth, size = frame.truth, frame.truth.size
    scored = [as_coco(code, size) for other, code in truth.instances if other == class_id]
    ignored = [entry[1:] for entry in truth.ignored if entry[0] == class_id]
    # Groups and small instances are matched too: what fits one is no false alarm.
    regions = scored + [as_coco(code, size) for code, *_ in ignored]
    # A group that is small as well counts twice in the official script.
    small = [_area(code, size) < SMALLEST_INSTANCE for code, _ in ignored]
    weights = np.array([is_group for _, is_group in ignored], int) + np.array(small, int)
    detections = [
        (score, as_coco(code, size)) for other, score, code in frame.detections if other == class_id
    ]
    detections = [(score, mask) for score, mask in detections if coco_mask.area(mask)]
    shared = _shared([mask for _, mask in detections], regions)
    areas = np.array([coco_mask.area(mask) for _, mask in detections], float)
    region_areas = np.array([coco_mask.area(mask) for mask in regions], float)
    iou = shared / np.maximum(areas[:, None] + region_areas - shared, 1)
    void = _shared([m for _, m in detections], [as_coco(truth.void, size)] if truth.void else [])
    for column in range(len(scored)):
        touching = np.flatnonzero(shared[:, column])
        gathered.found.append([(detections[i][0], iou[i, column]) for i in touching])
    for row, (score, _) in enumerate(detections):
        outside = void[row].sum() + (shared[row, len(scored) :] * weights).sum()
        gathered.wrong.append((score, iou[row].max(initial=0.0), outside / areas[row]))


def _area(code: str, size: Sequence[int]) -> int:
    return int(coco_mask.area(as_coco(code, size)))


def _shared(masks: list[dict], others: list[dict]) -> np.ndarray:
    """Return how many pixels each pair of masks shares, float64 [N, M]."""
    if not masks or not others:
        return np.zeros((len(masks), len(others)))
    # Against a crowd, pycocotools divides by the first mask's own area.
    part = coco_mask.iou(masks, others, [1] * len(others))
    areas = np.array([coco_mask.area(mask) for mask in masks], float)
    return np.rint(part * areas[:, None])


def _ap(gathered: _Class, threshold: float) -> float:
    """Return a class's AP at one IoU; NaN without instances."""
    if not gathered.found:
        return float("nan")
    hits, alarms, missed = [], [], 0
    for detections in gathered.found:
        scores = sorted((s for s, iou in detections if iou > threshold), reverse=True)
        missed += not scores
        hits += scores[:1]
        alarms += scores[1:]
    alarms += [s for s, iou, ignored in gathered.wrong if iou <= threshold >= ignored]
    if not gathered.wrong or not hits:
        return 0.0
    return _area_under_curve(np.array(hits), np.array(alarms), missed)


def _area_under_curve(hits: np.ndarray, alarms: np.ndarray, missed: int) -> float:
    """Return the area between the points of precision over recall, one per confidence."""
    levels = np.unique(np.concatenate([hits, alarms]))
    right = np.array([(hits >= level).sum() for level in levels])
    wrong = np.array([(alarms >= level).sum() for level in levels])
    precision = np.append(right / (right + wrong), 1.0)
    recall = np.append(right / (len(hits) + missed), 0.0)
    # Each point stands for half the way to both of its neighbours.
    padded = np.concatenate([recall[:1], recall, [0.0]])
    return float(precision @ ((padded[:-2] - padded[2:]) / 2))


def _summary(table: np.ndarray) -> dict[str, float | None]:
    """Return the means over thresholds (and classes) of AP, float [..., T]."""
    return {"ap": _mean(table), "ap50": _mean(table[..., 0])}


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
