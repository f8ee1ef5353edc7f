"""Score the tracks' boxes in space on drives whose objects' true boxes are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from panoptic_ros.evaluation.drive_conditions import AS_RECORDED, views_of
from panoptic_ros.evaluation.town_drive import TownDrive
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.box_accuracy import BoxScore
from panoptic_ros.tracking.instance_points import measured_points

_SEED = 0
# Of a stereo camera: standard deviation of depth, metres at a depth of 1 m, growing with its
# square; side of the window that it is matched with, pixels, over which depths mix.
_STEREO_NOISE, _WINDOW = 0.001, 5
# Of a laser scanner: rows and columns of the picture between its beams; noise, metres.
_BEAM_ROWS, _BEAM_COLUMNS, _BEAM_NOISE = 8, 2, 0.02

Measure = Callable[[GroundView, np.ndarray, np.random.Generator], GroundView]


def score_boxes(
    drives: Sequence[TownDrive],
    labels: LabelSet,
    predictions: Mapping[str, Sequence[Sequence[PanopticPrediction]]],
) -> dict[str, Any]:
    """Return {measurement: {kind of labels: score}}, see `BoxScore.results`.

    predictions: by kind of labels, then drive, then frame. Drives without depth or true boxes
    are left out.
    """
    return {
        name: {
            kind: _score(drives, of_drives, labels, measure)
            for kind, of_drives in predictions.items()
        }
        for name, measure in tqdm(MEASUREMENTS.items(), "boxes", unit="row")
    }


def _score(
    drives: Sequence[TownDrive],
    predictions: Sequence[Sequence[PanopticPrediction]],
    labels: LabelSet,
    measure: Measure,
) -> dict[str, Any]:
    score = BoxScore(labels)
    for drive, of_drive in zip(drives, predictions, strict=True):
        stage, views = GroundStage(labels), views_of(drive, AS_RECORDED)
        rng = np.random.default_rng(_SEED)
        for frame, prediction, view in zip(drive.frames, of_drive, views, strict=True):
            if frame.depth is None or frame.boxes is None:
                continue
            view = measure(view, frame.depth(), rng)
            result = stage(prediction, time_ns=frame.time_ns, view=view, boxes=True)
            to_base = frame.pose.inverse()
            boxes = {
                track.instance_id: track.box_3d.cuboid.moved(to_base)
                for track in result.tracks
                if track.box_3d is not None
            }
            score.add(frame.truth, prediction.labels, frame.boxes(), boxes, result.track_ids)
    return score.results()


def _exact(view: GroundView, depth: np.ndarray, _: np.random.Generator) -> GroundView:
    return replace(view, depth=depth)


def _stereo(view: GroundView, depth: np.ndarray, rng: np.random.Generator) -> GroundView:
    noise = rng.standard_normal(depth.shape, np.float32) * _STEREO_NOISE * depth**2
    return replace(view, depth=cv2.blur(depth + noise, (_WINDOW, _WINDOW)))


def _scanned(view: GroundView, depth: np.ndarray, rng: np.random.Generator) -> GroundView:
    beams = np.zeros(depth.shape, bool)
    beams[::_BEAM_ROWS, ::_BEAM_COLUMNS] = True
    size = (depth.shape[0], depth.shape[1])
    points, _ = measured_points(replace(view, depth=depth), size, beams)
    far = np.linalg.norm(points, axis=1, keepdims=True)
    points *= 1 + _BEAM_NOISE * rng.standard_normal((len(points), 1)) / far
    points = points @ view.base_from_optical[:3, :3].T + view.base_from_optical[:3, 3]
    return replace(view, points=points.astype(np.float32))


MEASUREMENTS: dict[str, Measure] = {
    "exact depth": _exact,
    "stereo depth": _stereo,
    "laser points": _scanned,
}
