"""How the boxes of resting objects move in the image because the camera moves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D

# Beyond it an object's box only moves as the camera turns; metres.
_FAR = 200.0
# Nearer to the camera's plane than this a box grows without bound; metres.
_NEAR = 0.5


@dataclass(frozen=True)
class View:
    """Hold where a picture was taken: base_from_optical [4, 4], and base_link in odom."""

    camera: CameraModel
    base_from_optical: np.ndarray
    pose: Pose2D

    @property
    def foot(self) -> tuple[float, float]:
        """x, y of the camera in base_link, metres."""
        return float(self.base_from_optical[0, 3]), float(self.base_from_optical[1, 3])

    @property
    def focal_length(self) -> float:
        """Pixels, along the columns."""
        return float(self.camera.matrix[1, 1])

    def depth(self, x: float, y: float) -> float:
        """Return the distance along the optical axis of a place on the ground, metres."""
        (ax, ay, az), (ox, oy, oz) = self.base_from_optical[:3, 2:].T.tolist()
        return ax * (x - ox) + ay * (y - oy) - az * oz

    def to_optical(self, points: np.ndarray) -> np.ndarray:
        """Return points of base_link in the optical frame, float64 [N, 3] both."""
        return (points - self.base_from_optical[:3, 3]) @ self.base_from_optical[:3, :3]

    def ground_points(self, pixels: np.ndarray) -> np.ndarray:
        """Return where view rays meet the ground or are far away, base_link, float64 [N, 3]."""
        origin = self.base_from_optical[:3, 3]
        rays = self.camera.rays(pixels) @ self.base_from_optical[:3, :3].T
        with np.errstate(divide="ignore"):
            reach = np.where(rays[:, 2] < 0, -origin[2] / rays[:, 2], np.inf)
        reach = np.minimum(reach, _FAR / np.linalg.norm(rays, axis=1))
        return origin + reach[:, None] * rays


def box_motions(
    boxes: np.ndarray, positions: np.ndarray, before: View, now: View
) -> tuple[np.ndarray, np.ndarray]:
    """Return how boxes of one picture go over to a later one: scale [N] and shift [N, 2].

    boxes: float [N, 4], xyxy, pixels of the earlier picture; positions: float [N, 2], where the
    objects stand in odom, NaN: where the view ray of the box's lower edge meets the ground.
    A corner p becomes scale * p + shift: the box grows as its object comes nearer, and moves
    along with the place where the object stands. Scale 1 and shift 0 where that place is not
    in front of the camera.
    """
    # A box's edges lie between pixels, a camera's integer coordinates on their centres.
    bottoms = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1) - 0.5
    points = before.ground_points(bottoms)
    placed = np.isfinite(positions).all(axis=1)
    points[placed, :2] = before.pose.inverse().apply(positions[placed])
    points[placed, 2] = 0.0
    moved = points.copy()
    moved[:, :2] = now.pose.inverse().apply(before.pose.apply(points[:, :2]))

    old, new = before.to_optical(points), now.to_optical(moved)
    old_pixels, new_pixels = _pixels(before.camera, old), _pixels(now.camera, new)
    ahead = np.minimum(old[:, 2], new[:, 2]) > _NEAR
    scale = np.divide(old[:, 2], new[:, 2], out=np.ones(len(old)), where=ahead)
    shift = new_pixels - scale[:, None] * old_pixels
    known = ahead & np.isfinite(shift).all(axis=1)
    return np.where(known, scale, 1.0), np.where(known[:, None], shift, 0.0)


def _pixels(camera: CameraModel, points: np.ndarray) -> np.ndarray:
    """Return where points are in the picture or beside it, in boxes' coordinates, else NaN."""
    pixels, visible = camera.project(points)
    height, width = camera.size
    inside = ((pixels > -0.5) & (pixels < [width - 0.5, height - 0.5])).all(axis=1)
    # What the lens model cannot place comes back as some point of the picture.
    return np.where((inside & ~visible)[:, None], np.nan, pixels + 0.5)
