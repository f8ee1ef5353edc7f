"""Triangle meshes made by code: primitives, lofts and their placement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

# Coordinates or sizes, a few numbers.
Vector = Sequence[float] | np.ndarray

# Normals of faces that meet at less than about 40 degrees are blended into one smooth surface.
_SMOOTH_COSINE = 0.77


@dataclass(frozen=True)
class Mesh:
    """Hold triangles: corners, normals (unit) and texture coordinates.

    vertices, normals: float64 [N, 3, 3], metres; uv: float64 [N, 3, 2].
    """

    vertices: np.ndarray
    normals: np.ndarray
    uv: np.ndarray

    def __len__(self) -> int:
        return len(self.vertices)

    def moved(self, position: Vector = (0, 0, 0), yaw: float = 0.0, scale: float = 1.0) -> Mesh:
        """Return the mesh scaled, turned about z (radians) and shifted (metres)."""
        turn = rotation_z(yaw).T
        return Mesh(
            self.vertices @ turn * scale + np.asarray(position, float), self.normals @ turn, self.uv
        )


def rotation_z(yaw: float) -> np.ndarray:
    """Return the rotation about z by an angle in radians, float [3, 3]."""
    c, s = np.cos(yaw), np.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def from_triangles(
    vertices: np.ndarray, uv: np.ndarray | None = None, smooth: bool = False
) -> Mesh:
    """Return a mesh of triangles [N, 3, 3], its normals by the right-hand rule.

    Triangles without area are left out. smooth blends normals across shallow edges.
    """
    vertices = np.asarray(vertices, float)
    cross = _cross(vertices[:, 1] - vertices[:, 0], vertices[:, 2] - vertices[:, 0])
    length = np.linalg.norm(cross, axis=1)
    keep = length > 1e-9
    vertices, cross = vertices[keep], cross[keep] / length[keep, None]
    uv = np.zeros((*vertices.shape[:2], 2)) if uv is None else np.asarray(uv, float)[keep]
    normals = np.repeat(cross[:, None], 3, axis=1)
    if smooth and len(vertices):
        normals = _blend(vertices, normals, length[keep])
    return Mesh(vertices, normals, uv)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    # np.cross spends most of its time on checking axes; a scene calls this thousands of times.
    (ax, ay, az), (bx, by, bz) = a.T, b.T
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def _blend(vertices: np.ndarray, normals: np.ndarray, weight: np.ndarray) -> np.ndarray:
    keys = np.round(vertices.reshape(-1, 3), 4)
    _, group = np.unique(keys, axis=0, return_inverse=True)
    group = group.reshape(-1)
    total = np.zeros((group.max() + 1, 3))
    np.add.at(total, group, normals.reshape(-1, 3) * np.repeat(weight, 3)[:, None])
    mean = total[group] / np.maximum(np.linalg.norm(total[group], axis=1, keepdims=True), 1e-9)
    flat = normals.reshape(-1, 3)
    smooth = (mean * flat).sum(1, keepdims=True) > _SMOOTH_COSINE
    return np.where(smooth, mean, flat).reshape(normals.shape)


def merge(meshes: Iterable[Mesh]) -> Mesh:
    """Return one mesh of all triangles."""
    meshes = list(meshes)
    return Mesh(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.normals for m in meshes]),
        np.concatenate([m.uv for m in meshes]),
    )


def copies(mesh: Mesh, positions: np.ndarray, yaw: float = 0.0) -> Mesh:
    """Return a mesh repeated at positions [N, 3], all turned by the same yaw (radians)."""
    turned = mesh.moved(yaw=yaw)
    count = len(positions)
    shifted = turned.vertices[None] + np.asarray(positions, float)[:, None, None]
    return Mesh(
        shifted.reshape(-1, 3, 3),
        np.tile(turned.normals, (count, 1, 1)),
        np.tile(turned.uv, (count, 1, 1)),
    )


def quads(corners: np.ndarray, uv: np.ndarray | None = None) -> Mesh:
    """Return a mesh of quadrilaterals [N, 4, 3], corners counter-clockwise seen from outside."""
    corners = np.asarray(corners, float).reshape(-1, 4, 3)
    if uv is None:
        uv = np.broadcast_to(
            np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float), (len(corners), 4, 2)
        )
    order = np.array([[0, 1, 2], [0, 2, 3]])
    return from_triangles(
        corners[:, order].reshape(-1, 3, 3), np.asarray(uv, float)[:, order].reshape(-1, 3, 2)
    )


def cells(grid: np.ndarray) -> np.ndarray:
    """Return the four corners of each cell of a grid, [I, J, D], as [I - 1, J - 1, 4, D]."""
    return np.stack([grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]], axis=2)


_BOX_FACES = np.array(
    [[0, 1, 5, 4], [1, 3, 7, 5], [3, 2, 6, 7], [2, 0, 4, 6], [4, 5, 7, 6], [2, 3, 1, 0]]
)


def box(size: Vector, center: Vector = (0, 0, 0), taper: float = 1.0) -> Mesh:
    """Return a box of a size (x, y, z) about a centre; taper scales its upper face."""
    signs = np.array([[x, y, z] for z in (-1, 1) for y in (-1, 1) for x in (-1, 1)], float)
    corners = signs * np.asarray(size, float) / 2
    corners[4:, :2] *= taper
    return quads(corners[_BOX_FACES] + np.asarray(center, float))


def tube(path: np.ndarray, radius: float, sides: int = 6) -> Mesh:
    """Return round tubes along a path [P, 3], one per segment, closed at neither end."""
    path = np.asarray(path, float)
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    parts = []
    for a, b in pairwise(path):
        axis = (b - a) / np.linalg.norm(b - a)
        side = np.cross(axis, [0, 0, 1] if abs(axis[2]) < 0.9 else [0, 1, 0])
        side /= np.linalg.norm(side)
        ring = radius * (
            np.cos(angle)[:, None] * side + np.sin(angle)[:, None] * np.cross(axis, side)
        )
        parts.append(
            quads(np.stack([ring[:-1] + a, ring[1:] + a, ring[1:] + b, ring[:-1] + b], axis=1))
        )
    whole = merge(parts)
    return from_triangles(whole.vertices, whole.uv, smooth=sides > 4)


def post(height: float, radius: float, sides: int = 6) -> Mesh:
    """Return a round post that stands on the ground, open at both ends."""
    return tube(np.array([[0, 0, 0], [0, 0, height]]), radius, sides)


def disc(center: Vector, normal: Vector, radius: float, sides: int = 16) -> Mesh:
    """Return a flat regular polygon that faces along a normal; uv covers the texture once.

    The first corner lies up (or along x for a horizontal disc), so that sides=3 is a triangle
    that stands on its base.
    """
    normal = np.asarray(normal, float) / np.linalg.norm(normal)
    up = np.array([0.0, 0.0, 1.0]) if abs(normal[2]) < 0.9 else np.array([1.0, 0.0, 0.0])
    up -= normal * (up @ normal)
    up /= np.linalg.norm(up)
    right = np.cross(up, normal)
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    x, y = -np.sin(angle), np.cos(angle)
    rim = np.asarray(center, float) + radius * (x[:, None] * right + y[:, None] * up)
    rim_uv = np.stack([0.5 + x / 2, 0.5 - y / 2], axis=1)
    middle = np.broadcast_to(np.asarray(center, float), (sides, 3))
    middle_uv = np.full((sides, 2), 0.5)
    return from_triangles(
        np.stack([middle, rim[:-1], rim[1:]], axis=1),
        np.stack([middle_uv, rim_uv[:-1], rim_uv[1:]], axis=1),
    )


def wheel(center: Vector, radius: float, width: float, sides: int = 14) -> Mesh:
    """Return a closed cylinder with its axis along y."""
    c = np.asarray(center, float)
    half = np.array([0, width / 2, 0])
    return merge(
        [
            tube(np.array([c - half, c + half]), radius, sides),
            disc(c + half, (0, 1, 0), radius, sides),
            disc(c - half, (0, -1, 0), radius, sides),
        ]
    )


def torus(center: Vector, radius: float, thickness: float, sides: int = 20) -> Mesh:
    """Return a ring in the xz plane: a bicycle's tyre. thickness: radius of its section."""
    angle = np.arange(sides + 1) * 2 * np.pi / sides
    around = np.arange(7) * 2 * np.pi / 6
    outward = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], axis=1)[:, None]
    section = np.cos(around)[:, None] * outward + np.sin(around)[:, None] * np.array(
        [0.0, 1.0, 0.0]
    )
    points = radius * outward + thickness * section + np.asarray(center, float)
    corners = np.stack([points[:-1, :-1], points[:-1, 1:], points[1:, 1:], points[1:, :-1]], axis=2)
    whole = quads(corners.reshape(-1, 4, 3))
    return from_triangles(whole.vertices, whole.uv, smooth=True)


