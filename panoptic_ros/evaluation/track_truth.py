"""True labels as if a perfect network had predicted them."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import find_objects

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids, encode
from panoptic_ros.prediction import PanopticPrediction, Segment


def as_prediction(
    truth: np.ndarray, labels: LabelSet, rng: np.random.Generator
) -> PanopticPrediction:
    """Return a true label image with new instance numbers, at random: no identities leak.

    truth: integer [H, W], class_id, or class_id * 1000 + n; values of classes outside the label
    set become unlabeled. Every score is 1.
    """
    values, index = np.unique(truth, return_inverse=True)
    index = index.reshape(truth.shape)
    classes = class_ids(values)
    known = np.isin(classes, labels.ids)
    fresh = np.where(known, values, 0)
    for class_id in np.unique(classes[values >= INSTANCE_DIVISOR]):
        own = np.flatnonzero((classes == class_id) & (values >= INSTANCE_DIVISOR) & known)
        fresh[own] = [encode(int(class_id), int(n)) for n in rng.permutation(len(own))]
    areas = np.bincount(index.ravel(), minlength=len(values))
    segments = [
        Segment(
            id=int(fresh[i]),
            class_id=int(classes[i]),
            is_thing=labels[int(classes[i])].is_thing,
            score=1.0,
            area=int(areas[i]),
            box=(columns.start, rows.start, columns.stop, rows.stop),
        )
        for i, (rows, columns) in enumerate(find_objects(index + 1))
        if known[i]
    ]
    return PanopticPrediction(fresh[index].astype(truth.dtype), segments)
