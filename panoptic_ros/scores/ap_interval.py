"""Confidence intervals of both average precisions, by bootstrap over frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.bootstrap import draws, interval, means
from panoptic_ros.scores.cityscapes_ap import drawn_average_precision
from panoptic_ros.scores.mask_ap import THRESHOLDS

# Fewer than of the other scores: each draw integrates every curve anew.
AP_SAMPLES = 200
_RECALLS = np.linspace(0, 1, 101)


def ap_intervals(
    frames: Sequence[Mapping[str, Sequence[Any]]], labels: LabelSet
) -> dict[str, list[float] | None]:
    """Return the intervals of `ap` and `ap50`, [low, high] each; frames: `coco_matches`."""
    weights = _weights(len(frames))
    curves = [_drawn(frames, str(c.id), weights) for c in labels.things]
    return _intervals(np.array(curves).reshape(len(labels.things), AP_SAMPLES, THRESHOLDS))


def cityscapes_ap_intervals(
    frames: Sequence[Mapping[str, Sequence[Any]]], labels: LabelSet
) -> dict[str, list[float] | None]:
    """Return the same of Cityscapes' own metric; frames: `cityscapes_matches`."""
    return _intervals(drawn_average_precision(frames, labels, _weights(len(frames))))


def _weights(frames: int) -> np.ndarray:
    """Return how often each frame counts in each draw, int64 [AP_SAMPLES, F]."""
    return np.array([*islice(draws(frames), AP_SAMPLES)])


def _intervals(table: np.ndarray) -> dict[str, list[float] | None]:
    """Return the intervals of the means over the classes that are drawn; table: [C, D, T]."""
    of_classes = {"ap": table.mean(-1).T, "ap50": table[..., 0].T}
    return {name: interval(samples) for name, samples in means(of_classes).items()}


def _drawn(
    frames: Sequence[Mapping[str, Sequence[Any]]], class_id: str, weights: np.ndarray
) -> list[np.ndarray]:
    """Return a class's AP per IoU for each draw, NaN where no instance is drawn."""
    own = [(i, frame[class_id]) for i, frame in enumerate(frames) if class_id in frame]
    scores = np.concatenate([np.array(entry[0], float) for _, entry in own] or [np.empty(0)])
    order = np.argsort(-scores, kind="stable")
    frame_of = np.repeat([i for i, _ in own], [len(entry[0]) for _, entry in own])[order]
    outcomes = [np.array(list(entry[1][0]), "U1").reshape(THRESHOLDS, -1) for _, entry in own]
    letters = np.concatenate(outcomes or [np.empty((THRESHOLDS, 0), "U1")], axis=1)[:, order]
    hits, alarms = letters == "h", letters == "f"
    instances = np.zeros(len(frames))
    for i, entry in own:
        instances[i] = entry[2][0]
    return [_ap(w[frame_of.astype(int)], hits, alarms, float(w @ instances)) for w in weights]


def _ap(weights: np.ndarray, hits: np.ndarray, alarms: np.ndarray, instances: float) -> np.ndarray:
    """Return pycocotools' 101-point AP per IoU of detections that count so often each."""
    if not instances:
        return np.full(len(hits), np.nan)
    right, wrong = np.cumsum(weights * hits, axis=1), np.cumsum(weights * alarms, axis=1)
    precision = right / np.maximum(right + wrong, 1)
    # The best precision at this recall or a higher one; beyond the last there is none.
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    envelope = np.pad(envelope, ((0, 0), (0, 1)))
    places = [np.searchsorted(row, _RECALLS) for row in right / instances]
    return np.array([row[at].mean() for row, at in zip(envelope, places, strict=True)])
