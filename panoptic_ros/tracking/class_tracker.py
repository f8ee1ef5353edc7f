"""Tracks of one class in the image: BoT-SORT of the `trackers` library."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import supervision as sv
from trackers import BoTSORTTracker, GIoU
from trackers.core.botsort.tracklet import BoTSORTTracklet
from trackers.utils.state_representations import XYXYStateEstimator

from panoptic_ros.tracking.options import TrackingOptions

# BoT-SORT's noises are tuned in steps of 1/30 s, and its buffer is given in them.
_LIBRARY_RATE = 30.0


class ClassTracker:
    """Associate the boxes of one class over frames.

    Ids are taken from an iterator that several classes share. Source: Aharon et al. 2022,
    "BoT-SORT: Robust Associations Multi-Pedestrian Tracking".
    """

    def __init__(self, options: TrackingOptions, ids: Iterator[int]) -> None:
        self._ids = ids
        self._start_score = options.start_score
        self._tracker = BoTSORTTracker(
            lost_track_buffer=round(options.coast_time * _LIBRARY_RATE),
            frame_rate=_LIBRARY_RATE,
            track_activation_threshold=options.start_score,
            high_conf_det_threshold=options.start_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold_first_assoc=options.min_similarity,
            minimum_iou_threshold_second_assoc=2 * options.min_similarity - 1,
            # Small boxes that pass by close have left their last place altogether: unlike IoU,
            # GIoU still tells how near they are (Rezatofighi et al. 2019).
            iou=GIoU(),
            # Ids are ours: the library's begin anew in each class.
            instant_first_frame_activation=False,
            enable_cmc=False,
            # The only state whose width and height camera motion scales, too.
            state_estimator_class=XYXYStateEstimator,
        )

    @property
    def tracklets(self) -> list[BoTSORTTracklet]:
        """Live tracks of the class, seen or coasting; `tracker_id` is theirs for good."""
        return self._tracker.tracks

    def update(self, boxes: np.ndarray, scores: np.ndarray, time: float) -> np.ndarray:
        """Return the track of each box, int64 [N], 0 where its score starts none.

        boxes: float [N, 4], xyxy; scores: [N], 0..1; time: seconds, later than the last one.
        """
        ids = np.zeros(len(boxes), np.int64)
        if not len(boxes) and not self.tracklets:
            return ids
        # The library returns detections in another order.
        rows = {"row": np.arange(len(boxes))}
        found = self._tracker.update(
            sv.Detections(xyxy=boxes, confidence=scores, data=rows), timestamp=time
        )
        if not len(found):
            return ids
        found_rows = found.data["row"]
        ids[found_rows] = np.maximum(found.tracker_id, 0)
        # A track's first detection comes back without an id; both are listed in one order.
        is_first = (found.tracker_id < 0) & (scores[found_rows] >= self._start_score)
        new = [t for t in self._tracker.tracks if t.tracker_id < 0]
        for row, tracklet in zip(found_rows[is_first], new, strict=True):
            tracklet.tracker_id = ids[row] = next(self._ids)
        return ids

    def rename(self, track_id: int, name: int) -> None:
        """Let a track go on under the id of a lost one, which ends."""
        tracks = [t for t in self._tracker.tracks if t.tracker_id != name]
        self._tracker.tracks = tracks
        next(t for t in tracks if t.tracker_id == track_id).tracker_id = name


def move_boxes(tracklets: list[BoTSORTTracklet], scales: np.ndarray, shifts: np.ndarray) -> None:
    """Move the tracks' boxes, with their velocities and covariances.

    scales: [N]; shifts: [N, 2]; a corner p becomes scale * p + shift. It is what the library's
    CMC does, which takes one motion for all tracks only.
    """
    offsets = np.zeros((len(tracklets), 8, 1))
    offsets[:, :4, 0] = np.tile(shifts, 2)
    for tracklet, scale, offset in zip(tracklets, scales, offsets, strict=True):
        filter_ = tracklet.state_estimator.kf
        filter_.state = scale * filter_.state + offset
        filter_.state_covariance = scale**2 * filter_.state_covariance
