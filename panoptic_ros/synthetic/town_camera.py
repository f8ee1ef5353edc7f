"""The ego car's cameras: intrinsics, mounting, and what lens and sensor do to a picture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.synthetic.weather import Weather, paint_sky

# Mean brightness that the automatic exposure aims at, 0..255.
_TARGET = 112.0
# x of the windscreen and of the rear window in base_link, metres.
_FRONT, _REAR = 1.6, -0.8


@dataclass(frozen=True)
class TownCamera:
    """Describe a pinhole camera fixed to the ego car.

    size: (H, W), pixels; focal: pixels; position: x, y, z in base_link, metres;
    pitch: radians, positive looks down; yaw: radians, positive looks left.
    blur: sigma in pixels; noise: standard deviation, 0..255; exposure, gamma: factors;
    balance: factor per RGB channel; vignette: darkening of the corners, 0..1.
    """

    size: tuple[int, int]
    focal: float
    position: tuple[float, float, float]
    pitch: float
    blur: float
    noise: float
    exposure: float
    gamma: float
    balance: np.ndarray
    vignette: float
    yaw: float = 0.0

    @property
    def matrix(self) -> np.ndarray:
        """Intrinsic matrix, float [3, 3]; integer coordinates are the centres of pixels."""
        h, w = self.size
        return np.array([[self.focal, 0, (w - 1) / 2], [0, self.focal, (h - 1) / 2], [0, 0, 1]])

    @property
    def rotation(self) -> np.ndarray:
        """Rotation from optical axes to base_link, float [3, 3]."""
        return optical_pose(*self.position, 0.0, self.pitch, self.yaw)[:3, :3]

    def rays(self) -> np.ndarray:
        """Return each pixel's viewing direction in base_link, float32 [H, W, 3], depth 1."""
        h, w = self.size
        v, u = np.mgrid[0:h, 0:w].astype(np.float32)
        optical = np.stack(
            [(u - (w - 1) / 2) / self.focal, (v - (h - 1) / 2) / self.focal, np.ones_like(u)],
            axis=-1,
        )
        return optical @ self.rotation.T.astype(np.float32)

    def to_cityscapes(self) -> dict:
        """Return the fields of a Cityscapes camera file; z is the height of the camera."""
        x, y, z = self.position
        h, w = self.size
        return {
            "extrinsic": {
                **{"baseline": 0.0, "pitch": self.pitch, "roll": 0.0, "yaw": self.yaw},
                **{"x": x, "y": y, "z": z},
            },
            "intrinsic": {"fx": self.focal, "fy": self.focal, "u0": (w - 1) / 2, "v0": (h - 1) / 2},
        }


def make_camera(
    rng: np.random.Generator, size: tuple[int, int], *, looks_back: bool = False
) -> TownCamera:
    """Return the camera of a seed's generator for images of a size (H, W).

    looks_back: it is at the rear window and looks back; all else is as with the one in front.
    """
    field_of_view = np.deg2rad(rng.uniform(48, 84))
    return TownCamera(
        size=size,
        focal=float(size[1] / 2 / np.tan(field_of_view / 2)),
        position=(
            _REAR if looks_back else _FRONT,
            float(rng.uniform(-0.1, 0.25)),
            float(rng.uniform(1.2, 1.9)),
        ),
        pitch=float(rng.uniform(-0.01, 0.085)),
        blur=float(rng.choice([0.0, rng.uniform(0.4, 1.0)], p=[0.5, 0.5])),
        noise=float(rng.uniform(0.5, 5.0)),
        exposure=float(rng.uniform(0.82, 1.2)),
        gamma=float(rng.uniform(0.85, 1.15)),
        balance=rng.uniform(0.94, 1.06, 3),
        vignette=float(rng.uniform(0.0, 0.3)),
        yaw=np.pi if looks_back else 0.0,
    )


def add_air(
    color: np.ndarray, depth: np.ndarray, rays_world: np.ndarray, weather: Weather
) -> np.ndarray:
    """Return a rendered view with haze and sky, float32 [H, W, 3].

    color: uint8 or float32 [H, W, 3], as rendered; depth: float32 [H, W], metres, 0 for sky;
    rays_world: float32 [H, W, 3], viewing directions of depth 1.
    """
    image: np.ndarray = color.astype(np.float32)
    sky = depth == 0
    # Beer-Lambert: light from a distance d keeps exp(-haze * d) of itself (Koschmieder 1924).
    kept = np.exp(-weather.haze * depth)[..., None]
    horizon = weather.horizon.astype(np.float32)
    image -= horizon
    image *= kept
    image += horizon
    rows = np.flatnonzero(sky.any(axis=1))
    if len(rows):
        upper = slice(0, rows[-1] + 1)
        rays = rays_world[upper]
        rays = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
        image[upper] = np.where(sky[upper, :, None], paint_sky(weather, rays), image[upper])
    return image


def develop(image: np.ndarray, camera: TownCamera, rng: np.random.Generator) -> np.ndarray:
    """Return the photograph, uint8 [H, W, 3], of what reaches the lens, float32 [H, W, 3]."""
    image = _soften_edges(image)
    if camera.blur:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), camera.blur))
    # Automatic exposure, not quite to the target, as cameras do.
    bright = float(cv2.mean(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY))[0])
    automatic = np.clip(_TARGET / max(bright, 1.0), 0.7, 1.8) ** 0.7
    gain = camera.balance.astype(np.float32) * np.float32(camera.exposure * automatic)
    h, w = camera.size
    y, x = np.ogrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    shade = (1 - camera.vignette * (x * x + y * y) / 2).astype(np.float32)
    image *= shade[..., None] * gain
    grain = rng.standard_normal(image.shape, dtype=np.float32)
    image = np.asarray(cv2.scaleAdd(grain, camera.noise, image))
    image = np.clip(image, 0, 255, out=image).astype(np.uint8)
    curve = 255 * (np.arange(256) / 255) ** camera.gamma
    return cv2.LUT(image, np.round(curve).astype(np.uint8))


def _soften_edges(image: np.ndarray) -> np.ndarray:
    """Blur along strong edges only: the view is rendered with one sample per pixel."""
    soft: np.ndarray = np.asarray(cv2.GaussianBlur(image, (3, 3), 0.75))
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    kernel = np.ones((3, 3), np.uint8)
    contrast = cv2.dilate(grey, kernel) - cv2.erode(grey, kernel)
    weight = np.clip((contrast - 8) / 30, 0, 0.9)[..., None]
    soft -= image
    soft *= weight
    soft += image
    return soft
