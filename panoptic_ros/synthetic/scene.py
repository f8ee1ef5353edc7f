"""Parts, actors and obstacles of a scene, and the builder that gathers them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from panoptic_ros.synthetic.mesh import Mesh, Vector, rotation_z
from panoptic_ros.synthetic.relief import Relief

# Length of street, metres, whose triangles become one mesh; the index of what is longer.
_CHUNK = 50.0
_EVERYWHERE = -1000
_BUILDING = 11
# On a hill, a building's walls follow the ground up to this height; its floors are level.
_BASE = 0.3


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
    None for a rigid object whose meshes are drawn in that frame. relief: hills that it is on.
    """

    label: int
    size: tuple[float, float, float]
    parts: list[Part]
    path: Path
    articulation: Articulation | None = None
    relief: Relief | None = None

    def pose(self, time: float) -> tuple[np.ndarray, np.ndarray]:
        """Return place, [3], and rotation, [3, 3], in the world at a time in seconds."""
        x, y, z, yaw = self.path(time)
        turn = rotation_z(yaw)
        if self.relief is None:
            return np.array([x, y, z]), turn
        place = np.array([x, y, z + self.relief.height(x)])
        return place, self.relief.tilt(x) @ turn

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


class StreetLamp(NamedTuple):
    """Hold where a street lamp shines from: x, y, z in the world, and its height, metres."""

    position: tuple[float, ...]
    height: float


class Front(NamedTuple):
    """Hold the side of a building that looks at the street; it lies at local y = -half[1].

    center: world x, y of the building; half: half its width and depth; ground: height of the
    ground floor; top: of the walls; metres.
    """

    center: np.ndarray
    yaw: float
    half: tuple[float, float]
    ground: float
    top: float
    shops: bool


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
    lamps: list[StreetLamp] = field(default_factory=list)
    fronts: list[Front] = field(default_factory=list)
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

    def place(
        self,
        mesh: str,
        material: str,
        class_id: int,
        position: Vector,
        yaw: float,
        label_only: bool = False,
    ) -> None:
        """Add a copy of a shared mesh that never moves."""
        part = Part(mesh, material, label_only=label_only)
        self.placed.append(PlacedPart(part, class_id, tuple(position), yaw))

    def obstacle(self, class_id: int, corners: np.ndarray, height: float) -> None:
        """Add the outline of a static obstacle to the ground plan."""
        self.obstacles.append(Obstacle(class_id, np.asarray(corners, float), height))

    def stem(self, class_id: int, xy: np.ndarray, half: float, height: float) -> None:
        """Add a square obstacle around a place; half: of its side, metres."""
        self.obstacle(class_id, xy + half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]), height)

    def raise_on(self, relief: Relief) -> None:
        """Put everything that was built on the plane z = 0 on hills."""
        for stretch, meshes in self.stretches.items():
            level = stretch.class_id == _BUILDING
            self.stretches[stretch] = [_raised(mesh, relief, level) for mesh in meshes]
        self.placed = [
            part._replace(position=_lifted(part.position, relief)) for part in self.placed
        ]
        self.actors = [replace(actor, relief=relief) for actor in self.actors]
        self.lamps = [lamp._replace(position=_lifted(lamp.position, relief)) for lamp in self.lamps]

    def next_label(self, class_id: int) -> int:
        """Return a fresh label value of a thing class."""
        number = self._numbers.get(class_id, 0)
        self._numbers[class_id] = number + 1
        return class_id * 1000 + number


def _lifted(position: tuple[float, ...], relief: Relief) -> tuple[float, ...]:
    x, y, z = position
    return x, y, z + float(relief.height(x))


def _raised(mesh: Mesh, relief: Relief, level: bool) -> Mesh:
    x, z = mesh.vertices[..., 0], mesh.vertices[..., 2]
    rise = relief.height(x)
    if level:
        rise = np.where(z < _BASE, rise, relief.height(float(x.mean())))
    return replace(mesh, vertices=mesh.vertices + np.stack([0 * x, 0 * x, rise], axis=-1))
