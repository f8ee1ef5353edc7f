"""Project and fuse drives with true and with predicted labels, and score both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import Town
from panoptic_ros.evaluation.drive_conditions import (
    AS_RECORDED,
    CONDITIONS,
    PREDICTED,
    TRUE_LABELS,
    Condition,
    views_of,
)
from panoptic_ros.evaluation.grid_fusion import ShownFrame, best_single, free_iou, seen_cells
from panoptic_ros.evaluation.grid_truth import ground_truth
from panoptic_ros.evaluation.town_drive import (
    DriveFrame,
    TownDrive,
    files_drive,
    network_predictions,
)
from panoptic_ros.grid.mapper import GroundFrame
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundOptions, GroundStage
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.grid_accuracy import FREE_RANGE, GroundScore, GroundTruth

# Without odometry there is no memory, and nothing to compare with single frames.
GROUND_CONDITIONS = tuple(c for c in CONDITIONS if c.odometry)


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
    """Hold a drive's last frame for a picture: the camera's, and the fused grid."""

    image: np.ndarray
    placed: GroundFrame
    truth: GroundTruth


@dataclass(frozen=True)
class GroundComparison:
    """Hold the scores, and how each drive ended, by kind of labels.

    results: {"true_labels": scores, "predicted": scores, "single_iou", "fused_iou": of the
    predicted labels, "robustness": {condition: the same two}, "drives", "frames"}; scores: see
    `GroundScore.results`, and single_iou and fused_iou, means over the drives.
    """

    results: dict[str, Any]
    ends: dict[str, list[DriveEnd]]


def compare_ground(
    drives: Sequence[GroundDrive],
    labels: LabelSet,
    network: Callable[[np.ndarray], PanopticPrediction],
    window: GridWindow,
) -> GroundComparison:
    """Score drives on true labels and on a network's, as recorded and under worse conditions."""
    predictions = {
        TRUE_LABELS: [[PanopticPrediction(f.truth) for f in d.drive.frames] for d in drives],
        PREDICTED: [network_predictions(d.drive, network) for d in drives],
    }
    rows: dict[str, dict[str, Any]] = {}
    ends: dict[str, list[DriveEnd]] = {}
    for condition in tqdm(GROUND_CONDITIONS, "projecting", unit="row"):
        rows[condition.name] = {}
        for kind, of_drives in predictions.items():
            scored = _score(drives, of_drives, labels, window, condition)
            rows[condition.name][kind] = scored.results
            if condition is AS_RECORDED:
                ends[kind] = scored.ends
    best = rows[AS_RECORDED.name]
    results = {
        **best,
        "single_iou": best[PREDICTED]["single_iou"],
        "fused_iou": best[PREDICTED]["fused_iou"],
        "robustness": rows,
        "drives": [d.drive.name for d in drives],
        "frames": sum(len(d.drive.frames) for d in drives),
    }
    return GroundComparison(results, ends)


@dataclass(frozen=True)
class _Scored:
    results: dict[str, Any]
    ends: list[DriveEnd]


def _score(
    drives: Sequence[GroundDrive],
    predictions: Sequence[Sequence[PanopticPrediction]],
    labels: LabelSet,
    window: GridWindow,
    condition: Condition,
) -> _Scored:
    score, singles, fused, ends = GroundScore(), [], [], []
    for drive, of_drive in zip(drives, predictions, strict=True):
        frames = drive.shown(of_drive, condition)
        stage = GroundStage(labels, GroundOptions(window=window))
        foot = drive.drive.base_from_optical[:2, 3]
        for truth, frame, shown in frames:
            placed = shown.on(stage)
            score.add(placed.observation, truth, shown.prediction.labels, frame.truth, foot)
        truth, frame, _ = frames[-1]
        ends.append(DriveEnd(frame.image(), placed, truth))
        fused.append(free_iou(placed.layers, drive.cells, truth.occupied))
        singles.append(best_single([s for *_, s in frames], stage, drive.cells, truth.occupied))
    means = {"single_iou": _mean(singles), "fused_iou": _mean(fused)}
    return _Scored(score.results() | means, ends)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
