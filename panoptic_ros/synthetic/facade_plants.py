"""What grows on façades: climbers, window boxes, hanging baskets, plants in tubs.

Cityscapes labels all of it as vegetation, the building behind as building.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.buildings import BAY, FLOOR
from panoptic_ros.synthetic.mesh import Mesh, box, ellipsoid, leaf_cloud, merge
from panoptic_ros.synthetic.relief import Relief
from panoptic_ros.synthetic.scene import Front, SceneBuilder
from panoptic_ros.synthetic.street_layout import END, START, Street
from panoptic_ros.synthetic.vegetation import VEGETATION

# Metres behind the street's frontage up to which a front can be seen well.
_NEAR = 10.0
# Of a window above its floor: sill and lintel, metres.
_SILL, _LINTEL = 0.75, 2.6
_FLOWERS = ([190, 50, 60], [205, 95, 140], [215, 205, 210], [150, 80, 165], [215, 150, 60])


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add leaves of climbers, green or in autumn's colours, and flowers."""
    tones = ([46, 72, 36], [58, 92, 44], [84, 104, 52], [122, 58, 44], [96, 84, 48])
    tone = np.array(tones[int(rng.integers(len(tones)))]) * rng.uniform(0.75, 1.25)
    builder.material("climber", texture=textures.leaves(rng, tone))
    flowers = _FLOWERS[int(rng.integers(len(_FLOWERS)))]
    builder.material("flowers", texture=textures.leaves(rng, flowers))


def add(
    builder: SceneBuilder, street: Street, relief: Relief | None, rng: np.random.Generator
) -> None:
    """Let plants grow on some of the buildings along the street; relief: hills they stand on."""
    height = relief.height if relief else np.zeros_like
    middle = street.to_world(np.linspace(START, END, 400), 0.0)
    for front in builder.fronts:
        away = np.linalg.norm(middle - front.center, axis=1).min() - front.half[1]
        if away > street.frontage + _NEAR:
            continue
        green, bloom = _grown(rng, front, height)
        for material, meshes in (("climber", green), ("flowers", bloom)):
            if meshes:
                where = (*front.center, float(height(front.center[0])))
                builder.static(VEGETATION, material, merge(meshes).moved(where, front.yaw))


def _grown(
    rng: np.random.Generator, front: Front, height: Callable[[np.ndarray], np.ndarray]
) -> tuple[list[Mesh], list[Mesh]]:
    """Return what grows on a front, leaves and flowers, in the building's frame.

    height: of the ground at the world's x; a building's floors are level, tubs stand on the ground.
    """
    green: list[Mesh] = []
    bloom: list[Mesh] = []
    if rng.random() < 0.28:
        green += _climber(rng, front)
    if rng.random() < 0.22:
        places = [p for p in _windows(front) if rng.random() < 0.6]
        _plant(rng, places, (0.5, 0.17, 0.2), green, bloom)
    if front.shops and rng.random() < 0.25:
        step, y = float(rng.uniform(2.0, 4.5)), -front.half[1] - 0.45
        along = np.arange(-front.half[0] + 1.0, front.half[0] - 0.5, step)
        high = float(rng.uniform(2.5, 3.4))
        _plant(rng, [(x, y, high) for x in along], (0.33, 0.33, 0.3), green, bloom)
    if rng.random() < 0.2:
        along = rng.uniform(-front.half[0] + 0.4, front.half[0] - 0.4, int(rng.integers(1, 4)))
        tall, y = float(rng.uniform(0.35, 0.8)), -front.half[1] - 0.3
        x_world = front.center[0] + np.cos(front.yaw) * along - np.sin(front.yaw) * y
        feet = height(x_world) - height(front.center[0])
        places = [(x, y, z + 0.4 + tall) for x, z in zip(along, feet, strict=True)]
        _plant(rng, places, (0.25, 0.22, tall), green, bloom if tall < 0.5 else None)
        green += [
            box((0.4, 0.35, 0.45), (x, y, z + 0.22)) for x, z in zip(along, feet, strict=True)
        ]
    return green, bloom


def _climber(rng: np.random.Generator, front: Front) -> list[Mesh]:
    """Return ivy that grows around the windows, and up to shops' upper floors by one stem."""
    w, d = front.half
    wide = float(rng.uniform(0.25, 1.0)) * 2 * w
    left = float(rng.uniform(-w, w - wide)) if wide < 2 * w else -w
    low = front.ground if front.shops else 0.0
    reach = low + float(rng.uniform(0.25, 1.0)) * (min(front.top, 12.0) - low)
    across = np.arange(left + 0.4, left + wide - 0.2, 0.8)
    sway = np.cumsum(rng.normal(scale=0.16, size=len(across)))
    tops = reach * np.clip(0.85 + sway - sway.mean(), 0.2, 1.1)
    windows = np.array(_windows(front)).reshape(-1, 3)
    shows, stem = rng.uniform(0.6, 1.0), float(rng.choice(across))
    patches = []
    for x, top in zip(across, tops, strict=True):
        for z in np.arange(0.3, min(float(top), front.top), 0.8):
            before = (np.abs(windows[:, 0] - x) < 0.55) & (
                np.abs(windows[:, 2] + (_LINTEL - _SILL) / 2 - z) < 0.9
            )
            in_shop = front.shops and z < front.ground - 0.3 and abs(x - stem) > 0.5
            if in_shop or (before.any() and rng.random() < shows):
                continue
            at = (x + rng.uniform(-0.15, 0.15), -d, z + rng.uniform(-0.15, 0.15))
            patches.append(ellipsoid(at, (0.62, 0.14, 0.6), 3))
            patches.append(leaf_cloud(rng, at, (0.7, 0.28, 0.68), 70, 0.085))
    return patches


def _windows(front: Front) -> list[tuple[float, float, float]]:
    """Return the middle of each window's sill in the building's frame."""
    w, d = front.half
    bays = max(1, round(2 * w / BAY))
    floors = np.arange(front.ground, front.top - FLOOR / 2, FLOOR)
    return [
        (-w + (bay + 0.5) * 2 * w / bays, -d - 0.18, float(z) + _SILL)
        for z in floors
        for bay in range(bays)
    ]


def _plant(
    rng: np.random.Generator,
    places: list[tuple[float, float, float]],
    radii: tuple[float, float, float],
    green: list[Mesh],
    bloom: list[Mesh] | None,
) -> None:
    """Add one plant at each place, with flowers where there is a list for them."""
    for at in places:
        green.append(ellipsoid(at, np.array(radii) * 0.8, 3))
        green.append(leaf_cloud(rng, at, radii, 60, 0.05))
        if bloom is not None:
            bloom.append(leaf_cloud(rng, at, np.array(radii) * 1.06, 45, 0.035))
