"""Bicycles and motorcycles, and where their riders sit. Front along +x, wheels on z = 0."""

# ruff: noqa: RUF005 - adding a list to an array moves a point, it concatenates nothing

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.mesh import box, ellipsoid, merge, prism, torus, tube, wheel
from panoptic_ros.synthetic.vehicles import Vehicle

MOTORCYCLE, BICYCLE = 32, 33


@dataclass(frozen=True, kw_only=True)
class Bike(Vehicle):
    """Describe a bike, and the points that its rider touches: hand and foot at +y, metres."""

    saddle: np.ndarray
    hand: np.ndarray
    foot: np.ndarray
    pedal_radius: float


def bicycle(rng: np.random.Generator) -> Bike:
    """Return a bicycle: city bike or racer."""
    r = rng.uniform(0.33, 0.36)
    x = rng.uniform(0.50, 0.56)
    rear, front = np.array([-x, 0, r]), np.array([x, 0, r])
    crank, seat = np.array([-0.05, 0, r - 0.05]), np.array([-0.24, 0, r + 0.52])
    head, bar = np.array([x - 0.16, 0, r + 0.48]), np.array([x - 0.22, 0, r + 0.66])
    low_step = rng.random() < 0.4
    top_tube = head - [0.03, 0, 0.12 if low_step else 0.04]
    joint = crank + (seat - crank) * (0.45 if low_step else 0.9)
    frame = [
        tube(np.array(p), 0.022, 5)
        for p in ([crank, seat], [crank, head], [joint, top_tube], [crank, rear], [joint, rear])
    ]
    dark = [
        tube(np.array([front, head, bar]), 0.02, 5),
        tube(np.array([bar + [-0.1, -0.29, 0.02], bar, bar + [-0.1, 0.29, 0.02]]), 0.017, 5),
        tube(np.array([seat, seat + [-0.03, 0, 0.12]]), 0.018, 5),
        ellipsoid(seat + [-0.03, 0, 0.15], (0.15, 0.08, 0.05), 4),
        tube(np.array([crank + [0, -0.12, 0], crank + [0, 0.12, 0]]), 0.05, 6),
    ]
    spokes = [
        tube(np.array([c, c + r * np.array([np.cos(a), 0, np.sin(a)])]), 0.006, 3)
        for c in (rear, front)
        for a in np.arange(8) * np.pi / 4
    ]
    if rng.random() < 0.5:
        dark.append(box((0.36, 0.16, 0.03), rear + [0.02, 0, r + 0.07]))
    meshes = {
        "paint": merge(frame),
        "trim": merge(dark),
        "tyre": merge([torus(rear, r - 0.02, 0.024), torus(front, r - 0.02, 0.024)]),
        "rim": merge(spokes),
    }
    discs = merge([wheel(rear, r, 0.03), wheel(front, r, 0.03)])
    return Bike(
        meshes,
        (2 * (x + r), 0.6, r + 0.75),
        discs,
        saddle=seat + [-0.03, 0, 0.18],
        hand=bar + [-0.06, 0.25, 0.03],
        foot=crank + [0, 0.13, 0],
        pedal_radius=0.16,
    )


def motorcycle(rng: np.random.Generator) -> Bike:
    """Return a motorcycle or a scooter."""
    r = rng.uniform(0.27, 0.32)
    x = rng.uniform(0.62, 0.72)
    rear, front = np.array([-x, 0, r]), np.array([x, 0, r])
    bar = np.array([x - 0.32, 0, r + 0.72])
    tyres = [torus(c, r - 0.06, 0.065, 14) for c in (rear, front)]
    hubs = [wheel(c, r * 0.7, 0.06, 12) for c in (rear, front)]
    dark = [
        tube(np.array([bar + [-0.1, -0.38, 0.03], bar, bar + [-0.1, 0.38, 0.03]]), 0.022, 5),
        tube(np.array([rear, [-0.2, 0, r + 0.1]]), 0.05, 5),
    ]
    chrome = [
        tube(np.array([front + [0, y, 0], bar + [0.03, y, -0.05]]), 0.03, 6) for y in (-0.09, 0.09)
    ]
    if rng.random() < 0.4:  # scooter
        low, high = r - 0.05, r + 0.62
        bench = [(-0.12, r + 0.45), (-x - 0.12, r + 0.5)]
        shield = [(0.3, low), (0.42, low), (bar[0] + 0.1, high), (bar[0] - 0.02, high)]
        paint = [
            prism([(-x - 0.1, r + 0.2), (-0.25, low), (0.05, r - 0.1), *bench], 0.19, 0.05),
            box((0.5, 0.36, 0.06), (0.12, 0, r - 0.08)),
            prism(shield, 0.2, 0.03),
            ellipsoid(front + [0, 0, 0.16], (0.26, 0.1, 0.14), 5),
        ]
        dark.append(box((0.62, 0.28, 0.1), (-0.38, 0, r + 0.52)))
        saddle, foot = np.array([-0.28, 0, r + 0.60]), np.array([0.14, 0.14, r + 0.0])
    else:
        tail = [(-x - 0.15, r + 0.5), (-0.2, r + 0.38), (-0.15, r + 0.5), (-x - 0.1, r + 0.6)]
        paint = [
            ellipsoid((0.1, 0, r + 0.52), (0.3, 0.15, 0.16), 6),
            prism(tail, 0.12, 0.03),
            ellipsoid(front + [0.0, 0, 0.13], (0.3, 0.08, 0.2), 5),
        ]
        engine = [(-0.25, r - 0.08), (0.25, r - 0.08), (0.3, r + 0.22), (-0.2, r + 0.36)]
        dark += [
            prism(engine, 0.17, 0.04),
            box((0.62, 0.26, 0.1), (-0.38, 0, r + 0.52)),
        ]
        exhaust = [[0.2, 0.19, r - 0.05], [-0.1, 0.2, r - 0.1], [-x - 0.1, 0.2, r + 0.05]]
        chrome.append(tube(np.array(exhaust), 0.055, 8))
        saddle, foot = np.array([-0.3, 0, r + 0.60]), np.array([-0.1, 0.24, r + 0.02])
    if rng.random() < 0.4:
        dark.append(box((0.36, 0.38, 0.34), (-x + 0.02, 0, r + 0.78)))
    meshes = {
        "paint": merge(paint),
        "trim": merge(dark),
        "tyre": merge(tyres),
        "rim": merge([*hubs, *chrome]),
        "headlight": ellipsoid(bar + [0.16, 0, -0.1], (0.07, 0.1, 0.1), 5),
        "taillight": box((0.05, 0.16, 0.08), (-x - 0.16, 0, r + 0.5)),
    }
    hand, size = bar + [-0.08, 0.33, 0.04], (2 * (x + r), 0.8, r + 0.85)
    return Bike(meshes, size, saddle=saddle, hand=hand, foot=foot, pedal_radius=0.0)
