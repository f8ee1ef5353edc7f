"""The ground: carriageway, kerbs, pavements, verges, markings and rails."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.mesh import Mesh, cells, merge, quads
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import (
    APRON,
    END,
    KERB,
    ROAD,
    SIDEWALK,
    START,
    TERRAIN,
    VERGE_HEIGHT,
    WIDTH,
    Crossing,
    Street,
)

PAINT_HEIGHT = 0.012
# Half the side of the ground around everything, metres.
_FAR = 650.0
# Metres that one repeat of a ground texture covers.
_TILE = {ROAD: 9.0, SIDEWALK: 2.4, TERRAIN: 5.0}


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add the ground's materials, their colours drawn from a generator."""
    grey = rng.uniform(70, 128)
    road = grey + rng.normal(scale=2.5, size=3)
    builder.material("road", texture=textures.asphalt(rng, road))
    stone = rng.uniform(125, 185) * np.array([1.0, rng.uniform(0.9, 1.0), rng.uniform(0.8, 1.0)])
    builder.material("pavement", texture=textures.paving(rng, stone))
    green = np.array([rng.uniform(75, 130), rng.uniform(105, 140), rng.uniform(45, 70)])
    builder.material("grass", texture=textures.grass(rng, green))
    builder.material("kerb", color=np.full(3, rng.uniform(140, 185)))
    builder.material("paint", texture=textures.plain(rng, (222, 222, 216), 0.07))
    builder.material("rail", color=(120, 112, 105), shine=0.6)


def add_ground(builder: SceneBuilder, street: Street) -> None:
    """Add every ground surface of the street and its crossings, unmarked."""
    s_breaks, t_breaks = _breaks(street)
    s_mid = (s_breaks[:-1] + s_breaks[1:]) / 2
    t_mid = (t_breaks[:-1] + t_breaks[1:]) / 2
    classes, height = street.surface(s_mid[:, None], t_mid[None, :])
    grid = np.meshgrid(s_breaks, t_breaks, indexing="ij")
    corners, places = cells(street.to_world(*grid)), cells(np.stack(grid, axis=-1))
    for class_id, material in ((ROAD, "road"), (SIDEWALK, "pavement"), (TERRAIN, "grass")):
        of_class = classes == class_id
        if of_class.any():
            xy, z = corners[of_class], height[of_class][:, None, None].repeat(4, axis=1)
            uv = places[of_class] / _TILE[class_id]
            builder.static(class_id, material, quads(np.concatenate([xy, z], axis=-1), uv))
    _add_kerbs(builder, street, s_breaks, t_breaks, height)


def _breaks(street: Street) -> tuple[np.ndarray, np.ndarray]:
    s = [np.arange(START, END + 1, 5.0)]
    for c in street.crossings:
        edges = np.array([c.half_width, c.half_width + 3.0, c.half_width + APRON])
        s.append(np.concatenate([c.s - edges, c.s + edges]))
    t = np.array([street.median, street.kerb, street.kerb + street.verge, street.frontage])
    wide = np.array([0, 0.3, 0.6, 1.0]) * (WIDTH - street.frontage) + street.frontage
    sides = np.concatenate([t, wide])
    return np.unique(np.concatenate(s)), np.unique(np.concatenate([-sides, [0.0], sides]))


def sheet(
    road: Street, s: np.ndarray, t: np.ndarray, z: np.ndarray | float, uv: np.ndarray | float
) -> Mesh:
    """Return a surface over street coordinates s [S] and t [T], with heights z [S, T], metres.

    Its front is above where t grows. uv: metres that one repeat of a texture covers, or texture
    coordinates [S, T, 2].
    """
    grid_s, grid_t = np.meshgrid(s, t, indexing="ij")
    xy = road.to_world(grid_s, grid_t)
    z = np.broadcast_to(z, grid_s.shape)
    points = np.concatenate([xy, z[..., None]], axis=-1)
    if np.ndim(uv) < 3:
        uv = np.stack([grid_s, grid_t], axis=-1) / uv
    return quads(cells(points), cells(np.asarray(uv)).reshape(-1, 4, 2))


def strip(
    street: Street, s0: float, s1: float, t0: float, t1: float, z: float = PAINT_HEIGHT
) -> Mesh:
    """Return a flat band between street coordinates, bent along the street."""
    s = np.linspace(s0, s1, max(2, int(abs(s1 - s0) / 5) + 2))
    return sheet(street, s, np.array([min(t0, t1), max(t0, t1)]), z, 1.5)


def _add_kerbs(
    builder: SceneBuilder, street: Street, s: np.ndarray, t: np.ndarray, height: np.ndarray
) -> None:
    faces = []
    for axis in (0, 1):
        low, high = (height[:-1], height[1:]) if axis == 0 else (height[:, :-1], height[:, 1:])
        for i, j in zip(*np.nonzero(np.abs(low - high) > 0.05), strict=True):
            if axis == 0:
                ends = np.array([[s[i + 1], t[j]], [s[i + 1], t[j + 1]]])
            else:
                ends = np.array([[s[i + 1], t[j + 1]], [s[i], t[j + 1]]])
            if low[i, j] > high[i, j]:
                ends = ends[::-1]
            a, b = street.to_world(ends[:, 0], ends[:, 1])
            faces.append([[*b, 0], [*a, 0], [*a, KERB], [*b, KERB]])
    builder.static(SIDEWALK, "kerb", quads(np.array(faces)))


