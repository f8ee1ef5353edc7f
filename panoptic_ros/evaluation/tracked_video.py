"""Score the label images of a drive as a video: its things have the numbers of their tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet
from panoptic_ros.prediction import PanopticPrediction
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
        self, truth: np.ndarray, prediction: PanopticPrediction, track_ids: Mapping[int, int]
    ) -> None:
        """Count the next frame.

        truth: integer [H, W] whose instance numbers last; track_ids: by value of the predicted
        label image. Raise as `VideoQuality.add`.
        """
        things = Counter(s.class_id for s in prediction.segments if s.is_thing)
        if any(self._last[c] + n >= INSTANCE_DIVISOR for c, n in things.items()):
            self._start()
        table_of = np.arange(int(prediction.labels.max(initial=0)) + 1)
        for segment in prediction.segments:
            if segment.is_thing:
                number = self._number(segment.class_id, track_ids.get(segment.id))
                table_of[segment.id] = segment.class_id * INSTANCE_DIVISOR + number
        self.quality.add(truth, table_of[prediction.labels].astype(truth.dtype))

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
