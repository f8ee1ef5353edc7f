"""The setting `oldtown`: narrow streets, dark pavements, bare trees, hills, foreign markings.

What real streets show and the town does not: pavements of the road's own asphalt, lines along
the kerb, arrows and words, trees in winter, shops behind glass, plants on façades, a low sun, a
dark exposure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from panoptic_ros.synthetic import (
    buildings,
    facade_plants,
    facades,
    street_furniture,
    street_surface,
    textures,
    vegetation,
    vehicles,
)
from panoptic_ros.synthetic.ego_drive import Plan, make_plan
from panoptic_ros.synthetic.mesh import Mesh, from_triangles, merge
from panoptic_ros.synthetic.plots import Plots
from panoptic_ros.synthetic.relief import Relief, make_relief
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import APRON, ROAD, Crossing, Street, make_street
from panoptic_ros.synthetic.street_surface import (
    PAINT_HEIGHT,
    open_stretches,
    stop_lines,
    strip,
    zebra,
)
from panoptic_ros.synthetic.town_camera import TownCamera, make_camera
from panoptic_ros.synthetic.traffic import Traffic
from panoptic_ros.synthetic.weather import Weather, make_weather

# Ten metres each: a relief bends what lies on it.
_FAR_PIECES = 130
# Surfaces that lie on the road, lowest first, metres; lines are higher.
_REPAIR, _COLORED = 0.005, 0.008


def build_old_town(
    builder: SceneBuilder, rngs: Sequence[np.random.Generator]
) -> tuple[Street, Plan, Relief | None]:
    """Fill a builder with an old town; return its street, the ego car's drive, and hills or None.

    rngs: generators for layout, materials, surroundings and traffic.
    """
    street = _narrow(make_street(rngs[0]), rngs[0])
    drive = make_plan(street, rngs[0])
    for module in (street_surface, buildings, vegetation, street_furniture, vehicles):
        module.add_materials(builder, rngs[1])
    _add_materials(builder, rngs[1])
    facade_plants.add_materials(builder, rngs[1])
    street_surface.add_ground(builder, street)
    street_surface.add_far_field(builder, _FAR_PIECES)
    _Paint(builder, street, rngs[2]).add()
    Plots(builder, street, rngs[2]).fill("green" if drive.green else "red")
    Traffic(builder, street, drive, rngs[3]).populate()
    relief = make_relief(rngs[0]) if rngs[0].random() < 0.6 else None
    if relief:
        builder.raise_on(relief)
    facade_plants.add(builder, street, relief, rngs[2])
    return street, drive, relief


def _narrow(street: Street, rng: np.random.Generator) -> Street:
    verge = float(rng.uniform(1.2, 2.0)) if rng.random() < 0.15 else 0.0
    return replace(
        street,
        style="old",
        lanes=int(rng.choice([1, 2], p=[0.8, 0.2])),
        lane_width=float(rng.uniform(2.8, 3.5)),
        median=0.0,
        tram=False,
        median_is_terrain=False,
        parking=float(rng.choice([0.0, 2.1], p=[0.6, 0.4])),
        verge=verge,
        sidewalk=float(rng.uniform(1.8, 4.0)),
    )


def old_town_light(rng: np.random.Generator) -> Weather:
    """Return a town's weather, often with a low sun, or with a sky that a camera sees white."""
    weather = make_weather(rng)
    if weather.casts_shadows and rng.random() < 0.6:
        azimuth, low = np.arctan2(weather.sun[1], weather.sun[0]), np.deg2rad(rng.uniform(9, 24))
        level = np.cos(low)
        sun = [np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(low)]
        weather = replace(weather, sun=np.array(sun))
    if rng.random() < 0.4:
        white = rng.uniform(215, 250) + np.array([-4.0, 0.0, 3.0])
        weather = replace(weather, zenith=white * rng.uniform(0.8, 1.0), horizon=white)
    return weather


def old_town_camera(
    rng: np.random.Generator, size: tuple[int, int], *, looks_back: bool = False
) -> TownCamera:
    """Return a town's camera with darker exposures, for images of a size (H, W)."""
    camera = make_camera(rng, size, looks_back=looks_back)
    return replace(camera, exposure=float(camera.exposure * rng.uniform(0.5, 1.0)))


