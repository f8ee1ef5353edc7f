"""One grid of what several cameras see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from panoptic_ros.geometry.poses import Pose2D, jump
from panoptic_ros.grid.dynamic_grid import DynamicGrid, Motion
from panoptic_ros.grid.grid_options import DynamicGridOptions, SemanticGridOptions
from panoptic_ros.grid.layers import DynamicLayers, GridLayers
from panoptic_ros.grid.observation import GroundObservation
from panoptic_ros.grid.semantic_grid import SemanticGrid
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.stream.stamps import LARGEST_STEP_BACK_NS

# So many frames in a row that are too old: who is ahead of them has stopped.
_REFUSED_IN_A_ROW = 10


@dataclass(frozen=True)
class _View:
    """Hold what a camera saw at a time, from a vehicle's pose; None: not known."""

    observation: GroundObservation
    pose: Pose2D | None
    time_ns: int


class FusedGrid:
    """Fuse the observations of several cameras in one memory.

    They come as they are seen, not in the order of their stamps: one that is up to a second
    older than another camera's newest is taken in from the pose that it was seen from. Without
    poses there is no memory: the grid is of each camera's newest, of the last second.
    Raise ValueError as `SemanticGrid`.
    """

    def __init__(
        self,
        labels: LabelSet,
        window: GridWindow,
        options: SemanticGridOptions | None = None,
        dynamic_options: DynamicGridOptions | None = None,
    ) -> None:
        self._grid = SemanticGrid(window, labels, options)
        self._dynamic = DynamicGrid(window, labels, dynamic_options, options)
        self._follows_motion = False
        self._newest: dict[str, _View] = {}
        self._refused = 0

    def reset(self) -> None:
        """Forget everything."""
        self._grid.reset()
        self._dynamic.reset()
        self._newest.clear()
        self._refused = 0

    def update(
        self,
        camera: str,
        observation: GroundObservation,
        pose: Pose2D | None,
        time_ns: int,
        motions: Sequence[Motion] | None = None,
    ) -> bool:
        """Take in what a camera sees; return whether it is of the newest time of all.

        motions: of the observation's instances that have a track; None: what moves is not asked
        for. Raise ValueError where it is more than a second behind another camera, unless that one
        has stopped: then all is forgotten and begins anew, as where the vehicle's pose jumps.
        """
        before = self._newest.get(camera)
        if before is not None and time_ns < before.time_ns - LARGEST_STEP_BACK_NS:
            self.reset()
        if any(_is_jump(view, pose, time_ns) for view in self._newest.values()):
            self.reset()
        newest_ns = max((view.time_ns for view in self._newest.values()), default=time_ns)
        if time_ns < newest_ns - LARGEST_STEP_BACK_NS:
            self._refused += 1
            if self._refused < _REFUSED_IN_A_ROW:
                behind = (newest_ns - time_ns) / 1e9
                raise ValueError(
                    f"its stamp is {behind:.1f} s behind another camera's: keep their clocks "
                    "together"
                )
            self.reset()
            newest_ns = time_ns
        self._refused = 0
        now_ns = max(newest_ns, time_ns)
        self._newest[camera] = _View(observation, pose, time_ns)
        self._follows_motion = pose is not None and motions is not None
        if pose is not None:
            self._grid.update(observation, pose, now_ns / 1e9)
            if motions is not None:
                self._dynamic.update(observation, pose, now_ns / 1e9, motions, camera)
        else:
            self._show_newest(now_ns)
        return time_ns == now_ns

    def layers(self, *, class_probabilities: bool = False) -> GridLayers:
        """Return the window at the pose of the last observation; see `SemanticGrid.layers`."""
        return self._grid.layers(class_probabilities=class_probabilities)

    def dynamic_layers(self) -> DynamicLayers | None:
        """Return what moves; None where it was not asked for, and without a pose."""
        return self._dynamic.layers() if self._follows_motion else None

    def _show_newest(self, now_ns: int) -> None:
        self._grid.reset()
        for view in self._newest.values():
            if now_ns - view.time_ns <= LARGEST_STEP_BACK_NS:
                self._grid.update(view.observation, Pose2D(), now_ns / 1e9)


def _is_jump(view: _View, pose: Pose2D | None, time_ns: int) -> bool:
    if view.pose is None or pose is None:
        return False
    return bool(jump(view.pose, pose, abs(time_ns - view.time_ns) / 1e9))
