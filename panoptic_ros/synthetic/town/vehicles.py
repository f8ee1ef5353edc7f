"""Cars, trucks, buses and trams, as meshes by material. Front along +x, wheels on z = 0."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.synthetic.town import textures
from panoptic_ros.synthetic.town.mesh import Mesh, box, merge, prism, tube, wheel
from panoptic_ros.synthetic.town.scene import Part, SceneBuilder

CAR, TRUCK, BUS, TRAIN = 26, 27, 28, 31
PAINTS = (
    (225, 225, 228), (190, 192, 196), (120, 124, 130), (62, 64, 70), (26, 27, 30), (28, 42, 90),
    (60, 95, 150), (140, 22, 26), (185, 40, 35), (40, 70, 50), (170, 150, 110), (215, 190, 60),
    (230, 110, 30), (80, 30, 45),
)  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """Describe a vehicle's meshes by material slot, and its length, width, height in metres."""

    meshes: dict[str, Mesh]
    size: tuple[float, float, float]

    def register(self, builder: SceneBuilder, name: str) -> list[tuple[str, str]]:
        """Add the meshes to a builder; return (mesh name, slot) of each."""
        return [(builder.mesh(f"{name}/{s}", m), s) for s, m in self.meshes.items()]


def parts(pieces: list[tuple[str, str]], paint: str, second: str = "trim") -> list[Part]:
    """Return the parts of a vehicle with its slots "paint" and "second" given materials."""
    slots = {"paint": paint, "second": second}
    return [Part(mesh, slots.get(slot, slot)) for mesh, slot in pieces]


