"""Upright boxes in space, and how much two of them share."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.geometry.poses import Pose2D


@dataclass(frozen=True)
class Cuboid:
    """Describe an upright box.

    center: x, y, z, metres; size: length, width, height (along its x, y, z), metres, all above
    0; yaw: of its x axis, radians.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float

    def footprint(self) -> np.ndarray:
        """Return the corners on the ground, counter-clockwise from front left, float64 [4, 2]."""
        half = np.array([[1, 1], [-1, 1], [-1, -1], [1, -1]]) * self.size[:2] / 2
        return Pose2D(self.center[0], self.center[1], self.yaw).apply(half)

    def moved(self, pose: Pose2D) -> Cuboid:
        """Return the box in the frame that `pose` is given in; its own is the pose's."""
        place = pose.compose(Pose2D(self.center[0], self.center[1], self.yaw))
        return Cuboid((place.x, place.y, self.center[2]), self.size, place.yaw)


def cuboid_iou(one: Cuboid, other: Cuboid) -> tuple[float, float]:
    """Return intersection over union of two boxes: seen from above, and of their volumes."""
    common, _ = cv2.intersectConvexConvex(
        # Near the origin float32 is exact enough.
        (one.footprint() - one.center[:2]).astype(np.float32),
        (other.footprint() - one.center[:2]).astype(np.float32),
    )
    areas = [math.prod(box.size[:2]) for box in (one, other)]
    tops = [box.center[2] + box.size[2] / 2 for box in (one, other)]
    bottoms = [box.center[2] - box.size[2] / 2 for box in (one, other)]
    shared = common * max(0.0, min(tops) - max(bottoms))
    volumes = sum(math.prod(box.size) for box in (one, other))
    return common / (sum(areas) - common), shared / (volumes - shared)
