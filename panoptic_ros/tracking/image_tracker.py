"""Tracks in the image: BoT-SORT of the `trackers` library, class by class."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import supervision as sv
from trackers import BoTSORTTracker, GIoU
from trackers.core.botsort.tracklet import BoTSORTTracklet
from trackers.utils.motion_models import constant_velocity_transition_matrix
from trackers.utils.predict_timing import PredictTiming
from trackers.utils.state_representations import XYXYStateEstimator

from panoptic_ros.tracking.tracking_options import TrackingOptions

# BoT-SORT's noises are tuned in steps of 1/30 s, and its buffer is given in them.
_LIBRARY_RATE = 30.0
# Classes lie side by side, this many pixels apart, so that one pass over all boxes keeps them
# apart (as torchvision's batched_nms does); a pass per class costs half as much again.
_CLASS_STRIDE = 1e6
# Between two sightings a box may change more than this in width or in height, where something
# begins to hide its object, but not in both.
_LARGEST_CHANGE = 3.0
# The library lets no expected box become smaller; pixels.
_SMALLEST_SIZE = 1e-3


class _BoxSimilarity(GIoU):
    """Compare boxes by GIoU (Rezatofighi et al. 2019), -1 where their sizes do not fit.

    Small boxes that pass by close have left their last place altogether: unlike IoU, GIoU still
    tells how near they are. Without the sizes, a lost track would go on with whatever appears
    before or behind its object.
    """

    def _compute(self, boxes_1: np.ndarray, boxes_2: np.ndarray) -> np.ndarray:
        sizes_1 = np.maximum(boxes_1[:, 2:] - boxes_1[:, :2], np.finfo(float).tiny)[:, None]
        sizes_2 = np.maximum(boxes_2[:, 2:] - boxes_2[:, :2], np.finfo(float).tiny)
        change = np.abs(np.log(sizes_1) - np.log(sizes_2)).min(axis=-1)
        similarity = super()._compute(boxes_1, boxes_2)
        return np.where(change > np.log(_LARGEST_CHANGE), -1.0, similarity)


class _Tracklet(BoTSORTTracklet):
    """Keep the box that is seen until those of all tracks are taken at once."""

    seen: np.ndarray | None = None

    def update(self, bbox: np.ndarray) -> None:
        self.seen = bbox
        self.time_since_update, self.time_since_update_seconds = 0, 0.0
        self.number_of_successful_updates += 1


class _Tracker(BoTSORTTracker):
    """Filter all tracks in one pass: the library's own arithmetic, track by track, is slower."""

    def update(
        self,
        detections: sv.Detections,
        frame: np.ndarray | None = None,
        timestamp: float | None = None,
    ) -> sv.Detections:
        found = super().update(detections, frame, timestamp)
        self._take([t for t in self.tracks if isinstance(t, _Tracklet) and t.seen is not None])
        return found

    def _predict_tracklets(self, tracklets: list[BoTSORTTracklet], timing: PredictTiming) -> None:
        if timing.skip_predict or not tracklets:
            return
        states, covariances = _states(tracklets)

        # Widths scale the noise of columns, heights that of rows, and nothing links the two.
        model = tracklets[0].state_estimator.motion
        model.process_noise.calibrate(tracklets[0]._build_process_noise(1.0, 1.0))
        noise = model.process_noise.build_Q(timing.frame_step, timing.frame_rate)
        noise = noise * np.tile(_sizes(states) ** 2, 4)[:, :, None]
        transition = constant_velocity_transition_matrix(
            model.dim_x, model.pos_idx, model.vel_idx, timing.frame_step
        )
        _set_states(tracklets, transition @ states, transition @ covariances @ transition.T + noise)
        for track in tracklets:
            track._advance_miss_clocks(timing)

    def _take(self, tracklets: list[_Tracklet]) -> None:
        """Take the boxes that are seen.

        S is diagonal, and need not be inverted: the four coordinates are measured themselves, and
        nothing links one to another.
        """
        if not tracklets:
            return
        states, covariances = _states(tracklets)
        boxes = np.concatenate([t.seen for t in tracklets]).reshape(-1, 4, 1)
        noise = (BoTSORTTracklet._SIGMA_M * np.tile(_sizes(states), 2)) ** 2
        # P H^T, and the diagonal of S = H P H^T + R.
        links = covariances[:, :, :4]
        variances = links[:, :4].diagonal(axis1=1, axis2=2) + noise
        gains = links / variances[:, None]
        _set_states(
            tracklets,
            states + gains @ (boxes - states[:, :4]),
            covariances - gains @ links.transpose(0, 2, 1),
        )
        for track in tracklets:
            track.seen = None

    def _spawn_new_tracks(
        self,
        detection_boxes: np.ndarray,
        confidences: np.ndarray,
        unmatched_high_local: list[int],
        high_indices: np.ndarray,
        out_det_indices: list[int],
        out_tracker_ids: list[int],
        is_first_frame: bool = False,
    ) -> None:
        """Start tracks of our own kind; their ids come later."""
        for index in high_indices[unmatched_high_local].tolist():
            out_det_indices.append(index)
            out_tracker_ids.append(-1)
            if confidences[index] >= self.track_activation_threshold:
                self.tracks.append(_Tracklet(detection_boxes[index], self.state_estimator_class))


