"""Score the label images of a drive as a video: its things have the numbers of their tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids
from panoptic_ros.scores.video_quality import VideoQuality


class TrackedVideo:
    """Add up a drive's frames for VPQ and STQ, see `VideoQuality`.

    A thing without a track is another object in every frame. Where a class has had 999 tracks,
    its numbers are used up, and a new sequence begins.
    """

    def __init__(self, labels: LabelSet, name: str) -> None:
        self.quality = VideoQuality(labels)
        self._name, self._part = name, 0
        self._start()

    def add(
        self,
        truth: np.ndarray,
        labels: np.ndarray,
        things: Sequence[int],
        track_ids: Mapping[int, int],
    ) -> None:
        """Count the next frame.

        truth: integer [H, W] whose instance numbers last; labels: the predicted label image;
        things: its values that are instances; track_ids: by such values. Raise as
        `VideoQuality.add`.
        """
        classes = class_ids(np.array(things, np.int64)).tolist()
        if any(self._last[c] + n >= INSTANCE_DIVISOR for c, n in Counter(classes).items()):
            self._start()
        table_of = np.arange(int(labels.max(initial=0)) + 1)
        for value, class_id in zip(things, classes, strict=True):
            number = self._number(class_id, track_ids.get(value))
            table_of[value] = class_id * INSTANCE_DIVISOR + number
        self.quality.add(truth, table_of[labels].astype(truth.dtype))

    def _start(self) -> None:
        self._part += 1
        self._numbers: dict[tuple[int, int], int] = {}
        self._last: Counter[int] = Counter()
        self.quality.start_sequence(self._name + (f" ({self._part})" if self._part > 1 else ""))

    def _number(self, class_id: int, track: int | None) -> int:
        known = None if track is None else self._numbers.get((class_id, track))
        if known is not None:
            return known
        self._last[class_id] += 1
        if track is not None:
            self._numbers[class_id, track] = self._last[class_id]
        return self._last[class_id]
