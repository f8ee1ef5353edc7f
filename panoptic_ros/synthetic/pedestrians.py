"""Persons on pavements and crossings."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic.ego_drive import Plan
from panoptic_ros.synthetic.fleet import Fleet
from panoptic_ros.synthetic.paths import across, stroll
from panoptic_ros.synthetic.street_layout import Crossing, Street


class Pedestrians:
    """Add a town's persons, alone, in groups and in crowds."""

    def __init__(self, fleet: Fleet, street: Street, plan: Plan, rng: np.random.Generator) -> None:
        self.fleet, self.street, self.plan, self.rng = fleet, street, plan, rng

    def pavements(self) -> None:
        """Add who walks and stands on the pavements, sometimes a crowd."""
        rng, street = self.rng, self.street
        low, high = street.kerb + street.verge + 0.5, street.frontage - 0.4
        for side in (-1, 1):
            for _ in range(int(rng.integers(5, 18))):
                s = self.plan.ego_start + rng.uniform(4, 80)
                speed = 0.0 if rng.random() < 0.2 else rng.choice([-1, 1]) * rng.uniform(0.7, 1.6)
                for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))):
                    t = side * rng.uniform(low, high)
                    path = stroll(street, s, t, speed, rng.uniform(-np.pi, np.pi))
                    self.fleet.person(path, speed)
                    s += rng.uniform(0.2, 0.9)
        if rng.random() < 0.5:
            side, s0 = int(rng.choice([-1, 1])), self.plan.ego_start + rng.uniform(12, 45)
            for _ in range(int(rng.integers(5, 16))):
                s, t = s0 + rng.normal(scale=2.5), side * rng.uniform(low - 0.2, high)
                self.fleet.person(stroll(street, s, t, 0.0, rng.uniform(-np.pi, np.pi)), 0.0)

    def crossing(self, c: Crossing) -> None:
        """Walk over the zebra of whichever street waits; stand at the other one."""
        rng, street = self.rng, self.street
        for _ in range(int(rng.integers(2, 9))):
            speed = float(rng.choice([-1, 1]) * rng.uniform(0.8, 1.5))
            side = float(rng.choice([-1, 1]))
            if self.plan.green:
                t = side * (street.kerb + 2.6 + rng.uniform(-1, 1))
                s = c.s + rng.uniform(-1, 1) * (c.half_width + 2)
                self.fleet.person(stroll(street, s, t, speed), speed)
            else:
                s = c.s + side * (c.half_width + 3.6 + rng.uniform(-1.1, 1.1))
                t = rng.uniform(-1, 1) * street.kerb
                direction = 1 if speed > 0 else -1
                self.fleet.person(across(street, s, t, abs(speed), direction), speed)
        for _ in range(int(rng.integers(0, 7))):
            side = float(rng.choice([-1, 1]))
            s = c.s - (c.half_width + 3.6 + rng.uniform(-1.6, 1.6))
            t = side * (street.kerb + rng.uniform(0.4, 2.0))
            yaw = -side * np.pi / 2 + rng.normal(scale=0.4)
            self.fleet.person(stroll(street, s, t, 0.0, yaw), 0.0)
