"""Exact label and depth images of boxes on a plane, by ray casting."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundPlane, GroundView, Viewpoint
from panoptic_ros.grid.grid_options import ProjectionOptions
from panoptic_ros.grid.projection import GroundProjection
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import CITYSCAPES
from panoptic_ros.prediction import PanopticPrediction

ROAD, SIDEWALK, BUILDING, POLE, SIGN, VEGETATION, SKY = 7, 8, 11, 17, 20, 21, 23
CAR, PERSON, RIDER, BICYCLE = 26001, 24001, 25001, 33001
WINDOW = GridWindow(x_min=0, y_min=-8, length=40, width=16, resolution=0.2)
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])


@dataclass(frozen=True)
class Box:
    """An upright box: label value, low and high corner (x, y, z) in base_link."""

    value: int
    low: tuple[float, float, float]
    high: tuple[float, float, float]


def camera(width: int = 800, height: int = 400, focal: float = 500.0, **lens) -> CameraModel:
    matrix = [[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]]
    return CameraModel(width, height, matrix, **lens)


def pose(x=1.5, y=0.0, z=1.5, roll=0.0, pitch=0.0, yaw=0.0) -> np.ndarray:
    """Pose of the camera in base_link; pitch > 0 looks down."""
    cr, sr, cp, sp, cy, sy = (f(a) for a in (roll, pitch, yaw) for f in (np.cos, np.sin))
    rx = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    ry = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    rz = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    matrix = np.eye(4)
    matrix[:3, :3] = rz @ ry @ rx @ OPTICAL
    matrix[:3, 3] = x, y, z
    return matrix


def render(
    model: CameraModel,
    at: np.ndarray,
    boxes: list[Box],
    slopes: tuple[float, float] = (0.0, 0.0),
) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (uint16) and depth (float32, 0 for sky) on the road z = slopes . (x, y)."""
    height, width = model.size
    rows, columns = np.mgrid[0:height, 0:width].reshape(2, -1)
    rays = model.rays(np.column_stack([columns, rows])) @ at[:3, :3].T
    eye = at[:3, 3]
    # Where eye + depth * ray meets the ground: rays have an optical z of 1.
    fall = rays[:, :2] @ slopes - rays[:, 2]
    depth = np.where(fall > 1e-9, (eye[2] - eye[:2] @ slopes) / np.maximum(fall, 1e-9), np.inf)
    labels = np.where(np.isfinite(depth), ROAD, SKY)
    with np.errstate(divide="ignore", invalid="ignore"):
        for box in boxes:
            planes = np.stack([(np.array(corner) - eye) / rays for corner in (box.low, box.high)])
            enters, leaves = planes.min(axis=0).max(axis=1), planes.max(axis=0).min(axis=1)
            hit = (enters <= leaves) & (enters > 0) & (enters < depth)
            depth[hit], labels[hit] = enters[hit], box.value
    depth = np.where(np.isfinite(depth), depth, 0)
    return (
        labels.reshape(model.size).astype(np.uint16),
        depth.reshape(model.size).astype(np.float32),
    )


def viewpoint(model: CameraModel, at: np.ndarray, plane: GroundPlane | None = None) -> Viewpoint:
    return Viewpoint.of(GroundView(model, at), model.size, plane or GroundPlane())


def projection(model: CameraModel, at: np.ndarray, **options) -> GroundProjection:
    chosen = ProjectionOptions(**options)
    return GroundProjection(viewpoint(model, at, chosen.plane), WINDOW, CITYSCAPES, chosen)


def observe(model, at, labels, *, depth=None, points=None, **options):
    project = projection(model, at, **options)
    return project(PanopticPrediction(labels), depth=depth, points=points)


def cell(x: float, y: float) -> tuple[int, int]:
    """Index [iy, ix] of the cell at x, y."""
    return np.unravel_index(int(WINDOW.flat_index(x, y)), WINDOW.shape)
