"""What follows the label image: its place on the ground, the grid's memory, the tracks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.mapper import GroundFrame, GroundMapper
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.grid.projection_options import ProjectionOptions
from panoptic_ros.grid.semantic_grid import SemanticGridOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.stream.stamps import StampMonitor
from panoptic_ros.tracking.track import Track
from panoptic_ros.tracking.tracking_options import TrackingOptions

if TYPE_CHECKING:
    from panoptic_ros.tracking.tracker import InstanceTracker


@dataclass(frozen=True)
class GroundOptions:
    """Hold the options of the parts."""

    window: GridWindow = field(default_factory=GridWindow)
    projection: ProjectionOptions = field(default_factory=ProjectionOptions)
    grid: SemanticGridOptions = field(default_factory=SemanticGridOptions)
    tracking: TrackingOptions = field(default_factory=TrackingOptions)


@dataclass(frozen=True)
class GroundView:
    """Hold what is known about a frame beside its picture.

    base_from_optical: float [4, 4]; pose: `base_link` in `odom`, None: unknown; depth:
    float32 [H, W], metres, 0 none; points: float32 [N, 3] in `base_link`.
    """

    camera: CameraModel
    base_from_optical: np.ndarray
    pose: Pose2D | None = None
    depth: np.ndarray | None = None
    points: np.ndarray | None = None


@dataclass(frozen=True)
class GroundResult:
    """Hold what a frame gave.

    frame: None where it was not placed on the ground; problem: why that failed, "" where there
    was no view, or no failure.
    """

    frame: GroundFrame | None
    tracks: list[Track]
    problem: str = ""

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

    Where time goes back by more than a second, all memory is dropped. ids: where the tracks'
    ids come from, for more than one stage in a program. Where the library `trackers` cannot be
    imported there are no tracks, see `has_tracker`.
    """

    def __init__(
        self,
        labels: LabelSet,
        options: GroundOptions | None = None,
        ids: Iterator[int] | None = None,
    ) -> None:
        options = options or GroundOptions()
        self.window = options.window
        self._mapper = GroundMapper(labels, options.window, options.projection, options.grid)
        self._tracker = _tracker(labels, options.tracking, ids)
        # Counts from the new start by itself, so that `reset` leaves it alone.
        self._stamps = StampMonitor()
        self._newest_ns: int | None = None

    @property
    def has_tracker(self) -> bool:
        """Whether the library `trackers` is there."""
        return self._tracker is not None

    def reset(self) -> None:
        """Forget the grid and the tracks; track ids go on."""
        self._mapper.reset()
        if self._tracker is not None:
            self._tracker.reset()
        self._newest_ns = None

    def __call__(
        self,
        prediction: PanopticPrediction,
        *,
        time_ns: int,
        view: GroundView | None,
        image: np.ndarray | None = None,
        class_probabilities: bool = False,
    ) -> GroundResult:
        """Return grid and tracks after a frame.

        time_ns: the image's stamp; view: None leaves the instances to be followed in the
        picture only; image: uint8 [H, W, 3], RGB, from which the camera's motion is estimated
        where there is no pose; class_probabilities: whether the grid's layers hold them. A
        frame that newer ones have overtaken gives nothing.
        """
        if self._stamps.step_back(time_ns) is not None:
            self.reset()
        if self._newest_ns is not None and time_ns <= self._newest_ns:
            return GroundResult(None, [])
        self._newest_ns = time_ns
        frame, problem = None, ""
        if view is not None:
            try:
                frame = self._place(prediction, time_ns, view, class_probabilities)
            # A camera that sees no ground, depth of another size: instances can be followed.
            except ValueError as error:
                problem = str(error)
        tracks = self._track(prediction, time_ns, view, frame, image)
        return GroundResult(frame, tracks, problem)

    def _place(
        self,
        prediction: PanopticPrediction,
        time_ns: int,
        view: GroundView,
        class_probabilities: bool,
    ) -> GroundFrame:
        return self._mapper(
            prediction,
            camera=view.camera,
            base_from_optical=view.base_from_optical,
            time=time_ns / 1e9,
            pose=view.pose,
            depth=view.depth,
            points=view.points,
            class_probabilities=class_probabilities,
        )

    def _track(
        self,
        prediction: PanopticPrediction,
        time_ns: int,
        view: GroundView | None,
        frame: GroundFrame | None,
        image: np.ndarray | None,
    ) -> list[Track]:
        if self._tracker is None:
            return []
        if view is None or frame is None:
            return self._tracker.update(prediction, time=time_ns / 1e9, image=image)
        return self._tracker.update(
            prediction,
            time=time_ns / 1e9,
            ground={instance.id: instance for instance in frame.observation.instances},
            pose=view.pose,
            camera=view.camera,
            base_from_optical=view.base_from_optical,
            image=image if view.pose is None else None,
        )


def _tracker(
    labels: LabelSet, options: TrackingOptions, ids: Iterator[int] | None
) -> InstanceTracker | None:
    try:
        from panoptic_ros.tracking.tracker import InstanceTracker
    except ImportError as error:
        if (error.name or "").startswith("panoptic_ros"):
            raise
        return None
    return InstanceTracker(labels, options, ids or itertools.count(1))
