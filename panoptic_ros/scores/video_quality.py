"""VPQ and STQ: panoptic quality of label images whose instance numbers last over a sequence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.scores.confusion import ConfusionMatrix
from panoptic_ros.scores.overlaps import Overlaps, merged, overlaps
from panoptic_ros.scores.panoptic_quality import PanopticQuality, known_mean, known_scores
from panoptic_ros.scores.segments import overlap_segments

WINDOWS = (1, 2, 3, 4)


class VideoQuality:
    """Add up frames of sequences and give VPQ and STQ.

    VPQ: panoptic quality of every window of k frames as of one image, so that a segment is a tube
    through them, and its mean over k. Source: Kim et al. 2020, "Video Panoptic Segmentation",
    with the windows of Qiao et al. 2021, "ViP-DeepLab".

    STQ: the geometric mean of AQ, how well the pixels of each true thing stay in one track, and
    of the mean IoU of the classes. Its rules and corner cases are deeplab2's: a group's pixels
    are not asked for a track; tracks of every class count for a thing; where the prediction is
    unlabeled on a known class, "unlabeled" is one more class of IoU 0. Source: Weber et al.
    2021, "STEP: Segmenting and Tracking Every Pixel".
    """

    def __init__(self, labels: LabelSet) -> None:
        self._labels = labels
        self._thing_ids = labels.ids[labels.is_thing]
        # The overlaps of each sequence's frames, in their order.
        self._sequences: dict[str, list[Overlaps]] = {}
        self._counted: dict[str, Any] = {}

    def start_sequence(self, name: str) -> None:
        """Begin a sequence; numbers of earlier ones mean other things."""
        self._sequences[name] = []

    def add(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Count the sequence's next frame.

        truth, prediction: label images, integer [H, W], as for `label_image_segments`, whose
        instance numbers last. Raise ValueError for two sizes or a class outside the label set.
        """
        pairs = overlaps(truth, prediction)
        overlap_segments(pairs, self._labels)  # refuses unknown classes while the frame is known
        list(self._sequences.values())[-1].append(pairs)

    def counts(self) -> dict[str, Any]:
        """Return what each sequence adds, as JSON can hold it; `add_counts` takes it back."""
        own = {name: self._counts(frames) for name, frames in self._sequences.items()}
        return {**self._counted, **own}

    def add_counts(self, counts: Mapping[str, Any]) -> None:
        """Add sequences that another one has counted; their names are not known here yet."""
        self._counted |= counts

    def results(self) -> dict[str, Any]:
        """Return the scores as fractions, None where there was nothing to score.

        {"vpq": {"vpq": the mean, "windows": {k: PanopticQuality.results}}, "stq": {"stq", "aq",
        "iou", "sequences": {name: {"stq", "aq", "iou", "frames"}}}}.
        """
        counts = self.counts()
        windows = {}
        for k in WINDOWS:
            quality = PanopticQuality.of(self._labels)
            for counted in counts.values():
                quality.add_sparse(counted["windows"][str(k)])
            windows[k] = known_scores(quality.results())
        vpq = known_mean(window["all"]["pq"] for window in windows.values())
        return {"vpq": {"vpq": vpq, "windows": windows}, "stq": self._stq(counts)}

    def _counts(self, frames: Sequence[Overlaps]) -> dict[str, Any]:
        pairs = merged(frames)
        matrix = ConfusionMatrix(self._labels)
        matrix.add_overlaps(pairs)
        confusion = matrix.counts.ravel()
        occurs = np.flatnonzero(confusion)
        return {
            "frames": len(frames),
            "windows": {str(k): self._window(frames, k).sparse() for k in WINDOWS},
            "association": self._association(pairs),
            "confusion": [occurs.tolist(), confusion[occurs].tolist()],
        }

    def _window(self, frames: Sequence[Overlaps], length: int) -> PanopticQuality:
        quality = PanopticQuality.of(self._labels)
        for start in range(len(frames) - length + 1):
            tubes = merged(frames[start : start + length])
            quality.add(*overlap_segments(tubes, self._labels))
        return quality

    def _stq(self, counts: Mapping[str, Any]) -> dict[str, Any]:
        sums, tubes, sequences = 0.0, 0, {}
        confusion = np.zeros((len(self._labels), len(self._labels) + 1), np.int64)
        for name, counted in counts.items():
            own_sum, own_tubes = counted["association"]
            own = np.zeros_like(confusion)
            places, pixels = counted["confusion"]
            own.ravel()[places] = pixels
            sums, tubes, confusion = sums + own_sum, tubes + own_tubes, confusion + own
            frames = {"frames": counted["frames"]}
            sequences[name] = _quality(own_sum, own_tubes, own) | frames
        return {**_quality(sums, tubes, confusion), "sequences": sequences}

    def _association(self, pairs: Overlaps) -> tuple[float, int]:
        """Return the sum of association quality over the true tubes, and how many they are."""
        true_things = np.isin(class_ids(pairs.truth), self._thing_ids)
        is_group = true_things & (pairs.truth < INSTANCE_DIVISOR)
        is_asked = true_things & ~is_group
        is_track = np.isin(class_ids(pairs.prediction), self._thing_ids) & ~is_group
        sizes = _sizes(pairs.truth, pairs.pixels, is_asked)
        tracks = _sizes(pairs.prediction, pairs.pixels, is_track)
        total = 0.0
        both = is_asked & is_track
        for truth, track, shared in zip(
            *(x[both].tolist() for x in (pairs.truth, pairs.prediction, pairs.pixels)), strict=True
        ):
            union = sizes[truth] + tracks[track] - shared
            total += shared * shared / union / sizes[truth]
        return total, len(sizes)


def _sizes(ids: np.ndarray, pixels: np.ndarray, chosen: np.ndarray) -> dict[int, int]:
    """Return the pixels of each chosen id."""
    found, index = np.unique(ids[chosen], return_inverse=True)
    sums = np.bincount(index.ravel(), pixels[chosen], len(found)).astype(np.int64)
    return dict(zip(found.tolist(), sums.tolist(), strict=True))


def _quality(sums: float, tubes: int, confusion: np.ndarray) -> dict[str, float | None]:
    """Return STQ, AQ and IoU from their sums."""
    hits = np.append(np.diag(confusion), 0)
    union = np.append(confusion.sum(1), 0) + confusion.sum(0) - hits
    occurs = union > 0
    iou = float((hits[occurs] / union[occurs]).mean()) if occurs.any() else None
    aq = sums / tubes if tubes else None
    known: Sequence[float | None] = (aq, iou)
    stq = None if None in known else float(np.sqrt((aq or 0) * (iou or 0)))
    return {"stq": stq, "aq": aq, "iou": iou}
