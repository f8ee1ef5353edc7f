"""The fused grid against single frames, over the same cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.layers import DynamicLayers, GridLayers
from panoptic_ros.grid.mapper import GroundFrame
from panoptic_ros.grid.rolling_memory import RollingMemory
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundStage
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.scores.grid_accuracy import FreeSpace, GroundTruth


@dataclass(frozen=True)
class ShownFrame:
    """Hold what the ground stage gets of a frame."""

    prediction: PanopticPrediction
    view: GroundView
    time_ns: int

    def on(self, stage: GroundStage) -> GroundFrame:
        """Show the frame to a stage; raise ValueError where it cannot be placed."""
        return self._placed(stage, dynamic=False)[0]

    def moving_on(self, stage: GroundStage) -> tuple[GroundFrame, DynamicLayers]:
        """Show the frame, as `on`, and return what moves, too; the stage's options follow it."""
        frame, dynamic = self._placed(stage, dynamic=True)
        assert dynamic is not None, "the default options follow what moves"
        return frame, dynamic

    def _placed(
        self, stage: GroundStage, *, dynamic: bool
    ) -> tuple[GroundFrame, DynamicLayers | None]:
        result = stage(self.prediction, time_ns=self.time_ns, view=self.view, dynamic=dynamic)
        if result.frame is None:
            raise ValueError(f"a frame cannot be placed on the ground: {result.problem}")
        return result.frame, result.dynamic


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
        cells, _ = memory.touched(truth.visible, pose)
        seen[cells] = 1
    return seen.take(memory.places(poses[-1])).astype(bool)


def best_single(
    frames: Sequence[ShownFrame], stage: GroundStage, cells: np.ndarray, occupied: np.ndarray
) -> float | None:
    """Return the best free-space IoU, 0..1, of a single frame at the last frame's pose.

    Each frame is put into an empty grid and carried along to the end, in its time, as else the
    pose would jump, by a picture that shows nothing: it is looked up as the fused grid is. The
    stage is reset for each. Cells as for `free_iou`.
    """
    last = frames[-1]
    nothing = PanopticPrediction(np.zeros_like(last.prediction.labels))
    ious = []
    for frame in frames:
        stage.reset()
        frame.on(stage)
        end = ShownFrame(nothing, last.view, last.time_ns + 1).on(stage)
        ious.append(free_iou(end.layers, cells, occupied))
    return max((iou for iou in ious if iou is not None), default=None)


def free_iou(layers: GridLayers, cells: np.ndarray, occupied: np.ndarray) -> float | None:
    """Return the IoU of free space, 0..1; None where nothing is free.

    cells: bool [ny, nx], where to compare; occupied: bool [ny, nx], the truth.
    """
    # Free rather than occupied.
    is_free = (layers.occupancy >= 0) & (layers.occupancy < 50)
    space = FreeSpace()
    space.add(is_free[cells], ~occupied[cells])
    return space.iou
