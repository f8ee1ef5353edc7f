"""The vehicles, bikes and persons of a town: models by kind, and actors made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from panoptic_ros.synthetic import bikes, cars, heavy_vehicles, people, vehicles
from panoptic_ros.synthetic.scene import Actor, Path, SceneBuilder

_CAR_SHAPES = ("hatchback", "saloon", "estate", "suv", "van")
_TRUCK_KINDS = ("box", "canvas", "tank", "tipper")
_CLASSES = {
    "car": vehicles.CAR,
    "truck": vehicles.TRUCK,
    "bus": vehicles.BUS,
    "tram": vehicles.TRAIN,
    "motorcycle": bikes.MOTORCYCLE,
    "bicycle": bikes.BICYCLE,
}


class Fleet:
    """Hold a town's models; add actors of them to a builder."""

    def __init__(self, builder: SceneBuilder, rng: np.random.Generator) -> None:
        self._builder, self._rng = builder, rng
        models: dict[str, Sequence[Any]] = {
            "car": [cars.car(rng, shape) for shape in _CAR_SHAPES],
            "truck": [heavy_vehicles.truck(rng, kind) for kind in _TRUCK_KINDS],
            "bus": [heavy_vehicles.bus(rng)],
            "tram": [heavy_vehicles.tram(rng)],
            "bicycle": [bikes.bicycle(rng) for _ in range(3)],
            "motorcycle": [bikes.motorcycle(rng) for _ in range(3)],
        }
        self._models = {
            kind: [(m, m.register(builder, f"{kind}/{k}")) for k, m in enumerate(group)]
            for kind, group in models.items()
        }
        self._livery = int(rng.integers(len(vehicles.PAINTS)))

    @property
    def tram_length(self) -> float:
        """Length of the town's trams, metres."""
        return self._models["tram"][0][0].size[0]

    def vehicle(self, kind: str, path: Path) -> None:
        """Add a vehicle; motorcycles and bicycles come with their rider."""
        if kind in ("motorcycle", "bicycle"):
            self._ridden(kind, path)
            return
        model, parts = self._pick(kind)
        # Cars come in all colours; a town's buses and trams share theirs.
        count = len(vehicles.PAINTS)
        own = int(self._rng.integers(count))
        paint = self._livery if kind in ("bus", "tram") and self._rng.random() < 0.7 else own
        drawn = vehicles.painted(parts, f"paint{paint}", f"paint{(paint + 5) % count}")
        label = self._builder.next_label(_CLASSES[kind])
        self._builder.actors.append(Actor(label, model.size, drawn, path))

    def bike(self, kind: str, path: Path) -> bikes.Bike:
        """Add a bicycle or motorcycle without a rider; return its model."""
        model, parts = self._pick(kind)
        paint = f"paint{int(self._rng.integers(len(vehicles.PAINTS)))}"
        label = self._builder.next_label(_CLASSES[kind])
        self._builder.actors.append(Actor(label, model.size, vehicles.painted(parts, paint), path))
        return model

    def _pick(self, kind: str) -> tuple:
        group = self._models[kind]
        return group[int(self._rng.integers(len(group)))]

    def _ridden(self, kind: str, path: Path) -> None:
        bike = self.bike(kind, path)
        person = people.figure(self._rng, rider=True)
        cadence = float(self._rng.uniform(4, 7)) if bike.pedal_radius else 0.0
        size = (0.8, 0.6, float(bike.saddle[2]) + 0.5 * person.height)
        label = self._builder.next_label(people.RIDER)
        ride = person.ride(bike, cadence)
        self._builder.actors.append(Actor(label, size, person.parts(), path, ride))

    def person(self, path: Path, speed: float) -> None:
        """Add a person who walks at a speed in m/s, or stands at 0."""
        person = people.figure(self._rng)
        start = float(self._rng.uniform(0, 2 * np.pi))
        # One cycle of two steps covers about 0.8 of the body height.
        rate = 2 * np.pi * abs(speed) / (0.8 * person.height)
        stride = min(1.0, abs(speed) / 1.2)
        walk = person.walk(lambda time: (start + rate * time, stride))
        size = (0.5, 0.6, person.height)
        label = self._builder.next_label(people.PERSON)
        self._builder.actors.append(Actor(label, size, person.parts(), path, walk))
