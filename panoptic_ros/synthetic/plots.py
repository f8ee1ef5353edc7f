"""Fill the plots along a street: buildings, gardens, parks, walls, fences, trees, furniture."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic import buildings, street_furniture, vegetation
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import APRON, Crossing, Street
from panoptic_ros.synthetic.street_surface import open_stretches

_END = 250.0
# Shares of what a plot holds, by the street's style.
_PLOTS = {
    "centre": {"shops": 0.58, "house": 0.06, "wall": 0.13, "fence": 0.13, "park": 0.10},
    "residential": {"shops": 0.08, "house": 0.40, "wall": 0.19, "fence": 0.21, "park": 0.12},
    "avenue": {"shops": 0.38, "house": 0.10, "wall": 0.17, "fence": 0.18, "park": 0.17},
    "old": {"shops": 0.50, "house": 0.10, "wall": 0.16, "fence": 0.12, "park": 0.12},
    "outskirts": {"shops": 0.06, "house": 0.18, "wall": 0.24, "fence": 0.26, "park": 0.26},
}


class Plots:
    """Fill a builder with everything that stands beside the street and never moves."""

    def __init__(self, builder: SceneBuilder, street: Street, rng: np.random.Generator) -> None:
        self.builder, self.street, self.rng = builder, street, rng

    def fill(self, main_lit: str) -> None:
        """Add plots, verges, furniture, junctions and skyline; main_lit: red or green."""
        for side in (-1, 1):
            for s0, s1 in open_stretches(self.street, 3.0, _END):
                self._plots(side, s0, s1)
                self._verge(side, s0, s1)
                self._furniture(side, s0, s1)
        for c in self.street.crossings:
            if c is self.street.crossings[0] or self.rng.random() < 0.7:
                street_furniture.add_junction(self.builder, self.street, self.rng, c, main_lit)
            self._corner_signs(c)
            self._cross_fronts(c)
        buildings.add_skyline(self.builder, self.street, self.rng)

    def _plots(self, side: int, s0: float, s1: float) -> None:
        shares = _PLOTS[self.street.style]
        s = s0
        while s1 - s > 5.0:
            kind = str(self.rng.choice(list(shares), p=list(shares.values())))
            length = min(float(self.rng.uniform(11, 24)), s1 - s)
            getattr(self, f"_{kind}")(side, s, s + length)
            s += length

    def _place_building(
        self, side: int, s0: float, s1: float, setback: float, floors: int, shops: bool
    ) -> None:
        depth = float(self.rng.uniform(9, 14))
        s = (s0 + s1) / 2
        xy = self.street.to_world(s, side * (self.street.frontage + setback + depth / 2))
        yaw = float(self.street.heading(s)) + (0.0 if side > 0 else np.pi)
        size = (s1 - s0 - 0.05, depth)
        buildings.add_building(self.builder, self.rng, xy, yaw, size, floors, shops)

    def _shops(self, side: int, s0: float, s1: float) -> None:
        self._place_building(side, s0, s1, 0.15, int(self.rng.integers(2, 7)), True)

    def _house(self, side: int, s0: float, s1: float) -> None:
        setback = float(self.rng.uniform(3.5, 7))
        margin = min(2.0, (s1 - s0) / 6)
        floors = int(self.rng.integers(2, 4))
        self._place_building(side, s0 + margin, s1 - margin, setback, floors, False)
        self._border(side, s0, s1)
        self._scatter(side, s0, s1, 0.8, setback - 0.8, trees=0.3, bushes=0.6)

    def _border(self, side: int, s0: float, s1: float) -> None:
        """Place the border between garden and pavement."""
        t = side * (self.street.frontage + 0.35)
        kind = self.rng.choice(["wall", "fence", "hedge", "open"], p=[0.3, 0.35, 0.2, 0.15])
        height = float(self.rng.uniform(0.8, 1.5))
        if kind == "wall":
            buildings.add_wall(self.builder, self.street, s0, s1, t, height)
        elif kind == "fence":
            buildings.add_fence(self.builder, self.street, s0, s1, t, height)
        elif kind == "hedge":
            vegetation.add_hedge(self.builder, self.street, self.rng, s0, s1, t + side * 0.5)

    def _wall(self, side: int, s0: float, s1: float) -> None:
        t = side * (self.street.frontage + 0.35)
        height = float(self.rng.uniform(1.8, 3.2))
        buildings.add_wall(self.builder, self.street, s0, s1, t, height)
        self._scatter(side, s0, s1, 2.5, 16, trees=2.0, bushes=0.5)

    def _fence(self, side: int, s0: float, s1: float) -> None:
        t = side * (self.street.frontage + 0.35)
        height = float(self.rng.uniform(1.3, 2.3))
        buildings.add_fence(self.builder, self.street, s0, s1, t, height)
        self._scatter(side, s0, s1, 2.5, 18, trees=1.5, bushes=1.5)

    def _park(self, side: int, s0: float, s1: float) -> None:
        self._scatter(side, s0, s1, 1.5, 20, trees=2.0, bushes=1.5)

    def _scatter(
        self, side: int, s0: float, s1: float, near: float, far: float, trees: float, bushes: float
    ) -> None:
        """Put trees and bushes; trees, bushes: expected number per ten metres."""
        plant = ((trees, vegetation.add_tree), (bushes, vegetation.add_bush))
        for density, add in plant:
            for _ in range(int(self.rng.poisson(density * (s1 - s0) / 10))):
                t = side * (self.street.frontage + self.rng.uniform(near, max(far, near + 0.1)))
                xy = self.street.to_world(self.rng.uniform(s0 + 1, s1 - 1), t)
                add(self.builder, self.rng, xy)

    def _verge(self, side: int, s0: float, s1: float) -> None:
        """Put a row of trees and some bushes on the verge."""
        if self.street.verge == 0 or self.rng.random() < 0.15:
            return
        pitch = self.rng.uniform(9, 18)
        t = side * (self.street.kerb + self.street.verge / 2)
        for s in np.arange(s0 + APRON, s1 - APRON, pitch):
            vegetation.add_tree(self.builder, self.rng, self.street.to_world(s, t))
            if self.rng.random() < 0.5:
                xy = self.street.to_world(s + pitch / 2, t)
                vegetation.add_bush(self.builder, self.rng, xy)

    def _furniture(self, side: int, s0: float, s1: float) -> None:
        street, rng = self.street, self.rng
        t = side * (street.kerb + 0.45)
        towards = np.pi if side < 0 else 0.0
        lamp_height = rng.uniform(5.5, 8.5)
        for s in np.arange(s0 + 8, s1 - 4, rng.uniform(22, 34)):
            inward = float(street.heading(s)) - side * np.pi / 2
            street_furniture.add_lamp(self.builder, street.to_world(s, t), inward, lamp_height)
        for s in np.arange(s0 + rng.uniform(4, 12), s1 - 3, rng.uniform(13, 26)):
            facing = float(street.heading(s)) + towards
            xy = street.to_world(s + rng.uniform(-3, 3), t)
            if rng.random() < 0.15:
                street_furniture.add_board(self.builder, rng, xy + 0.0, facing)
            else:
                street_furniture.add_sign(self.builder, rng, xy, facing)
        if rng.random() < 0.35:
            start = rng.uniform(s0, max(s1 - 15, s0 + 0.1))
            for s in np.arange(start, min(start + 14, s1), 1.8):
                street_furniture.add_bollard(self.builder, street.to_world(s, t))

    def _corner_signs(self, c: Crossing) -> None:
        for side in (-1, 1):
            s = c.s + side * (c.half_width + 4.6)
            facing = float(self.street.heading(c.s)) + (np.pi if side < 0 else 0.0)
            xy = self.street.to_world(s, side * (self.street.kerb + 1.3))
            street_furniture.add_sign(self.builder, self.rng, xy, facing)

    def _cross_fronts(self, c: Crossing) -> None:
        """Line the street that crosses with buildings."""
        street, rng = self.street, self.rng
        for side in (-1, 1):
            for bank in (-1, 1):
                t = street.frontage + 16.0
                while t < 95:
                    length = rng.uniform(12, 22)
                    s = c.s + bank * (c.half_width + 3.3 + 6.0)
                    xy = street.to_world(s, side * (t + length / 2))
                    yaw = float(street.heading(c.s)) + (np.pi / 2 if bank < 0 else -np.pi / 2)
                    floors = int(rng.integers(2, 6))
                    buildings.add_building(
                        self.builder, rng, xy, yaw, (length, 12.0), floors, bool(rng.random() < 0.5)
                    )
                    t += length
