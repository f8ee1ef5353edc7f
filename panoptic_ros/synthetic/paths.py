"""Paths of what moves: functions of time in seconds to x, y, z, yaw in the world."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic.scene import Path, Pose
from panoptic_ros.synthetic.street_layout import Street


def along(street: Street, s0: float, speed: float, t: float, z: float = 0.0) -> Path:
    """Return a path in a lane: t > 0 faces against the street. speed is signed, m/s along s."""
    turn = 0.0 if t < 0 else np.pi

    def path(time: float) -> Pose:
        s = s0 + speed * time
        x, y = street.to_world(s, t)
        return float(x), float(y), z, float(street.heading(s)) + turn

    return path


def across(street: Street, s: float, t0: float, speed: float, direction: int) -> Path:
    """Return a path across the street at s; direction: +1 to the left, -1 to the right.

    speed: m/s, 0 or more.
    """
    yaw = float(street.heading(s)) + direction * np.pi / 2

    def path(time: float) -> Pose:
        x, y = street.to_world(s, t0 + direction * speed * time)
        return float(x), float(y), 0.0, yaw

    return path


def stroll(street: Street, s0: float, t: float, speed: float, yaw: float = 0.0) -> Path:
    """Return a walk along the street, on whatever ground is there.

    speed: signed, m/s along s; yaw: radians from the street's direction, for who stands.
    """

    def path(time: float) -> Pose:
        s = s0 + speed * time
        x, y = street.to_world(s, t)
        turn = yaw if speed == 0 else (0.0 if speed > 0 else np.pi)
        on_kerb = street.surface(np.array(s), np.array(t))[1]
        return float(x), float(y), float(on_kerb), float(street.heading(s)) + turn

    return path


def still(street: Street, s: float, t: float, z: float, yaw: float) -> Path:
    """Return the path of what stands; yaw: radians from the street's direction."""
    x, y = street.to_world(s, t)
    pose = (float(x), float(y), z, float(street.heading(s)) + yaw)
    return lambda time: pose