def prism(
    profile: Sequence[Sequence[float]], half_width: float | Vector, bevel: float = 0.0
) -> Mesh:
    """Return a side profile (x, z), counter-clockwise seen from y < 0, made solid along y.

    half_width: metres, one value or one per corner. bevel narrows the outermost part of the
    sides by that much in the profile's plane as well as along y. The profile must be
    star-shaped about its mean corner.
    """
    xz = np.asarray(profile, float)
    half = np.broadcast_to(np.asarray(half_width, float), len(xz))
    inward = xz.mean(0) - xz
    inset = xz + bevel * inward / np.maximum(np.linalg.norm(inward, axis=1, keepdims=True), 1e-6)

    def ring(points: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.stack([points[:, 0], y, points[:, 1]], axis=1)

    rings = [ring(xz, bevel - half), ring(xz, half - bevel)]
    if bevel > 0:
        rings = [ring(inset, -half), *rings, ring(inset, half)]
    faces = []
    for a, b in pairwise(rings):
        faces.append(quads(np.stack([a, b, np.roll(b, -1, 0), np.roll(a, -1, 0)], axis=1)))
    for rim, flip in ((rings[0], False), (rings[-1], True)):
        middle = np.broadcast_to(rim.mean(0), rim.shape)
        fan = np.stack([middle, rim, np.roll(rim, -1, 0)], axis=1)
        faces.append(from_triangles(fan[:, ::-1] if flip else fan))
    whole = merge(faces)
    low, high = xz[:, 1].min(), xz[:, 1].max()
    # v runs up the profile: materials use it for a vertical gradient.
    uv = np.stack(
        [whole.vertices[..., 0] / 4, (whole.vertices[..., 2] - low) / max(high - low, 1e-6)],
        axis=-1,
    )
    return from_triangles(whole.vertices, uv, smooth=True)


def ellipsoid(center: Vector, radii: Vector, rings: int = 6) -> Mesh:
    """Return an ellipsoid of rings x 2*rings facets with smooth normals."""
    theta = np.linspace(0, np.pi, rings + 1)
    phi = np.linspace(0, 2 * np.pi, 2 * rings + 1)
    unit = np.stack(
        [
            np.sin(theta)[:, None] * np.cos(phi),
            np.sin(theta)[:, None] * np.sin(phi),
            np.repeat(np.cos(theta)[:, None], len(phi), 1),
        ],
        axis=-1,
    )
    points = unit * np.asarray(radii, float) + np.asarray(center, float)
    mesh = quads(cells(points))
    normals = (mesh.vertices - np.asarray(center, float)) / np.asarray(radii, float) ** 2
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    return Mesh(mesh.vertices, normals, mesh.uv)


def leaf_cloud(
    rng: np.random.Generator, center: Vector, radii: Vector, count: int, size: float
) -> Mesh:
    """Return leaf-like triangles near the surface of an ellipsoid.

    Normals point away from the centre, so that the cloud is lit like one soft crown.
    """
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = direction * rng.uniform(0.72, 1.05, (count, 1)) * np.asarray(radii, float)
    corners = middle[:, None] + rng.normal(scale=size, size=(count, 3, 3))
    normals = np.repeat((direction + rng.normal(scale=0.25, size=(count, 3)))[:, None], 3, axis=1)
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    uv = rng.uniform(0, 1, (count, 1, 2)) + rng.uniform(0, 0.15, (count, 3, 2))
    return Mesh(corners + np.asarray(center, float), normals, uv)
