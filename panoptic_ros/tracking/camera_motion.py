"""How the boxes of resting objects move in the image because the camera moves."""

from __future__ import annotations

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.geometry.poses import Pose2D

# Beyond it an object's box only moves as the camera turns; metres.
_FAR = 200.0
# Nearer to the camera's plane than this a box grows without bound; metres.
_NEAR = 0.5


def box_motions(
    boxes: np.ndarray, places: np.ndarray, before: Viewpoint, now: Viewpoint, moved: Pose2D
) -> tuple[np.ndarray, np.ndarray]:
    """Return how boxes of one picture go over to a later one: scale [N] and shift [N, 2].

    boxes: float [N, 4], xyxy, pixels of the earlier picture; places: float [N, 2], where the
    objects stood in base_link, NaN: where the view ray of the box's lower edge meets the
    ground; moved: base_link of before in base_link of now. A corner p becomes
    scale * p + shift: the box grows as its object comes nearer, and moves along with the place
    where the object stands. Scale 1 and shift 0 where that place is not in front of the camera.
    """
    # A box's edges lie between pixels, a camera's integer coordinates on their centres.
    bottoms = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1) - 0.5
    points = _ground_points(before, bottoms)
    placed = np.isfinite(places).all(axis=1)
    points[placed, :2] = places[placed]
    # What is too far for its ray to meet the ground stays as high above it.
    height = np.where(placed, 0.0, before.plane.height_above(points))
    old = before.on_ground(points[:, :2], height)
    new = now.on_ground(moved.apply(points[:, :2]), height)
    old_pixels, new_pixels = _pixels(before.camera, old), _pixels(now.camera, new)
    ahead = np.minimum(old[:, 2], new[:, 2]) > _NEAR
    scale = np.divide(old[:, 2], new[:, 2], out=np.ones(len(old)), where=ahead)
    shift = new_pixels - scale[:, None] * old_pixels
    known = ahead & np.isfinite(shift).all(axis=1)
    return np.where(known, scale, 1.0), np.where(known[:, None], shift, 0.0)


def _ground_points(view: Viewpoint, pixels: np.ndarray) -> np.ndarray:
    """Return where view rays meet the ground or are far away, base_link, float64 [N, 3]."""
    rays = view.rays(pixels)
    rise = view.plane.rise(rays)
    with np.errstate(divide="ignore"):
        reach = np.where(rise < 0, -view.height / rise, np.inf)
    reach = np.minimum(reach, _FAR / np.linalg.norm(rays, axis=1))
    return view.position + reach[:, None] * rays


def _pixels(camera: CameraModel, points: np.ndarray) -> np.ndarray:
    """Return where points are in the picture or beside it, in boxes' coordinates, else NaN."""
    pixels, visible = camera.project(points)
    height, width = camera.size
    inside = ((pixels > -0.5) & (pixels < [width - 0.5, height - 0.5])).all(axis=1)
    # What the lens model cannot place comes back as some point of the picture.
    return np.where((inside & ~visible)[:, None], np.nan, pixels + 0.5)
