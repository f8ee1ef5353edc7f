"""Parts that all vehicles share: paints, wheels, meshes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.mesh import Mesh, box, merge, wheel
from panoptic_ros.synthetic.scene import Part, SceneBuilder

CAR, TRUCK, BUS, TRAIN = 26, 27, 28, 31
PAINTS = (
    (225, 225, 228), (190, 192, 196), (120, 124, 130), (62, 64, 70), (26, 27, 30), (28, 42, 90),
    (60, 95, 150), (140, 22, 26), (185, 40, 35), (40, 70, 50), (170, 150, 110), (215, 190, 60),
    (230, 110, 30), (80, 30, 45),
)  # fmt: skip


@dataclass(frozen=True)
class Vehicle:
    """Describe a vehicle: meshes by material slot, and its length, width, height in metres.

    label_discs: of a bike's wheels, which only the label image draws.
    """

    meshes: dict[str, Mesh]
    size: tuple[float, float, float]
    label_discs: Mesh | None = None

    def register(self, builder: SceneBuilder, name: str) -> list[Part]:
        """Add the meshes to a builder; return a part of each, its slot for a material."""
        parts = [Part(builder.mesh(f"{name}/{s}", m), s) for s, m in self.meshes.items()]
        if self.label_discs is not None:
            discs = builder.mesh(f"{name}/discs", self.label_discs)
            parts.append(Part(discs, "tyre", label_only=True))
        return parts


def painted(parts: list[Part], paint: str, second: str = "trim") -> list[Part]:
    """Return the parts of a vehicle with its slots "paint" and "second" given materials."""
    slots = {"paint": paint, "second": second}
    return [replace(part, material=slots.get(part.material, part.material)) for part in parts]


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


def wheels(xs: list[float], y: float, radius: float, width: float) -> dict[str, Mesh]:
    """Return pairs of wheels at each x and +-y, with rims and dark arches, by material slot."""
    tyres, rims, arches = [], [], []
    for x in xs:
        for side in (-1, 1):
            tyres.append(wheel((x, side * (y - width / 2), radius), radius, width))
            rims.append(wheel((x, side * (y - width / 2), radius), radius * 0.62, width + 0.02, 10))
            arches.append(
                wheel((x, side * (y - width * 0.55), radius + 0.03), radius * 1.2, width * 0.9)
            )
    return {"tyre": merge(tyres), "rim": merge(rims), "arch": merge(arches)}


def mirrored(size: tuple[float, ...], center: tuple[float, float, float]) -> list[Mesh]:
    """Return a box at +y and one at -y."""
    x, y, z = center
    return [box(size, (x, y, z)), box(size, (x, -y, z))]