def _add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Replace materials of the town's by an old town's."""
    grey = rng.uniform(48, 125)
    road = grey * (1 + rng.normal(scale=0.025, size=3))
    builder.material("road", texture=textures.asphalt(rng, road))
    builder.material("pavement", texture=_pavement(rng, road))
    builder.material("repair", texture=textures.plain(rng, road * rng.uniform(0.72, 1.3), 0.08))
    lane = ((150, 62, 52), (70, 120, 78), (70, 100, 150), (165, 120, 60))[int(rng.integers(4))]
    faded = rng.uniform(0.2, 0.7)
    builder.material(
        "colored", texture=textures.asphalt(rng, np.array(lane) * (1 - faded) + road * faded)
    )
    stone = grey * rng.uniform(0.9, 1.5) * np.array([1.0, 1.0, rng.uniform(0.92, 1.02)])
    builder.material("kerb", color=np.clip(stone, 40, 200))
    for name, bright in (("paint", (225, 225, 220)), ("paint_yellow", (225, 175, 60))):
        worn = rng.uniform(0.0, 0.6)
        color = np.array(bright) * (1 - worn) + road * worn
        builder.material(name, texture=textures.plain(rng, color, 0.07 + 0.1 * worn))
    for k in range(buildings.STYLES):
        if rng.random() < 0.7:
            builder.material(f"shops{k}", texture=facades.glass_fronts(rng))
    if rng.random() < 0.45:
        _make_bare(builder, rng)
    _change_signs(builder, rng)


def _pavement(rng: np.random.Generator, road: np.ndarray) -> np.ndarray:
    """Return what pavements are made of: the road's own asphalt, slabs or bricks."""
    near = road * rng.uniform(0.8, 1.35) * rng.uniform(0.97, 1.03, 3)
    kind = str(rng.choice(["asphalt", "slabs", "stone", "bricks"], p=[0.42, 0.28, 0.15, 0.15]))
    if kind == "asphalt":
        return textures.asphalt(rng, near)
    if kind == "slabs":
        return textures.paving(rng, near, stones=int(rng.choice([2, 4, 8])))
    if kind == "stone":
        warm = np.array([1.0, rng.uniform(0.92, 1.0), rng.uniform(0.8, 0.98)])
        return textures.paving(rng, rng.uniform(95, 190) * warm, stones=4)
    clay = rng.uniform(0.6, 1.1) * np.array([150, 100, 85])
    return cv2.addWeighted(
        textures.bricks(rng, clay), 0.75, textures.plain(rng, clay, size=256), 0.25, 0
    )


