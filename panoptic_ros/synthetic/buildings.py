"""Buildings, walls and fences along the street, and the far skyline."""

# ruff: noqa: RUF005 - adding a list to an array moves a point, it concatenates nothing

from __future__ import annotations

from itertools import pairwise

import numpy as np

from panoptic_ros.synthetic import facades, textures
from panoptic_ros.synthetic.mesh import Mesh, box, copies, from_triangles, merge, quads, rotation_z
from panoptic_ros.synthetic.scene import Front, SceneBuilder
from panoptic_ros.synthetic.street_layout import END, START, Street

BUILDING, WALL, FENCE = 11, 12, 13
STYLES = 6
FLOOR = 3.2
BAY = 3.0


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add STYLES facades, roofs, walls and fences, their colours drawn from a generator."""
    picks = rng.choice(len(facades.WALL_COLORS), STYLES, replace=False)
    for k, pick in enumerate(picks):
        color = np.array(facades.WALL_COLORS[pick]) * rng.uniform(0.85, 1.08)
        builder.material(f"facade{k}", texture=facades.upper_floors(rng, color))
        builder.material(f"shops{k}", texture=facades.ground_floor(rng, color))
        builder.material(f"trim{k}", color=np.clip(color * 1.12, 0, 255))
    builder.material("roof", texture=facades.roof(rng))
    builder.material("flat_roof", color=(95, 95, 98))
    stone = rng.choice([[165, 160, 150], [150, 95, 75], [185, 175, 160], [120, 118, 115]])
    make = textures.bricks if rng.random() < 0.6 else textures.paving
    builder.material("wall", texture=make(rng, stone))
    builder.material("coping", color=np.clip(stone * 1.2, 0, 255))
    paint = rng.choice(
        [[45, 60, 48], [40, 40, 44], [120, 85, 55], [170, 170, 170], [225, 225, 220]]
    )
    builder.material("fence", color=paint)
    builder.material("awning", texture=textures.stripes(rng.integers(60, 220, 3), (235, 235, 230)))


def _wall_quad(a: np.ndarray, b: np.ndarray, z0: float, z1: float, uv: np.ndarray) -> Mesh:
    return quads(np.array([[[*a, z0], [*b, z0], [*b, z1], [*a, z1]]]), uv[None])


def _uv(u: float, v: float) -> np.ndarray:
    # Rows of a texture run downwards, v upwards.
    return np.array([[0, 0], [u, 0], [u, -v], [0, -v]], float) + [0, 1]


def add_building(
    builder: SceneBuilder,
    rng: np.random.Generator,
    center: np.ndarray,
    yaw: float,
    size: tuple[float, float],
    floors: int,
    shops: bool,
) -> None:
    """Add a building; its front, at local y < 0, looks at the street.

    center: world x, y; size: width along the street and depth, metres.
    """
    style = int(rng.integers(STYLES))
    w, d = size[0] / 2, size[1] / 2
    ground = 4.0 if shops else 0.4
    top = ground + floors * FLOOR
    corners = np.array([[-w, -d], [w, -d], [w, d], [-w, d]])
    world = corners @ rotation_z(yaw)[:2, :2].T + center
    upper, lower = [], []
    for a, b in zip(world, np.roll(world, -1, 0), strict=True):
        bays = max(1, round(float(np.linalg.norm(b - a)) / BAY))
        upper.append(
            _wall_quad(a, b, ground, top, _uv(bays / facades.BAYS, floors / facades.FLOORS))
        )
        lower.append(_wall_quad(a, b, 0.0, ground, _uv(bays / facades.BAYS, 1.0)))
    builder.static(BUILDING, f"facade{style}", merge(upper))
    builder.static(BUILDING, f"shops{style}" if shops else f"trim{style}", merge(lower))
    where = (*center, 0.0)
    _add_roof(builder, rng, style, w, d, top, where, yaw)
    _add_details(builder, rng, style, (w, d), (ground, top), shops, where, yaw)
    builder.obstacle(BUILDING, world, top)
    builder.fronts.append(Front(center, yaw, (w, d), ground, top, shops))


def _add_roof(
    builder: SceneBuilder,
    rng: np.random.Generator,
    style: int,
    w: float,
    d: float,
    top: float,
    where: tuple[float, ...],
    yaw: float,
) -> None:
    if rng.random() < 0.5:
        rise = d * rng.uniform(0.5, 0.9)
        ridge, long, deep = top + rise, w + 0.5, d + 0.5
        slopes = np.array(
            [
                [[-long, -deep, top], [long, -deep, top], [long, 0, ridge], [-long, 0, ridge]],
                [[long, deep, top], [-long, deep, top], [-long, 0, ridge], [long, 0, ridge]],
            ]
        )
        uv = np.array([[0, 0], [w, 0], [w, d], [0, d]]) / 2
        gables = np.array(
            [
                [[w, -d, top], [w, d, top], [w, 0, ridge]],
                [[-w, d, top], [-w, -d, top], [-w, 0, ridge]],
            ]
        )
        builder.static(BUILDING, "roof", quads(slopes, np.stack([uv, uv])).moved(where, yaw))
        builder.static(BUILDING, f"trim{style}", from_triangles(gables).moved(where, yaw))
        chimney = box((0.7, 0.7, 1.6), (rng.uniform(-w, w) * 0.7, -d * 0.3, top + rise * 0.85))
        builder.static(BUILDING, f"trim{style}", chimney.moved(where, yaw))
    else:
        builder.static(
            BUILDING, "flat_roof", box((2 * w, 2 * d, 0.1), (0, 0, top)).moved(where, yaw)
        )
        parapet = box((2 * w + 0.5, 2 * d + 0.5, 0.7), (0, 0, top + 0.1))
        builder.static(BUILDING, f"trim{style}", parapet.moved(where, yaw))


def _add_details(
    builder: SceneBuilder,
    rng: np.random.Generator,
    style: int,
    half: tuple[float, float],
    heights: tuple[float, float],
    shops: bool,
    where: tuple[float, ...],
    yaw: float,
) -> None:
    (w, d), (ground, top) = half, heights
    trim = [box((2 * w + 0.3, 2 * d + 0.3, 0.25), (0, 0, ground))]
    if rng.random() < 0.45:
        bays = max(1, round(2 * w / BAY))
        step = 2 * w / bays
        for floor in range(int((top - ground) / FLOOR)):
            z = ground + floor * FLOOR + 0.5
            for bay in range(bays):
                if rng.random() < 0.4:
                    x = -w + (bay + 0.5) * step
                    trim.append(box((step * 0.8, 0.9, 0.12), (x, -d - 0.45, z)))
                    trim.append(box((step * 0.8, 0.06, 0.9), (x, -d - 0.88, z + 0.45)))
    builder.static(BUILDING, f"trim{style}", merge(trim).moved(where, yaw))
    if shops and rng.random() < 0.5:
        x0, x1, y = rng.uniform(-w, -0.2 * w), rng.uniform(0.1 * w, w), -d
        sheet = np.array(
            [[[x0, y - 1.3, 2.7], [x1, y - 1.3, 2.7], [x1, y - 0.02, 3.5], [x0, y - 0.02, 3.5]]]
        )
        uv = np.array([[[0, 0], [x1 - x0, 0], [x1 - x0, 1], [0, 1]]]) / [3.0, 1.0]
        builder.static(BUILDING, "awning", quads(sheet, uv).moved(where, yaw))


def add_wall(
    builder: SceneBuilder, street: Street, s0: float, s1: float, t: float, height: float
) -> None:
    """Add a masonry wall with a coping along the street."""
    for a, b in _pieces(street, s0, s1, t):
        builder.static(WALL, "wall", _slab(a, b, 0.3, 0.0, height, 2.0))
        builder.static(WALL, "coping", _slab(a, b, 0.42, height, height + 0.1, 2.0))
        builder.obstacle(WALL, _outline(a, b, 0.3), height)


def add_fence(
    builder: SceneBuilder, street: Street, s0: float, s1: float, t: float, height: float
) -> None:
    """Add a fence of bars; the label image takes it as solid."""
    for a, b in _pieces(street, s0, s1, t):
        length = float(np.linalg.norm(b - a))
        bars = [_slab(a, b, 0.05, z, z + 0.06, 1.0) for z in (0.15, height - 0.12)]
        yaw = float(np.arctan2(*(b - a)[::-1]))
        steps = np.arange(0, length, 0.16)[:, None] / length
        feet = np.concatenate([a + (b - a) * steps, np.full_like(steps, 0.1)], axis=1)
        bars.append(copies(box((0.035, 0.035, height), (0, 0, height / 2)), feet, yaw))
        builder.static(FENCE, "fence", merge(bars))
        builder.static(FENCE, "fence", _slab(a, b, 0.03, 0.15, height, 1.0), label_only=True)
        builder.obstacle(FENCE, _outline(a, b, 0.1), height)


def _pieces(street: Street, s0: float, s1: float, t: float) -> list[tuple[np.ndarray, np.ndarray]]:
    points = street.to_world(np.linspace(s0, s1, max(2, int((s1 - s0) / 6) + 1)), t)
    return list(pairwise(points))


def _outline(a: np.ndarray, b: np.ndarray, thickness: float) -> np.ndarray:
    along = (b - a) / np.linalg.norm(b - a)
    side = np.array([-along[1], along[0]]) * thickness / 2
    return np.array([a - side, b - side, b + side, a + side])


def _slab(
    a: np.ndarray, b: np.ndarray, thickness: float, z0: float, z1: float, tile: float
) -> Mesh:
    corners = _outline(a, b, thickness)
    parts = []
    for p, q in zip(corners, np.roll(corners, -1, 0), strict=True):
        length = float(np.linalg.norm(q - p))
        parts.append(_wall_quad(p, q, z0, z1, _uv(length / tile, (z1 - z0) / tile)))
    parts.append(quads(np.concatenate([corners, np.full((4, 1), z1)], axis=1)[None]))
    return merge(parts)


def add_skyline(builder: SceneBuilder, street: Street, rng: np.random.Generator) -> None:
    """Add buildings behind the plots and across both ends of the street."""
    for s in np.arange(START, END, 26.0):
        for side in (-1, 1):
            if any(abs(s - c.s) < c.half_width + 16 for c in street.crossings):
                continue
            if rng.random() < 0.6:
                xy = street.to_world(s, side * (street.frontage + rng.uniform(38, 70)))
                size = (rng.uniform(12, 26), rng.uniform(10, 16))
                yaw = float(street.heading(s)) + (0.0 if side > 0 else np.pi)
                add_building(builder, rng, xy, yaw, size, int(rng.integers(3, 12)), False)
    for s, turn in ((END + 12, -np.pi / 2), (START - 25, np.pi / 2)):
        for t in np.arange(-60, 61, 24.0):
            xy, yaw = street.to_world(s, t), float(street.heading(s)) + turn
            add_building(builder, rng, xy, yaw, (23.0, 12.0), int(rng.integers(3, 8)), True)
