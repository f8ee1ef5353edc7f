"""The plan of a street: its centre line, cross section, crossings, and the surface at a point.

Street coordinates: s runs along the centre line (metres, the ego car starts near 0), t to its
left. World coordinates: x, y in metres on the ground plane z = 0 of the carriageway.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from panoptic_ros.datasets.town import GROUND_HEIGHTS

ROAD, SIDEWALK, TERRAIN = 7, 8, 22
START, END = -60.0, 300.0
WIDTH = 130.0
KERB, VERGE_HEIGHT = GROUND_HEIGHTS[SIDEWALK], GROUND_HEIGHTS[TERRAIN]
_STEP = 1.0
# Verges and medians stop this far before a crossing; the zebra crossing lies in between.
APRON = 6.0


@dataclass(frozen=True)
class Crossing:
    """Describe a street that crosses: its centre s and half the width of its carriageway."""

    s: float
    half_width: float


@dataclass(frozen=True)
class Street:
    """Describe a street's cross section and course.

    All widths in metres, for one side. median: half the width of the strip in the middle;
    tram: whether rails lie there; median_is_terrain: whether it is grown over and raised.
    curvature: 1/m at each metre from START to END.
    """

    style: str
    lanes: int
    lane_width: float
    median: float
    tram: bool
    median_is_terrain: bool
    parking: float
    verge: float
    sidewalk: float
    crossings: tuple[Crossing, ...]
    curvature: np.ndarray
    speed: float

    @property
    def kerb(self) -> float:
        """Distance of the kerb from the centre line."""
        return self.median + self.lanes * self.lane_width + self.parking

    @property
    def frontage(self) -> float:
        """Distance at which the pavement ends and the plots begin."""
        return self.kerb + self.verge + self.sidewalk

    def lane(self, index: int) -> float:
        """Return |t| of a lane's middle, index 0 next to the median."""
        return self.median + (index + 0.5) * self.lane_width

    @cached_property
    def _course(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        s = np.arange(START, END + _STEP, _STEP)
        heading = np.cumsum(self.curvature) * _STEP
        heading -= np.interp(0.0, s, heading)
        x, y = np.cumsum(np.cos(heading)) * _STEP, np.cumsum(np.sin(heading)) * _STEP
        return s, heading, x - np.interp(0.0, s, x), y - np.interp(0.0, s, y)

    def heading(self, s: np.ndarray | float) -> np.ndarray:
        """Return the direction of the centre line, radians."""
        return np.interp(s, *self._course[:2])

    def to_world(self, s: np.ndarray | float, t: np.ndarray | float) -> np.ndarray:
        """Return x, y of street coordinates, float [..., 2]; straight on beyond both ends."""
        grid, heading, x, y = self._course
        s = np.asarray(s, float)
        angle = np.interp(s, grid, heading)
        beyond = s - np.clip(s, grid[0], grid[-1])
        px = np.interp(s, grid, x) + beyond * np.cos(angle) - t * np.sin(angle)
        py = np.interp(s, grid, y) + beyond * np.sin(angle) + t * np.cos(angle)
        return np.stack([px, py], axis=-1)

    def to_street(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return s, t of world points [..., 2]; exact to about a centimetre near the street."""
        s = np.asarray(xy[..., 0], float)
        for _ in range(4):
            angle = self.heading(s)
            offset = xy - self.to_world(s, 0.0)
            s = s + offset[..., 0] * np.cos(angle) + offset[..., 1] * np.sin(angle)
        angle = self.heading(s)
        offset = xy - self.to_world(s, 0.0)
        return s, -offset[..., 0] * np.sin(angle) + offset[..., 1] * np.cos(angle)

    def surface(self, s: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the class (uint8) and the height (metres) of the ground at street coordinates."""
        s, t = np.broadcast_arrays(np.asarray(s, float), np.abs(np.asarray(t, float)))
        near, on, beside = (np.zeros(s.shape, bool) for _ in range(3))
        for c in self.crossings:
            gap = np.abs(s - c.s)
            near |= gap < c.half_width + APRON
            on |= gap < c.half_width
            beside |= gap < c.half_width + 3.0
        classes = np.full(s.shape, TERRAIN, np.uint8)
        height = np.full(s.shape, VERGE_HEIGHT)
        pavement = (t < self.frontage) & ((t >= self.kerb + self.verge) | near) | beside
        classes[pavement], height[pavement] = SIDEWALK, KERB
        road = (t < self.kerb) & ~(self.median_is_terrain & (t < self.median) & ~near) | on
        classes[road], height[road] = ROAD, 0.0
        return classes, height


def make_street(rng: np.random.Generator) -> Street:
    """Return the street of a seed's generator."""
    style = str(rng.choice(["centre", "residential", "avenue", "outskirts"]))
    lanes = int(rng.choice([1, 2], p=[0.6, 0.4] if style != "avenue" else [0.2, 0.8]))
    tram = bool(rng.random() < 0.42)
    median = 3.4 if tram else float(rng.choice([0.0, 1.6], p=[0.75, 0.25]))
    half = rng.uniform(3.4, 5.2, 2)
    first = rng.uniform(28, 75)
    crossings = [Crossing(float(first), float(half[0]))]
    if rng.random() < 0.75:
        crossings.append(Crossing(float(first + rng.uniform(60, 100)), float(half[1])))
    return Street(
        style=style,
        lanes=lanes,
        lane_width=float(rng.uniform(3.0, 3.5)),
        median=median,
        tram=tram,
        median_is_terrain=bool(median > 0 and rng.random() < 0.6),
        parking=float(rng.choice([0.0, 2.3], p=[0.45, 0.55])),
        verge=float(rng.choice([0.0, rng.uniform(1.2, 2.6)], p=[0.45, 0.55])),
        sidewalk=float(rng.uniform(2.8, 6.0)),
        crossings=tuple(crossings),
        curvature=_curvature(rng, crossings),
        speed=float(rng.uniform(5.0, 10.0)),
    )


def _curvature(rng: np.random.Generator, crossings: list[Crossing]) -> np.ndarray:
    s = np.arange(START, END + _STEP, _STEP)
    strength = rng.choice([0.0, 1 / 300, 1 / 160], p=[0.4, 0.3, 0.3])
    wave = np.sin(s / rng.uniform(35, 70) + rng.uniform(0, 2 * np.pi))
    # Straight near crossings, so that the two streets meet at a right angle.
    calm = np.ones_like(s)
    for c in crossings:
        calm *= np.clip((np.abs(s - c.s) - c.half_width - 10) / 15, 0, 1)
    return strength * wave * calm