def _make_bare(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Take the leaves off trees; twigs fill a crown, in the labels as one body."""
    builder.material("bark", color=rng.uniform(0.55, 1.2) * np.array([88, 76, 64]))
    for k in range(2):
        tone = rng.uniform(0.6, 1.4) * np.array([84, 74, 62]) * rng.uniform(0.92, 1.08, 3)
        builder.material(f"leaves{k}", texture=textures.leaves(rng, np.clip(tone, 25, 190)))
    for k in range(vegetation.TREES):
        crown, trunk, body = vegetation.bare_tree(rng)
        builder.mesh(f"crown{k}", crown)
        builder.mesh(f"trunk{k}", trunk)
        builder.mesh(f"body{k}", body)


def _change_signs(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Paint some signs as other countries do."""
    for kind in ("priority", "parking", "crossing", "warning"):
        if rng.random() < 0.6:
            builder.material(
                f"sign_{kind}", texture=street_furniture.foreign_face(kind, rng), glow=0.12
            )


class _Paint:
    """Draw a street's markings in one of many manners."""

    def __init__(self, builder: SceneBuilder, street: Street, rng: np.random.Generator) -> None:
        self._builder, self._street, self._rng = builder, street, rng
        self._lines: dict[str, list[Mesh]] = {"paint": [], "paint_yellow": []}
        self._flat: dict[str, list[Mesh]] = {"repair": [], "colored": []}

    def add(self) -> None:
        """Add all markings, and the patches that the road was mended with."""
        for s0, s1 in open_stretches(self._street):
            self._middle(s0, s1)
            self._edges(s0, s1)
            self._repairs(s0, s1)
        for c in self._street.crossings:
            self._crossing(c)
        for name, meshes in {**self._flat, **self._lines}.items():
            if meshes:
                self._builder.static(ROAD, name, merge(meshes))

    def _dashed(self, paint: str, s0: float, s1: float, t: float, dash: float, gap: float) -> None:
        for s in np.arange(s0, s1, dash + gap):
            self._solid(paint, s, min(s + dash, s1), t)

    def _solid(self, paint: str, s0: float, s1: float, t: float, half: float = 0.05) -> None:
        self._lines[paint].append(strip(self._street, s0, s1, t - half, t + half))

    def _middle(self, s0: float, s1: float) -> None:
        rng, street = self._rng, self._street
        paint = "paint_yellow" if rng.random() < 0.35 else "paint"
        kind = str(rng.choice(["dashed", "double", "solid", "none"], p=[0.5, 0.2, 0.12, 0.18]))
        if kind == "dashed":
            dash = float(rng.choice([1.0, 2.0, 3.0, 4.0]))
            self._dashed(paint, s0, s1, 0.0, dash, float(rng.uniform(1.5, 6.0)))
        for t in {"double": (-0.13, 0.13), "solid": (0.0,)}.get(kind, ()):
            self._solid(paint, s0, s1, t)
        for lane in range(1, street.lanes):
            for side in (-1, 1):
                self._dashed("paint", s0, s1, side * lane * street.lane_width, 2.0, 4.0)
        if rng.random() < 0.4:
            self._words(float(rng.uniform(s0, s1)))

    def _edges(self, s0: float, s1: float) -> None:
        rng, street = self._rng, self._street
        for side in (-1, 1):
            kind = str(rng.choice(["double", "yellow", "white", "bays", "lane", "none"]))
            edge = street.kerb - street.parking
            if kind in ("double", "yellow"):
                for off in (0.2, 0.42)[: 2 if kind == "double" else 1]:
                    self._solid("paint_yellow", s0, s1, side * (street.kerb - off))
            elif kind == "white":
                self._solid("paint", s0, s1, side * (edge - 0.15))
            elif kind == "bays" and street.parking:
                self._dashed("paint", s0, s1, side * edge, 1.0, 1.0)
            elif kind == "lane":
                # A lane for bicycles, often of another colour.
                self._solid("paint", s0, s1, side * (edge - 1.5))
                if rng.random() < 0.5:
                    surface = strip(street, s0, s1, side * (edge - 1.45), side * edge, _COLORED)
                    self._flat["colored"].append(surface)

    def _words(self, s: float) -> None:
        """Add an arrow, or strokes as long as those of a word that a driver reads."""
        rng, street = self._rng, self._street
        side = int(rng.choice([-1, 1]))
        t = side * street.lane(int(rng.integers(street.lanes)))
        if rng.random() < 0.5:
            ahead = -side
            back = min(s, s + ahead * 2.6)
            self._solid("paint", back, back + 2.6, t, 0.09)
            tip, root = s + ahead * 4.2, s + ahead * 2.5
            corners = street.to_world(np.array([root, root, tip]), t + np.array([-0.4, 0.4, 0.0]))
            flat = np.concatenate([corners, np.full((3, 1), PAINT_HEIGHT)], axis=1)
            if side < 0:  # seen from above, corners go round to the left
                flat = flat[[1, 0, 2]]
            self._lines["paint"].append(from_triangles(flat[None]))
            return
        for k in range(int(rng.integers(3, 6))):
            for off, length in ((0.0, 2.2), (0.22, float(rng.uniform(0.2, 2.2)))):
                self._solid("paint", s, s + length, t - 1.1 + 0.5 * k + off, 0.05)
            self._lines["paint"].append(
                strip(street, s, s + 0.3, t - 1.1 + 0.5 * k, t - 0.88 + 0.5 * k)
            )

    def _repairs(self, s0: float, s1: float) -> None:
        rng, street = self._rng, self._street
        for _ in range(int(rng.poisson((s1 - s0) / 18))):
            s, t = rng.uniform(s0, s1), rng.uniform(-street.kerb, street.kerb - 0.8)
            long, wide = rng.uniform(0.6, 22), rng.uniform(0.4, 1.2)
            end = (min(s + long, s1), min(t + wide, street.kerb))
            self._flat["repair"].append(strip(street, s, end[0], t, end[1], _REPAIR))

    def _crossing(self, c: Crossing) -> None:
        rng, street = self._rng, self._street
        kind = str(rng.choice(["zebra", "lines", "studs", "none"], p=[0.35, 0.3, 0.2, 0.15]))
        if kind == "zebra":
            self._lines["paint"] += zebra(street, c)
        elif kind != "none":
            for side in (-1, 1):
                for off in (2.2, 4.8):
                    s = c.s + side * (c.half_width + off)
                    self._across(s, dotted=kind == "studs")
        if rng.random() < 0.8:
            self._lines["paint"] += stop_lines(street, c)
        if rng.random() < 0.3:
            # Where bicycles wait, before the stop line.
            s = c.s - c.half_width - APRON
            box = strip(street, s - 4.0, s, -street.kerb + street.parking, -0.1, _COLORED)
            self._flat["colored"].append(box)

    def _across(self, s: float, dotted: bool) -> None:
        kerb = self._street.kerb
        ends = np.arange(-kerb, kerb, 0.5) if dotted else np.array([-kerb])
        length = 0.2 if dotted else 2 * kerb
        for t in ends:
            self._lines["paint"].append(strip(self._street, s - 0.1, s + 0.1, t, t + length))
