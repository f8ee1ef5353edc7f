"""Cityscapes' own average precision of instances: another metric than COCO's of that name.

Source: Cordts et al. 2016, section 4.1; cityscapesscripts' evalInstanceLevelSemanticLabeling,
whose rules and corner cases these are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.mask_ap import SMALLEST_INSTANCE, MaskFrame
from panoptic_ros.scores.mask_codes import as_coco

IOU_THRESHOLDS = np.arange(0.5, 1.0, 0.05)


def cityscapes_matches(frame: MaskFrame, labels: LabelSet) -> dict[str, list[Any]]:
    """Return how a frame's detections compare with its truth, for `cityscapes_average_precision`.

    {class id: [found, alarms]} of the classes that occur. found: per true instance [score, how
    many of IOU_THRESHOLDS the IoU is above] of every detection that touches it; alarms: per
    detection [score, the first of the thresholds, as a position, at which it is a false alarm].
    """
    found = {str(c.id): _compared(frame, c.id) for c in labels.things}
    return {class_id: entry for class_id, entry in found.items() if any(entry)}


def cityscapes_average_precision(
    frames: Iterable[Mapping[str, Sequence[Any]]], labels: LabelSet
) -> dict[str, Any]:
    """Return AP as fractions, None where no instance is in the truth; see `cityscapes_matches`.

    {"ap", "ap50", "classes": {class id: {"ap", "ap50"}}}: as `average_precision` gives it, but
    matched and integrated as Cityscapes does: each IoU threshold by itself, several detections
    of one instance count as one hit and false alarms, and the curve's area is taken between
    its own points.
    """
    table, frames = [], list(frames)
    for c in labels.things:
        own = [frame[str(c.id)] for frame in frames if str(c.id) in frame]
        found = [instance for entry in own for instance in entry[0]]
        alarms = [alarm for entry in own for alarm in entry[1]]
        table.append([_ap(found, alarms, i) for i in range(len(IOU_THRESHOLDS))])
    values = np.array(table)
    summaries = {c.id: _summary(row) for c, row in zip(labels.things, values, strict=True)}
    return {**_summary(values), "classes": summaries}


def _compared(frame: MaskFrame, class_id: int) -> list[Any]:
    truth, size = frame.truth, frame.truth.size
    scored = [as_coco(code, size) for other, code in truth.instances if other == class_id]
    ignored = [entry[1:] for entry in truth.ignored if entry[0] == class_id]
    # Groups and small instances are matched too: what fits one is no false alarm.
    regions = scored + [as_coco(code, size) for code, *_ in ignored]
    # A group that is small as well counts twice in the official script.
    small = [_area(code, size) < SMALLEST_INSTANCE for code, _ in ignored]
    weights = np.array([is_group for _, is_group in ignored], int) + np.array(small, int)
    detections = [
        (float(f"{score:.9g}"), as_coco(code, size))
        for other, score, code in frame.detections
        if other == class_id
    ]
    detections = [(score, mask) for score, mask in detections if coco_mask.area(mask)]
    shared = _shared([mask for _, mask in detections], regions)
    areas = np.array([coco_mask.area(mask) for _, mask in detections], float)
    region_areas = np.array([coco_mask.area(mask) for mask in regions], float)
    iou = shared / np.maximum(areas[:, None] + region_areas - shared, 1)
    void = _shared([m for _, m in detections], [as_coco(truth.void, size)] if truth.void else [])
    found = []
    for column in range(len(scored)):
        touching = np.flatnonzero(shared[:, column])
        found.append([[detections[i][0], _passed(iou[i, column])] for i in touching])
    alarms = []
    for row, (score, _) in enumerate(detections):
        outside = void[row].sum() + (shared[row, len(scored) :] * weights).sum()
        unexcused = int((outside / areas[row] > IOU_THRESHOLDS).sum())
        alarms.append([score, max(_passed(iou[row].max(initial=0.0)), unexcused)])
    return [found, alarms]


def _passed(iou: float) -> int:
    """Return how many of the thresholds an IoU is above: the first ones."""
    return int((iou > IOU_THRESHOLDS).sum())


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


def _ap(found: Sequence[Any], alarms: Sequence[Any], threshold: int) -> float:
    """Return a class's AP at one IoU, a position in IOU_THRESHOLDS; NaN without instances."""
    if not found:
        return float("nan")
    hits, wrong, missed = [], [], 0
    for detections in found:
        scores = sorted((s for s, passed in detections if passed > threshold), reverse=True)
        missed += not scores
        hits += scores[:1]
        wrong += scores[1:]
    wrong += [score for score, first in alarms if first <= threshold]
    if not alarms or not hits:
        return 0.0
    return _area_under_curve(np.array(hits), np.array(wrong), missed)


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
