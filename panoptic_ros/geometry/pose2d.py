"""Poses on the ground plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Pose2D:
    """Hold a frame's place in another: x, y in metres, yaw in radians, counter-clockwise.

    As an ego pose: base_link in odom. Raise ValueError for a number that is not finite.

    >>> Pose2D(1.0, 0.0, math.pi / 2).apply(np.array([[2.0, 0.0]])).round(6)
    array([[1., 2.]])
    """

    x: float = 0.0
    y: float = 0.0
    yaw: float = 0.0

    def __post_init__(self) -> None:
        for name in ("x", "y", "yaw"):
            value = getattr(self, name)
            if not math.isfinite(value):
                raise ValueError(f"pose: {name} is {value}; it must be finite")

    @property
    def matrix(self) -> np.ndarray:
        """Rotation and translation, float64 [2, 3]: outer point = matrix @ (x, y, 1)."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return np.array([[c, -s, self.x], [s, c, self.y]])

    def apply(self, points: np.ndarray) -> np.ndarray:
        """Return points of this frame in the outer one, float [..., 2] to [..., 2]."""
        matrix = self.matrix
        return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]

    def compose(self, inner: Pose2D) -> Pose2D:
        """Return, in the outer frame, a pose given in this one; yaw in -pi..pi."""
        x, y = self.apply(np.array([inner.x, inner.y]))
        return Pose2D(float(x), float(y), _wrapped(self.yaw + inner.yaw))

    def inverse(self) -> Pose2D:
        """Return the outer frame's pose in this one."""
        c, s = math.cos(self.yaw), math.sin(self.yaw)
        return Pose2D(-c * self.x - s * self.y, s * self.x - c * self.y, _wrapped(-self.yaw))


def _wrapped(angle: float) -> float:
    return math.remainder(angle, math.tau)