def _states(tracklets: Sequence[BoTSORTTracklet]) -> tuple[np.ndarray, np.ndarray]:
    """Return the tracks' states [N, 8, 1], corners and velocities, and covariances [N, 8, 8]."""
    filters = [t.state_estimator.kf for t in tracklets]
    # np.stack takes three times as long.
    return (
        np.concatenate([f.state for f in filters]).reshape(-1, 8, 1),
        np.concatenate([f.state_covariance for f in filters]).reshape(-1, 8, 8),
    )


def _sizes(states: np.ndarray) -> np.ndarray:
    """Return width and height of the boxes, [N, 2]."""
    return np.asarray(np.maximum(states[:, 2:4, 0] - states[:, :2, 0], _SMALLEST_SIZE))


def _set_states(
    tracklets: Sequence[BoTSORTTracklet], states: np.ndarray, covariances: np.ndarray
) -> None:
    """Set the tracks' states and covariances; a box that has turned inside out is widened."""
    low, high = states[:, :2], states[:, 2:4]
    states[:, 2:4] = np.where(high <= low, low + _SMALLEST_SIZE, high)
    for track, state, covariance in zip(tracklets, states, covariances, strict=True):
        filter_ = track.state_estimator.kf
        filter_.state, filter_.state_covariance = state, covariance


class ImageTracker:
    """Associate boxes over frames, those of a class among themselves.

    Source: Aharon et al. 2022, "BoT-SORT: Robust Associations Multi-Pedestrian Tracking".
    """

    def __init__(
        self, options: TrackingOptions, class_ids: Sequence[int], ids: Iterator[int]
    ) -> None:
        """Start without tracks; class_ids: all there are; ids: where track ids come from."""
        self._ids = ids
        self._offsets = {c: k * _CLASS_STRIDE for k, c in enumerate(class_ids)}
        self._offset_of: dict[int, float] = {}
        self._start_score = options.start_score
        self._tracker = _Tracker(
            lost_track_buffer=round(options.coast_time * _LIBRARY_RATE),
            frame_rate=_LIBRARY_RATE,
            track_activation_threshold=options.start_score,
            high_conf_det_threshold=options.start_score,
            minimum_consecutive_frames=1,
            minimum_iou_threshold_first_assoc=options.min_similarity,
            minimum_iou_threshold_second_assoc=2 * options.min_similarity - 1,
            iou=_BoxSimilarity(),
            # Ids are ours: the library's start again with each tracker.
            instant_first_frame_activation=False,
            enable_cmc=False,
            # The only state whose width and height have velocities of their own and scale.
            state_estimator_class=XYXYStateEstimator,
        )

    @property
    def track_ids(self) -> list[int]:
        """Live tracks, seen or coasting."""
        return [t.tracker_id for t in self._tracker.tracks]

    def boxes(self) -> np.ndarray:
        """Return the boxes of `track_ids`, float64 [N, 4], xyxy."""
        if not self._tracker.tracks:
            return np.zeros((0, 4))
        boxes = _states(self._tracker.tracks)[0][:, :4, 0]
        boxes[:, ::2] -= self._track_offsets()[:, None]
        return boxes

    def move(self, scales: np.ndarray, shifts: np.ndarray) -> None:
        """Move the boxes of `track_ids`, with their velocities and covariances.

        scales: [N]; shifts: [N, 2]; a corner p becomes scale * p + shift. It is what the
        library's own camera motion does, which takes one motion for all tracks only.
        """
        if not len(scales):
            return
        moves = np.zeros((len(scales), 8, 1))
        moves[:, :4, 0] = np.tile(shifts, 2)
        moves[:, :4:2, 0] += (self._track_offsets() * (1 - scales))[:, None]
        states, covariances = _states(self._tracker.tracks)
        scales = scales[:, None, None]
        _set_states(self._tracker.tracks, scales * states + moves, covariances * scales**2)

    def update(
        self, boxes: np.ndarray, class_ids: Sequence[int], scores: np.ndarray, time: float
    ) -> np.ndarray:
        """Return the track of each box, int64 [N], 0 where its score starts none.

        boxes: float [N, 4], xyxy; class_ids: [N]; scores: [N], 0..1; time: seconds, later than
        the last one.
        """
        ids = np.zeros(len(boxes), np.int64)
        offsets = np.array([self._offsets[c] for c in class_ids])
        boxes = boxes + offsets[:, None] * [1, 0, 1, 0]
        # The library returns detections in another order.
        found = self._tracker.update(
            sv.Detections(xyxy=boxes, confidence=scores, data={"row": list(range(len(boxes)))}),
            timestamp=time,
        )
        found_rows = np.asarray(found.data["row"] if len(found) else [], np.int64)
        found_ids = np.asarray(found.tracker_id if len(found) else [], np.int64)
        ids[found_rows] = np.maximum(found_ids, 0)
        # A track's first detection comes back without an id; both are listed in one order.
        is_first = (found_ids < 0) & (scores[found_rows] >= self._start_score)
        new = [t for t in self._tracker.tracks if t.tracker_id < 0]
        for row, track in zip(found_rows[is_first], new, strict=True):
            track.tracker_id = ids[row] = next(self._ids)
            self._offset_of[track.tracker_id] = offsets[row]
        self._offset_of = {i: self._offset_of[i] for i in self.track_ids}
        return ids

    def rename(self, track_id: int, name: int) -> None:
        """Let a track go on under the id of a lost one of its class, which ends."""
        tracks = [t for t in self._tracker.tracks if t.tracker_id != name]
        self._tracker.tracks = tracks
        next(t for t in tracks if t.tracker_id == track_id).tracker_id = name

    def _track_offsets(self) -> np.ndarray:
        return np.array([self._offset_of[i] for i in self.track_ids])
