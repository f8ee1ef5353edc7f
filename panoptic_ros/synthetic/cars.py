"""Cars, as meshes by material. Front along +x, wheels on z = 0."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic.mesh import box, merge, prism, tube
from panoptic_ros.synthetic.vehicles import Vehicle, mirrored
from panoptic_ros.synthetic.vehicles import wheels as axles_at

# Shares of the length (x, from the middle, front positive) and of the height (z):
# body's outline, then windows' base and roof: (rear base, front base, rear roof, front roof).
_SHAPES = {
    "hatchback": (3.9, 1.74, 1.48, 0.60, (-0.485, 0.24, -0.40, 0.06), 0.64),
    "saloon": (4.6, 1.80, 1.45, 0.62, (-0.34, 0.22, -0.20, 0.05), 0.64),
    "estate": (4.6, 1.80, 1.50, 0.60, (-0.49, 0.22, -0.44, 0.04), 0.62),
    "suv": (4.5, 1.86, 1.72, 0.60, (-0.485, 0.24, -0.43, 0.08), 0.62),
    "van": (5.2, 1.95, 2.10, 0.50, (-0.495, 0.40, -0.49, 0.27), 0.50),
}


def car(rng: np.random.Generator, shape: str) -> Vehicle:
    """Return a car; shape: a key of the table of shapes, with proportions varied a little."""
    length, width, height, shoulder, windows, bonnet = _SHAPES[shape]
    length, width, height = np.array([length, width, height]) * rng.uniform(0.95, 1.05, 3)
    half_l, half_w, belt = length / 2, width / 2, height * shoulder
    rear_base, front_base, rear_roof, front_roof = (share * length for share in windows)
    nose = height * (bonnet - 0.16)
    body = [
        (-half_l + 0.05, 0.26),
        (half_l - 0.12, 0.24),
        (half_l, 0.42),
        (half_l - 0.06, nose),
        (half_l - 0.35, nose + 0.09),
        (front_base + 0.05, belt),
        (rear_base - 0.02, belt + 0.02),
        (-half_l + 0.10, belt - 0.03),
        (-half_l, belt * 0.72),
        (-half_l, 0.45),
    ]
    low, high = belt - 0.02, height - 0.06
    glass = [(rear_base, low), (front_base, low), (front_roof, high), (rear_roof, high)]
    inner, upper = half_w - 0.06, half_w - 0.24
    eaves = [(rear_roof - 0.05, height - 0.09), (front_roof + 0.06, height - 0.09)]
    ridge = [(front_roof - 0.1, height), (rear_roof + 0.1, height)]
    paint = [prism(body, half_w, 0.09), prism([*eaves, *ridge], upper + 0.03, 0.04)]
    middle = (rear_roof + front_roof) / 2 + 0.12
    pillars = ((rear_base, rear_roof), (middle, middle - 0.03), (front_base, front_roof))
    for side in (-1, 1):
        for base, roof in pillars:
            foot = np.array([base, side * inner, belt - 0.02])
            paint.append(tube(np.array([foot, [roof, side * upper, height - 0.05]]), 0.045, 5))
    paint += mirrored((0.12, 0.2, 0.14), (front_base - 0.25, half_w + 0.08, belt + 0.06))
    if shape == "van":
        size = (length * 0.62, 2 * inner - 0.02, height - belt - 0.1)
        paint.append(box(size, (-length * 0.17, 0, (height + belt) / 2 - 0.05), 0.9))
    trim = [
        box((0.06, width * 0.55, 0.14), (half_l - 0.02, 0, 0.5)),
        box((0.06, width * 0.9, 0.12), (half_l - 0.04, 0, 0.3)),
        box((0.06, width * 0.9, 0.16), (-half_l + 0.02, 0, 0.34)),
        box((length * 0.5, width + 0.012, 0.09), (0, 0, 0.29)),
        *mirrored((0.16, 0.01, 0.03), (middle - 0.12, half_w + 0.004, belt - 0.12)),
        *mirrored((0.014, 0.01, belt * 0.55), (middle, half_w + 0.003, belt * 0.65)),
        *mirrored((0.014, 0.01, belt * 0.5), (front_base - 0.1, half_w + 0.003, belt * 0.65)),
    ]
    wheels = axles_at([-length * 0.3, length * 0.31], half_w + 0.01, height * 0.215, 0.2)
    heads = mirrored((0.14, 0.34, 0.13), (half_l - 0.07, half_w - 0.3, nose - 0.02))
    tails = mirrored((0.10, 0.26, 0.22), (-half_l + 0.06, half_w - 0.2, belt * 0.78))
    plates = [box((0.02, 0.5, 0.11), (x, 0, 0.42)) for x in (half_l + 0.02, -half_l - 0.02)]
    meshes = {
        "paint": merge(paint),
        "glass": prism(glass, [inner, inner, upper, upper]),
        "trim": merge([*trim, wheels.pop("arch")]),
        "headlight": merge(heads),
        "taillight": merge(tails),
        "plate": merge(plates),
        **wheels,
    }
    return Vehicle(meshes, (length, width, height))
