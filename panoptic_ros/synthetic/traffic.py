"""Fill the street with vehicles, riders and persons."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from panoptic_ros.synthetic.ego_drive import Plan
from panoptic_ros.synthetic.fleet import Fleet
from panoptic_ros.synthetic.paths import across, along, still, stroll
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import APRON, KERB, Crossing, Street

# Room that each takes in a lane, metres.
_LENGTHS = {"car": 5.0, "truck": 10.5, "bus": 12.6, "motorcycle": 2.4}
_BEHIND = -25.0


class Traffic:
    """Fill a builder. Every random choice comes from one generator, in one order.

    shares: of what drives in a lane; headway: least and most metres to the next in the ego car's
    lane; gap: metres between two that drive, mean beyond the least, and the least; reach: metres
    of a lane that are filled.
    """

    # Rare classes are as frequent as a network needs to learn them, not as in a real town.
    shares: ClassVar = {"car": 0.56, "truck": 0.11, "bus": 0.09, "motorcycle": 0.24}
    headway = (9.0, 28.0)
    gap = (14.0, 5.0)
    reach = 190.0

    def __init__(
        self, builder: SceneBuilder, street: Street, plan: Plan, rng: np.random.Generator
    ) -> None:
        self.fleet = Fleet(builder, rng)
        self.street, self.plan, self.rng = street, plan, rng

    def populate(self) -> None:
        """Add everybody."""
        self.lanes()
        if self.street.tram:
            self._tram_pair()
        for crossing in self.street.crossings:
            self._cross_traffic(crossing)
            self._walk_crossing(crossing)
        self._cyclists()
        self._parked()
        self._bike_racks()
        self._walk_pavements()

    def lanes(self) -> None:
        """Fill every lane."""
        for lane in range(self.street.lanes):
            self._lane(-1, lane)
            self._lane(1, lane)

    def _pick(self) -> str:
        return str(self.rng.choice(list(self.shares), p=list(self.shares.values())))

    def _lane(self, side: int, lane: int) -> None:
        """Fill one lane; all in it keep the same speed, so that nobody runs into another."""
        rng, street, plan = self.rng, self.street, self.plan
        own = side < 0 and lane == plan.ego_lane
        speed = 0.0
        if plan.green:
            speed = plan.ego_speed if own else street.speed * rng.uniform(0.75, 1.25)
        s = plan.ego_start + (rng.uniform(*self.headway) if own else _BEHIND + rng.uniform(0, 30))
        reach = plan.ego_start + self.reach
        while s < reach:
            kind = self._pick()
            length = _LENGTHS[kind]
            middle = s + length / 2
            if plan.green or not self._in_junction(middle, length / 2):
                t = side * street.lane(lane) + rng.uniform(-0.2, 0.2)
                self.fleet.vehicle(kind, along(street, middle, -side * speed, t))
            mean, least = self.gap
            s += length + (rng.exponential(mean) + least if plan.green else rng.uniform(1.5, 6))

    def _in_junction(self, s: float, margin: float) -> bool:
        return any(abs(s - c.s) < c.half_width + APRON + margin for c in self.street.crossings)

    def _tram_pair(self) -> None:
        rng, plan, street = self.rng, self.plan, self.street
        z = 0.13 if street.median_is_terrain else 0.02
        speed = plan.ego_speed * rng.uniform(0.85, 1.1)
        start = plan.ego_start + rng.uniform(22, 60)
        if not plan.green:
            stop = street.crossings[0].s - street.crossings[0].half_width - APRON
            start = stop - self.fleet.tram_length / 2
        self.fleet.vehicle("tram", along(street, start, speed, -street.median / 2, z))
        if rng.random() < 0.75:
            ahead = plan.ego_start + rng.uniform(30, 110)
            if plan.green or not self._in_junction(ahead, self.fleet.tram_length / 2):
                path = along(street, ahead, -0.8 * speed, street.median / 2, z)
                self.fleet.vehicle("tram", path)

    def _cross_traffic(self, c: Crossing) -> None:
        """Wait while the street drives, drive while it waits."""
        rng, street = self.rng, self.street
        moves = not self.plan.green
        for side in (-1, 1):
            # Who comes from the right (t < 0) drives to the left, on the far half.
            s = c.s - side * c.half_width / 2
            t = side * (street.kerb + 5.0)
            for _ in range(int(rng.integers(1, 5))):
                kind = self._pick()
                length = _LENGTHS[kind]
                t += side * length / 2
                self.fleet.vehicle(kind, across(street, s, t, 6.0 if moves else 0.0, -side))
                t += side * (length / 2 + rng.uniform(1.5, 4) + (8 if moves else 0))

    def _cyclists(self) -> None:
        rng, street, plan = self.rng, self.street, self.plan
        edge = street.kerb - street.parking - 0.5
        for side in (-1, 1):
            s = plan.ego_start + rng.uniform(6, 25)
            # One speed for a side: nobody rides through somebody else.
            speed = rng.uniform(3.0, 5.5) if plan.green else 0.0
            while s < plan.ego_start + 120:
                if plan.green or not self._in_junction(s, 2):
                    t = side * (edge - rng.uniform(0, 0.2))
                    self.fleet.vehicle("bicycle", along(street, s, -side * speed, t))
                s += rng.uniform(12, 60)

    def _parked(self) -> None:
        street, rng = self.street, self.rng
        if not street.parking:
            return
        for side in (-1, 1):
            t = side * (street.kerb - street.parking / 2 + 0.1)
            s = self.plan.ego_start + _BEHIND
            while s < self.plan.ego_start + 170:
                kind = str(rng.choice(["car", "truck", "motorcycle"], p=[0.80, 0.06, 0.14]))
                length = _LENGTHS[kind]
                middle = s + length / 2
                if not self._in_junction(middle, length / 2 + 1) and rng.random() < 0.62:
                    path = along(street, middle, 0.0, t)
                    add = self.fleet.bike if kind == "motorcycle" else self.fleet.vehicle
                    add(kind, path)
                s += length + rng.uniform(0.6, 2.2)

    def _bike_racks(self) -> None:
        rng, street = self.rng, self.street
        for side in (-1, 1):
            for _ in range(int(rng.integers(0, 4))):
                s = self.plan.ego_start + rng.uniform(5, 90)
                kind = str(rng.choice(["bicycle", "motorcycle"], p=[0.75, 0.25]))
                for _ in range(int(rng.integers(1, 6))):
                    s += rng.uniform(0.7, 1.0)
                    if self._in_junction(s, 1):
                        continue
                    t = side * (street.kerb + street.verge + 1.0)
                    yaw = np.pi / 2 + rng.normal(scale=0.15)
                    self.fleet.bike(kind, still(street, s, t, KERB, yaw))

    def _walk_pavements(self) -> None:
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

    def _walk_crossing(self, c: Crossing) -> None:
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
