"""The setting `highway`: motorways and country roads, with what drives there and the light."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np

from panoptic_ros.synthetic.ego_drive import Plan
from panoptic_ros.synthetic.highway_layout import Highway, make_highway
from panoptic_ros.synthetic.highway_surface import add_ground, add_materials
from panoptic_ros.synthetic.roadside import Roadside
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.traffic import Traffic
from panoptic_ros.synthetic.weather import Weather, make_weather


def make_light(rng: np.random.Generator) -> Weather:
    """Return a town's weather, with deeper blue skies, flat haze and dusk among it."""
    weather = make_weather(rng)
    kind = str(rng.choice(["as it is", "deep", "flat", "dusk"], p=[0.3, 0.46, 0.13, 0.11]))
    if kind == "deep" and weather.casts_shadows:
        zenith = np.array([rng.uniform(35, 85), rng.uniform(90, 130), rng.uniform(150, 200)])
        clouds = weather.clouds * np.float32(rng.choice([0.0, 0.4, 1.0], p=[0.5, 0.3, 0.2]))
        haze = float(rng.uniform(1 / 1500, 1 / 600))
        return replace(weather, zenith=zenith, clouds=clouds, haze=haze)
    if kind == "flat":
        grey = rng.uniform(165, 235) + np.array([0.0, 1.0, 3.0])
        haze = float(rng.uniform(1 / 350, 1 / 90))
        dim = weather.sunlight * rng.uniform(0.2, 0.6)
        return replace(weather, sunlight=dim, zenith=grey * 0.96, horizon=grey, haze=haze)
    if kind == "dusk":
        green = rng.uniform(0.8, 0.96)
        glow = np.array([1.0, green, green * rng.uniform(0.72, 0.98)])
        return replace(
            weather,
            sunlight=weather.sunlight * 0.05,
            skylight=weather.skylight * rng.uniform(0.35, 0.7),
            zenith=weather.zenith * rng.uniform(0.25, 0.5),
            horizon=weather.horizon * glow * rng.uniform(0.45, 0.75),
            cloud_color=weather.cloud_color * 0.4,
        )
    return weather


class HighwayTraffic(Traffic):
    """Fill the lanes, faster and farther than in a street; nobody walks, waits or parks."""

    shares: ClassVar = {"car": 0.72, "truck": 0.17, "bus": 0.06, "motorcycle": 0.05}
    headway = (10.0, 60.0)
    reach = 330.0

    def populate(self) -> None:
        """Add everybody."""
        self.gap = (float(self.rng.choice([10.0, 30.0, 80.0])), 8.0)
        self.lanes()


def build_highway(
    builder: SceneBuilder, rngs: Sequence[np.random.Generator]
) -> tuple[Highway, Plan]:
    """Fill a builder with a highway; return it and the ego car's drive, which nothing stops.

    rngs: generators for layout, materials, surroundings and traffic.
    """
    road = make_highway(rngs[0])
    drive = Plan(True, int(rngs[0].integers(road.lanes)), 0.0, road.speed)
    add_materials(builder, rngs[1])
    add_ground(builder, road, rngs[2])
    Roadside(builder, road, rngs[2]).fill()
    HighwayTraffic(builder, road, drive, rngs[3]).populate()
    return road, drive
