"""HOTA, IDF1 and identity switches of tracks whose objects are masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.scores.mots import MATCH_IOU, TrackSequence, track_results
from panoptic_ros.scores.overlaps import Overlaps, shared_pixels
from panoptic_ros.scores.segments import VOID, Segments, label_image_segments


@dataclass(frozen=True)
class _Frame:
    """Hold a frame's true ids [T], track ids [P], the tracks' classes [P], similarity [T, P]."""

    truth: np.ndarray
    tracks: np.ndarray
    classes: np.ndarray
    similarity: np.ndarray

    def counts(self) -> list[Any]:
        rows, columns = np.nonzero(self.similarity)
        entries = (rows.tolist(), columns.tolist(), self.similarity[rows, columns].tolist())
        ids = (self.truth, self.tracks, self.classes)
        return [*(part.tolist() for part in ids), [*map(list, zip(*entries, strict=True))]]

    @classmethod
    def of_counts(cls, counts: Sequence[Any]) -> _Frame:
        truth, tracks, classes = (np.array(part, np.int64) for part in counts[:3])
        similarity = np.zeros((len(truth), len(tracks)))
        for row, column, iou in counts[3]:
            similarity[row, column] = iou
        return cls(truth, tracks, classes, similarity)


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
        self._sequences: list[list[_Frame]] = []

    def start_sequence(self) -> None:
        """Begin a sequence: true ids and track ids of earlier ones mean other objects."""
        self._sequences.append([])

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
        tracks = np.array([track_ids[i] for i in predicted.ids[kept]], np.int64)
        self._sequences[-1].append(
            _Frame(true.ids[asked], tracks, predicted.class_ids[kept], iou[np.ix_(asked, kept)])
        )

    def counts(self) -> list[Any]:
        """Return the frames of each sequence as JSON can hold them; `add_counts` takes them."""
        return [[frame.counts() for frame in sequence] for sequence in self._sequences]

    def add_counts(self, counts: Sequence[Any]) -> None:
        """Add sequences that another one has counted."""
        self._sequences += [list(map(_Frame.of_counts, sequence)) for sequence in counts]

    def results(self) -> dict[str, Any]:
        """Return `track_results` of all things together, `mota` (their MOTSA), and `classes`.

        classes: {name: `track_results`} of those in the truth or among the tracks.
        """
        found = self._results(self._thing_ids)
        classes = {c.name: self._results(np.array([c.id])) for c in self._labels.things}
        occurs = {
            name: score
            for name, score in classes.items()
            if score["sightings"] or score["false_positives"]
        }
        return {**found, "mota": found["motsa"], "classes": occurs}

    def _results(self, classes: np.ndarray) -> dict[str, Any]:
        sequences = []
        for frames in self._sequences:
            sequence = TrackSequence()
            for frame in frames:
                rows = np.isin(class_ids(frame.truth), classes)
                columns = np.isin(frame.classes, classes)
                sequence.truth.append(frame.truth[rows])
                sequence.tracks.append(frame.tracks[columns])
                sequence.similarity.append(frame.similarity[np.ix_(rows, columns)])
            sequences.append(sequence)
        return track_results(sequences)


def mask_iou(pairs: Overlaps, true: Segments, predicted: Segments) -> tuple[np.ndarray, np.ndarray]:
    """Return IoU of segments of one class [T, P] and predicted pixels on void or groups [P]."""
    common = shared_pixels(pairs, np.append(VOID, true.ids), predicted.ids)
    void, common = common[0], common[1:]
    common *= true.class_ids[:, None] == predicted.class_ids
    union = true.areas[:, None] + predicted.areas - void - common
    iou = np.divide(common, union, out=np.zeros(common.shape), where=union > 0)
    return iou, void + common[true.crowd].sum(axis=0)
