"""Upright boxes on a ground, seen by a camera: exact depth and labels, by ray casting."""

from __future__ import annotations

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel, pixel_rays
from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.prediction import PanopticPrediction, Segment

SIZE = (150, 300)
CAMERA = CameraModel(300, 150, [250.0, 0, 149.5, 0, 250.0, 49.5, 0, 0, 1])
BASE_FROM_OPTICAL = optical_pose(0, 0, 1.5, 0, 0, 0)
ROAD = 7


def seen(boxes: dict[int, Cuboid], pose: Pose2D | None = None) -> tuple:
    """Return labels as PanopticPrediction, and a GroundView with depth.

    boxes: by label value, in base_link, on z = 0; what is behind them is road, or sky; pose: of
    base_link in odom.
    """
    rays = pixel_rays(CAMERA) @ BASE_FROM_OPTICAL[:3, :3].T
    eye = BASE_FROM_OPTICAL[:3, 3]
    with np.errstate(divide="ignore"):
        depth = np.where(rays[:, 2] < 0, -eye[2] / rays[:, 2], np.inf)
    labels = np.where(depth < np.inf, ROAD, 0).astype(np.uint16)
    for value, box in boxes.items():
        hit = _hits(box, rays, eye)
        nearer = hit < depth
        depth, labels = np.where(nearer, hit, depth), np.where(nearer, value, labels)
    depth = np.where(depth < np.inf, depth, 0).astype(np.float32).reshape(SIZE)
    return predicted(labels.astype(np.uint16).reshape(SIZE)), GroundView(
        CAMERA, BASE_FROM_OPTICAL, pose, depth
    )


def predicted(labels: np.ndarray) -> PanopticPrediction:
    """Return a label image with its segments."""
    segments = []
    for value in np.unique(labels[labels > 0]).tolist():
        rows, columns = np.nonzero(labels == value)
        box = (int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1)
        is_thing = value >= 1000
        class_id = value // 1000 if is_thing else value
        segments.append(Segment(value, class_id, is_thing, 0.9, len(rows), box))
    return PanopticPrediction(labels, segments)


def _hits(box: Cuboid, rays: np.ndarray, eye: np.ndarray) -> np.ndarray:
    """Return the depth at which rays enter a box, inf where they do not (slab method)."""
    turn = np.eye(3)
    turn[:2, :2] = Pose2D(yaw=box.yaw).matrix[:, :2]
    origin, along = (eye - box.center) @ turn, rays @ turn
    half = np.array(box.size) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        ends = np.sort(np.stack([(-half - origin) / along, (half - origin) / along]), axis=0)
    enter, leave = ends[0].max(axis=1), ends[1].min(axis=1)
    return np.where((enter < leave) & (enter > 0), enter, np.inf)
