"""The ground of a highway: pavements, markings, verges, slopes and far hills."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from panoptic_ros.synthetic import buildings, street_furniture, textures, vegetation, vehicles
from panoptic_ros.synthetic.highway_layout import Highway
from panoptic_ros.synthetic.mesh import Mesh, merge, quads
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import END, ROAD, START, TERRAIN, WIDTH
from panoptic_ros.synthetic.street_surface import add_far_field, sheet, strip

# The road runs on to here, straight beyond END; hills close the view behind it, metres.
HORIZON = 540.0
_PAVEMENTS = 3
# Metres of road that one repeat of a pavement's texture covers.
_TILE = 24.0
_PATCH_HEIGHT = 0.006


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add every material of the setting, its colours drawn from a generator."""
    for module in (buildings, vegetation, street_furniture, vehicles):
        module.add_materials(builder, rng)
    # Beside a highway trees grow taller than in a street.
    for k in range(vegetation.TREES):
        scale = float(rng.uniform(0.8, 2.0))
        for part in ("crown", "trunk"):
            builder.mesh(f"{part}{k}", builder.meshes[f"{part}{k}"].moved(scale=scale))
    kinds = [_pavement_color(rng) for _ in range(2)]
    # A third surface is the first one, older or newer.
    kinds.append((kinds[0][0], kinds[0][1] * rng.uniform(0.75, 1.3)))
    for k, (concrete, color) in enumerate(kinds):
        builder.material(f"pavement{k}", texture=textures.carriageway(rng, color, concrete))
    tar = rng.uniform(0.5, 0.9) * kinds[0][1]
    builder.material("patch", texture=textures.plain(rng, tar, 0.06))
    ground = [(92, 118, 52), (205, 178, 118), (178, 158, 100), (150, 122, 88), (120, 122, 62)]
    near, far = rng.choice(ground, 2)
    builder.material("verge", texture=textures.grass(rng, near * rng.uniform(0.8, 1.15, 3)))
    builder.material("grass", texture=textures.grass(rng, far * rng.uniform(0.8, 1.1, 3)))
    wear = rng.choice([0.0, rng.uniform(0.3, 0.8)], p=[0.6, 0.4])
    for name, bright in (("paint", (225, 225, 220)), ("paint_yellow", (236, 178, 42))):
        worn = np.array(bright) * (1 - wear) + kinds[0][1] * wear
        builder.material(name, texture=textures.plain(rng, worn, 0.06 + 0.1 * wear))
    cast = rng.uniform(75, 200) * np.array([1.0, rng.uniform(0.95, 1.0), rng.uniform(0.86, 1.0)])
    builder.material("cast", texture=textures.stained(rng, cast))
    grey = rng.uniform(120, 190)
    builder.material("steel", color=(grey, grey, grey * 1.03), shine=0.3)
    builder.material("marker", color=(228, 228, 224))
    if rng.random() < 0.6:  # noise barriers of panels, else of masonry as in the town
        panel = np.array([[170, 165, 155], [120, 135, 110], [150, 120, 90], [110, 125, 140]])
        builder.material("wall", texture=textures.paving(rng, rng.choice(panel), stones=2))


def _pavement_color(rng: np.random.Generator) -> tuple[bool, np.ndarray]:
    """Return whether a surface is concrete, and its colour, 0..255."""
    low, high = ((34, 62), (62, 110), (110, 150), (145, 205))[
        int(rng.choice(4, p=[0.34, 0.26, 0.14, 0.26]))
    ]
    concrete = low == 145
    warm = rng.uniform(0.82, 1.0) if concrete else rng.uniform(0.96, 1.08)
    return concrete, rng.uniform(low, high) * np.array([1.0, (1 + warm) / 2, warm])


def add_ground(builder: SceneBuilder, road: Highway, rng: np.random.Generator) -> None:
    """Add the carriageways with their markings, the verges and slopes, and the far hills."""
    _add_pavement(builder, road, rng)
    s = np.concatenate([np.arange(START, END, 10.0), np.linspace(END, HORIZON, 9)])
    for side, slope in zip((-1, 1), road.slopes, strict=True):
        run = np.linspace(slope.foot, slope.foot + slope.run, 6)
        outer = WIDTH - road.kerb
        for material, off in (("verge", [0.0, 0.8, slope.foot]), ("grass", [*run, outer])):
            _add_soil(builder, road, material, s, side * (road.kerb + np.array(off)))
    if road.grass:
        middle = np.array([-1, -1, 1, 1]) * road.grass + [0, 0.8, -0.8, 0]
        _add_soil(builder, road, "verge", s, middle)
    add_far_field(builder)
    _add_hills(builder, rng)
    _add_markings(builder, road, rng)


