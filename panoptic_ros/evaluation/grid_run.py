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
    Condition,
    drifted,
    pitched,
)
from panoptic_ros.evaluation.grid_fusion import FusionScore, Observed, score_fusion, seen_cells
from panoptic_ros.evaluation.grid_truth import ground_truth
from panoptic_ros.evaluation.town_drive import Drive, files_drive
from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.observation import GroundObservation
from panoptic_ros.grid.projection import GroundProjection
from panoptic_ros.grid.projection_options import ProjectionOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.grid_accuracy import FREE_RANGE, GroundScore, GroundTruth

TRUE_LABELS, PREDICTED = "true_labels", "predicted"
# Without odometry there is no memory, and nothing to compare with single frames.
GROUND_CONDITIONS = tuple(c for c in CONDITIONS if c.odometry)


@dataclass(frozen=True)
class GroundDrive:
    """Hold a drive with the truth of its frames, and the cells to compare grids in at the end."""

    drive: Drive
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


@dataclass(frozen=True)
class DriveEnd:
    """Hold a drive's last frame for a picture: label image, what it showed, the fused grid."""

    image: np.ndarray
    observation: GroundObservation
    layers: GridLayers
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
        PREDICTED: [
            [network(f.image()) for f in tqdm(d.drive.frames, d.drive.name, unit="frame")]
            for d in drives
        ],
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
    score, fusions, ends = GroundScore(), [], []
    for drive, of_drive in zip(drives, predictions, strict=True):
        observed = _observe(drive, of_drive, labels, window, condition, score)
        last = drive.truths[-1]
        fusions.append(score_fusion(observed, drive.cells, last.occupied, window, labels))
        end = DriveEnd(
            drive.drive.frames[-1].image(), observed[-1].observation, fusions[-1].layers, last
        )
        ends.append(end)
    return _Scored(score.results() | _means(fusions), ends)


def _observe(
    drive: GroundDrive,
    predictions: Sequence[PanopticPrediction],
    labels: LabelSet,
    window: GridWindow,
    condition: Condition,
    score: GroundScore,
) -> list[Observed]:
    """Project a drive's frames, and add each to a score."""
    optical = drive.drive.base_from_optical
    projection = GroundProjection(
        drive.drive.camera, pitched(optical, condition.pitch), window, labels, ProjectionOptions()
    )
    poses = drifted((frame.pose for frame in drive.drive.frames), condition.drift)
    frames = list(zip(drive.drive.frames, predictions, poses, drive.truths, strict=True))
    observed = []
    # Counted from the end: grids are compared at the last frame.
    for frame, prediction, pose, truth in frames[
        (len(frames) - 1) % condition.step :: condition.step
    ]:
        observation = projection(prediction)
        score.add(observation, truth, prediction.labels, frame.truth, optical[:2, 3])
        observed.append(Observed(observation, pose, frame.time))
    return observed


def _means(fusions: Sequence[FusionScore]) -> dict[str, float | None]:
    return {
        key: float(np.mean(values)) if values else None
        for key, values in (
            ("single_iou", [f.single for f in fusions if f.single is not None]),
            ("fused_iou", [f.fused for f in fusions if f.fused is not None]),
        )
    }
