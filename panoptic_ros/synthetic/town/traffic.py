"""Who moves and who stands on the street: vehicles, riders and persons, and their paths."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.town import bikes, people, vehicles
from panoptic_ros.synthetic.town.layout import APRON, KERB, Crossing, Street
from panoptic_ros.synthetic.town.scene import Actor, Pose, SceneBuilder

# Shares of what drives in a lane. Rare classes are as frequent as a network needs to learn
# them, not as frequent as in a real town.
_DRIVERS = {"car": 0.56, "truck": 0.11, "bus": 0.09, "motorcycle": 0.24}
_CAR_SHAPES = ("hatchback", "saloon", "estate", "suv", "van")
_TRUCK_KINDS = ("box", "canvas", "tank", "tipper")
_AHEAD, _BEHIND = 190.0, -25.0


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


class Traffic:
    """Fill a builder with actors. Every random choice comes from one generator, in one order."""

    def __init__(
        self, builder: SceneBuilder, street: Street, plan: Plan, rng: np.random.Generator
    ) -> None:
        self.builder, self.street, self.plan, self.rng = builder, street, plan, rng
        self._cars = [
            (v, v.register(builder, f"car/{shape}"))
            for shape in _CAR_SHAPES
            for v in [vehicles.car(rng, shape)]
        ]
        self._trucks = [
            (v, v.register(builder, f"truck/{kind}"))
            for kind in _TRUCK_KINDS
            for v in [vehicles.truck(rng, kind)]
        ]
        self._buses = self._fleet("bus", [vehicles.bus(rng)])
        self._trams = self._fleet("tram", [vehicles.tram(rng)])
        self._bicycles = self._fleet("bicycle", [bikes.bicycle(rng) for _ in range(3)])
        self._motorcycles = self._fleet("motorcycle", [bikes.motorcycle(rng) for _ in range(3)])
        self._paint = int(rng.integers(len(vehicles.PAINTS)))

    def _fleet(self, name: str, models: list) -> list[tuple]:
        return [(m, m.register(self.builder, f"{name}/{k}")) for k, m in enumerate(models)]

    def populate(self) -> None:
        """Add everybody."""
        for lane in range(self.street.lanes):
            self._lane(-1, lane)
            self._lane(1, lane)
        if self.street.tram:
            self._tram_pair()
        for crossing in self.street.crossings:
            self._cross_traffic(crossing)
            self._crossing_people(crossing)
        self._cyclists()
        self._parked()
        self._bike_racks()
        self._pavement_people()

    # ---- paths

    def _along(self, s0: float, speed: float, t: float, z: float = 0.0) -> Callable[[float], Pose]:
        """Return a path along the street; speed is signed, metres per second along s."""
        street, turn = self.street, (0.0 if t < 0 else np.pi)

        def path(time: float) -> Pose:
            s = s0 + speed * time
            x, y = street.to_world(s, t)
            return float(x), float(y), z, float(street.heading(s)) + turn

        return path

    def _across(self, s: float, t0: float, speed: float, z: float = 0.0) -> Callable[[float], Pose]:
        """Return a path across the street at s, from t0 with a signed speed along t."""
        street = self.street
        yaw = float(street.heading(s)) + (np.pi / 2 if speed >= 0 else -np.pi / 2)

        def path(time: float) -> Pose:
            x, y = street.to_world(s, t0 + speed * time)
            return float(x), float(y), z, yaw

        return path

    # ---- vehicles

    def _vehicle(self, kind: str, path: Callable[[float], Pose]) -> None:
        if kind in ("motorcycle", "bicycle"):
            self._ridden(kind, path)
            return
        fleets = {"car": self._cars, "truck": self._trucks, "bus": self._buses, "tram": self._trams}
        class_id = {
            "car": vehicles.CAR,
            "truck": vehicles.TRUCK,
            "bus": vehicles.BUS,
            "tram": vehicles.TRAIN,
        }[kind]
        model, pieces = fleets[kind][int(self.rng.integers(len(fleets[kind])))]
        # Cars come in all colours; a town's buses and trams share theirs.
        count = len(vehicles.PAINTS)
        own = int(self.rng.integers(count))
        paint = self._paint if kind in ("bus", "tram") and self.rng.random() < 0.7 else own
        drawn = vehicles.parts(pieces, f"paint{paint}", f"paint{(paint + 5) % count}")
        self.builder.actors.append(
            Actor(self.builder.next_label(class_id), model.size, drawn, path)
        )

    def _ridden(self, kind: str, path: Callable[[float], Pose]) -> None:
        fleet = self._bicycles if kind == "bicycle" else self._motorcycles
        bike, pieces = fleet[int(self.rng.integers(len(fleet)))]
        self._bike(kind, bike, pieces, path)
        person = people.figure(self.rng, rider=True)
        cadence = float(self.rng.uniform(4, 7)) if bike.pedal_radius else 0.0
        size = (0.8, 0.6, bike.saddle[2] + 0.5 * person.height)
        label = self.builder.next_label(people.RIDER)
        ride = person.ride(bike, cadence)
        self.builder.actors.append(Actor(label, size, person.parts(), path, ride))

    def _bike(
        self, kind: str, bike: bikes.Bike, pieces: list, path: Callable[[float], Pose]
    ) -> None:
        class_id = bikes.BICYCLE if kind == "bicycle" else bikes.MOTORCYCLE
        paint = f"paint{int(self.rng.integers(len(vehicles.PAINTS)))}"
        label = self.builder.next_label(class_id)
        self.builder.actors.append(Actor(label, bike.size, bikes.parts(pieces, paint), path))

    def _length(self, kind: str) -> float:
        return {"car": 5.0, "truck": 10.5, "bus": 12.6, "motorcycle": 2.4}[kind]

    def _lane(self, side: int, lane: int) -> None:
        """Fill one lane; all in it keep the same speed, so that nobody runs into another."""
        rng, street, plan = self.rng, self.street, self.plan
        own = side < 0 and lane == plan.ego_lane
        speed = 0.0
        if plan.green:
            speed = plan.ego_speed if own else street.speed * rng.uniform(0.75, 1.25)
        s = plan.ego_start + (rng.uniform(9, 28) if own else _BEHIND + rng.uniform(0, 30))
        reach = plan.ego_start + _AHEAD
        while s < reach:
            kind = str(rng.choice(list(_DRIVERS), p=list(_DRIVERS.values())))
            length = self._length(kind)
            middle = s + length / 2
            if plan.green or not self._in_junction(middle, length / 2):
                t = side * street.lane(lane) + rng.uniform(-0.2, 0.2)
                self._vehicle(kind, self._along(middle, -side * speed, t))
            gap = rng.uniform(1.5, 6) if not plan.green else rng.exponential(14) + 5
            s += length + gap

    def _in_junction(self, s: float, margin: float) -> bool:
        return any(abs(s - c.s) < c.half_width + APRON + margin for c in self.street.crossings)

    def _tram_pair(self) -> None:
        rng, plan, street = self.rng, self.plan, self.street
        z = 0.13 if street.median_is_terrain else 0.02
        speed = plan.ego_speed * rng.uniform(0.85, 1.1)
        start = plan.ego_start + rng.uniform(22, 60)
        if not plan.green:
            start = street.crossings[0].s - street.crossings[0].half_width - APRON - 16
        self._vehicle("tram", self._along(start, speed, -street.median / 2, z))
        if rng.random() < 0.75:
            ahead = plan.ego_start + rng.uniform(30, 110)
            if plan.green or not self._in_junction(ahead, 18):
                path = self._along(ahead, -0.8 * speed, street.median / 2, z)
                self._vehicle("tram", path)

    def _cross_traffic(self, c: Crossing) -> None:
        """Wait while the street drives, drive while it waits."""
        rng, street = self.rng, self.street
        moves = not self.plan.green
        for side in (-1, 1):
            # Who comes from the right (t < 0) drives to the left, on the far half.
            s = c.s - side * c.half_width / 2
            t = side * (street.kerb + 5.0)
            for _ in range(int(rng.integers(1, 5))):
                kind = str(rng.choice(list(_DRIVERS), p=list(_DRIVERS.values())))
                length = self._length(kind)
                t += side * length / 2
                speed = -side * (6.0 if moves else 1e-9)
                self._vehicle(kind, self._across(s, t, speed))
                t += side * (length / 2 + rng.uniform(1.5, 4) + (8 if moves else 0))

    def _cyclists(self) -> None:
        rng, street, plan = self.rng, self.street, self.plan
        edge = street.kerb - street.parking - 0.5
        for side in (-1, 1):
            s = plan.ego_start + rng.uniform(6, 25)
            while s < plan.ego_start + 120:
                speed = rng.uniform(3.0, 5.5) if plan.green else 0.0
                if plan.green or not self._in_junction(s, 2):
                    t = side * (edge - rng.uniform(0, 0.2))
                    self._vehicle("bicycle", self._along(s, -side * speed, t))
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
                length = self._length(kind)
                middle = s + length / 2
                if not self._in_junction(middle, length / 2 + 1) and rng.random() < 0.62:
                    path = self._along(middle, 0.0, t)
                    if kind == "motorcycle":
                        bike, pieces = self._motorcycles[int(rng.integers(3))]
                        self._bike(kind, bike, pieces, path)
                    else:
                        self._vehicle(kind, path)
                s += length + rng.uniform(0.6, 2.2)

    def _bike_racks(self) -> None:
        rng, street = self.rng, self.street
        for side in (-1, 1):
            for _ in range(int(rng.integers(0, 4))):
                s = self.plan.ego_start + rng.uniform(5, 90)
                kind = str(rng.choice(["bicycle", "motorcycle"], p=[0.75, 0.25]))
                fleet = self._bicycles if kind == "bicycle" else self._motorcycles
                for _ in range(int(rng.integers(1, 6))):
                    s += rng.uniform(0.7, 1.0)
                    if self._in_junction(s, 1):
                        continue
                    bike, pieces = fleet[int(rng.integers(len(fleet)))]
                    t = side * (street.kerb + street.verge + 1.0)
                    self._bike(kind, bike, pieces, self._parked_across(s, t))

    def _parked_across(self, s: float, t: float) -> Callable[[float], Pose]:
        x, y = self.street.to_world(s, t)
        yaw = float(self.street.heading(s)) + np.pi / 2 + self.rng.normal(scale=0.15)
        pose = (float(x), float(y), KERB, float(yaw))
        return lambda time: pose

    # ---- persons

    def _person(self, path: Callable[[float], Pose], speed: float) -> None:
        person = people.figure(self.rng)
        start = float(self.rng.uniform(0, 2 * np.pi))
        # One cycle of two steps covers about 0.8 of the body height.
        rate = 2 * np.pi * abs(speed) / (0.8 * person.height)
        stride = min(1.0, abs(speed) / 1.2)
        walk = person.walk(lambda time: (start + rate * time, stride))
        size = (0.5, 0.6, person.height)
        label = self.builder.next_label(people.PERSON)
        self.builder.actors.append(Actor(label, size, person.parts(), path, walk))

    def _stroll(self, s0: float, t: float, speed: float, yaw: float) -> Callable[[float], Pose]:
        street = self.street

        def path(time: float) -> Pose:
            s = s0 + speed * time
            x, y = street.to_world(s, t)
            turn = yaw if speed == 0 else (0.0 if speed > 0 else np.pi)
            on_kerb = street.surface(np.array(s), np.array(t))[1]
            return float(x), float(y), float(on_kerb), float(street.heading(s)) + turn

        return path

    def _pavement_people(self) -> None:
        rng, street = self.rng, self.street
        low, high = street.kerb + street.verge + 0.5, street.frontage - 0.4
        for side in (-1, 1):
            for _ in range(int(rng.integers(5, 18))):
                s = self.plan.ego_start + rng.uniform(4, 80)
                speed = 0.0 if rng.random() < 0.2 else rng.choice([-1, 1]) * rng.uniform(0.7, 1.6)
                for _ in range(int(rng.choice([1, 2, 3], p=[0.6, 0.28, 0.12]))):
                    t = side * rng.uniform(low, high)
                    path = self._stroll(s, t, speed, rng.uniform(-np.pi, np.pi))
                    self._person(path, speed)
                    s += rng.uniform(0.2, 0.9)
        if rng.random() < 0.5:
            side, s0 = int(rng.choice([-1, 1])), self.plan.ego_start + rng.uniform(12, 45)
            for _ in range(int(rng.integers(5, 16))):
                s, t = s0 + rng.normal(scale=2.5), side * rng.uniform(low - 0.2, high)
                self._person(self._stroll(s, t, 0.0, rng.uniform(-np.pi, np.pi)), 0.0)

    def _crossing_people(self, c: Crossing) -> None:
        """Walk over the zebra of whichever street waits; stand at the other one."""
        rng, street = self.rng, self.street
        for _ in range(int(rng.integers(2, 9))):
            speed = float(rng.choice([-1, 1]) * rng.uniform(0.8, 1.5))
            side = float(rng.choice([-1, 1]))
            if self.plan.green:
                t = side * (street.kerb + 2.6 + rng.uniform(-1, 1))
                s = c.s + rng.uniform(-1, 1) * (c.half_width + 2)
                self._person(self._stroll(s, t, speed, 0.0), speed)
            else:
                s = c.s + side * (c.half_width + 3.6 + rng.uniform(-1.1, 1.1))
                t = rng.uniform(-1, 1) * street.kerb
                self._person(self._across(s, t, speed), speed)
        for _ in range(int(rng.integers(0, 7))):
            side = float(rng.choice([-1, 1]))
            s = c.s - (c.half_width + 3.6 + rng.uniform(-1.6, 1.6))
            t = side * (street.kerb + rng.uniform(0.4, 2.0))
            yaw = -side * np.pi / 2 + rng.normal(scale=0.4)
            self._person(self._stroll(s, t, 0.0, yaw), 0.0)
