"""Track drives on true and on predicted labels, under several conditions, and score it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.evaluation.drive_conditions import (
    AS_RECORDED,
    CONDITIONS,
    Condition,
    drifted,
    pitched,
)
from panoptic_ros.evaluation.town_drive import Drive, DriveFrame
from panoptic_ros.evaluation.track_truth import as_prediction
from panoptic_ros.grid.projection import GroundProjection
from panoptic_ros.grid.projection_options import ProjectionOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.track_accuracy import TrackScore
from panoptic_ros.tracking import InstanceTracker, Track

TRUE_LABELS, PREDICTED = "true_labels", "predicted"
_SEED = 0


@dataclass(frozen=True)
class TrackedFrame:
    """Hold what became of a frame: its prediction and the tracks."""

    frame: DriveFrame
    prediction: PanopticPrediction
    tracks: list[Track]


def true_predictions(drive: Drive, labels: LabelSet) -> list[PanopticPrediction]:
    """Return the true labels of a drive's frames with new instance numbers in each."""
    rng = np.random.default_rng(_SEED)
    return [as_prediction(frame.truth, labels, rng) for frame in drive.frames]


def network_predictions(
    drive: Drive, network: Callable[[np.ndarray], PanopticPrediction]
) -> list[PanopticPrediction]:
    """Return what a network makes of a drive's images."""
    return [network(frame.image()) for frame in tqdm(drive.frames, drive.name, unit="frame")]


def track_drive(
    drive: Drive,
    predictions: Sequence[PanopticPrediction],
    labels: LabelSet,
    condition: Condition = AS_RECORDED,
) -> list[TrackedFrame]:
    """Track a drive's instances as the node does; only the condition's frames are there."""
    base_from_optical = pitched(drive.base_from_optical, condition.pitch)
    projection = GroundProjection(
        drive.camera, base_from_optical, GridWindow(), labels, ProjectionOptions()
    )
    tracker = InstanceTracker(labels)
    poses = drifted((frame.pose for frame in drive.frames), condition.drift)
    tracked = []
    for frame, prediction, pose in list(zip(drive.frames, predictions, poses, strict=True))[
        :: condition.step
    ]:
        if condition.odometry:
            placed = {i.id: i for i in projection(prediction).instances}
            tracks = tracker.update(
                prediction,
                time=frame.time,
                ground=placed,
                pose=pose,
                camera=drive.camera,
                base_from_optical=base_from_optical,
            )
        else:
            tracks = tracker.update(prediction, time=frame.time, image=frame.image())
        tracked.append(TrackedFrame(frame, prediction, tracks))
    return tracked


def score_tracks(drives: Sequence[Sequence[TrackedFrame]], labels: LabelSet) -> dict[str, Any]:
    """Return the score of tracked drives, see `TrackScore.results`."""
    score = TrackScore(labels)
    for frames in drives:
        score.start_sequence()
        for tracked in frames:
            track_ids = {t.instance_id: t.track_id for t in tracked.tracks if not t.coasting}
            score.add(tracked.frame.truth, tracked.prediction.labels, track_ids)
    return score.results()


@dataclass(frozen=True)
class TrackComparison:
    """Hold the scores, and the first drive as it was tracked, by kind of labels.

    results: {"true_labels": score, "predicted": score, "robustness": {name: the same two},
    "drives": names, "frames"}; score: see `TrackScore.results`.
    """

    results: dict[str, Any]
    first_drive: dict[str, list[TrackedFrame]]


def compare_tracks(
    drives: Sequence[Drive],
    labels: LabelSet,
    network: Callable[[np.ndarray], PanopticPrediction],
) -> TrackComparison:
    """Track on true labels and on a network's, as recorded and under worse conditions."""
    predictions = {
        TRUE_LABELS: [true_predictions(drive, labels) for drive in drives],
        PREDICTED: [network_predictions(drive, network) for drive in drives],
    }
    rows: dict[str, dict[str, Any]] = {}
    first_drive = {}
    for condition in tqdm(CONDITIONS, "tracking", unit="row"):
        rows[condition.name] = {}
        for kind, of_drives in predictions.items():
            tracked = [
                track_drive(drive, of_drive, labels, condition)
                for drive, of_drive in zip(drives, of_drives, strict=True)
            ]
            rows[condition.name][kind] = score_tracks(tracked, labels)
            if condition is AS_RECORDED:
                first_drive[kind] = tracked[0]
    results = {
        **rows[AS_RECORDED.name],
        "robustness": rows,
        "drives": [drive.name for drive in drives],
        "frames": sum(len(drive.frames) for drive in drives),
    }
    return TrackComparison(results, first_drive)
