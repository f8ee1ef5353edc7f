"""Poses on the ground plane and, as 4 x 4 matrices, in space, with REP-103's axes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

# Largest distance from odometry's origin, metres; projected coordinates reach 1e7.
_FARTHEST = 1e9
# What no vehicle does: metres and radians in a second, and on top of that at once.
_FASTEST, _FASTEST_TURN = 100.0, 10.0
_JOLT, _JOLT_TURN = 2.0, 0.5
# Columns: the optical frame's axes (x right, y down, z forward) in a frame with x forward,
# y left, z up.
_BODY_FROM_OPTICAL = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


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


def jump(before: Pose2D, after: Pose2D, seconds: float) -> str:
    """Say how a vehicle's pose jumped, where it cannot have moved so in that time, else ''.

    Odometry that starts again does so, a place that is set by hand, and a teleported robot.
    """
    distance = math.hypot(after.x - before.x, after.y - before.y)
    turn = abs(_wrapped(after.yaw - before.yaw))
    if distance <= _JOLT + _FASTEST * seconds and turn <= _JOLT_TURN + _FASTEST_TURN * seconds:
        return ""
    return f"the vehicle's pose jumped by {distance:.1f} m, {turn:.1f} rad in {seconds:.3f} s"


def is_same_frame(frame: str, other: str) -> bool:
    """Return whether names of frames differ by a leading slash at most, as ROS 1 wrote it."""
    return frame.lstrip("/") == other.lstrip("/")


def _wrapped(angle: float) -> float:
    return math.remainder(angle, math.tau)


def rotation_matrix(quaternion: Sequence[float]) -> np.ndarray:
    """Return the rotation of a quaternion (x, y, z, w), float64 [3, 3].

    Raise ValueError for one whose length is not 1 (within 0.01): a message that was not
    filled in has zeros.
    """
    values = np.asarray(quaternion, float)
    # NumPy's would warn of what overflows.
    length = math.hypot(*values)
    if not abs(length - 1) < 0.01:
        raise ValueError(f"quaternion {values.tolist()} has length {length:.3g}, not 1")
    x, y, z, w = values / length
    sine = np.linalg.norm([x, y, z])
    if sine == 0:
        return np.eye(3)
    angle = 2 * np.arctan2(sine, w)
    return cv2.Rodrigues(np.array([x, y, z]) * (angle / sine))[0]


def quaternion(rotation: np.ndarray) -> tuple[float, float, float, float]:
    """Return x, y, z, w of a rotation matrix [3, 3]."""
    turn = cv2.Rodrigues(np.asarray(rotation, float))[0].ravel()
    angle = np.linalg.norm(turn)
    axis = turn / angle if angle > 0 else turn
    x, y, z = (axis * np.sin(angle / 2)).tolist()
    return x, y, z, float(np.cos(angle / 2))


def rigid_transform(translation: Sequence[float], rotation: np.ndarray) -> np.ndarray:
    """Return float64 [4, 4] that takes points from the child's frame to the parent's.

    translation: of the child's origin in the parent, metres; rotation: [3, 3].
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation
    matrix[:3, 3] = translation
    return matrix


def message_pose(place: Any, turn: Any) -> np.ndarray:
    """Return a pose of a message, float64 [4, 4]; errors as `rotation_matrix`.

    place: x, y, z, metres, of a Point or Vector3; turn: a Quaternion.
    """
    rotation = rotation_matrix((turn.x, turn.y, turn.z, turn.w))
    return rigid_transform((place.x, place.y, place.z), rotation)


def optical_pose(x: float, y: float, z: float, roll: float, pitch: float, yaw: float) -> np.ndarray:
    """Return base_from_optical, float64 [4, 4], of a camera mounted on a vehicle.

    x, y, z: metres in `base_link`. roll, pitch, yaw: radians about the fixed axes x, y, z, as
    in URDF, of a camera that looks along x; positive pitch looks down, positive yaw left.
    """
    (cr, cp, cy), (sr, sp, sy) = np.cos([roll, pitch, yaw]), np.sin([roll, pitch, yaw])
    about_x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    about_y = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    about_z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return rigid_transform((x, y, z), about_z @ about_y @ about_x @ _BODY_FROM_OPTICAL)


def mounting(base_from_optical: np.ndarray) -> dict[str, float]:
    """Return x, y, z, roll, pitch, yaw of a camera: what `optical_pose` takes."""
    body = base_from_optical[:3, :3] @ _BODY_FROM_OPTICAL.T
    angles = {
        "roll": np.arctan2(body[2, 1], body[2, 2]),
        "pitch": -np.arcsin(np.clip(body[2, 0], -1, 1)),
        "yaw": np.arctan2(body[1, 0], body[0, 0]),
    }
    place = dict(zip("xyz", base_from_optical[:3, 3], strict=True))
    return {name: float(value) for name, value in (place | angles).items()}


def planar_pose(matrix: np.ndarray) -> Pose2D:
    """Return place and heading of a pose [4, 4]; raise ValueError where nothing can be."""
    place = matrix[:3, 3]
    if not np.abs(place).max() <= _FARTHEST:
        raise ValueError(f"the vehicle's place {place.tolist()} is not within {_FARTHEST:g} m")
    heading = np.arctan2(matrix[1, 0], matrix[0, 0])
    return Pose2D(float(place[0]), float(place[1]), float(heading))
