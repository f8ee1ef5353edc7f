"""The ego car's drive, and the light that the whole street agrees on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.street_layout import APRON, Street


@dataclass(frozen=True)
class EgoPose:
    """Hold where base_link is on the ground: x, y in metres, yaw in radians, speed in m/s and
    yaw rate in rad/s, in a map whose z = 0 is the carriageway.
    """

    x: float
    y: float
    yaw: float
    speed: float
    yaw_rate: float


@dataclass(frozen=True)
class Plan:
    """Hold what the whole street agrees on: whether it has a green light, and the ego car's drive.

    ego_lane: index from the median; ego_start: s in metres; ego_speed: m/s.
    """

    green: bool
    ego_lane: int
    ego_start: float
    ego_speed: float


def make_plan(street: Street, rng: np.random.Generator) -> Plan:
    """Return the plan: mostly driving, sometimes waiting at the first crossing's red light."""
    lane = int(rng.integers(street.lanes))
    first = street.crossings[0]
    if rng.random() < 0.8:
        return Plan(True, lane, 0.0, street.speed)
    stop = first.s - first.half_width - APRON
    return Plan(False, lane, float(stop - rng.uniform(1.5, 16)), 0.0)
