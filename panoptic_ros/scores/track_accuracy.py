"""HOTA, IDF1 and identity switches of tracks whose objects are masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.scores.mots import MATCH_IOU, TrackSequence, track_results
from panoptic_ros.scores.overlaps import Overlaps
from panoptic_ros.scores.segments import VOID, Segments, label_image_segments

_SCORES = ("hota", "deta", "assa", "idf1", "mota", "switches", "objects", "sightings")


class TrackScore:
    """Add up frames of sequences and score the tracks of their thing instances.

    A track and a true object are as similar as the IoU of their masks where they are of one
    class, else not at all; void pixels (truth 0) count for neither. A track's mask that
    matches no object (IoU < 0.5) and lies by more than half on void or on its class's groups
    is left out; groups are not asked for. HOTA: the mean over 19 localisation thresholds;
    IDF1 and switches at IoU 0.5. Sources: Luiten et al. 2021, "HOTA: A Higher Order Metric for
    Evaluating Multi-Object Tracking"; Ristani et al. 2016, "Performance Measures and a Data
    Set for Multi-Target, Multi-Camera Tracking"; Bernardin and Stiefelhagen 2008, "Evaluating
    Multiple Object Tracking Performance: The CLEAR MOT Metrics"; as `trackers` has them.
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._thing_ids = labels.ids[labels.is_thing]
        self._sequences: list[TrackSequence] = []

    def start_sequence(self) -> None:
        """Begin a sequence: true ids and track ids of earlier ones mean other objects."""
        self._sequences.append(TrackSequence())

    def add(self, truth: np.ndarray, prediction: np.ndarray, track_ids: Mapping[int, int]) -> None:
        """Count one frame of the sequence.

        truth, prediction: label images, integer [H, W], as for `label_image_segments`; truth's
        instance ids last over the sequence; track_ids: by value of the predicted label image.
        """
        pairs, true, predicted = label_image_segments(truth, prediction, self._labels)
        iou, ignored = mask_iou(pairs, true, predicted)
        asked = np.isin(true.class_ids, self._thing_ids) & (true.ids >= INSTANCE_DIVISOR)
        tracked = np.isin(predicted.ids, list(track_ids))
        matched = (iou[asked] >= MATCH_IOU).any(axis=0)
        kept = tracked & (matched | (ignored <= predicted.areas / 2))
        sequence = self._sequences[-1]
        sequence.truth.append(true.ids[asked])
        sequence.tracks.append(np.array([track_ids[i] for i in predicted.ids[kept]], np.int64))
        sequence.similarity.append(iou[np.ix_(asked, kept)])

    def results(self) -> dict[str, Any]:
        """Return the score: percentages, None where there was nothing to score, and counts.

        {"hota", "deta", "assa", "idf1", "mota", "switches", "objects", "sightings"}; objects:
        true ones, sightings: of them, over all frames.
        """
        found = track_results(self._sequences)
        found["mota"] = found["motsa"]
        return {name: found[name] for name in _SCORES}


def mask_iou(pairs: Overlaps, true: Segments, predicted: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU of segments of one class [T, P] and predicted pixels on void or groups [P]."""
    common = np.zeros((len(true.ids) + 1, len(predicted.ids) + 1))
    # Row and column 0 are for void and for unlabeled pixels.
    rows = np.searchsorted(np.concatenate([[VOID], true.ids]), pairs.truth)
    columns = np.searchsorted(np.concatenate([[VOID], predicted.ids]), pairs.prediction)
    np.add.at(common, (rows, columns), pairs.pixels)
    void, common = common[0, 1:], common[1:, 1:]
    common *= true.class_ids[:, None] == predicted.class_ids
    union = true.areas[:, None] + predicted.areas - void - common
    iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    return iou, void + common[true.crowd].sum(axis=0)
