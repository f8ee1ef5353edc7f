"""What the camera could see of the ground, from the town's plan and depth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import Town
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.synthetic.street_layout import KERB, ROAD, SIDEWALK, TERRAIN, VERGE_HEIGHT

# Metres of the bare ground's classes above the carriageway.
_HEIGHTS = {ROAD: 0.0, SIDEWALK: KERB, TERRAIN: VERGE_HEIGHT}
# A surface counts as seen if depth agrees to this many metres (one cell), and to half of what
# a row of pixels covers.
_TOLERANCE = 0.2


@dataclass(frozen=True)
class Box:
    """Describe an object's outline on the ground in base_link.

    center: x, y, metres; size: length, width, metres; yaw: radians.
    """

    center: tuple[float, float]
    size: tuple[float, float]
    yaw: float

    def distance(self, point: Sequence[float]) -> float:
        """Return how far a point is from the outline, inside or outside, metres."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y = np.subtract(point, self.center)
        beyond = np.abs([c * x + s * y, c * y - s * x]) - np.array(self.size) / 2
        outside = np.hypot(*np.maximum(beyond, 0))
        return float(outside if outside > 0 else -beyond.max())

    def gap(self, point: Sequence[float]) -> float:
        """Return how far a point is from the outline's inside, metres; 0 within."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y = np.subtract(point, self.center)
        beyond = np.abs([c * x + s * y, c * y - s * x]) - np.array(self.size) / 2
        return float(np.hypot(*np.maximum(beyond, 0)))


@dataclass(frozen=True)
class GroundTruth:
    """Hold the truth of a window's cells, bool [ny, nx] where not said, and objects' outlines.

    classes: uint8, label id of what stands there, else of the ground; occupied: something
    stands there; visible: in the picture, and nothing stands in the line of sight to its
    ground; hidden: in the picture, and something does. distance: float [ny, nx], metres from
    the ground below the camera. boxes: by the value in the true label image.
    """

    classes: np.ndarray
    occupied: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray
    distance: np.ndarray
    boxes: Mapping[int, Box]


def ground_truth(
    town: Town,
    sample: Sample,
    camera: CameraModel,
    base_from_optical: np.ndarray,
    window: GridWindow,
) -> GroundTruth:
    """Return the truth of a frame of the town.

    camera, base_from_optical: the true calibration, float [4, 4]. Raise FileNotFoundError for
    frames without depth or ground plan; ValueError for a window that reaches beyond the plan.
    """
    arrays, about = town.ground_plan(sample)
    cells = _plan_cells(about["grid"], arrays["surface"].shape, window)
    surface, occupied = arrays["surface"][cells], arrays["occupied"][cells]
    height = np.zeros(np.iinfo(np.uint8).max + 1)
    height[list(_HEIGHTS)] = list(_HEIGHTS.values())
    centers = window.centers()
    points = np.concatenate([centers, height[surface][..., None]], axis=-1).reshape(-1, 3)
    optical = (points - base_from_optical[:3, 3]) @ base_from_optical[:3, :3]
    visible, hidden = _line_of_sight(optical, camera, town.depth(sample), base_from_optical[2, 3])
    return GroundTruth(
        arrays["classes"][cells],
        occupied,
        visible.reshape(window.shape),
        hidden.reshape(window.shape),
        np.hypot(*np.moveaxis(centers - base_from_optical[:2, 3], -1, 0)),
        {entry["id"]: _box(entry) for entry in about["boxes"]},
    )


def _box(entry: Mapping[str, Any]) -> Box:
    return Box(tuple(entry["center"][:2]), tuple(entry["size"][:2]), entry["yaw"])


def _plan_cells(
    grid: Mapping[str, Any], shape: tuple[int, int], window: GridWindow
) -> tuple[np.ndarray, np.ndarray]:
    """Return the indices into a plan, [X, Y], of the window's cells."""
    first = np.array([grid["x_range"][0], grid["y_range"][0]])
    index = np.floor((window.centers() - first) / grid["resolution"]).astype(int)
    if (index < 0).any() or (index >= shape).any():
        raise ValueError(
            f"the window {window} reaches beyond the ground plan, x {grid['x_range']}, "
            f"y {grid['y_range']}"
        )
    return index[..., 0], index[..., 1]


def _line_of_sight(
    optical: np.ndarray, camera: CameraModel, depth: np.ndarray, camera_height: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return whether ground points are seen, and whether something stands before them.

    optical: float [N, 3]; depth: float32 [H, W], 0 for none.
    """
    pixels, inside = camera.project(optical)
    rows, columns = depth.shape
    u, v = np.rint(np.where(inside[:, None], pixels, 0)).astype(int).T
    inside = inside & (u >= 0) & (u < columns) & (v >= 0) & (v < rows)
    measured = depth[np.where(inside, v, 0), np.where(inside, u, 0)]
    measured = np.where(measured > 0, measured, np.inf)
    distance = optical[:, 2]
    row = distance**2 / (camera.matrix[1, 1] * camera_height)
    seen = measured >= distance - _TOLERANCE - row / 2
    return inside & seen, inside & ~seen
