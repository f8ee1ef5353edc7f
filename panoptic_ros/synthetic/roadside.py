"""What stands beside and above a highway: barriers, fences, trees, lamps, signs, bridges."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from panoptic_ros.synthetic import buildings, street_furniture, vegetation
from panoptic_ros.synthetic.highway_layout import Highway
from panoptic_ros.synthetic.mesh import box, copies, merge, post
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import START, TERRAIN
from panoptic_ros.synthetic.street_surface import sheet

_REACH = 420.0
# Profiles across the road: offset and height, metres.
_CONCRETE = ((-0.3, 0.0), (-0.28, 0.08), (-0.14, 0.33), (-0.08, 0.85))
_BEAM = ((-0.03, 0.44), (0.05, 0.51), (-0.03, 0.59), (0.05, 0.67), (-0.03, 0.75))
# Metres of road that one mesh and one outline on the ground cover.
_PIECE, _OUTLINE = 40.0, 10.0


class Roadside:
    """Fill a builder with everything that stands at a highway and never moves."""

    def __init__(self, builder: SceneBuilder, road: Highway, rng: np.random.Generator) -> None:
        self.builder, self.road, self.rng = builder, road, rng

    def fill(self) -> None:
        """Add all of it."""
        if self.road.barrier == "concrete":
            self._concrete(START, _REACH, 0.0)
        elif self.road.barrier == "rail":
            for t in (-0.35, 0.35):
                self._guard_rail(START, _REACH, t)
        for side in (-1, 1):
            s = START
            while s < _REACH:
                end = min(s + float(self.rng.uniform(50, 170)), _REACH)
                self._stretch(side, s, end)
                s = end
            self._far(side)
            self._signs(side)
        self._lamps()
        if self.rng.random() < 0.4:
            self._power_line(int(self.rng.choice([-1, 1])))
        if self.road.is_motorway and self.rng.random() < 0.45:
            self._gantry(float(self.rng.uniform(45, 260)))
        if self.rng.random() < (0.3 if self.road.is_motorway else 0.08):
            self._overpass(float(self.rng.uniform(60, 280)))

    def _stretch(self, side: int, s0: float, s1: float) -> None:
        """Border a part of one side, and plant what lies behind."""
        rng, kerb = self.rng, self.road.kerb
        shares = [0.35, 0.3, 0.17, 0.18] if self.road.is_motorway else [0.68, 0.25, 0.03, 0.04]
        kind = str(rng.choice(["open", "rail", "concrete", "noise"], p=shares))
        free = 3.0
        if kind == "rail":
            self._guard_rail(s0, s1, side * (kerb + 0.5))
        elif kind == "concrete":
            self._concrete(s0, s1, side * (kerb + 0.35))
        elif kind == "noise":
            free = float(rng.uniform(0.6, 4.0))
            height = float(rng.uniform(2.2, 4.8))
            buildings.add_wall(self.builder, self.road, s0, s1, side * (kerb + free), height)
        if kind != "noise" and rng.random() < 0.35:
            self._fence(s0, s1, side * (kerb + float(rng.uniform(4, 16))))
        trees = float(rng.choice([0.0, 0.2, 0.7, 1.8], p=[0.3, 0.3, 0.25, 0.15]))
        bushes = float(rng.choice([0.0, 0.4, 1.5], p=[0.4, 0.35, 0.25]))
        nearest = free + float(rng.choice([1.0, 5.0, 14.0]))
        for density, add in ((trees, vegetation.add_tree), (bushes, vegetation.add_bush)):
            for _ in range(int(rng.poisson(density * (s1 - s0) / 10))):
                s, off = rng.uniform(s0, s1), nearest + rng.exponential(11)
                t = side * (kerb + off)
                xy, z = self.road.to_world(s, t), float(self.road.ground(s, t))
                add(self.builder, rng, xy, z)

    def _extrude(
        self,
        class_id: int,
        material: str,
        span: tuple[float, float],
        t: float,
        profile: Sequence[Sequence[float]],
        label_only: bool = False,
    ) -> None:
        """Draw a profile (offset, height above the ground at t) along the road."""
        offset, height = np.array(profile).T
        for s0, s1 in pairwise(_cuts(*span, _PIECE)):
            s = np.linspace(s0, s1, 6)
            base = self.road.ground(s, t)[:, None]
            mesh = sheet(self.road, s, t + offset, base + height, 4.0)
            self.builder.static(class_id, material, mesh, label_only)

    def _outline(
        self, class_id: int, s0: float, s1: float, t: float, half: float, z: float
    ) -> None:
        for a, b in pairwise(_cuts(s0, s1, _OUTLINE)):
            corners = self.road.to_world(
                np.array([a, b, b, a]), t + half * np.array([-1, -1, 1, 1])
            )
            self.builder.obstacle(class_id, corners, z)

    def _posts(
        self, class_id: int, material: str, s: np.ndarray, t: float, size: Sequence[float]
    ) -> None:
        feet = np.concatenate([self.road.to_world(s, t), self.road.ground(s, t)[:, None]], axis=1)
        one = box(size, (0, 0, size[2] / 2))
        for part in np.array_split(feet, max(1, len(feet) // 12)):
            self.builder.static(class_id, material, copies(one, part))

    def _concrete(self, s0: float, s1: float, t: float) -> None:
        """Add a jersey barrier, in some places with a rail on top."""
        tall = 0.35 if self.rng.random() < 0.25 else 0.0
        half = [(x, z + tall * (z > 0.5)) for x, z in _CONCRETE]
        profile = half + [(-x, z) for x, z in reversed(half)]
        self._extrude(buildings.WALL, "cast", (s0, s1), t, profile)
        self._outline(buildings.WALL, s0, s1, t, 0.3, 0.85 + tall)
        if self.rng.random() < 0.25:
            top = 0.85 + tall
            self._extrude(
                buildings.WALL, "steel", (s0, s1), t, [(-0.05, top + 0.2), (0.05, top + 0.3)]
            )
            posts = np.arange(s0, s1, 2.5)
            self._posts(buildings.WALL, "steel", posts, t, (0.1, 0.08, top + 0.25))

    def _guard_rail(self, s0: float, s1: float, t: float) -> None:
        """Add a steel beam on posts.

        Cityscapes has a class for it (guard rail, 14), which its 19 classes leave out: here it is
        a fence.
        """
        self._extrude(buildings.FENCE, "steel", (s0, s1), t, _BEAM)
        posts = np.arange(s0, s1, 4.0 if self.rng.random() < 0.5 else 2.0)
        self._posts(buildings.FENCE, "steel", posts, t + 0.06 * np.sign(t), (0.12, 0.1, 0.72))
        self._outline(buildings.FENCE, s0, s1, t, 0.12, 0.75)

    def _fence(self, s0: float, s1: float, t: float) -> None:
        """Add a fence that follows the slope, of boards or of wires."""
        height = float(self.rng.uniform(1.1, 2.2))
        panel = [(0.0, 0.05), (0.02, height)]
        wires = self.rng.random() < 0.65
        self._extrude(buildings.FENCE, "fence", (s0, s1), t, panel, label_only=wires)
        for z in np.linspace(0.2, height, 5) if wires else ():
            self._extrude(buildings.FENCE, "fence", (s0, s1), t, [(0.0, z - 0.03), (0.01, z)])
        self._posts(buildings.FENCE, "fence", np.arange(s0, s1, 3.0), t, (0.1, 0.1, height + 0.05))
        self._outline(buildings.FENCE, s0, s1, t, 0.1, height)

    def _far(self, side: int) -> None:
        """Add what closes a side at a distance: a wood's edge, a few sheds or houses."""
        rng, road = self.rng, self.road
        if rng.random() < 0.6:
            off, tall = float(rng.uniform(45, 100)), rng.uniform(4, 11)
            s = np.arange(START, _REACH, 3.0)
            top = tall * (1 + 0.3 * np.sin(s / rng.uniform(15, 40)))
            top *= rng.uniform(0.75, 1.15, len(s))
            # t ascends, and its foot is towards the road on either side.
            t = np.sort(side * (road.kerb + off + np.array([0.0, 1.5])))
            z = road.ground(s[:, None], t) + np.stack([0 * top, top], axis=1)[:, ::side]
            uv = np.stack([np.broadcast_to(s[:, None], z.shape), z], axis=-1) / 3
            leaves = sheet(road, s, t, z, uv)
            self.builder.static(vegetation.VEGETATION, "leaves0", leaves)
        if rng.random() < 0.3:
            for _ in range(int(rng.integers(1, 5))):
                where = rng.uniform(20, 300)
                xy = road.to_world(where, side * (road.kerb + rng.uniform(35, 90)))
                yaw = float(road.heading(where)) + (0.0 if side > 0 else np.pi)
                size = (rng.uniform(10, 40), rng.uniform(9, 14))
                floors = int(rng.integers(1, 4))
                buildings.add_building(self.builder, rng, xy, yaw, size, floors, False)

    def _signs(self, side: int) -> None:
        """Add signs, direction boards and marker posts; they face who drives on that side."""
        rng, road = self.rng, self.road
        towards = np.pi if side < 0 else 0.0
        s = rng.uniform(5, 90)
        while s < _REACH:
            xy = road.to_world(s, side * (road.kerb + rng.uniform(1.0, 3.0)))
            add = street_furniture.add_board if rng.random() < 0.35 else street_furniture.add_sign
            add(self.builder, rng, xy, float(road.heading(s)) + towards)
            s += rng.uniform(45, 170)
        if rng.random() < 0.45:
            posts = np.arange(START, _REACH, rng.choice([25.0, 50.0]))
            t = side * (road.kerb + 0.9)
            self._posts(street_furniture.POLE, "marker", posts, t, (0.1, 0.12, 1.05))

    def _lamps(self) -> None:
        rng, road = self.rng, self.road
        if rng.random() > 0.4:
            return
        height, pitch = rng.uniform(8, 12), rng.uniform(30, 50)
        in_middle = road.barrier == "concrete" and rng.random() < 0.4
        for side in (-1, 1):
            for s in np.arange(START, _REACH, pitch):
                xy = road.to_world(s, side * (0.3 if in_middle else road.kerb + 1.0))
                turn = -side if not in_middle else side
                yaw = float(road.heading(s)) + turn * np.pi / 2
                street_furniture.add_lamp(self.builder, xy, yaw, height)

    def _power_line(self, side: int) -> None:
        """Add wooden poles with a crossarm."""
        t = side * (self.road.kerb + float(self.rng.uniform(8, 22)))
        pole = merge([post(10.0, 0.13, 8), box((0.12, 2.2, 0.14), (0, 0, 9.3))])
        for s in np.arange(START, _REACH, 45.0):
            where = (*self.road.to_world(s, t), float(self.road.ground(s, t)))
            self.builder.static(
                street_furniture.POLE, "bark", pole.moved(where, float(self.road.heading(s)))
            )

    def _gantry(self, s: float) -> None:
        """Add a portal over the ego car's carriageway, with boards for its lanes."""
        road, rng = self.road, self.rng
        t0, t1 = -road.kerb - 1.0, -0.45
        width, middle = t1 - t0, (t0 + t1) / 2
        where, yaw = (*road.to_world(s, middle), 0.0), float(road.heading(s))
        frame = [box((0.35, 0.35, 7.4), (0, y, 3.7)) for y in (-width / 2, width / 2)]
        frame += [box((0.3, width, 0.2), (0, 0, z)) for z in (6.2, 7.4)]
        self.builder.static(street_furniture.POLE, "metal", merge(frame).moved(where, yaw))
        for lane in range(road.lanes):
            y = -road.lane(lane) - middle
            if rng.random() < 0.75:
                half, low, high = rng.uniform(1.2, 1.7), 5.6, rng.uniform(7.6, 8.4)
                face, back = street_furniture.panel(-0.25, (y + half, y - half), (low, high), -0.02)
                board, sign = f"board{int(rng.integers(2))}", street_furniture.SIGN
                self.builder.static(sign, board, face.moved(where, yaw))
                self.builder.static(sign, "sign_back", back.moved(where, yaw))
        for t in (t0, t1):
            self._outline(street_furniture.POLE, s - 0.2, s + 0.2, t, 0.2, 7.4)

    def _overpass(self, s: float) -> None:
        """Add a bridge across; it is a building, as Cityscapes' 19 classes have no bridge."""
        road, rng = self.road, self.rng
        reach, width = 2 * road.kerb + 70.0, rng.uniform(7, 14)
        parts = [box((width, reach, 1.3), (0, 0, 6.4))]
        parts += [box((0.2, reach, 1.2), (x, 0, 7.5)) for x in (-width / 2, width / 2)]
        piers = [-road.kerb - 2.5, road.kerb + 2.5] + ([0.0] if road.median > 1.2 else [])
        parts += [box((width * 0.8, 0.7, 5.8), (0, y, 2.9)) for y in piers]
        sides = (-road.kerb, road.kerb)
        parts += [box((width, 9.0, 6.0), (0, y + np.copysign(15.5, y), 3.0)) for y in sides]
        # The road on top comes down on mounds.
        mound = (width + 12, 60.0, 7.0)
        mounds = [box(mound, (0, y + np.copysign(46, y), 3.5), 0.5) for y in sides]
        where, yaw = (*road.to_world(s, 0.0), 0.0), float(road.heading(s))
        self.builder.static(buildings.BUILDING, "cast", merge(parts).moved(where, yaw))
        self.builder.static(TERRAIN, "grass", merge(mounds).moved(where, yaw))
        half = width * 0.4
        for t in piers:
            self._outline(buildings.BUILDING, s - half, s + half, t, 0.35, 5.8)
        for y in sides:
            t = y + np.copysign(15.5, y)
            self._outline(buildings.BUILDING, s - width / 2, s + width / 2, t, 4.5, 6.0)


def _cuts(s0: float, s1: float, length: float) -> np.ndarray:
    return np.linspace(s0, s1, max(2, round((s1 - s0) / length) + 1))
