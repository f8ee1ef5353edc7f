"""The worst segments of a frame: missed, invented, merged, split; and a crop of each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.overlaps import shared_pixels
from panoptic_ros.scores.panoptic_quality import match_segments
from panoptic_ros.scores.segments import Segments, label_image_segments

Kind = Literal["missed", "invented", "merged", "split"]
KINDS: tuple[Kind, ...] = ("missed", "invented", "merged", "split")
TRUE_COLOR, PREDICTED_COLOR = (0, 220, 90), (255, 60, 60)
_WIDTH = 240
# Around the segments, of their size; and at least so many pixels.
_MARGIN, _LEAST_MARGIN = 0.35, 24


@dataclass(frozen=True)
class SegmentError:
    """Name what went wrong: the values of the segments in truth and prediction; area in pixels."""

    kind: Kind
    class_id: int
    area: int
    true: tuple[int, ...]
    predicted: tuple[int, ...]


def worst_errors(truth: np.ndarray, prediction: np.ndarray, labels: LabelSet) -> list[SegmentError]:
    """Return the largest error of each kind among the things of a frame.

    truth, prediction: as for `label_image_segments`. Merged: more than half of each of two true
    things lies in one predicted thing of their class; split: the other way round; missed and
    invented: without a match, and neither of those.
    """
    errors: dict[str, SegmentError] = {}
    for error in _errors(truth, prediction, labels):
        if error.kind not in errors or errors[error.kind].area < error.area:
            errors[error.kind] = error
    return [errors[kind] for kind in KINDS if kind in errors]


def crop(
    image: np.ndarray, truth: np.ndarray, prediction: np.ndarray, error: SegmentError
) -> np.ndarray:
    """Return the image around an error, uint8 [h, 240, 3], RGB; true outlines green, ours red."""
    masks = [(truth == value, TRUE_COLOR) for value in error.true]
    masks += [(prediction == value, PREDICTED_COLOR) for value in error.predicted]
    rows, columns = np.nonzero(np.any([mask for mask, _ in masks], axis=0))
    y, x = (
        _around(values, size) for values, size in zip((rows, columns), truth.shape, strict=True)
    )
    part = image[y, x]
    size = _WIDTH, max(1, round(part.shape[0] * _WIDTH / part.shape[1]))
    picture = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    for mask, color in masks:
        large = cv2.resize(mask[y, x].astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(picture, outlines, -1, color, 1)
    return picture


def _around(values: np.ndarray, size: int) -> slice:
    first, last = int(values.min()), int(values.max()) + 1
    margin = max(_LEAST_MARGIN, round(_MARGIN * (last - first)))
    return slice(max(0, first - margin), min(size, last + margin))


def _errors(truth: np.ndarray, prediction: np.ndarray, labels: LabelSet) -> Iterable[SegmentError]:
    pairs, true, predicted = label_image_segments(truth, prediction, labels)
    matches = match_segments(pairs, true, predicted)
    things = labels.ids[labels.is_thing]
    is_true = np.isin(true.class_ids, things) & ~true.crowd
    is_ours = np.isin(predicted.class_ids, things)
    shared = shared_pixels(pairs, true.ids, predicted.ids)
    shared[true.class_ids[:, None] != predicted.class_ids] = 0
    shared[~is_true] = 0
    swallowed = shared > true.areas[:, None] / 2
    parts = shared > predicted.areas / 2
    merged, split = swallowed.sum(axis=0) > 1, parts.sum(axis=1) > 1
    for p in np.flatnonzero(merged).tolist():
        yield _error("merged", p, true.ids[swallowed[:, p]], predicted.ids[[p]], predicted)
    for t in np.flatnonzero(split).tolist():
        yield _error("split", t, true.ids[[t]], predicted.ids[parts[t]], true)
    explained = swallowed[:, merged].any(axis=1) | split
    for t in np.flatnonzero(matches.missed & is_true & ~explained).tolist():
        yield _error("missed", t, true.ids[[t]], (), true)
    explained = parts[split].any(axis=0) | merged
    for p in np.flatnonzero(matches.wrong & is_ours & ~explained).tolist():
        yield _error("invented", p, (), predicted.ids[[p]], predicted)


def _error(
    kind: Kind, at: int, true: Iterable[int], predicted: Iterable[int], of: Segments
) -> SegmentError:
    return SegmentError(
        kind,
        int(of.class_ids[at]),
        int(of.areas[at]),
        tuple(int(value) for value in true),
        tuple(int(value) for value in predicted),
    )
