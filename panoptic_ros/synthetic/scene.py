"""Parts, actors and obstacles of a scene, and the builder that gathers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from panoptic_ros.synthetic.mesh import Mesh, Vector

# Length of street, metres, whose triangles become one mesh; the index of what is longer.
_CHUNK = 50.0
_EVERYWHERE = -1000


@dataclass(frozen=True)
class Part:
    """Describe one drawn piece of an object.

    shape: a mesh's name, "capsule" or "ellipsoid"; size: a capsule's radius and half length,
    an ellipsoid's radii, metres.
    """

    shape: str
    material: str
    size: tuple[float, ...] = ()
    label_only: bool = False
    """Drawn in the label image only: the disc that a bicycle's wheel fills, the panel that a
    fence's bars fill. Cityscapes annotates such things as solid."""


Pose = tuple[float, float, float, float]
Path = Callable[[float], Pose]
Articulation = Callable[[float], tuple[np.ndarray, np.ndarray]]


@dataclass
class Actor:
    """Describe a thing: its label, size and where it is at a time.

    label: value in the label image (class_id * 1000 + n); size: length, width, height, metres.
    path: seconds -> x, y, z, yaw of the point on the ground below its middle.
    articulation: seconds -> positions [K, 3] and rotations [K, 3, 3] of its parts in its frame;
    None for a rigid object whose meshes are drawn in that frame.
    """

    label: int
    size: tuple[float, float, float]
    parts: list[Part]
    path: Path
    articulation: Articulation | None = None

    @property
    def class_id(self) -> int:
        """Cityscapes label id."""
        return self.label // 1000


@dataclass(frozen=True)
class Obstacle:
    """Describe a static obstacle's outline on the ground: world corners [N, 2], class, height."""

    class_id: int
    corners: np.ndarray
    height: float


@dataclass(frozen=True)
class Material:
    """Hold a material: colour with alpha 0..1, texture uint8 [H, W, 3] or none, shine, glow."""

    rgba: tuple[float, ...]
    texture: np.ndarray | None
    shine: float
    glow: float


class Stretch(NamedTuple):
    """Name the triangles of one material and class along one stretch of the street."""

    material: str
    class_id: int
    label_only: bool
    chunk: int


class PlacedPart(NamedTuple):
    """Hold a copy of a shared mesh that never moves: part, class, x, y, z, yaw (radians)."""

    part: Part
    class_id: int
    position: tuple[float, ...]
    yaw: float


@dataclass
class SceneBuilder:
    """Gather a scene's contents by class and material before they are compiled."""

    actors: list[Actor] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    meshes: dict[str, Mesh] = field(default_factory=dict)
    materials: dict[str, Material] = field(default_factory=dict)
    stretches: dict[Stretch, list[Mesh]] = field(default_factory=dict)
    placed: list[PlacedPart] = field(default_factory=list)
    lamps: list[np.ndarray] = field(default_factory=list)
    """Where street lamps shine from, [3] in the world."""
    _numbers: dict[int, int] = field(default_factory=dict)

    def material(
        self,
        name: str,
        color: Vector = (255, 255, 255),
        texture: np.ndarray | None = None,
        shine: float = 0.0,
        glow: float = 0.0,
    ) -> str:
        """Add a material: colour 0..255, a texture [H, W, 3] or none, shine and glow 0..1."""
        rgba = (*(float(c) / 255 for c in color), 1.0)
        self.materials[name] = Material(rgba, texture, shine, glow)
        return name

    def mesh(self, name: str, mesh: Mesh) -> str:
        """Add a mesh that several objects share."""
        self.meshes[name] = mesh
        return name

    def static(self, class_id: int, material: str, mesh: Mesh, label_only: bool = False) -> None:
        """Add triangles that never move; those of a class, material and place become one mesh."""
        x = mesh.vertices[..., 0]
        # One mesh per stretch of street: what is out of sight can then be left out.
        chunk = int(x.mean() // _CHUNK) if np.ptp(x) < _CHUNK else _EVERYWHERE
        key = Stretch(material, class_id, label_only, chunk)
        self.stretches.setdefault(key, []).append(mesh)

    def place(self, mesh: str, material: str, class_id: int, position: Vector, yaw: float) -> None:
        """Add a copy of a shared mesh that never moves."""
        self.placed.append(PlacedPart(Part(mesh, material), class_id, tuple(position), yaw))

    def obstacle(self, class_id: int, corners: np.ndarray, height: float) -> None:
        """Add the outline of a static obstacle to the ground plan."""
        self.obstacles.append(Obstacle(class_id, np.asarray(corners, float), height))

    def next_label(self, class_id: int) -> int:
        """Return a fresh label value of a thing class."""
        number = self._numbers.get(class_id, 0)
        self._numbers[class_id] = number + 1
        return class_id * 1000 + number
