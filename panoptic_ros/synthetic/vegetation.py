"""Trees, bushes and hedges, as a few shared meshes that are placed many times."""

# ruff: noqa: RUF005 - adding a list to an array moves a point, it concatenates nothing

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.mesh import Mesh, ellipsoid, from_triangles, leaf_cloud, merge, tube
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.street_layout import Street

VEGETATION = 21
TREES = 4
BUSHES = 2


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add foliage and bark, and the shared meshes of trees and bushes."""
    season = rng.choice([[62, 92, 38], [84, 112, 48], [74, 84, 36], [128, 104, 40], [50, 78, 44]])
    for k in range(2):
        color = np.clip(season * rng.uniform(0.8, 1.2, 3), 15, 220)
        builder.material(f"leaves{k}", texture=textures.leaves(rng, color))
    builder.material("bark", color=rng.uniform(0.7, 1.1) * np.array([92, 76, 60]))
    for k in range(TREES):
        crown, trunk = _conifer(rng) if rng.random() < 0.2 else _broadleaf(rng)
        builder.mesh(f"crown{k}", crown)
        builder.mesh(f"trunk{k}", trunk)
    for k in range(BUSHES):
        radii = (rng.uniform(0.6, 1.1), rng.uniform(0.6, 1.1), rng.uniform(0.5, 0.9))
        core = ellipsoid((0, 0, 0.4), np.array(radii) * 0.8)
        builder.mesh(
            f"bush{k}", merge([core, leaf_cloud(rng, (0, 0, radii[2] * 0.6), radii, 260, 0.13)])
        )


def _broadleaf(rng: np.random.Generator) -> tuple[Mesh, Mesh]:
    height = rng.uniform(5.5, 11.0)
    stem = rng.uniform(2.2, 3.2)
    spread = rng.uniform(0.24, 0.36) * height
    blobs, boughs = [], []
    top = np.array([0.0, 0.0, stem])
    for _ in range(5):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.65) * spread
        center = np.array(
            [
                np.cos(angle) * reach,
                np.sin(angle) * reach,
                rng.uniform(stem + 0.25 * spread, height - 0.5 * spread),
            ]
        )
        radii = spread * rng.uniform(0.5, 0.75, 3)
        blobs.append(ellipsoid(center, radii * 0.66, 4))
        blobs.append(leaf_cloud(rng, center, radii, 270, 0.18))
        boughs.append(tube(np.array([top * 0.8, center]), 0.05, 5))
    width = height * 0.018 + 0.05
    trunk = merge([tube(np.array([[0, 0, -0.1], top, top + [0, 0, 1.5]]), width, 8), *boughs])
    return merge(blobs), trunk


def _conifer(rng: np.random.Generator) -> tuple[Mesh, Mesh]:
    height = rng.uniform(6, 12)
    layers = []
    for k in range(7):
        share = k / 7
        radius = (1 - share) * height * 0.2 + 0.15
        z = 1.0 + share * (height - 1.0)
        layers.append(ellipsoid((0, 0, z), (radius * 0.7, radius * 0.7, height * 0.07), 4))
        layers.append(leaf_cloud(rng, (0, 0, z), (radius, radius, height * 0.08), 130, 0.15))
    return merge(layers), tube(np.array([[0, 0, -0.1], [0, 0, height * 0.9]]), 0.14, 6)


def bare_tree(rng: np.random.Generator) -> tuple[Mesh, Mesh, Mesh]:
    """Return the twigs and the wood of a tree without leaves, and the body that both fill."""
    height, stem = rng.uniform(6.0, 13.0), rng.uniform(1.8, 3.0)
    spread = rng.uniform(0.22, 0.36) * height
    top = np.array([0.0, 0.0, stem])
    wood = [tube(np.array([[0, 0, -0.1], top]), height * 0.016 + 0.06, 8)]
    twigs, bodies = [], []
    for _ in range(int(rng.integers(6, 10))):
        angle, reach = rng.uniform(0, 2 * np.pi), rng.uniform(0.15, 0.75) * spread
        side = np.array([np.cos(angle), np.sin(angle), 0.0]) * reach
        end = side + [0.0, 0.0, rng.uniform(stem + 0.3 * (height - stem), height)]
        elbow = top + (end - top) * 0.45 + side * 0.25
        wood.append(tube(np.array([top, elbow, end]), float(rng.uniform(0.035, 0.08)), 5))
        middle, radii = (elbow + 2 * end) / 3, spread * rng.uniform(0.38, 0.6, 3)
        bodies.append(ellipsoid(middle, radii, 4))
        twigs.append(_twigs(rng, middle, radii, 190))
    return merge(twigs), merge(wood), merge(bodies)


def _twigs(rng: np.random.Generator, center: np.ndarray, radii: np.ndarray, count: int) -> Mesh:
    """Return thin triangles that grow outwards and up, in an ellipsoid."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    foot = center + direction * radii * rng.uniform(0.2, 0.8, (count, 1))
    grow = direction + rng.normal(scale=0.45, size=(count, 3)) + [0.0, 0.0, 0.45]
    tip = foot + grow * rng.uniform(0.35, 1.1, (count, 1))
    wide = rng.normal(size=(count, 3)) * rng.uniform(0.012, 0.035, (count, 1))
    uv = rng.uniform(0, 1, (count, 1, 2)) + rng.uniform(0, 0.15, (count, 3, 2))
    return from_triangles(np.stack([foot, foot + wide, tip], axis=1), uv)


def add_tree(
    builder: SceneBuilder, rng: np.random.Generator, xy: np.ndarray, z: float = 0.05
) -> None:
    """Place one tree; z: height of the ground, metres."""
    kind, yaw = int(rng.integers(TREES)), float(rng.uniform(0, 2 * np.pi))
    builder.place(f"crown{kind}", f"leaves{kind % 2}", VEGETATION, (*xy, z), yaw)
    builder.place(f"trunk{kind}", "bark", VEGETATION, (*xy, z), yaw)
    if f"body{kind}" in builder.meshes:
        builder.place(f"body{kind}", "bark", VEGETATION, (*xy, z), yaw, label_only=True)
    builder.stem(VEGETATION, xy, 0.25, 5.0)


def add_bush(
    builder: SceneBuilder, rng: np.random.Generator, xy: np.ndarray, z: float = 0.0
) -> None:
    """Place one bush; z: height of the ground, metres."""
    kind = int(rng.integers(BUSHES))
    yaw = float(rng.uniform(0, 2 * np.pi))
    builder.place(f"bush{kind}", f"leaves{kind % 2}", VEGETATION, (*xy, z), yaw)
    builder.stem(VEGETATION, xy, 0.7, 1.2)


def add_hedge(
    builder: SceneBuilder, street: Street, rng: np.random.Generator, s0: float, s1: float, t: float
) -> None:
    """Add a clipped hedge along the street, as a row of bushes."""
    for s in np.arange(s0, s1, 1.1):
        add_bush(builder, rng, street.to_world(s, t))
