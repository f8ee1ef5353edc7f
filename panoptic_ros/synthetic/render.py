"""Draw a scene: colour, label values and depth, off screen through EGL."""

from __future__ import annotations

import mujoco
import numpy as np

from panoptic_ros.synthetic import gl_context
from panoptic_ros.synthetic.scene_model import LABEL_ONLY_GROUP, Scene
from panoptic_ros.synthetic.town_camera import TownCamera
from panoptic_ros.synthetic.weather import Weather

SKY = 23
# Half the side of the square that shadows cover, and how far ahead of the camera it lies.
_SHADOW_REACH = 36.0
_SHADOW_AHEAD = 27.0
_contexts: list[mujoco.GLContext] = []


def _activate() -> None:
    """Make the process's OpenGL context current; create it on first use.

    There is one for all scenes: MuJoCo frees a scene's textures in whatever context is current,
    and draws into buffers of its own, whatever the context's size.
    """
    if not _contexts:
        _contexts.append(gl_context())
    _contexts[0].make_current()


class Renderer:
    """Draw one scene with one camera; the model is uploaded once."""

    def __init__(self, scene: Scene, camera: TownCamera, weather: Weather) -> None:
        self._scene, self._camera, self._weather = scene, camera, weather
        model = scene.model
        h, w = camera.size
        model.vis.global_.offwidth, model.vis.global_.offheight = w, h
        model.vis.map.shadowclip = _SHADOW_REACH
        model.cam_fovy[0] = np.rad2deg(2 * np.arctan(h / 2 / camera.focal))
        self._light()
        _activate()
        try:
            self._gpu = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        except mujoco.FatalError as error:
            raise OSError(f"{w} x {h} pixels cannot be rendered here ({error})") from error
        # Zero at the far plane: float32 then keeps its precision at a distance.
        self._gpu.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._view = mujoco.MjvScene(model, maxgeom=model.ngeom + 16)
        self._options = mujoco.MjvOption()
        self._eye = mujoco.MjvCamera()
        self._eye.type, self._eye.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, 0
        self._rect = mujoco.MjrRect(0, 0, w, h)
        self._index = np.zeros((h, w), np.uint32)
        self._seen = np.zeros((h, w), np.float32)

    def _light(self) -> None:
        model, weather = self._scene.model, self._weather
        # MuJoCo takes a shadow-casting light's ambient part away in its shadow too.
        model.light_ambient[0] = 0.0
        model.light_diffuse[0] = weather.sunlight
        model.light_specular[0] = weather.sunlight * 0.6
        model.light_castshadow[0] = weather.casts_shadows
        # The sky lights what faces up or towards the viewer more than what faces down.
        model.light_ambient[1] = weather.skylight * 0.8
        model.light_diffuse[1] = weather.skylight * 0.6
        model.light_specular[1] = 0.0

    def draw(self, position: np.ndarray, rotation: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return colour uint8 [H, W, 3], labels uint16 [H, W] and depth float32 [H, W].

        position: the camera's in the world, metres; rotation: optical axes in the world.
        depth: metres along the optical axis, 0 where there is only sky.
        """
        _activate()
        data, (h, w) = self._scene.data, self._camera.size
        data.cam_xpos[0] = position
        # MuJoCo's camera looks along -z with y up.
        data.cam_xmat[0] = (rotation * [1, -1, -1]).ravel()
        ahead = position + rotation[:, 2] * _SHADOW_AHEAD
        data.light_xpos[0] = ahead * [1, 1, 0] + self._weather.sun * 60.0
        data.light_xdir[0] = -self._weather.sun
        fill = rotation[:, 2] * [0.6, 0.6, 0] + [0.25, -0.2, -0.8]
        data.light_xdir[1] = fill / np.linalg.norm(fill)
        # A cone around the view, wide enough for its corners.
        half_view = np.arctan(np.hypot(h, w) / 2 / self._camera.focal)
        self._scene.cull(position, rotation[:, 2], half_view)
        # Another scene's may be bound, and only shadows would have MuJoCo bind this one's.
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._gpu)
        color = np.empty((h, w, 3), np.uint8)
        self._update(label_image=False)
        mujoco.mjr_readPixels(color, self._seen, self._rect, self._gpu)
        coded, depth = np.empty((h, w, 3), np.uint8), np.empty((h, w), np.float32)
        self._update(label_image=True)
        mujoco.mjr_readPixels(coded, depth, self._rect, self._gpu)
        self._index = coded.astype(np.uint32) @ np.array([1, 256, 65536], np.uint32)
        labels = self._table(self._scene.labels, SKY)[self._index]
        distance = self._metres(depth)
        distance[labels == SKY] = 0.0
        return color[::-1].copy(), labels[::-1].copy(), distance[::-1].copy()

    def _update(self, label_image: bool) -> None:
        self._options.geomgroup[:] = 0
        self._options.geomgroup[0] = 1
        self._options.geomgroup[LABEL_ONLY_GROUP] = label_image
        scene, all_kinds = self._scene, mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(
            scene.model, scene.data, self._options, None, self._eye, all_kinds, self._view
        )
        flags = self._view.flags
        flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = label_image
        flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = label_image
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = self._weather.casts_shadows and not label_image
        flags[mujoco.mjtRndFlag.mjRND_SKYBOX] = 0
        flags[mujoco.mjtRndFlag.mjRND_CULL_FACE] = 0
        mujoco.mjr_render(self._rect, self._view, self._gpu)

    def glow(self) -> np.ndarray:
        """Return what the materials of the view drawn last emit, float32 [H, W]."""
        model = self._scene.model
        emission = model.mat_emission[model.geom_matid]
        return self._table(emission, 0.0)[self._index][::-1].copy()

    def seen_depth(self) -> np.ndarray:
        """Return the depth of what the picture drawn last shows, float32 [H, W], 0 for the sky.

        It is farther than the label image's where a label-only body shows what is behind.
        """
        return np.where(self._seen > 0, self._metres(self._seen), np.float32(0))[::-1].copy()

    def _table(self, values: np.ndarray, sky: float) -> np.ndarray:
        """Return a value of each geom by its code in the label image."""
        table = np.full(self._view.ngeom + 2, sky, values.dtype)
        for geom in self._view.geoms[: self._view.ngeom]:
            if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM and geom.segid >= 0:
                table[geom.segid + 1] = values[geom.objid]
        return table

    def _metres(self, depth: np.ndarray) -> np.ndarray:
        near, far = self._scene.model.vis.map.znear, self._scene.model.vis.map.zfar
        return near * far / (near + depth * (far - near))

    def close(self) -> None:
        """Free what was uploaded."""
        self._gpu.free()
