"""Rain: grey light, a wet ground that mirrors, spray, streaks, and drops on the windscreen."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from panoptic_ros.synthetic import textures
from panoptic_ros.synthetic.lamps import Lamps, View, add_glare, faded, moves, vehicle_spots
from panoptic_ros.synthetic.town_camera import TownCamera
from panoptic_ros.synthetic.weather import Weather

_ROAD, _SIDEWALK, _TERRAIN = 7, 8, 22
GROUND = (_ROAD, _SIDEWALK, _TERRAIN)
# Side of the tile of noise that wets the road, in pixels, and how many of them are a metre.
_TILE, _PER_METRE = 512, 24.0


class Rain:
    """Draw rain: grey light, a wet road, drops and streaks, spray behind who drives."""

    def __init__(self, day: Weather, rng: np.random.Generator, lamps: Lamps) -> None:
        grey = rng.uniform(120, 200) * np.array([0.97, 1.0, 1.03])
        self.weather = replace(
            day,
            sunlight=np.full(3, 0.02),
            skylight=np.array([0.94, 0.99, 1.04]) * rng.uniform(0.5, 0.68),
            zenith=grey * rng.uniform(0.78, 0.95),
            horizon=grey,
            haze=float(1 / rng.uniform(60, 220)),
            clouds=day.clouds * np.float32(rng.uniform(0.1, 0.7)),
            cloud_color=grey * 0.82,
        )
        self._lamps = lamps
        self._wet = Wetness(rng, rng.uniform(0.55, 0.9))
        self._drops = int(rng.integers(15, 140)) if rng.random() < 0.5 else 0
        self._streaks = int(rng.integers(100, 700))
        self._slant = float(rng.normal(scale=0.12))
        self._fade, self._veil = float(rng.uniform(0.15, 0.45)), float(rng.uniform(0.0, 0.12))
        # Not every driver has the lamps on.
        self._lit = float(rng.uniform(0.3, 1.0))

    def camera(self, camera: TownCamera) -> TownCamera:
        """Return the camera as it is in this weather."""
        return replace(camera, blur=camera.blur + 0.5 * camera.size[1] / 1024)

    def light(self, view: View) -> np.ndarray:
        """Return the view's colour in this light, float32 [H, W, 3]: what is wet is darker."""
        color: np.ndarray = view.color.astype(np.float32)
        shade = np.ones(256, np.float32)
        shade[[_ROAD, _SIDEWALK, _TERRAIN]] = 0.6, 0.7, 0.8
        color *= shade[np.minimum(view.labels, 255)][..., None]
        return faded(color, self._fade)

    def finish(self, image: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
        """Return the picture with all that lies before the scene; image: with haze and sky."""
        image = _spray(image, view, self._lamps, self.weather.horizon)
        spots = list(vehicle_spots(view, self._lamps, share=self._lit, strength=0.55))
        image = add_glare(image, spots, None, 0.5, view.scale)
        image = self._wet.mirror(image, view)
        image = _streaks(image, view.scale, self._streaks, self._slant, rng)
        # Water on the windscreen scatters the sky's light.
        image += np.float32(self._veil) * (self.weather.horizon.astype(np.float32) - image)
        return _drops(image, view.scale, self._drops, rng)


class Wetness:
    """Hold where the ground is wet, and mirror in it what stands on it."""

    def __init__(self, rng: np.random.Generator, depth: float) -> None:
        self._noise = textures.noise(rng, _TILE, (2, 8, 32))
        self._depth = depth

    def mirror(self, image: np.ndarray, view: View) -> np.ndarray:
        """Return a picture with reflections on the ground.

        Each column is turned over about the last thing above the ground in it: what stands
        upright is mirrored where its mirror image is, the sky about the horizon.
        """
        ground = np.isin(view.labels, GROUND)
        rows = np.arange(len(ground), dtype=np.int32)[:, None]
        contact = np.maximum.accumulate(np.where(ground, -1, rows), axis=0)
        seen = np.flatnonzero(ground.any(axis=1))
        if not len(seen):
            return image
        lower = slice(int(seen[0]), int(seen[-1]) + 1)
        ground, contact, above = ground[lower], contact[lower], rows[lower]
        source = np.where(ground & (contact >= 0), np.maximum(2 * contact - above, 0), above)
        columns = np.broadcast_to(np.arange(ground.shape[1], dtype=np.float32), ground.shape)
        clear = cv2.remap(
            image, np.ascontiguousarray(columns), source.astype(np.float32), cv2.INTER_LINEAR
        )
        clear = np.asarray(cv2.GaussianBlur(clear, (0, 0), 1.2 * view.scale, None, 3 * view.scale))
        rough = cv2.GaussianBlur(clear, (0, 0), 3.0 * view.scale, None, 17 * view.scale)
        rays, depth = view.rays[lower], view.depth[lower]
        # Schlick's approximation of Fresnel's law for water, 1 for a grazing ray.
        length = np.sqrt(np.einsum("ijk,ijk->ij", rays, rays))
        grazing = 1 - np.clip(-rays[..., 2] / length, 0, 1)
        share = 0.02 + 0.98 * grazing**4
        x, y, _ = cv2.split(rays * depth[..., None] + view.position.astype(np.float32))
        spread = np.float32(_PER_METRE)
        noise = cv2.remap(
            self._noise,
            x * spread % _TILE,
            y * spread % _TILE,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP,
        )
        puddle = np.clip((noise - 0.55) * 1.6, 0, 1) * np.clip(60 / (depth + 1) - 0.5, 0, 1)
        weights = np.zeros(256, np.float32)
        weights[[_ROAD, _SIDEWALK]] = 1.0, 0.55
        on = weights[np.minimum(view.labels[lower], 255)] * ground
        wet = np.clip(self._depth * (0.75 + 0.18 * noise) + 0.4 * puddle, 0, 1)
        share = (share * on * wet)[..., None]
        mirrored = rough + (clear - rough) * puddle[..., None]
        image[lower] += share * (mirrored - image[lower])
        return image


def _spray(image: np.ndarray, view: View, lamps: Lamps, color: np.ndarray) -> np.ndarray:
    """Return an image with the mist that wheels of driving vehicles throw up behind them."""
    h, w = view.depth.shape
    mist = np.zeros((max(h // 4, 1), max(w // 4, 1)), np.float32)
    for vehicle in lamps.vehicles:
        place, turn = vehicle.actor.pose(view.time)
        behind = place - turn[:, 0] * (0.5 * vehicle.actor.size[0] + 0.8)
        x, y, z = (behind - view.position + np.array([0.0, 0.0, 0.5])) @ view.rotation
        if not 3 < z < 80 or not moves(vehicle.actor, view.time):
            continue
        u, v = view.focal * x / z + w / 2, view.focal * y / z + h / 2
        if not (0 <= u < w and 0 <= v < h) or 0 < view.depth[int(v), int(u)] < z - 4:
            continue
        size = view.focal / z * np.array([0.7 * vehicle.actor.size[1], 0.7]) / 4
        blob = np.zeros_like(mist)
        axes = int(np.clip(size[0], 1, 2 * w)), int(np.clip(size[1], 1, 2 * h))
        cv2.ellipse(blob, (int(u / 4), int(v / 4)), axes, 0, 0, 360, 0.4, -1)
        np.maximum(mist, blob, out=mist)
    if mist.any():
        soft = cv2.GaussianBlur(mist, (0, 0), 5 * view.scale)
        veil = cv2.resize(soft, (w, h), interpolation=cv2.INTER_LINEAR)[..., None]
        image += veil * (color.astype(np.float32) - image)
    return image


def _streaks(
    image: np.ndarray, scale: float, count: int, slant: float, rng: np.random.Generator
) -> np.ndarray:
    """Return an image with falling drops, drawn out by the exposure."""
    h, w = image.shape[:2]
    layer = np.zeros((h, w), np.uint8)
    x, y = rng.uniform(0, w, count), rng.uniform(-0.1 * h, h, count)
    # The nearer, the longer and the fainter.
    length = scale * rng.uniform(6, 46, count)
    for k in range(count):
        end = (int(x[k] + slant * length[k]), int(y[k] + length[k]))
        bright = int(90 - length[k] / scale)
        cv2.line(layer, (int(x[k]), int(y[k])), end, bright, 1, cv2.LINE_AA)
    veil = cv2.GaussianBlur(layer, (0, 0), max(0.6 * scale, 0.3)).astype(np.float32) / 255
    image += veil[..., None] * (np.float32(205.0) - image) * np.float32(0.55)
    return image


def _drops(image: np.ndarray, scale: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return an image through a windscreen with drops: each shows the view upside down."""
    h, w = image.shape[:2]
    if not count:
        return image
    y, x = np.mgrid[:h, :w].astype(np.float32)
    alpha = np.zeros((h, w), np.float32)
    for _ in range(count):
        u, v = rng.uniform(0, w), rng.uniform(0, h)
        radius = scale * float(np.clip(rng.lognormal(1.4, 0.55), 1.5, 15))
        flat = rng.uniform(0.8, 1.25)
        reach = int(1.4 * radius) + 2
        window = (
            slice(max(int(v) - reach, 0), int(v) + reach),
            slice(max(int(u) - reach, 0), int(u) + reach),
        )
        dx, dy = x[window] - u, y[window] - v
        inside = dx * dx + (dy * flat) ** 2 < radius * radius
        # Beyond the rim the map stays as it is.
        np.copyto(alpha[window], np.float32(rng.uniform(0.45, 0.9)), where=inside)
        zoom = 70 * scale / radius
        np.copyto(x[window], np.clip(u - zoom * dx, 0, w - 1).astype(np.float32), where=inside)
        np.copyto(y[window], np.clip(v - zoom * dy, 0, h - 1).astype(np.float32), where=inside)
    soft = np.asarray(cv2.GaussianBlur(image, (0, 0), 4 * scale))
    through = cv2.remap(soft, x, y, cv2.INTER_LINEAR)
    through = np.asarray(cv2.GaussianBlur(through, (0, 0), 1.2 * scale))
    veil = cv2.GaussianBlur(alpha, (0, 0), 1.3 * scale)[..., None]
    image += veil * (through * np.float32(1.04) - image)
    return image
