"""What the camera could see of the ground, from the town's plan and depth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import GROUND_HEIGHTS, Town
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.scores.grid_accuracy import Box, GroundTruth

# A surface counts as seen if depth agrees to this many metres (one cell), and to half of what
# a row of pixels covers.
_TOLERANCE = 0.2


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
    height[list(GROUND_HEIGHTS)] = list(GROUND_HEIGHTS.values())
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
    return Box(
        tuple(entry["center"][:2]),
        tuple(entry["size"][:2]),
        entry["yaw"],
        tuple(entry["velocity"]),
        CITYSCAPES[entry["class_id"]].name != "person",
    )


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
