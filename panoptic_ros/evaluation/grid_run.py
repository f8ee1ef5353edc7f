"""Project and fuse drives with true and with predicted labels, and score both."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.drive_conditions import (
    AS_RECORDED,
    GROUND_CONDITIONS,
    PREDICTED,
    TRUE_LABELS,
    Condition,
    views_of,
)
from panoptic_ros.evaluation.grid_fusion import ShownFrame, best_single, free_iou, seen_cells
from panoptic_ros.evaluation.grid_truth import ground_truth
from panoptic_ros.evaluation.town_drive import (
    DriveFrame,
    Network,
    TownDrive,
    files_drive,
    network_predictions,
)
from panoptic_ros.evaluation.track_run import true_predictions
from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.mapper import GroundFrame
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions, GroundStage
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.grid_accuracy import FREE_RANGE, GroundScore, GroundTruth
from panoptic_ros.scores.grid_motion import MotionScore, MovingCells, second_later
from panoptic_ros.scores.panoptic_quality import known_mean


@dataclass(frozen=True)
class GroundDrive:
    """Hold a drive with the truth of its frames, and the cells to compare grids in at the end."""

    drive: TownDrive
    truths: Sequence[GroundTruth]
    cells: np.ndarray

    @classmethod
    def of(cls, town: Town, samples: Sequence[Sample], window: GridWindow) -> GroundDrive:
        """Read a drive from its files; errors as for `ground_truth`."""
        drive = files_drive(town, samples)
        truths = [
            ground_truth(town, sample, drive.camera, drive.base_from_optical, window)
            for sample in samples
        ]
        seen = seen_cells(truths, [frame.pose for frame in drive.frames], window)
        return cls(drive, truths, seen & (truths[-1].distance <= FREE_RANGE))

    def shown(
        self, predictions: Sequence[PanopticPrediction], condition: Condition
    ) -> list[tuple[GroundTruth, DriveFrame, ShownFrame]]:
        """Return the truth, the frame and what is known of each frame under a condition."""
        views = views_of(self.drive, condition)
        frames = [
            (truth, frame, ShownFrame(prediction, view, frame.time_ns))
            for truth, frame, prediction, view in zip(
                self.truths, self.drive.frames, predictions, views, strict=True
            )
        ]
        # Counted from the end: grids are compared at the last frame.
        return frames[(len(frames) - 1) % condition.step :: condition.step]


@dataclass(frozen=True)
class DriveEnd:
    """Hold a drive's last frame for a picture: the camera's, the fused grid and what moves."""

    image: np.ndarray
    placed: GroundFrame
    dynamic: DynamicLayers
    truth: GroundTruth


@dataclass(frozen=True)
class GroundComparison:
    """Hold the scores, and how each drive ended, by kind of labels.

    results: {"true_labels": scores, "predicted": scores, "single_iou", "fused_iou": of the
    predicted labels, "robustness": {condition: the same two}, "drives", "frames"}; scores: see
    `GroundScore.results` and `MotionScore.results`, single_iou and fused_iou, means over the
    drives, and frame_ms, the median CPU time of a frame on the ground, from labels to what moves.
    """

    results: dict[str, Any]
    ends: dict[str, list[DriveEnd]]


def compare_ground(
    drives: Sequence[GroundDrive], labels: LabelSet, network: Network, window: GridWindow
) -> GroundComparison:
    """Score drives on true labels and on a network's, as recorded and under worse conditions."""
    predictions = {
        TRUE_LABELS: [_true_predictions(d.drive, labels) for d in drives],
        PREDICTED: [network_predictions(d.drive, network) for d in drives],
    }
    scored = {
        condition.name: {
            kind: _score(drives, of_drives, labels, window, condition)
            for kind, of_drives in predictions.items()
        }
        for condition in tqdm(GROUND_CONDITIONS, "projecting", unit="row")
    }
    rows = {name: {kind: s for kind, (s, _) in kinds.items()} for name, kinds in scored.items()}
    best = rows[AS_RECORDED.name]
    results = {
        **best,
        "single_iou": best[PREDICTED]["single_iou"],
        "fused_iou": best[PREDICTED]["fused_iou"],
        "robustness": rows,
        "drives": [d.drive.name for d in drives],
        "frames": sum(len(d.drive.frames) for d in drives),
    }
    ends = {kind: ends for kind, (_, ends) in scored[AS_RECORDED.name].items()}
    return GroundComparison(results, ends)


def _true_predictions(drive: TownDrive, labels: LabelSet) -> list[PanopticPrediction]:
    """Return a drive's true labels; riders, who touch no ground, are in them but not followed."""
    return [
        PanopticPrediction(
            prediction.labels,
            [s for s in prediction.segments if labels[s.class_id].name != "rider"],
        )
        for prediction in true_predictions(drive, labels)
    ]


def _score(
    drives: Sequence[GroundDrive],
    predictions: Sequence[Sequence[PanopticPrediction]],
    labels: LabelSet,
    window: GridWindow,
    condition: Condition,
) -> tuple[dict[str, Any], list[DriveEnd]]:
    """Return the scores of drives under a condition, and how each ended."""
    score, motion, singles, fused, ends = GroundScore(), MotionScore(), [], [], []
    seconds: list[float] = []
    for drive, of_drive in zip(drives, predictions, strict=True):
        frames = drive.shown(of_drive, condition)
        stage = GroundStage(labels, GroundOptions(window=window))
        foot = drive.drive.base_from_optical[:2, 3]
        moving = []
        for truth, frame, shown in frames:
            begin = time.process_time()
            placed, dynamic = shown.moving_on(stage)
            seconds.append(time.process_time() - begin)
            score.add(placed.observation, truth, shown.prediction.labels, frame.truth, foot)
            moving.append(MovingCells.of(dynamic, truth, window.centers()))
        _score_motion(motion, frames, moving)
        truth, frame, _ = frames[-1]
        ends.append(DriveEnd(frame.image(), placed, dynamic, truth))
        fused.append(free_iou(placed.layers, drive.cells, truth.occupied))
        singles.append(best_single([s for *_, s in frames], stage, drive.cells, truth.occupied))
    means = {"single_iou": known_mean(singles), "fused_iou": known_mean(fused)}
    times = {"frame_ms": 1e3 * float(np.median(seconds))}
    return score.results() | means | motion.results() | times, ends


def _score_motion(
    score: MotionScore,
    frames: Sequence[tuple[GroundTruth, DriveFrame, ShownFrame]],
    moving: Sequence[MovingCells],
) -> None:
    """Score what moves in a drive's frames, and where it is a second later."""
    for cells, (truth, _, _) in zip(moving, frames, strict=True):
        score.add(cells, truth)
    for now, then in second_later([frame.time_ns for _, frame, _ in frames]).items():
        (truth, frame, _), (later, later_frame, _) = frames[now], frames[then]
        motion = frame.pose.inverse().compose(later_frame.pose)
        score.add_prediction(moving[now], truth, later, motion)
