"""Where a camera is mounted on the vehicle."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.options import number


@dataclass(frozen=True)
class Mounting:
    """Give a camera's place and direction, as long as no TF tells them.

    The node's parameters, and what a replay assumes of a bag without TF.
    """

    x: float = number(1.7, -100.0, 100.0, "Camera in base_frame, metres ahead.")
    y: float = number(0.0, -100.0, 100.0, "Camera in base_frame, metres to the left.")
    z: float = number(1.22, 0.01, 100.0, "Camera above the ground, metres.")
    roll: float = number(0.0, -3.2, 3.2, "Rotation about x, radians.")
    pitch: float = number(0.038, -3.2, 3.2, "Rotation about y, radians; positive looks down.")
    yaw: float = number(0.0, -3.2, 3.2, "Rotation about z, radians; positive looks left.")

    def base_from_optical(self) -> np.ndarray:
        """Return the pose of the optical frame in base_link, float64 [4, 4]."""
        return optical_pose(self.x, self.y, self.z, self.roll, self.pitch, self.yaw)
