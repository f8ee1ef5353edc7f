"""Compile a scene's contents to one MuJoCo model."""

from __future__ import annotations

import mujoco
import numpy as np

from panoptic_ros.synthetic.mesh import Mesh, Vector, merge
from panoptic_ros.synthetic.scene import Part, SceneBuilder
from panoptic_ros.synthetic.scene_model import LABEL_ONLY_GROUP, Scene

# Pixels of the shadow map's side.
_SHADOW_SIZE = 2048


def compile_scene(builder: SceneBuilder) -> Scene:
    """Return the scene of everything in a builder."""
    return _Compiler(builder).run()


class _Compiler:
    """Turn a builder's contents into an MjSpec and compile it."""

    def __init__(self, builder: SceneBuilder) -> None:
        self.builder = builder
        self.spec = mujoco.MjSpec()
        self.labels: list[int] = []
        visual = self.spec.visual
        visual.quality.shadowsize = _SHADOW_SIZE
        visual.quality.offsamples = 0
        visual.quality.numslices, visual.quality.numstacks = 10, 6
        visual.map.znear, visual.map.zfar = 0.25, 700.0
        visual.headlight.active = 0
        # Distances of the visual map are in units of the extent.
        self.spec.stat.extent = 1.0

    def run(self) -> Scene:
        self._assets()
        self._lights_and_camera()
        for (material, class_id, label_only, chunk), meshes in self.builder.stretches.items():
            name = f"static/{material}/{class_id}/{label_only}/{chunk}"
            self._add_mesh(name, merge(meshes))
            self._geom(Part(name, material, label_only=label_only), class_id, (0, 0, 0), 0.0)
        for part, class_id, position, yaw in self.builder.placed:
            self._geom(part, class_id, position, yaw)
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
        for name, m in self.builder.materials.items():
            material = self.spec.add_material(
                name=name, rgba=m.rgba, specular=m.shine, shininess=0.6 * m.shine, emission=m.glow
            )
            if m.texture is not None:
                height, width = m.texture.shape[:2]
                kind = mujoco.mjtTexture.mjTEXTURE_2D
                self.spec.add_texture(
                    name=name, type=kind, builtin=flat, width=width, height=height, nchannel=3
                )
                material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = name
        for name, mesh in self.builder.meshes.items():
            self._add_mesh(name, mesh)

    def _fill_textures(self, model: mujoco.MjModel) -> None:
        # Written into the compiled model: passing pixels through MjSpec converts each to a
        # Python integer.
        for index in range(model.ntex):
            name = mujoco.mj_id2name(model, mujoco.mjtObj.mjOBJ_TEXTURE, index)
            pixels = self.builder.materials[name].texture
            assert pixels is not None, f"material {name} has no texture"
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

    def _geom(self, part: Part, label: int, position: Vector, yaw: float) -> None:
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
        self.spec.worldbody.add_camera(name="ego")
