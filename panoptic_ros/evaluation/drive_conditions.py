"""What is wrong with a drive's data in a row of the table."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from panoptic_ros.evaluation.town_drive import TownDrive
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import Pose2D


@dataclass(frozen=True)
class Condition:
    """Describe a row: its name; use each step-th frame only.

    drift: share by which odometry overrates every motion; pitch: radians by which the camera
    looks further down than its calibration says; odometry: whether there is any.
    """

    name: str
    step: int = 1
    drift: float = 0.0
    pitch: float = 0.0
    odometry: bool = True


# Kinds of labels that a drive is scored on, and their titles.
TRUE_LABELS, PREDICTED = "true_labels", "predicted"
TITLES = {TRUE_LABELS: "true labels", PREDICTED: "predicted"}
AS_RECORDED = Condition("as recorded")
CONDITIONS = (
    AS_RECORDED,
    Condition("every second frame missing", step=2),
    Condition("odometry with 2 % drift", drift=0.02),
    Condition("pitch off by 1 degree", pitch=math.radians(1)),
    Condition("no odometry", odometry=False),
)
# Without odometry the grid has no memory, and there is nothing to compare with single frames.
GROUND_CONDITIONS = tuple(c for c in CONDITIONS if c.odometry)


def views_of(drive: TownDrive, condition: Condition) -> list[GroundView]:
    """Return what is known of each of a drive's frames under a condition."""
    mounting = pitched(drive.base_from_optical, condition.pitch)
    poses = drifted((frame.pose for frame in drive.frames), condition.drift)
    return [
        GroundView(drive.camera, mounting, pose if condition.odometry else None) for pose in poses
    ]


def drifted(poses: Iterable[Pose2D], drift: float) -> Iterator[Pose2D]:
    """Yield poses whose every motion, forward, sideways and turning, is 1 + drift as large."""
    before = now = None
    for pose in poses:
        if before is None or now is None:
            now = pose
        else:
            step = before.inverse().compose(pose)
            scale = 1 + drift
            now = now.compose(Pose2D(scale * step.x, scale * step.y, scale * step.yaw))
        before = pose
        yield now


def pitched(base_from_optical: np.ndarray, angle: float) -> np.ndarray:
    """Return a camera's pose, float64 [4, 4], that looks further up by an angle, radians."""
    c, s = math.cos(angle), math.sin(angle)
    turn = np.eye(4)
    # About the optical frame's x axis (right): positive lifts the view.
    turn[1:3, 1:3] = [[c, -s], [s, c]]
    return base_from_optical @ turn
