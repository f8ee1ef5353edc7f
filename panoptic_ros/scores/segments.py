"""The segments of a panoptic image, as scoring needs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.scores.overlaps import Overlaps, overlaps

VOID = 0


@dataclass(frozen=True)
class Segments:
    """Hold the segments of one panoptic image, S of them, each id once.

    ids: int64 [S], their pixels' value; class_ids: int64 [S]; areas: int64 [S], pixels;
    crowd: bool [S], whether it is a group of unseparated things (truth only).
    """

    ids: np.ndarray
    class_ids: np.ndarray
    areas: np.ndarray
    crowd: np.ndarray


def label_image_segments(
    truth: np.ndarray, prediction: np.ndarray, labels: LabelSet
) -> tuple[Overlaps, Segments, Segments]:
    """Compare two label images; return their overlaps and the segments of both.

    truth: integer [H, W], Cityscapes `gtFine_instanceIds`: class_id * 1000 + n for things,
    class_id for stuff and for groups of things (crowd); a class outside the label set is void.
    prediction: integer [H, W] in the same encoding, 0 unlabeled, no groups: a thing class's
    plain id is a segment like any other.
    Raise ValueError for a predicted class outside the label set.
    Source: cityscapesscripts/preparation/createPanopticImgs.py.
    """
    return overlap_segments(overlaps(truth, prediction), labels)


def overlap_segments(pairs: Overlaps, labels: LabelSet) -> tuple[Overlaps, Segments, Segments]:
    """Return what `label_image_segments` does, from the overlaps of the two label images."""
    outside = ~np.isin(class_ids(pairs.truth), labels.ids)
    pairs = Overlaps(np.where(outside, VOID, pairs.truth), pairs.prediction, pairs.pixels)
    thing_ids = labels.ids[labels.is_thing]
    true = _segments(pairs.truth, pairs.pixels)
    crowd = (true.ids < INSTANCE_DIVISOR) & np.isin(true.ids, thing_ids)
    true = Segments(true.ids, true.class_ids, true.areas, crowd)
    predicted = _segments(pairs.prediction, pairs.pixels)
    unknown = ~np.isin(predicted.class_ids, labels.ids)
    if unknown.any():
        raise ValueError(
            f"the prediction holds the values {predicted.ids[unknown][:10].tolist()}, "
            f"of no class of the label set {labels.name!r}"
        )
    return pairs, true, predicted


def _segments(values: np.ndarray, pixels: np.ndarray) -> Segments:
    """Return every id but VOID as a segment, with its area."""
    ids, index = np.unique(values, return_inverse=True)
    areas = np.bincount(index.ravel(), pixels, len(ids)).astype(np.int64)
    kept = ids != VOID
    ids = ids[kept]
    return Segments(ids, class_ids(ids), areas[kept], np.zeros(len(ids), bool))
