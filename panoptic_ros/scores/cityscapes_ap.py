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
from panoptic_ros.scores.mask_codes import as_coco, codes_iou

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
    frames = list(frames)
    values = drawn_average_precision(frames, labels, np.ones((1, len(frames))))[:, 0]
    summaries = {c.id: _summary(row) for c, row in zip(labels.things, values, strict=True)}
    return {**_summary(values), "classes": summaries}


def drawn_average_precision(
    frames: Sequence[Mapping[str, Sequence[Any]]], labels: LabelSet, weights: np.ndarray
) -> np.ndarray:
    """Return AP of every thing class, draw and IoU threshold, float64 [C, D, T], 0..1.

    frames: `cityscapes_matches`; weights: how often each frame counts in each draw, [D, F]. NaN
    where no instance of the class is drawn.
    """
    table = []
    for c in labels.things:
        own = [(i, *frame[str(c.id)]) for i, frame in enumerate(frames) if str(c.id) in frame]
        counts = np.zeros(len(frames))
        for i, found, _ in own:
            counts[i] = len(found)
        instances = weights @ counts
        of_class = [_curve_areas(own, t, weights, instances) for t in range(len(IOU_THRESHOLDS))]
        table.append(np.stack(of_class, axis=-1))
    return np.array(table)


def _compared(frame: MaskFrame, class_id: int) -> list[Any]:
    truth, size = frame.truth, frame.truth.size
    scored = [as_coco(code, size) for other, code in truth.instances if other == class_id]
    ignored = [entry[1:] for entry in truth.ignored if entry[0] == class_id]
    # Groups and small instances are matched too: what fits one is no false alarm.
    regions = scored + [as_coco(code, size) for code, _ in ignored]
    region_areas = _areas(regions)
    # A group that is small as well counts twice in the official script.
    small = region_areas[len(scored) :] < SMALLEST_INSTANCE
    weights = np.array([is_group for _, is_group in ignored], int) + small
    detections = [
        (float(f"{score:.9g}"), as_coco(code, size))
        for other, score, code in frame.detections
        if other == class_id
    ]
    detections = [(score, mask) for score, mask in detections if coco_mask.area(mask)]
    masks = [mask for _, mask in detections]
    areas, shared = _areas(masks), _shared(masks, regions)
    iou = shared / np.maximum(areas[:, None] + region_areas - shared, 1)
    void = _shared(masks, [as_coco(truth.void, size)] if truth.void else [])
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


def _areas(masks: list[dict]) -> np.ndarray:
    return np.array([coco_mask.area(mask) for mask in masks], float)


def _shared(masks: list[dict], others: list[dict]) -> np.ndarray:
    """Return how many pixels each pair of masks shares, float64 [N, M]."""
    return np.rint(codes_iou(masks, others, is_crowd=True) * _areas(masks)[:, None])


def _curve_areas(
    own: Sequence[tuple[int, Sequence[Any], Sequence[Any]]],
    threshold: int,
    weights: np.ndarray,
    instances: np.ndarray,
) -> np.ndarray:
    """Return the area between the points of precision over recall in each draw, float64 [D].

    own: (frame, found, alarms) of `cityscapes_matches` for one class; threshold: a position in
    IOU_THRESHOLDS; weights: [D, F]; instances: of the truth in each draw, [D].
    """
    events: list[tuple[float, int, bool]] = []
    for frame, found, alarms in own:
        for detections in found:
            passing = sorted((s for s, passed in detections if passed > threshold), reverse=True)
            # The best detection of an instance is a hit, its others are false alarms.
            events += [(score, frame, rank == 0) for rank, score in enumerate(passing)]
        events += [(score, frame, False) for score, first in alarms if first <= threshold]
    scores, of_frame, is_hit = np.array(sorted(events, reverse=True)).reshape(-1, 3).T
    # One point per confidence.
    ends = np.flatnonzero(np.diff(scores, append=-np.inf))
    times = weights[:, of_frame.astype(int)]
    right = np.cumsum(times * is_hit, axis=1)[:, ends]
    wrong = np.cumsum(times * (1 - is_hit), axis=1)[:, ends]
    # Before the first point precision is 1, also where the first are not drawn.
    total = right + wrong
    precision = np.divide(right, total, out=np.ones_like(total), where=total > 0)
    recall = right / np.maximum(instances, 1)[:, None]
    # Each point stands for half the way to both of its neighbours; the first is (1, 0).
    precision = np.pad(precision, ((0, 0), (1, 0)), constant_values=1)
    recall = np.pad(np.pad(recall, ((0, 0), (2, 0))), ((0, 0), (0, 1)), mode="edge")
    areas = (precision * (recall[:, 2:] - recall[:, :-2])).sum(1) / 2
    return np.where(instances > 0, areas, np.nan)


def _summary(table: np.ndarray) -> dict[str, float | None]:
    """Return the means over thresholds (and classes) of AP, float [..., T]."""
    return {"ap": _mean(table), "ap50": _mean(table[..., 0])}


def _mean(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None
