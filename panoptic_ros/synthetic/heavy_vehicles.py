"""Trucks, buses and trams, as meshes by material. Front along +x, wheels on z = 0."""

from __future__ import annotations

import numpy as np

from panoptic_ros.synthetic.mesh import box, merge, prism, tube, wheel
from panoptic_ros.synthetic.vehicles import Vehicle, mirrored
from panoptic_ros.synthetic.vehicles import wheels as axles_at


def truck(rng: np.random.Generator, kind: str) -> Vehicle:
    """Return a truck; kind: box, canvas, tank or tipper."""
    length, width = rng.uniform(6.8, 10.5), rng.uniform(2.35, 2.5)
    half_l, half_w = length / 2, width / 2
    high = rng.uniform(2.6, 3.0)
    cab_l = 2.0
    front, back = half_l, half_l - cab_l
    cab = prism(
        [(back, 0.5), (front, 0.5), (front, 1.55), (front - 0.28, high), (back, high)],
        half_w - 0.03,
        0.08,
    )
    pane = [(-0.5, 1.62), (0.02, 1.6), (-0.22, high - 0.3), (-0.5, high - 0.3)]
    screen = prism([(front + x, z) for x, z in pane], half_w - 0.16)
    side_glass = box((0.8, width - 0.02, 0.7), (front - 0.95, 0, 1.95))
    load_l = length - cab_l - 0.3
    load_x = -half_l + load_l / 2
    meshes = {"paint": cab, "glass": merge([screen, side_glass])}
    if kind == "tank":
        axis = np.array([[-half_l, 0, 1.95], [-half_l + load_l, 0, 1.95]])
        barrel = merge([tube(axis, 1.05, 16), box((load_l, 0.5, 0.1), (load_x, 0, 3.02))])
        ends = [wheel((0, 0, 0), 1.05, 0.02, 16).moved((x, 0, 1.95), np.pi / 2) for x in axis[:, 0]]
        meshes["rim"] = merge([barrel, *ends])
        top = 3.1
    elif kind == "tipper":
        top = rng.uniform(1.9, 2.3)
        meshes["second"] = box((load_l, width, top - 1.0), (load_x, 0, (top + 1.0) / 2), 1.06)
    else:
        top = rng.uniform(3.2, 3.9)
        slot = "cargo" if kind == "box" else "canvas"
        meshes[slot] = box((load_l, width, top - 1.0), (load_x, 0, (top + 1.0) / 2))
    axles = [half_l - 1.1, -half_l + 1.4] + ([-half_l + 2.5] if length > 8.6 else [])
    wheels = axles_at(axles, half_w, 0.5, 0.32)
    trim = [
        box((length - 0.4, width * 0.7, 0.3), (-0.1, 0, 0.8)),
        box((0.1, width, 0.4), (front - 0.02, 0, 0.55)),
        box((0.05, width * 0.6, 0.35), (front, 0, 1.15)),
        box((0.12, width, 0.14), (-half_l + 0.05, 0, 0.62)),
        *mirrored((0.12, 0.2, 0.5), (front - 0.35, half_w + 0.15, 2.1)),
    ]
    meshes["trim"] = merge([*trim, wheels.pop("arch")])
    meshes["headlight"] = merge(mirrored((0.06, 0.36, 0.2), (front, half_w - 0.35, 0.8)))
    meshes["taillight"] = merge(mirrored((0.06, 0.35, 0.16), (-half_l, half_w - 0.3, 0.85)))
    meshes["plate"] = box((0.02, 0.5, 0.12), (-half_l - 0.02, 0, 0.62))
    return Vehicle({**meshes, **wheels}, (length, width, max(top, high)))


