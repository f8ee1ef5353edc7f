"""The ground plane, a frame's view of it, and where the camera stands above it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D

# A camera lower than this sees no ground that could be told apart.
_LOWEST = 0.05
# Metres from base_link. Farther ones are no mounting, and overflow where they are used.
_FARTHEST = 1e4


@dataclass(frozen=True)
class GroundPlane:
    """Describe the ground in base_link: z = height + slope_x * x + slope_y * y, metres."""

    height: float = 0.0
    slope_x: float = 0.0
    slope_y: float = 0.0

    @classmethod
    def inclined(cls, height: float, pitch: float, roll: float) -> GroundPlane:
        """Incline the plane by right-handed rotations about x (roll), then y (pitch), radians."""
        # The normal is Ry(pitch) Rx(roll) (0, 0, 1).
        slope_y = np.tan(roll) / np.cos(pitch)
        return cls(height, -float(np.tan(pitch)), float(slope_y))

    def z(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the height of the ground at x, y, metres."""
        return self.height + self.slope_x * np.asarray(x) + self.slope_y * np.asarray(y)

    def height_above(self, points: np.ndarray) -> np.ndarray:
        """Return how high points [N, 3] are above the ground, [N], metres."""
        return points[:, 2] - self.z(points[:, 0], points[:, 1])

    def rise(self, directions: np.ndarray) -> np.ndarray:
        """Return by how much directions [N, 3] lead away from the ground, [N]."""
        return directions[:, 2] - self.slope_x * directions[:, 0] - self.slope_y * directions[:, 1]


@dataclass(frozen=True)
class GroundView:
    """Hold what is known about a frame beside its picture.

    camera: of any size, it is brought to the picture's; base_from_optical: its pose, float
    [4, 4]; pose: `base_link` in `odom`, None: unknown; depth: float32 [H, W], metres along the
    optical axis, 0 none; points: float32 [N, 3] in `base_link`, metres.
    """

    camera: CameraModel
    base_from_optical: np.ndarray
    pose: Pose2D | None = None
    depth: np.ndarray | None = None
    points: np.ndarray | None = None


@dataclass(frozen=True)
class Viewpoint:
    """Hold a camera, its rotation [3, 3] and position [3] in base_link, and the ground."""

    camera: CameraModel
    rotation: np.ndarray
    position: np.ndarray
    plane: GroundPlane

    @classmethod
    def of(cls, view: GroundView, size: tuple[int, int], plane: GroundPlane) -> Viewpoint:
        """Take the camera of a picture of a size (H, W).

        Raise ValueError for a camera's pose that is none, far away or below the ground.
        """
        pose = np.asarray(view.base_from_optical, np.float64)
        if pose.shape != (4, 4) or not np.isfinite(pose).all():
            raise ValueError(f"camera pose must be a finite [4, 4] matrix, not {pose.tolist()}")
        return _viewpoint(view.camera.scaled(size), pose.tobytes(), plane)

    @cached_property
    def height(self) -> float:
        """Height of the camera above the ground below it, metres."""
        return float(self.plane.height_above(self.position[None])[0])

    @cached_property
    def heading(self) -> float:
        """Direction of the optical axis over the ground, radians; of the image's top if steep."""
        axis = self.rotation[:2, 2]
        if np.hypot(*axis) < 1e-3:
            axis = -self.rotation[:2, 1]
        return float(np.arctan2(axis[1], axis[0]))

    def optical(self, points: np.ndarray) -> np.ndarray:
        """Return points [N, 3] of base_link in the optical frame."""
        return (points - self.position) @ self.rotation

    def rays(self, pixels: np.ndarray) -> np.ndarray:
        """Return the direction in base_link of each pixel [N, 2] (x, y), [N, 3], optical z 1."""
        return self.camera.rays(pixels) @ self.rotation.T

    def on_ground(self, xy: np.ndarray, height: float | np.ndarray = 0.0) -> np.ndarray:
        """Return points [N, 3] in the optical frame, at xy [N, 2] and heights above ground."""
        z = self.plane.z(xy[:, 0], xy[:, 1]) + height
        return self.optical(np.column_stack([xy, z]))

    def polar(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return range (metres) from the camera's foot and bearing from its heading, radians."""
        offset = xy - self.position[:2]
        bearing = np.arctan2(offset[..., 1], offset[..., 0]) - self.heading
        return np.hypot(offset[..., 0], offset[..., 1]), (bearing + np.pi) % (2 * np.pi) - np.pi

    def at(self, distance: np.ndarray, bearing: np.ndarray) -> np.ndarray:
        """Return x, y [..., 2] of a range and a bearing, the reverse of `polar`."""
        angle = bearing + self.heading
        direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
        return self.position[:2] + np.asarray(distance)[..., None] * direction


# A camera that is fixed to the vehicle has one pose, whose checks take longer than looking it up.
@lru_cache(maxsize=64)
def _viewpoint(camera: CameraModel, pose_bytes: bytes, plane: GroundPlane) -> Viewpoint:
    """Return the view of a camera with a pose, float64 [4, 4], as bytes; errors as Viewpoint.of."""
    pose = np.frombuffer(pose_bytes).reshape(4, 4)
    turn = pose[:3, :3]
    if np.abs(turn @ turn.T - np.eye(3)).max() > 1e-3 or np.linalg.det(turn) < 0:
        raise ValueError(f"camera pose's rotation {turn.tolist()} is not a rotation")
    if np.abs(pose[:3, 3]).max() > _FARTHEST:
        raise ValueError(
            f"the camera is at {pose[:3, 3].tolist()} in base_link, farther than "
            f"{_FARTHEST:g} m; check its pose"
        )
    found = Viewpoint(camera, turn, pose[:3, 3], plane)
    if found.height < _LOWEST:
        raise ValueError(
            f"the camera is {found.height:.2f} m above the ground plane, at "
            f"{found.position.tolist()} in base_link; check its pose and the ground's height"
        )
    return found
