"""Collect meshes, materials and moving objects, and compile them to one MuJoCo model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import mujoco
import numpy as np

from panoptic_ros.synthetic.town.mesh import Mesh, merge, rotation_z

# Geoms of this group are drawn in the label image only: the disc that a bicycle's wheel fills,
# the panel that a fence's bars fill. Cityscapes annotates such things as solid.
LABEL_ONLY_GROUP = 4
_HIDDEN_GROUP = 5
_OFF_SCREEN = 1.0e4
_CHUNK = 50.0
_EVERYWHERE = -1000
# What stays drawn behind the camera and beside its view, for the shadows it casts.
_MARGIN = 12.0
# A geom is left out where it would be smaller than this many radians.
_TOO_SMALL = 0.0015


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


Pose = tuple[float, float, float, float]
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
    path: Callable[[float], Pose]
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


@dataclass
class SceneBuilder:
    """Gather a scene's contents by class and material before they are compiled."""

    actors: list[Actor] = field(default_factory=list)
    obstacles: list[Obstacle] = field(default_factory=list)
    _meshes: dict[str, Mesh] = field(default_factory=dict)
    _materials: dict[str, dict] = field(default_factory=dict)
    _static: dict[tuple[str, int, bool, int], list[Mesh]] = field(default_factory=dict)
    _instances: list[tuple[str, str, int, np.ndarray, float]] = field(default_factory=list)
    _numbers: dict[int, int] = field(default_factory=dict)

    def material(
        self,
        name: str,
        color: Sequence[float] = (255, 255, 255),
        texture: np.ndarray | None = None,
        shine: float = 0.0,
        glow: float = 0.0,
    ) -> str:
        """Add a material: colour 0..255, a texture [H, W, 3] or none, shine and glow 0..1."""
        rgba = [*(float(c) / 255 for c in color), 1.0]
        self._materials[name] = {"rgba": rgba, "texture": texture, "shine": shine, "glow": glow}
        return name

    def mesh(self, name: str, mesh: Mesh) -> str:
        """Add a mesh that several objects share."""
        self._meshes[name] = mesh
        return name

    def static(self, class_id: int, material: str, mesh: Mesh, label_only: bool = False) -> None:
        """Add triangles that never move; those of a class, material and place become one mesh."""
        x = mesh.vertices[..., 0]
        # One mesh per stretch of street: what is out of sight can then be left out.
        chunk = int(x.mean() // _CHUNK) if np.ptp(x) < _CHUNK else _EVERYWHERE
        self._static.setdefault((material, class_id, label_only, chunk), []).append(mesh)

    def place(
        self, mesh: str, material: str, class_id: int, position: Sequence[float], yaw: float
    ) -> None:
        """Add a copy of a shared mesh that never moves."""
        self._instances.append((mesh, material, class_id, np.asarray(position, float), yaw))

    def obstacle(self, class_id: int, corners: np.ndarray, height: float) -> None:
        """Add the outline of a static obstacle to the ground plan."""
        self.obstacles.append(Obstacle(class_id, np.asarray(corners, float), height))

    def next_label(self, class_id: int) -> int:
        """Return a fresh label value of a thing class."""
        number = self._numbers.get(class_id, 0)
        self._numbers[class_id] = number + 1
        return class_id * 1000 + number

    def compile(self, shadow_size: int) -> Scene:
        """Compile everything added so far."""
        return _Compiler(self, shadow_size).run()


@dataclass
class Scene:
    """Hold a compiled scene: MuJoCo model and data, label of each geom, and the actors.

    labels: uint16 [geoms], values of the label image.
    """

    model: mujoco.MjModel
    data: mujoco.MjData
    labels: np.ndarray
    actors: list[Actor]
    obstacles: list[Obstacle]
    geoms: list[slice]

    def move(self, time: float) -> None:
        """Put every actor where it is at a time in seconds."""
        for actor, geoms in zip(self.actors, self.geoms, strict=True):
            x, y, z, yaw = actor.path(time)
            turn = rotation_z(yaw)
            if actor.articulation is None:
                local, matrices = self._rest_positions[geoms], self._rest_matrices[geoms]
            else:
                local, matrices = actor.articulation(time)
            self.data.geom_xpos[geoms] = local @ turn.T + (x, y, z)
            self.data.geom_xmat[geoms] = (turn @ matrices).reshape(-1, 9)

    def cull(self, eye: np.ndarray, forward: np.ndarray, half_view: float) -> None:
        """Hide what a camera at eye cannot see; half_view: half its angle of view, radians.

        forward: unit vector of the view, [3]. Decided by bounding spheres, for each geom.
        """
        model = self.model
        radius = model.geom_rbound
        offset = self.data.geom_xpos - eye
        distance = np.linalg.norm(offset, axis=1)
        ahead = offset @ forward
        side = np.sqrt(np.maximum(distance**2 - ahead**2, 0.0))
        outside = side * np.cos(half_view) - ahead * np.sin(half_view) > radius + _MARGIN
        small = radius < _TOO_SMALL * distance
        group = np.where(outside | small, _HIDDEN_GROUP, self._groups)
        model.geom_group[:] = group

    # MuJoCo moves a mesh to its centre of mass; a geom's pose makes up for that.
    @cached_property
    def _rest_positions(self) -> np.ndarray:
        return self.model.geom_pos.copy()

    @cached_property
    def _rest_matrices(self) -> np.ndarray:
        matrices = np.zeros((self.model.ngeom, 9))
        for row, quat in zip(matrices, self.model.geom_quat, strict=True):
            mujoco.mju_quat2Mat(row, quat)
        return matrices.reshape(-1, 3, 3)

    @cached_property
    def _groups(self) -> np.ndarray:
        return self.model.geom_group.copy()


class _Compiler:
    """Turn a builder's contents into an MjSpec and compile it."""

    def __init__(self, builder: SceneBuilder, shadow_size: int) -> None:
        self.builder = builder
        self.spec = mujoco.MjSpec()
        self.labels: list[int] = []
        visual = self.spec.visual
        visual.quality.shadowsize = shadow_size
        visual.quality.offsamples = 0
        visual.quality.numslices, visual.quality.numstacks = 10, 6
        visual.map.znear, visual.map.zfar = 0.25, 700.0
        visual.headlight.active = 0
        # Distances of the visual map are in units of the extent.
        self.spec.stat.extent = 1.0

    def run(self) -> Scene:
        self._assets()
        self._lights_and_camera()
        for (material, class_id, label_only, chunk), meshes in self.builder._static.items():
            name = f"static/{material}/{class_id}/{label_only}/{chunk}"
            self._add_mesh(name, merge(meshes))
            self._geom(Part(name, material, label_only=label_only), class_id, (0, 0, 0), 0.0)
        for mesh, material, class_id, position, yaw in self.builder._instances:
            self._geom(Part(mesh, material), class_id, position, yaw)
        slices = []
        for actor in self.builder.actors:
            first = len(self.labels)
            for part in actor.parts:
                self._geom(part, actor.label, (0, 0, 0), 0.0)
            slices.append(slice(first, len(self.labels)))
        model = self.spec.compile()
        self._fill_textures(model)
        data = mujoco.MjData(model)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_camlight(model, data)
        labels = np.array(self.labels, np.uint16)
        return Scene(model, data, labels, self.builder.actors, self.builder.obstacles, slices)

    def _assets(self) -> None:
        flat = mujoco.mjtBuiltin.mjBUILTIN_FLAT
        for name, m in self.builder._materials.items():
            material = self.spec.add_material(
                name=name,
                rgba=m["rgba"],
                specular=m["shine"],
                shininess=0.6 * m["shine"],
                emission=m["glow"],
            )
            if m["texture"] is not None:
                height, width = m["texture"].shape[:2]
                kind = mujoco.mjtTexture.mjTEXTURE_2D
                self.spec.add_texture(
                    name=name, type=kind, builtin=flat, width=width, height=height, nchannel=3
                )
                material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        for name, mesh in self.builder._meshes.items():
            self._add_mesh(name, mesh)

    def _fill_textures(self, model: mujoco.MjModel) -> None:
        # Written into the compiled model: passing pixels through MjSpec converts each to a
        # Python integer.
        for index in range(model.ntex):
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_TEXTURE, index)
            pixels = self.builder._materials[name]["texture"]
            start = model.tex_adr[index]
            model.tex_data[start : start + pixels.size] = pixels.ravel()

    def _add_mesh(self, name: str, mesh: Mesh) -> None:
        faces = np.arange(3 * len(mesh), dtype=np.int32)
        self.spec.add_mesh(
            name=name,
            uservert=mesh.vertices.ravel(),
            usernormal=mesh.normals.ravel(),
            usertexcoord=mesh.uv.ravel(),
            userface=faces,
            userfacenormal=faces,
            userfacetexcoord=faces,
            inertia=mujoco.mjtMeshInertia.mjMESH_INERTIA_SHELL,
        )

    def _geom(self, part: Part, label: int, position: Sequence[float], yaw: float) -> None:
        kind = {
            "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
            "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
        }.get(part.shape, mujoco.mjtGeom.mjGEOM_MESH)
        shape = (
            {"meshname": part.shape}
            if kind == mujoco.mjtGeom.mjGEOM_MESH
            else {"size": [*part.size, 0.0, 0.0][:3]}
        )
        self.spec.worldbody.add_geom(
            type=kind,
            material=part.material,
            pos=position,
            quat=[np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)],
            group=LABEL_ONLY_GROUP if part.label_only else 0,
            contype=0,
            conaffinity=0,
            **shape,
        )
        self.labels.append(label)

    def _lights_and_camera(self) -> None:
        kind = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
        for name, shadow in (("sun", True), ("fill", False)):
            self.spec.worldbody.add_light(name=name, type=kind, castshadow=shadow)
        self.spec.worldbody.add_camera(name="ego", pos=[0, 0, _OFF_SCREEN])