def bus(rng: np.random.Generator) -> Vehicle:
    """Return a city bus."""
    length, width, height = rng.uniform(10.5, 12.5), 2.5, rng.uniform(2.95, 3.2)
    half_l, half_w = length / 2, width / 2
    nose = [(half_l, 0.32), (half_l, 1.3), (half_l - 0.15, height)]
    body = [(-half_l, 0.32), *nose, (-half_l + 0.05, height)]
    sill = rng.uniform(1.0, 1.25)
    count = 6
    pitch = (length - 1.2) / count
    windows = [
        box(
            (pitch - 0.12, width + 0.03, height - sill - 0.55),
            (-half_l + 0.6 + (k + 0.5) * pitch, 0, (height + sill - 0.55) / 2 + 0.05),
        )
        for k in range(count)
    ]
    pane = [(-0.4, 0.95), (0.03, 0.95), (-0.08, height - 0.45), (-0.4, height - 0.45)]
    front = prism([(half_l + x, z) for x, z in pane], half_w - 0.12)
    rear = box((0.04, width - 0.5, 0.9), (-half_l - 0.01, 0, height - 1.0))
    doors = [
        box((1.15, 0.05, height - 0.75), (x, -half_w - 0.01, (height - 0.75) / 2 + 0.38))
        for x in (half_l - 1.2, -0.4)
    ]
    wheels = axles_at([half_l - 2.6, -half_l + 2.6], half_w, 0.48, 0.3)
    trim = [
        box((0.08, width, 0.3), (half_l, 0, 0.42)),
        box((0.08, width, 0.3), (-half_l, 0, 0.42)),
        box((2.6, 1.6, 0.22), (-1.0, 0, height + 0.1)),
        *mirrored((0.25, 0.18, 0.4), (half_l + 0.15, half_w + 0.12, height - 0.75)),
    ]
    meshes = {
        "paint": prism(body, half_w, 0.1),
        "second": box((length - 0.3, width + 0.015, rng.uniform(0.18, 0.4)), (0, 0, 0.72)),
        "glass": merge([*windows, front, rear, *doors]),
        "trim": merge([*trim, wheels.pop("arch")]),
        "destination": merge(
            [
                box((0.06, 1.5, 0.24), (half_l - 0.06, 0, height - 0.24)),
                box((0.9, 0.02, 0.2), (half_l - 2.9, -half_w - 0.03, height - 0.3)),
            ]
        ),
        "headlight": merge(mirrored((0.06, 0.4, 0.2), (half_l + 0.02, half_w - 0.35, 0.7))),
        "taillight": merge(mirrored((0.06, 0.18, 0.5), (-half_l - 0.01, half_w - 0.2, 1.0))),
        "plate": box((0.02, 0.5, 0.12), (-half_l - 0.04, 0, 0.6)),
        **wheels,
    }
    return Vehicle(meshes, (length, width, height + 0.2))


def tram(rng: np.random.Generator) -> Vehicle:
    """Return a tram of two to four cars, its cab at both ends."""
    cars, car_l = int(rng.integers(2, 5)), rng.uniform(7.5, 9.5)
    width, height = 2.4, rng.uniform(3.2, 3.5)
    length, half_w = cars * car_l, width / 2
    half_l = length / 2
    paint, second, glass, trim = [], [], [], []
    for k in range(cars):
        x0, x1 = -half_l + k * car_l + 0.2, -half_l + (k + 1) * car_l - 0.2
        tip0, tip1 = (0.9 if k == 0 else 0.0), (0.9 if k == cars - 1 else 0.0)
        front, back = [(x1, 0.3), (x1, 1.2), (x1 - tip1, height)], [(x0 + tip0, height), (x0, 1.2)]
        paint.append(prism([(x0, 0.3), *front, *back], half_w, 0.08))
        second.append(box((x1 - x0 - 0.1, width + 0.02, 0.35), ((x0 + x1) / 2, 0, 0.75)))
        glass.append(
            box(
                (x1 - x0 - tip0 - tip1 - 0.7, width + 0.025, 1.15),
                ((x0 + x1 + tip0 - tip1) / 2, 0, 2.05),
            )
        )
        for x in ((x0 + x1) / 2 - 1.6, (x0 + x1) / 2 + 1.6):
            trim.append(box((0.1, width + 0.035, 1.2), (x, 0, 2.05)))
            glass.append(box((1.2, width + 0.03, 1.9), (x + 0.75, 0, 1.65)))
        trim.append(box((2.2, width - 0.4, 0.5), ((x0 + x1) / 2, 0, 0.35)))
        trim.append(box((2.4, 1.4, 0.3), ((x0 + x1) / 2, 0, height + 0.12)))
        if k:
            trim.append(box((0.5, width - 0.25, height - 0.7), (x0 - 0.2, 0, height / 2 + 0.2)))
    for end in (-1, 1):
        pane = [(-0.62, 1.3), (-0.19, 1.35), (-0.86, height - 0.5), (-1.2, height - 0.5)]
        mesh = prism([(half_l + x, z) for x, z in pane], half_w - 0.12)
        glass.append(mesh if end > 0 else mesh.moved(yaw=np.pi))
    arm = np.array([[0.0, 0, height + 0.2], [-0.9, 0, height + 0.9], [0.0, 0, height + 1.6]])
    trim += [tube(arm, 0.04), box((0.12, 1.6, 0.05), (0, 0, height + 1.6))]
    board = [box((0.05, 1.3, 0.22), (end * (half_l - 1.08), 0, height - 0.3)) for end in (-1, 1)]
    meshes = {
        "paint": merge(paint),
        "second": merge(second),
        "glass": merge(glass),
        "trim": merge(trim),
        "destination": merge(board),
        "headlight": merge(mirrored((0.06, 0.3, 0.16), (half_l - 0.2, 0.75, 0.85))),
        "taillight": merge(mirrored((0.06, 0.25, 0.14), (-half_l + 0.2, 0.75, 0.85))),
    }
    return Vehicle(meshes, (length, width, height + 0.3))
