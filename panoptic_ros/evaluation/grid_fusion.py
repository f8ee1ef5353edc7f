"""The fused grid against single frames, over the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.observation import UNKNOWN, GroundObservation
from panoptic_ros.grid.rolling_memory import RollingMemory
from panoptic_ros.grid.semantic_grid import SemanticGrid
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.scores.grid_accuracy import FreeSpace, GroundTruth


@dataclass(frozen=True)
class Observed:
    """Hold what a frame showed, where base_link was thought to be in odom, and when (s)."""

    observation: GroundObservation
    pose: Pose2D
    time: float


@dataclass(frozen=True)
class FusionScore:
    """Hold free-space IoU, 0..1, at a drive's last frame, and the fused grid there.

    single: of the best single frame; fused: of the grid; None where nothing is free.
    """

    single: float | None
    fused: float | None
    layers: GridLayers


def seen_cells(
    truths: Sequence[GroundTruth], poses: Sequence[Pose2D], window: GridWindow
) -> np.ndarray:
    """Return the cells of the last frame's window that any frame could see, bool [ny, nx].

    poses: the true ones.
    """
    memory = RollingMemory(window)
    seen = memory.plane(np.uint8)
    for truth, pose in zip(truths, poses, strict=True):
        memory.follow(pose)
        seen[memory.touched(truth.visible, pose).memory] = 1
    return seen.take(memory.places(poses[-1])).astype(bool)


def score_fusion(
    frames: Sequence[Observed],
    cells: np.ndarray,
    occupied: np.ndarray,
    window: GridWindow,
    labels: LabelSet,
) -> FusionScore:
    """Fuse a drive's frames and compare with each single frame, at the last frame's pose.

    cells: bool [ny, nx], where to compare; occupied: bool [ny, nx], true at the last frame. A
    single frame is put into an empty grid and carried along to the end: all are looked up alike.
    """
    fused = SemanticGrid(window, labels)
    for frame in frames:
        fused.update(frame.observation, frame.pose, frame.time)
    layers = fused.layers()
    single = SemanticGrid(window, labels)
    singles = []
    for frame in frames:
        single.reset()
        single.update(frame.observation, frame.pose, 0.0)
        single.update(_nothing(window), frames[-1].pose, 0.0)
        singles.append(_free_iou(single.layers(), cells, occupied))
    best = max((iou for iou in singles if iou is not None), default=None)
    return FusionScore(best, _free_iou(layers, cells, occupied), layers)


def is_free(layers: GridLayers) -> np.ndarray:
    """Return the cells that a grid says are free rather than occupied, bool [ny, nx]."""
    return (layers.occupancy >= 0) & (layers.occupancy < 50)


def _free_iou(layers: GridLayers, cells: np.ndarray, occupied: np.ndarray) -> float | None:
    space = FreeSpace()
    space.add(is_free(layers)[cells], ~occupied[cells])
    return space.iou


def _nothing(window: GridWindow) -> GroundObservation:
    state = np.full(window.shape, UNKNOWN, np.int8)
    zeros = np.zeros(window.shape, np.uint8)
    return GroundObservation(state, zeros, zeros.astype(np.float32), [])
