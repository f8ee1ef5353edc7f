"""The plan of a highway: a motorway or a country road, its cross section, course and slopes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.street_layout import END, ROAD, START, TERRAIN, VERGE_HEIGHT, Street


@dataclass(frozen=True)
class Slope:
    """Describe a side's ground: it rises by height over a run of metres, foot metres off the road.

    phase: radians; the height varies along the road.
    """

    height: float
    foot: float
    run: float
    phase: float


@dataclass(frozen=True)
class Highway(Street):
    """Describe a road between towns: no crossings, pavements or parking.

    shoulder: width of the paved strip outside the lanes; grass: half the width of the grown strip
    in the middle, both metres; barrier: what stands in the middle, none, concrete or rail;
    slopes: the ground on the right and on the left.
    """

    shoulder: float
    grass: float
    barrier: str
    slopes: tuple[Slope, Slope]

    @property
    def is_motorway(self) -> bool:
        """Whether something keeps the two directions apart."""
        return self.median > 0

    @property
    def edge(self) -> float:
        """Distance of the outermost lane's edge from the centre line."""
        return self.median + self.lanes * self.lane_width

    @property
    def kerb(self) -> float:
        """Distance from the centre line at which the paving ends."""
        return self.edge + self.shoulder

    def ground(self, s: np.ndarray | float, t: np.ndarray | float) -> np.ndarray:
        """Return the ground's height in metres; 0 on the road, and no step beside it."""
        s, t = np.broadcast_arrays(np.asarray(s, float), np.asarray(t, float))
        height = VERGE_HEIGHT * np.clip((self.grass - np.abs(t)) / 0.8, 0, 1)
        for side, slope in zip((-1, 1), self.slopes, strict=True):
            off = side * t - self.kerb
            share = np.clip((off - slope.foot) / slope.run, 0, 1)
            wave = 0.7 + 0.3 * np.sin(s / 60 + slope.phase)
            height = height + VERGE_HEIGHT * np.clip(off / 0.8, 0, 1)
            height += slope.height * wave * share * share * (3 - 2 * share)
        return height

    def surface(self, s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the class (uint8) and the height (metres) of the ground at street coordinates."""
        height = self.ground(s, t)
        across = np.broadcast_to(np.abs(t), height.shape)
        road = (across >= self.grass) & (across < self.kerb)
        return np.where(road, ROAD, TERRAIN).astype(np.uint8), height


def make_highway(rng: np.random.Generator) -> Highway:
    """Return the road of a seed's generator: a motorway, or a country road."""
    motorway = bool(rng.random() < 0.72)
    lanes = int(rng.choice([2, 3, 4], p=[0.4, 0.35, 0.25])) if motorway else 1
    grass, barrier, median = 0.0, "none", 0.0
    if motorway:
        barrier = str(rng.choice(["concrete", "rail", "none"], p=[0.5, 0.3, 0.2]))
        if barrier != "concrete":
            grass = float(rng.uniform(1.2, 6.0))
        median = grass + float(rng.uniform(0.7, 3.2))
    elif rng.random() < 0.2:
        lanes = 2
    s = np.arange(START, END + 1.0)
    bends = [0.0, 1 / 1500, 1 / 700] if motorway else [0.0, 1 / 700, 1 / 300]
    wave = np.sin(s / rng.uniform(70, 140) + rng.uniform(0, 2 * np.pi))
    slopes = [
        Slope(
            height=float(rng.choice([0.0, rng.uniform(1.0, 3.0), rng.uniform(3.0, 9.0)])),
            foot=float(rng.uniform(1.5, 8.0)),
            run=float(rng.uniform(6.0, 18.0)),
            phase=float(rng.uniform(0, 2 * np.pi)),
        )
        for _ in range(2)
    ]
    return Highway(
        style="motorway" if motorway else "country",
        lanes=lanes,
        lane_width=float(rng.uniform(3.4, 3.9)),
        median=median,
        tram=False,
        median_is_terrain=grass > 0,
        parking=0.0,
        verge=0.0,
        sidewalk=0.0,
        crossings=(),
        curvature=float(rng.choice(bends)) * wave,
        speed=float(rng.uniform(22, 34) if motorway else rng.uniform(13, 24)),
        shoulder=float(rng.uniform(1.5, 4.0) if motorway else rng.uniform(0.15, 1.6)),
        grass=grass,
        barrier=barrier,
        slopes=(slopes[0], slopes[1]),
    )
