"""From label images to the ground: projection, the grid's memory, tracks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, jump
from panoptic_ros.grid.dynamic_grid import DynamicGrid, Motion
from panoptic_ros.grid.grid_options import (
    DynamicGridOptions,
    ProjectionOptions,
    SemanticGridOptions,
)
from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.mapper import GroundFrame, GroundMapper
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.stream.stamps import StampMonitor
from panoptic_ros.tracking.instance_points import instance_points
from panoptic_ros.tracking.track import Track
from panoptic_ros.tracking.tracking_options import TrackingOptions

if TYPE_CHECKING:
    from panoptic_ros.tracking.tracker import InstanceTracker


@dataclass(frozen=True)
class GroundOptions:
    """Hold the options of the parts; base_frame: the name of the frame that they are in."""

    base_frame: str = "base_link"
    window: GridWindow = field(default_factory=GridWindow)
    projection: ProjectionOptions = field(default_factory=ProjectionOptions)
    grid: SemanticGridOptions = field(default_factory=SemanticGridOptions)
    dynamic: DynamicGridOptions = field(default_factory=DynamicGridOptions)
    tracking: TrackingOptions = field(default_factory=TrackingOptions)


@dataclass(frozen=True)
class GroundResult:
    """Hold what a frame gave.

    base_frame: the frame of the grid and of the instances' positions; those of the tracks are
    in the frame of `GroundView.pose`. frame: None where it was not placed on the ground;
    problem: why that failed, "" where there was no view, or no failure. dynamic: None unless
    asked for. jump: how the vehicle's pose jumped, for which all memory was dropped, "" else.
    """

    base_frame: str
    frame: GroundFrame | None
    tracks: list[Track]
    problem: str = ""
    dynamic: DynamicLayers | None = None
    jump: str = ""

    @property
    def instances(self) -> dict[int, GroundInstance]:
        """The instances that have a place on the ground, by their value in the label image."""
        placed = self.frame.observation.instances if self.frame else []
        return {instance.id: instance for instance in placed}

    @property
    def track_ids(self) -> dict[int, int]:
        """Track id of each tracked instance, by its value in the label image."""
        return {t.instance_id: t.track_id for t in self.tracks if not t.coasting}


class GroundStage:
    """Place frame after frame on the ground and follow their instances.

    Where time goes back by more than a second, or the vehicle's pose jumps, all memory is dropped.
    ids: where the tracks' ids come from, for more than one stage in a program. Where the library
    `trackers` cannot be imported there are no tracks, see `has_tracker`.
    """

    def __init__(
        self,
        labels: LabelSet,
        options: GroundOptions | None = None,
        ids: Iterator[int] | None = None,
    ) -> None:
        options = options or GroundOptions()
        self.window = options.window
        self._base_frame, self._plane = options.base_frame, options.projection.plane
        self._mapper = GroundMapper(labels, options.window, options.projection, options.grid)
        self._dynamic = DynamicGrid(options.window, labels, options.dynamic, options.grid)
        self._has_dynamic = options.dynamic.enabled
        self._tracker = _tracker(labels, options, ids)
        # Counts from the new start by itself, so that `reset` leaves it alone.
        self._stamps = StampMonitor()
        self._newest_ns: int | None = None
        # The last pose, and when that was.
        self._last: tuple[int, Pose2D] | None = None

    @property
    def has_tracker(self) -> bool:
        """Whether the library `trackers` is there."""
        return self._tracker is not None

    def reset(self) -> None:
        """Forget the grid and the tracks; track ids go on."""
        self._mapper.reset()
        self._dynamic.reset()
        if self._tracker is not None:
            self._tracker.reset()
        self._newest_ns = self._last = None

    def __call__(
        self,
        prediction: PanopticPrediction,
        *,
        time_ns: int,
        view: GroundView | None,
        image: np.ndarray | None = None,
        class_probabilities: bool = False,
        dynamic: bool = False,
        boxes: bool = False,
    ) -> GroundResult:
        """Return grid and tracks after a frame.

        time_ns: the image's stamp; view: None leaves the instances to be followed in the
        picture only; image: uint8 [H, W, 3], RGB, from which the camera's motion is estimated
        where there is no pose; class_probabilities: whether the grid's layers hold them;
        dynamic: whether to follow what moves, unless the options switch it off; boxes: whether
        tracks get boxes in space, where the view has depth or points. A frame whose
        stamp is not after all earlier ones' gives nothing but a problem.
        """
        if self._stamps.step_back(time_ns) is not None:
            self.reset()
        if self._newest_ns is not None and time_ns <= self._newest_ns:
            problem = _stamp_problem(time_ns, self._newest_ns)
            return GroundResult(self._base_frame, None, [], problem)
        jumped = self._jump(time_ns, view)
        if jumped:
            self.reset()
        self._newest_ns = time_ns
        if view is not None and view.pose is not None:
            self._last = (time_ns, view.pose)
        time = time_ns / 1e9
        frame, problem = None, ""
        if view is not None:
            try:
                frame = self._mapper(
                    prediction, view, time=time, class_probabilities=class_probabilities
                )
            # A camera that sees no ground, depth of another size: instances can be followed.
            except ValueError as error:
                view, problem = None, str(error)
        tracks = []
        if self._tracker is not None:
            placed = frame.observation.instances if frame is not None else ()
            points = instance_points(prediction, view, self._plane) if view and boxes else {}
            tracks = self._tracker.update(
                prediction, time=time, view=view, placed=placed, points=points, image=image
            )
        moving = None
        if frame is not None and view is not None and dynamic and self._has_dynamic:
            # Without a pose velocities are not over the ground.
            motions = motions_of(tracks) if view.pose is not None else ()
            self._dynamic.update(frame.observation, view.pose, time, motions)
            moving = self._dynamic.layers()
        return GroundResult(self._base_frame, frame, tracks, problem, moving, jumped)

    def _jump(self, time_ns: int, view: GroundView | None) -> str:
        if self._last is None or view is None or view.pose is None:
            return ""
        last_ns, pose = self._last
        return jump(pose, view.pose, (time_ns - last_ns) / 1e9)


def motions_of(tracks: list[Track]) -> list[Motion]:
    """Return how the instances move that have a track and a place on the ground."""
    return [
        Motion(track.instance_id, track.velocity, track.covariance[2:, 2:])
        for track in tracks
        if track.velocity is not None and track.covariance is not None and not track.coasting
    ]


def _stamp_problem(stamp_ns: int, newest_ns: int) -> str:
    if stamp_ns == newest_ns:
        return f"its stamp, {stamp_ns / 1e9:.3f} s, is the last frame's: the stamps stand still"
    return (
        f"its stamp, {stamp_ns / 1e9:.3f} s, is older than the last frame's, "
        f"{newest_ns / 1e9:.3f} s: a newer frame has overtaken it"
    )


def _tracker(
    labels: LabelSet, options: GroundOptions, ids: Iterator[int] | None
) -> InstanceTracker | None:
    try:
        from panoptic_ros.tracking.tracker import InstanceTracker
    except ImportError as error:
        if (error.name or "").startswith("panoptic_ros"):
            raise
        return None
    return InstanceTracker(labels, options.tracking, ids, options.projection.plane)
