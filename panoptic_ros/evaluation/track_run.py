"""Track drives on true and on predicted labels, under several conditions, and score it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import find_objects
from tqdm import tqdm

from panoptic_ros.evaluation.box_run import score_boxes
from panoptic_ros.evaluation.drive_conditions import (
    AS_RECORDED,
    CONDITIONS,
    PREDICTED,
    TRUE_LABELS,
    Condition,
    views_of,
)
from panoptic_ros.evaluation.town_drive import DriveFrame, Network, TownDrive, network_predictions
from panoptic_ros.evaluation.tracked_video import TrackedVideo
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.labels import INSTANCE_DIVISOR, LabelSet, class_ids, encode
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.scores.video_quality import VideoQuality
from panoptic_ros.tracking.track import Track

_SEED = 0


@dataclass(frozen=True)
class TrackedFrame:
    """Hold a frame's results: its prediction, the tracks, and the tracks by instance."""

    frame: DriveFrame
    prediction: PanopticPrediction
    tracks: list[Track]
    track_ids: dict[int, int]


def true_predictions(drive: TownDrive, labels: LabelSet) -> list[PanopticPrediction]:
    """Return the true labels of a drive's frames with new instance numbers in each."""
    rng = np.random.default_rng(_SEED)
    return [as_prediction(frame.truth, labels, rng) for frame in drive.frames]


def as_prediction(
    truth: np.ndarray, labels: LabelSet, rng: np.random.Generator
) -> PanopticPrediction:
    """Return true labels as a perfect network gives them: instance numbers tell no identity.

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


def track_drive(
    drive: TownDrive,
    predictions: Sequence[PanopticPrediction],
    labels: LabelSet,
    condition: Condition = AS_RECORDED,
) -> list[TrackedFrame]:
    """Track a drive's instances as the node does; only the condition's frames are there."""
    stage, views = GroundStage(labels), views_of(drive, condition)
    tracked = []
    for frame, prediction, view in list(zip(drive.frames, predictions, views, strict=True))[
        :: condition.step
    ]:
        # Without odometry the pictures themselves tell how the camera moves.
        image = None if condition.odometry else frame.image()
        result = stage(prediction, time_ns=frame.time_ns, view=view, image=image)
        tracked.append(TrackedFrame(frame, prediction, result.tracks, result.track_ids))
    return tracked


def score_tracks(drives: Sequence[Sequence[TrackedFrame]], labels: LabelSet) -> dict[str, Any]:
    """Return the score of tracked drives, see `TrackScore.results`."""
    score = TrackScore(labels)
    for frames in drives:
        score.start_sequence()
        for tracked in frames:
            score.add(tracked.frame.truth, tracked.prediction.labels, tracked.track_ids)
    return score.results()


def score_video(drives: Sequence[Sequence[TrackedFrame]], labels: LabelSet) -> dict[str, Any]:
    """Return VPQ and STQ of tracked drives, see `VideoQuality.results`."""
    whole = VideoQuality(labels)
    for number, frames in enumerate(drives):
        video = TrackedVideo(labels, f"{number}/drive")
        for tracked in frames:
            prediction = tracked.prediction
            things = [s.id for s in prediction.segments if s.is_thing]
            video.add(tracked.frame.truth, prediction.labels, things, tracked.track_ids)
        whole.add_counts(video.quality.counts())
    return whole.results()


@dataclass(frozen=True)
class TrackComparison:
    """Hold the scores, and the first drive as it was tracked, by kind of labels.

    results: {"true_labels": score, "predicted": score, "robustness": {name: the same two},
    "boxes": see `score_boxes`, "video": {the same two: `VideoQuality.results`}, "drives": names,
    "frames"}; score: see `TrackScore.results`.
    """

    results: dict[str, Any]
    first_drive: dict[str, list[TrackedFrame]]


def compare_tracks(
    drives: Sequence[TownDrive], labels: LabelSet, network: Network
) -> TrackComparison:
    """Track on true labels and on a network's, as recorded and under worse conditions."""
    predictions = {
        TRUE_LABELS: [true_predictions(drive, labels) for drive in drives],
        PREDICTED: [network_predictions(drive, network) for drive in drives],
    }
    tracked = {
        condition.name: {
            kind: [
                track_drive(drive, of_drive, labels, condition)
                for drive, of_drive in zip(drives, of_drives, strict=True)
            ]
            for kind, of_drives in predictions.items()
        }
        for condition in tqdm(CONDITIONS, "tracking", unit="row")
    }
    rows = {
        name: {kind: score_tracks(of_drives, labels) for kind, of_drives in kinds.items()}
        for name, kinds in tracked.items()
    }
    recorded = tracked[AS_RECORDED.name]
    results = {
        **rows[AS_RECORDED.name],
        "robustness": rows,
        "boxes": score_boxes(drives, labels, predictions),
        "video": {kind: score_video(of_drives, labels) for kind, of_drives in recorded.items()},
        "drives": [drive.name for drive in drives],
        "frames": sum(len(drive.frames) for drive in drives),
    }
    return TrackComparison(results, {kind: of_drives[0] for kind, of_drives in recorded.items()})