def _add_soil(
    builder: SceneBuilder, road: Highway, material: str, s: np.ndarray, t: np.ndarray
) -> None:
    t = np.sort(t)
    builder.static(TERRAIN, material, sheet(road, s, t, road.ground(s[:, None], t), 5.0))


def _add_pavement(builder: SceneBuilder, road: Highway, rng: np.random.Generator) -> None:
    """Pave lanes and shoulders; what lies there may change along the road and between lanes."""
    cuts = [START, HORIZON]
    if rng.random() < 0.5:
        cuts = [START, *np.sort(rng.uniform(5, 220, int(rng.integers(1, 4)))), HORIZON]
    mixed = rng.random() < 0.4
    lanes = road.median + np.arange(road.lanes + 1) * road.lane_width
    edges = np.unique([road.grass, *lanes, road.kerb])
    shoulder = int(rng.integers(_PAVEMENTS))
    for k, (s0, s1) in enumerate(pairwise(cuts)):
        s = np.linspace(s0, s1, int((s1 - s0) / 10) + 2)
        for side in (-1, 1):
            for t0, t1 in pairwise(edges):
                in_lane = road.median <= t0 < road.edge - 0.01
                kind = k % _PAVEMENTS if in_lane else shoulder
                if in_lane and mixed:
                    kind = int(rng.integers(_PAVEMENTS))
                t = side * np.array([t0, t1])[::side]
                # A lane is as wide as a texture, for its wheel tracks; a shoulder shows a part.
                v = np.array([0.0, 1.0]) if in_lane else np.array([0.0, (t1 - t0) / 8])
                uv = np.stack(np.meshgrid(s / _TILE, v, indexing="ij"), axis=-1)
                builder.static(ROAD, f"pavement{kind}", sheet(road, s, t, 0.0, uv))
    for _ in range(int(rng.poisson(5))):
        s0, t0 = rng.uniform(0, 200), rng.uniform(-road.edge, road.edge - 1)
        if abs(t0) > road.grass and abs(t0 + 1) < road.edge:
            s1, t1 = s0 + rng.uniform(1, 25), t0 + rng.uniform(0.15, 1.0)
            builder.static(ROAD, "patch", strip(road, s0, s1, t0, t1, _PATCH_HEIGHT))


def _add_hills(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Close the view with a ridge; wooded hills at a distance are vegetation."""
    angle = np.linspace(0, 2 * np.pi, 97)
    waves = sum(
        rng.uniform(0.2, 1.0) / n * np.sin(n * angle + rng.uniform(0, 2 * np.pi))
        for n in (1, 2, 3, 5, 8, 13)
    )
    height = rng.choice([9.0, 22.0, 40.0]) * (0.6 + 0.4 * waves / np.abs(waves).max())
    ring = (HORIZON + 25) * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    foot = np.concatenate([ring, np.full((97, 1), -1.0)], axis=1)
    top = np.concatenate([ring * 1.05, np.maximum(height, 3.0)[:, None]], axis=1)
    corners = np.stack([foot[1:], foot[:-1], top[:-1], top[1:]], axis=1)
    uv = np.array([[0, 0], [1, 0], [1, 1], [0, 1]]) * 2.0
    builder.static(
        vegetation.VEGETATION, "leaves1", quads(corners, np.broadcast_to(uv, (96, 4, 2)))
    )


def _add_markings(builder: SceneBuilder, road: Highway, rng: np.random.Generator) -> None:
    width = float(rng.uniform(0.11, 0.24)) / 2
    dash, period = (4.0, 12.0) if rng.random() < 0.5 else (float(rng.uniform(2.5, 6)), 9.0)
    middle = "paint_yellow" if rng.random() < 0.5 else "paint"
    lines: dict[str, list[Mesh]] = {"paint": [], "paint_yellow": []}

    def solid(paint: str, t: float) -> None:
        lines[paint].append(strip(road, START, HORIZON, t - width, t + width))

    def dashed(paint: str, t: float) -> None:
        for s in np.arange(START, 420, period):
            lines[paint].append(strip(road, s, s + dash, t - width, t + width))

    if not road.is_motorway:
        kind = str(rng.choice(["dashed", "solid", "double", "none"], p=[0.5, 0.15, 0.25, 0.1]))
        if kind == "dashed":
            dashed(middle, 0.0)
        for t in {"solid": (0.0,), "double": (-0.18, 0.18)}.get(kind, ()):
            solid(middle, t)
    has_lanes, has_edges = rng.random() < 0.93, rng.random() < 0.88
    for side in (-1, 1):
        if road.is_motorway and has_edges:
            solid(middle, side * (road.median + 0.15))
        if has_edges:
            solid("paint", side * (road.edge - 0.15))
        if has_lanes:
            for lane in range(1, road.lanes):
                dashed("paint", side * (road.median + lane * road.lane_width))
    for paint, parts in lines.items():
        if parts:
            builder.static(ROAD, paint, merge(parts))