def add_materials(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Add paints, glass, tyres and lamps."""
    for k, color in enumerate(PAINTS):
        bright = np.asarray(color, float)
        texture = textures.gradient(bright * 0.62, np.minimum(bright * 1.12 + 8, 255))
        builder.material(f"paint{k}", texture=texture, shine=0.5)
    builder.material("glass", texture=textures.gradient((22, 26, 30), (95, 112, 125)), shine=0.8)
    builder.material("trim", color=(30, 30, 32))
    builder.material("tyre", color=(24, 24, 25))
    builder.material("rim", color=(150, 152, 156), shine=0.5)
    builder.material("headlight", color=(235, 238, 240), glow=0.35, shine=0.8)
    builder.material("taillight", color=(175, 18, 20), glow=0.45)
    builder.material("plate", color=(232, 232, 225))
    builder.material("canvas", texture=textures.plain(rng, rng.uniform(70, 235, 3), 0.05))
    builder.material("cargo", texture=_advert(rng))
    builder.material("destination", color=(255, 150, 30), glow=0.6)


def _advert(rng: np.random.Generator) -> np.ndarray:
    image = textures.plain(
        rng, rng.choice([[235, 235, 235], [200, 205, 215], [225, 205, 150]]), 0.03
    )
    x, y = rng.integers(8, 60, 2)
    image[y : y + 40, x : x + 60] = rng.integers(20, 230, 3)
    return image


def _wheels(xs: list[float], y: float, radius: float, width: float) -> dict[str, Mesh]:
    tyres, rims, arches = [], [], []
    for x in xs:
        for side in (-1, 1):
            tyres.append(wheel((x, side * (y - width / 2), radius), radius, width))
            rims.append(wheel((x, side * (y - width / 2), radius), radius * 0.62, width + 0.02, 10))
            arches.append(
                wheel((x, side * (y - width * 0.55), radius + 0.03), radius * 1.2, width * 0.9)
            )
    return {"tyre": merge(tyres), "rim": merge(rims), "arch": merge(arches)}


def _mirrored(size: tuple[float, ...], center: tuple[float, float, float]) -> list[Mesh]:
    x, y, z = center
    return [box(size, (x, y, z)), box(size, (x, -y, z))]


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
        (-half_l + 0.05, 0.26), (half_l - 0.12, 0.24), (half_l, 0.42), (half_l - 0.06, nose),
        (half_l - 0.35, nose + 0.09), (front_base + 0.05, belt), (rear_base - 0.02, belt + 0.02),
        (-half_l + 0.10, belt - 0.03), (-half_l, belt * 0.72), (-half_l - 0.0, 0.45),
    ]  # fmt: skip
    glass = [(rear_base, belt - 0.02), (front_base, belt - 0.02), (front_roof, height - 0.06), (rear_roof, height - 0.06)]  # fmt: skip
    inner, upper = half_w - 0.06, half_w - 0.24
    paint = [
        prism(body, half_w, 0.09),
        prism(
            [(rear_roof - 0.05, height - 0.09), (front_roof + 0.06, height - 0.09), (front_roof - 0.1, height), (rear_roof + 0.1, height)],
            upper + 0.03,
            0.04,
        ),
    ]  # fmt: skip
    middle = (rear_roof + front_roof) / 2 + 0.12
    for side in (-1, 1):
        for base, roof in (
            (rear_base, rear_roof),
            (middle, middle - 0.03),
            (front_base, front_roof),
        ):
            foot = np.array([base, side * inner, belt - 0.02])
            paint.append(tube(np.array([foot, [roof, side * upper, height - 0.05]]), 0.045, 5))
    paint += _mirrored((0.12, 0.2, 0.14), (front_base - 0.25, half_w + 0.08, belt + 0.06))
    if shape == "van":
        paint.append(box((length * 0.62, 2 * inner - 0.02, height - belt - 0.1), (-length * 0.17, 0, (height + belt) / 2 - 0.05), 0.9))  # fmt: skip
    trim = [
        box((0.06, width * 0.55, 0.14), (half_l - 0.02, 0, 0.5)),
        box((0.06, width * 0.9, 0.12), (half_l - 0.04, 0, 0.3)),
        box((0.06, width * 0.9, 0.16), (-half_l + 0.02, 0, 0.34)),
        box((length * 0.5, width + 0.012, 0.09), (0, 0, 0.29)),
        *_mirrored((0.16, 0.01, 0.03), (middle - 0.12, half_w + 0.004, belt - 0.12)),
        *_mirrored((0.014, 0.01, belt * 0.55), (middle, half_w + 0.003, belt * 0.65)),
        *_mirrored((0.014, 0.01, belt * 0.5), (front_base - 0.1, half_w + 0.003, belt * 0.65)),
    ]
    wheels = _wheels([-length * 0.3, length * 0.31], half_w + 0.01, height * 0.215, 0.2)
    meshes = {
        "paint": merge(paint),
        "glass": prism(glass, [inner, inner, upper, upper]),
        "trim": merge([*trim, wheels.pop("arch")]),
        "headlight": merge(
            _mirrored((0.14, 0.34, 0.13), (half_l - 0.07, half_w - 0.3, nose - 0.02))
        ),
        "taillight": merge(
            _mirrored((0.10, 0.26, 0.22), (-half_l + 0.06, half_w - 0.2, belt * 0.78))
        ),
        "plate": merge(
            [box((0.02, 0.5, 0.11), (x, 0, 0.42)) for x in (half_l + 0.02, -half_l - 0.02)]
        ),
        **wheels,
    }
    return Vehicle(meshes, (length, width, height))


def truck(rng: np.random.Generator, kind: str) -> Vehicle:
    """Return a truck; kind: box, canvas, tank or tipper."""
    length, width = rng.uniform(6.8, 10.5), rng.uniform(2.35, 2.5)
    half_l, half_w = length / 2, width / 2
    high = rng.uniform(2.6, 3.0)
    cab_l = 2.0
    front, back = half_l, half_l - cab_l
    cab = prism(
        [(back, 0.5), (front, 0.5), (front, 1.55), (front - 0.28, high), (back, high)], half_w - 0.03, 0.08
    )  # fmt: skip
    screen = prism([(front - 0.5, 1.62), (front + 0.02, 1.6), (front - 0.22, high - 0.3), (front - 0.5, high - 0.3)], half_w - 0.16)  # fmt: skip
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
    wheels = _wheels(axles, half_w, 0.5, 0.32)
    trim = [
        box((length - 0.4, width * 0.7, 0.3), (-0.1, 0, 0.8)),
        box((0.1, width, 0.4), (front - 0.02, 0, 0.55)),
        box((0.05, width * 0.6, 0.35), (front, 0, 1.15)),
        box((0.12, width, 0.14), (-half_l + 0.05, 0, 0.62)),
        *_mirrored((0.12, 0.2, 0.5), (front - 0.35, half_w + 0.15, 2.1)),
    ]
    meshes["trim"] = merge([*trim, wheels.pop("arch")])
    meshes["headlight"] = merge(_mirrored((0.06, 0.36, 0.2), (front, half_w - 0.35, 0.8)))
    meshes["taillight"] = merge(_mirrored((0.06, 0.35, 0.16), (-half_l, half_w - 0.3, 0.85)))
    meshes["plate"] = box((0.02, 0.5, 0.12), (-half_l - 0.02, 0, 0.62))
    return Vehicle({**meshes, **wheels}, (length, width, max(top, high)))


def bus(rng: np.random.Generator) -> Vehicle:
    """Return a city bus."""
    length, width, height = rng.uniform(10.5, 12.5), 2.5, rng.uniform(2.95, 3.2)
    half_l, half_w = length / 2, width / 2
    body = [
        (-half_l, 0.32),
        (half_l, 0.32),
        (half_l, 1.3),
        (half_l - 0.15, height),
        (-half_l + 0.05, height),
    ]
    sill = rng.uniform(1.0, 1.25)
    count = 6
    pitch = (length - 1.2) / count
    windows = [
        box((pitch - 0.12, width + 0.03, height - sill - 0.55), (-half_l + 0.6 + (k + 0.5) * pitch, 0, (height + sill - 0.55) / 2 + 0.05))
        for k in range(count)
    ]  # fmt: skip
    front = prism([(half_l - 0.4, 0.95), (half_l + 0.03, 0.95), (half_l - 0.08, height - 0.45), (half_l - 0.4, height - 0.45)], half_w - 0.12)  # fmt: skip
    rear = box((0.04, width - 0.5, 0.9), (-half_l - 0.01, 0, height - 1.0))
    doors = [box((1.15, 0.05, height - 0.75), (x, -half_w - 0.01, (height - 0.75) / 2 + 0.38)) for x in (half_l - 1.2, -0.4)]  # fmt: skip
    wheels = _wheels([half_l - 2.6, -half_l + 2.6], half_w, 0.48, 0.3)
    trim = [
        box((0.08, width, 0.3), (half_l, 0, 0.42)),
        box((0.08, width, 0.3), (-half_l, 0, 0.42)),
        box((2.6, 1.6, 0.22), (-1.0, 0, height + 0.1)),
        *_mirrored((0.25, 0.18, 0.4), (half_l + 0.15, half_w + 0.12, height - 0.75)),
    ]
    meshes = {
        "paint": prism(body, half_w, 0.1),
        "second": box((length - 0.3, width + 0.015, rng.uniform(0.18, 0.4)), (0, 0, 0.72)),
        "glass": merge([*windows, front, rear, *doors]),
        "trim": merge([*trim, wheels.pop("arch")]),
        "destination": merge([box((0.06, 1.5, 0.24), (half_l - 0.06, 0, height - 0.24)), box((0.9, 0.02, 0.2), (half_l - 2.9, -half_w - 0.03, height - 0.3))]),
        "headlight": merge(_mirrored((0.06, 0.4, 0.2), (half_l + 0.02, half_w - 0.35, 0.7))),
        "taillight": merge(_mirrored((0.06, 0.18, 0.5), (-half_l - 0.01, half_w - 0.2, 1.0))),
        "plate": box((0.02, 0.5, 0.12), (-half_l - 0.04, 0, 0.6)),
        **wheels,
    }  # fmt: skip
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
        body = [
            (x0, 0.3),
            (x1, 0.3),
            (x1, 1.2),
            (x1 - tip1, height),
            (x0 + tip0, height),
            (x0, 1.2),
        ]
        paint.append(prism(body, half_w, 0.08))
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
        nose = [
            (half_l - 0.62, 1.3),
            (half_l - 0.19, 1.35),
            (half_l - 0.86, height - 0.5),
            (half_l - 1.2, height - 0.5),
        ]
        mesh = prism(nose, half_w - 0.12)
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
        "headlight": merge(_mirrored((0.06, 0.3, 0.16), (half_l - 0.2, 0.75, 0.85))),
        "taillight": merge(_mirrored((0.06, 0.25, 0.14), (-half_l + 0.2, 0.75, 0.85))),
    }
    return Vehicle(meshes, (length, width, height + 0.3))
