"""From a label image to the grid: projection and fusion in one call."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView, Viewpoint
from panoptic_ros.grid.grid_options import ProjectionOptions, SemanticGridOptions
from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.observation import GroundObservation
from panoptic_ros.grid.projection import GroundProjection
from panoptic_ros.grid.semantic_grid import SemanticGrid
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet
from panoptic_ros.prediction import PanopticPrediction

# Camera poses that agree to half of this share a projection. 0.025 degrees of pitch are, half
# of it, 7 cm at 20 m from 1.3 m height: a third of a cell, less than half a pixel of most cameras.
_POSITION_STEP = 0.01
_ANGLE_STEP = np.radians(0.025)
# A levelled camera pitches by about a degree: its poses recur.
_KEPT_PROJECTIONS = 48


@dataclass(frozen=True)
class GroundFrame:
    """Hold what one frame shows of the ground, and the grid after it."""

    observation: GroundObservation
    layers: GridLayers


class GroundMapper:
    """Project predictions onto the ground and fuse them over time.

    What a projection precomputes is kept per camera and camera pose, poses rounded to 1 cm and
    0.025 degrees, the 48 used last.
    """

    def __init__(
        self,
        labels: LabelSet,
        window: GridWindow | None = None,
        projection_options: ProjectionOptions | None = None,
        grid_options: SemanticGridOptions | None = None,
    ) -> None:
        self.window = window or GridWindow()
        self._labels = labels
        self._options = projection_options or ProjectionOptions()
        self._grid = SemanticGrid(self.window, labels, grid_options)
        self._projections: OrderedDict[tuple[CameraModel, bytes], GroundProjection] = OrderedDict()

    def reset(self) -> None:
        """Forget the grid; projections stay."""
        self._grid.reset()

    def __call__(
        self,
        prediction: PanopticPrediction,
        view: GroundView,
        *,
        time: float,
        class_probabilities: bool = False,
    ) -> GroundFrame:
        """Return what a prediction shows and the grid that has taken it in.

        time: seconds; class_probabilities: whether the layers hold them. Without a pose there
        is no memory. Raise ValueError for a view that shows no ground and for depth or points
        that do not fit; the grid is as it was then.
        """
        height, width = prediction.labels.shape
        projection = self._projection(Viewpoint.of(view, (height, width), self._options.plane))
        observation = projection(prediction, depth=view.depth, points=view.points)
        self._grid.update(observation, view.pose, time)
        return GroundFrame(observation, self._grid.layers(class_probabilities=class_probabilities))

    def _projection(self, view: Viewpoint) -> GroundProjection:
        key = (view.camera, _rounded(view).tobytes())
        if key not in self._projections:
            self._projections[key] = GroundProjection(
                view, self.window, self._labels, self._options
            )
        self._projections.move_to_end(key)
        while len(self._projections) > _KEPT_PROJECTIONS:
            self._projections.popitem(last=False)
        return self._projections[key]


def _rounded(view: Viewpoint) -> np.ndarray:
    """Return a camera's pose in whole steps, int64 [3, 4]: poses that are nearly equal agree."""
    steps = view.rotation / _ANGLE_STEP, view.position[:, None] / _POSITION_STEP
    return np.rint(np.hstack(steps)).astype(np.int64)
