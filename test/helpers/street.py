"""A street of upright boards, seen by a camera on a car: what a tracker gets of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundPlane
from panoptic_ros.geometry.poses import Pose2D, optical_pose
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import encode
from panoptic_ros.prediction import PanopticPrediction, Segment

PERSON, CAR = 24, 26
REST, LEVEL = Pose2D(), GroundPlane()
SIZE = (256, 512)
CAMERA = CameraModel(
    SIZE[1], SIZE[0], np.array([[300.0, 0.0, 255.5], [0.0, 300.0, 127.5], [0.0, 0.0, 1.0]])
)
BASE_FROM_OPTICAL = optical_pose(1.5, 0.0, 1.3, 0.0, 0.05, 0.0)


@dataclass(frozen=True)
class Board:
    """Stand upright across the road: position at time 0 and velocity in odom, size in metres."""

    class_id: int
    x: float
    y: float
    vx: float = 0.0
    vy: float = 0.0
    width: float = 1.8
    height: float = 1.5
    score: float = 0.9

    def at(self, time: float) -> np.ndarray:
        """Return x, y in odom."""
        return np.array([self.x + self.vx * time, self.y + self.vy * time])


def box(
    board: Board, time: float, pose: Pose2D, plane: GroundPlane = LEVEL
) -> tuple[int, int, int, int] | None:
    """Return the board's box in the image, None where nothing of it is seen."""
    x, y = pose.inverse().apply(board.at(time))
    foot = plane.z(x, y)
    corners = [
        (x, y + side * board.width / 2, foot + z) for side in (1, -1) for z in (0, board.height)
    ]
    optical = (np.array(corners) - BASE_FROM_OPTICAL[:3, 3]) @ BASE_FROM_OPTICAL[:3, :3]
    if (optical[:, 2] < 0.5).any():
        return None
    pixels = CAMERA.project(optical)[0] + 0.5
    low = np.maximum(np.floor(pixels.min(axis=0)), 0)
    high = np.minimum(np.ceil(pixels.max(axis=0)), SIZE[::-1])
    if (high <= low).any():
        return None
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])


def view(
    boards: list[Board],
    time: float,
    pose: Pose2D = REST,
    seed: int = 0,
    plane: GroundPlane = LEVEL,
) -> tuple[PanopticPrediction, dict[int, GroundInstance], dict[int, int]]:
    """Return a prediction, places on the ground, and which board each instance id is.

    Instance numbers are drawn anew in each frame. Boards do not hide each other.
    """
    numbers = np.random.default_rng([seed, round(1000 * time)]).permutation(len(boards))
    labels = np.zeros(SIZE, np.uint16)
    segments, ground, owners = [], {}, {}
    for index, (board, number) in enumerate(zip(boards, numbers, strict=True)):
        found = box(board, time, pose, plane)
        if found is None:
            continue
        value = encode(board.class_id, int(number))
        x0, y0, x1, y1 = found
        labels[y0:y1, x0:x1] = value
        area = (x1 - x0) * (y1 - y0)
        segments.append(Segment(value, board.class_id, True, board.score, area, found))
        x, y = pose.inverse().apply(board.at(time))
        covariance = np.diag([0.2, 0.05]) ** 2
        ground[value] = GroundInstance(value, board.class_id, (x, y), board.width, covariance)
        owners[value] = index
    return PanopticPrediction(labels, segments), ground, owners