def add_far_field(builder: SceneBuilder, pieces: int = 1) -> None:
    """Add the plane of grass around everything, a little below it, in pieces along x."""
    r, z = _FAR, np.full(pieces, -0.06)
    x = np.linspace(-r, r, pieces + 1)
    near, far = np.full(pieces, -r), np.full(pieces, r)
    edges = ((x[:-1], near), (x[1:], near), (x[1:], far), (x[:-1], far))
    corners = np.stack([np.stack([a, b, z], axis=1) for a, b in edges], axis=1)
    builder.static(TERRAIN, "grass", quads(corners, corners[..., :2] / 8.0))


def add_markings(builder: SceneBuilder, street: Street, rng: np.random.Generator) -> None:
    """Add lane lines, stop lines, zebra crossings, parking bays and rails."""
    parts: list[Mesh] = []
    for s0, s1 in open_stretches(street):
        parts += _lane_lines(street, s0, s1)
    for c in street.crossings:
        parts += zebra(street, c)
        if rng.random() < 0.8:
            parts += stop_lines(street, c)
    builder.static(ROAD, "paint", merge(parts))
    if street.tram:
        _add_rails(builder, street)


def open_stretches(
    street: Street, margin: float = APRON, end: float = END
) -> list[tuple[float, float]]:
    """Return where the street is away from its crossings by a margin, from s to s, metres."""
    edges = [START]
    for c in street.crossings:
        edges += [c.s - c.half_width - margin, c.s + c.half_width + margin]
    edges.append(end)
    return list(zip(edges[::2], edges[1::2], strict=True))


def _lane_lines(street: Street, s0: float, s1: float) -> list[Mesh]:
    parts = []
    if street.median == 0:
        parts += [strip(street, s, min(s + 4.0, s1), -0.07, 0.07) for s in np.arange(s0, s1, 9.0)]
    for side in (-1, 1):
        if street.median > 0:
            t = side * (street.median + 0.15)
            parts.append(strip(street, s0, s1, t - 0.06, t + 0.06))
        for lane in range(1, street.lanes):
            t = side * (street.median + lane * street.lane_width)
            for s in np.arange(s0, s1, 9.0):
                parts.append(strip(street, s, min(s + 3.5, s1), t - 0.06, t + 0.06))
        if street.parking:
            t = side * (street.kerb - street.parking)
            parts.append(strip(street, s0, s1, t - 0.05, t + 0.05))
            for s in np.arange(s0 + 3, s1 - 3, 6.0):
                parts.append(strip(street, s, s + 0.1, t, t + side * (street.parking - 0.2)))
    return parts


def zebra(street: Street, c: Crossing) -> list[Mesh]:
    """Return the four zebra crossings of a crossing."""
    parts = []
    for side in (-1, 1):
        s = c.s + side * (c.half_width + 3.6)
        for t in np.arange(-street.kerb + 0.4, street.kerb - 0.5, 1.0):
            parts.append(strip(street, s - 1.4, s + 1.4, t, t + 0.5, PAINT_HEIGHT + 0.002))
        t = side * (street.kerb + 2.6)
        for s in np.arange(c.s - c.half_width + 0.4, c.s + c.half_width - 0.5, 1.0):
            parts.append(strip(street, s, s + 0.5, t - 1.3, t + 1.3, PAINT_HEIGHT + 0.002))
    return parts


def stop_lines(street: Street, c: Crossing) -> list[Mesh]:
    """Return the two stop lines of a crossing."""
    near = c.half_width + APRON - 0.6
    edge = street.kerb - street.parking
    return [
        strip(street, c.s - near, c.s - near + 0.4, -edge, -street.median),
        strip(street, c.s + near - 0.4, c.s + near, street.median, edge),
    ]


def _add_rails(builder: SceneBuilder, street: Street) -> None:
    for s0, s1, z in _rail_heights(street):
        for track in (-1, 1):
            for rail in (-0.72, 0.72):
                t = track * street.median / 2 + rail
                # Rails belong to the ground that they lie in.
                class_id = TERRAIN if z > VERGE_HEIGHT else ROAD
                builder.static(class_id, "rail", strip(street, s0, s1, t - 0.06, t + 0.06, z))


def _rail_heights(street: Street) -> list[tuple[float, float, float]]:
    if not street.median_is_terrain:
        return [(START, END, PAINT_HEIGHT + 0.004)]
    heights = [(s0, s1, VERGE_HEIGHT + 0.04) for s0, s1 in open_stretches(street)]
    for c in street.crossings:
        reach = c.half_width + APRON
        heights.append((c.s - reach, c.s + reach, PAINT_HEIGHT + 0.004))
    return heights
