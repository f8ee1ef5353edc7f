"""Cameras behind a windscreen: the own car's bonnet, hard exposure, blur, and compression."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from panoptic_ros.labels import UNLABELED
from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.town_camera import TownCamera, make_camera

# Depth of the bonnet while the picture is developed, metres: no haze, no sky.
_NEAR = 1.0


@dataclass(frozen=True)
class Dashcam:
    """Describe what a dashcam adds to a view.

    bonnet: bool [H, W], where the own car's bonnet covers it; paint: uint8 [H, W, 3], RGB, its
    colour there; quality: of the JPEG that the picture goes through, 1 to 100.
    """

    bonnet: np.ndarray
    paint: np.ndarray
    quality: int

    def cover(self, color: np.ndarray, labels: np.ndarray, depth: np.ndarray) -> None:
        """Draw the bonnet into a rendered view, in place."""
        color[self.bonnet] = self.paint[self.bonnet]
        labels[self.bonnet], depth[self.bonnet] = UNLABELED, _NEAR

    def compress(self, image: np.ndarray) -> np.ndarray:
        """Return an image, uint8 [H, W, 3], as its JPEG shows it."""
        quality = [cv2.IMWRITE_JPEG_QUALITY, self.quality]
        return np.asarray(cv2.imdecode(cv2.imencode(".jpg", image, quality)[1], cv2.IMREAD_COLOR))


def make_dashcam(
    rng: np.random.Generator, size: tuple[int, int], *, looks_back: bool = False
) -> tuple[TownCamera, Dashcam]:
    """Return the camera of a seed's generator, and what is special about a dashcam.

    looks_back: it is at the rear window, from where no bonnet is seen.
    """
    camera = make_camera(rng, size, looks_back=looks_back)
    scale = size[1] / 1024
    blur = rng.choice([camera.blur, rng.uniform(1.0, 2.2)], p=[0.8, 0.2])
    camera = replace(
        camera,
        pitch=float(rng.uniform(-0.09, 0.07)),
        blur=float(blur * scale),
        noise=float(camera.noise * rng.choice([1.0, 2.2], p=[0.8, 0.2])),
        exposure=float(rng.choice([camera.exposure, rng.uniform(0.55, 1.6)], p=[0.7, 0.3])),
        gamma=float(rng.uniform(0.75, 1.35)),
        vignette=float(rng.choice([camera.vignette, rng.uniform(0.3, 0.65)], p=[0.75, 0.25])),
    )
    bonnet, paint = _bonnet(rng, size)
    if looks_back or rng.random() > 0.4:
        bonnet = np.zeros(size, bool)
    return camera, Dashcam(bonnet, paint, quality=int(rng.integers(22, 97)))


def _bonnet(rng: np.random.Generator, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Return where a bonnet covers the view, bool [H, W], and its colour, uint8 [H, W, 3]."""
    h, w = size
    x = np.linspace(-1, 1, w) - rng.uniform(-0.2, 0.2)
    high = rng.uniform(0.03, 0.16) * h
    edge = h - high * (1 - rng.uniform(0.15, 0.9) * np.abs(x) ** rng.uniform(2.0, 4.0))
    below = (np.arange(h)[:, None] - edge) / high
    color = rng.choice([[22, 24, 28], [95, 98, 102], [205, 207, 210], [95, 28, 26], [38, 52, 84]])
    # The far edge mirrors the bright sky, the near part the dark car.
    shine = rng.uniform(0.1, 0.9) * np.exp(-np.clip(below, 0, 1) * rng.uniform(2, 6))[..., None]
    mottled = cv2.resize(textures.noise(rng, 256, (4, 8, 32)), (w, h))[..., None]
    paint = color * (1 + rng.uniform(0.02, 0.15) * mottled) * (1 - shine) + 190 * shine
    return below >= 0, np.clip(paint, 0, 255).astype(np.uint8)
