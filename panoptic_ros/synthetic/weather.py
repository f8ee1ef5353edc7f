"""Sun, sky and haze of a seed, and the sky as a picture; `rain.py` and `night.py` change them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.synthetic import textures

WEATHERS = ("day", "rain", "night", "any")
_PANORAMA = 512


@dataclass(frozen=True)
class Weather:
    """Describe the light.

    sun: unit vector towards the sun, world; sunlight, skylight: RGB, 0..1;
    zenith, horizon: RGB of the sky, 0..255; haze: 1/m; clouds: float [H, H], 0..1.
    """

    sun: np.ndarray
    sunlight: np.ndarray
    skylight: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    haze: float
    clouds: np.ndarray
    cloud_color: np.ndarray

    @property
    def casts_shadows(self) -> bool:
        """Whether the sun is strong enough against the sky."""
        return bool(self.sunlight.max() > 0.2)


def make_weather(rng: np.random.Generator) -> Weather:
    """Return the weather of a seed's generator: clear, cloudy, overcast or low sun."""
    kind = str(rng.choice(["clear", "cloudy", "overcast", "low"], p=[0.3, 0.3, 0.25, 0.15]))
    azimuth = rng.uniform(0, 2 * np.pi)
    elevation = np.deg2rad({"low": rng.uniform(12, 24)}.get(kind, rng.uniform(30, 65)))
    level = np.cos(elevation)
    sun = np.array([np.cos(azimuth) * level, np.sin(azimuth) * level, np.sin(elevation)])
    warm = np.array([1.0, 0.94, 0.84]) if kind != "low" else np.array([1.0, 0.82, 0.6])
    strength = {"clear": 0.72, "cloudy": 0.5, "overcast": 0.06, "low": 0.62}[kind]
    sky = {"clear": 0.40, "cloudy": 0.50, "overcast": 0.72, "low": 0.40}[kind]
    blue = rng.uniform(0.0, 1.0)
    zenith = np.array([85, 130, 195]) * (1 - 0.3 * blue) + 20 * blue
    horizon = np.array([190, 208, 222]) + rng.normal(scale=8, size=3)
    if kind == "overcast":
        zenith = rng.uniform(150, 215) + np.array([0.0, 2.0, 6.0])
        horizon = np.minimum(zenith * 1.05, 240)
    elif kind == "low":
        horizon = np.array([235, 205, 165]) + rng.normal(scale=8, size=3)
    cover = {"clear": -0.9, "cloudy": 0.2, "overcast": 0.3, "low": -0.2}[kind]
    field = textures.noise(rng, _PANORAMA, (4, 8, 16, 32))
    clouds = np.clip((field + cover) * 0.8, 0, 1).astype(np.float32)
    bright = np.full(3, 245.0) if kind != "overcast" else zenith * 0.9
    return Weather(
        sun=sun,
        sunlight=warm * strength * rng.uniform(0.85, 1.1),
        skylight=np.array([0.95, 0.98, 1.03]) * sky * rng.uniform(0.9, 1.1),
        zenith=zenith,
        horizon=horizon,
        haze=float(rng.choice([1 / 900, 1 / 400, 1 / 150, 1 / 60], p=[0.4, 0.35, 0.18, 0.07])),
        clouds=clouds,
        cloud_color=bright,
    )


def pick(weather: str, rng: np.random.Generator) -> str:
    """Return a seed's weather: the one of WEATHERS that is given, or for `any` one that is drawn.

    It is drawn in any case: what `any` comes to is the same picture as by its name. Raise
    ValueError for another weather.
    """
    if weather not in WEATHERS:
        raise ValueError(f"weather {weather!r} must be one of {', '.join(WEATHERS)}")
    drawn = str(rng.choice(["day", "rain", "night"], p=[0.6, 0.2, 0.2]))
    return drawn if weather == "any" else weather


def paint_sky(weather: Weather, rays: np.ndarray) -> np.ndarray:
    """Return the sky's colour along unit rays [H, W, 3] in the world, float32 [H, W, 3], 0..255."""
    single = np.float32
    zenith, horizon = weather.zenith.astype(single), weather.horizon.astype(single)
    up = np.clip(rays[..., 2:], 0.0, 1.0)
    share = np.clip(up / 0.55, 0, 1) ** single(0.6)
    color = horizon + (zenith - horizon) * share
    # Clouds lie on a flat layer: they grow denser and smaller towards the horizon.
    layer = (rays[..., :2] / np.maximum(up, 0.03) * 90.0 % _PANORAMA).astype(np.float32)
    x, y = cv2.split(layer)
    cover = cv2.remap(weather.clouds, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)[..., None]
    cover = cover * np.clip(up / 0.12, 0, 1)
    color += (weather.cloud_color.astype(single) - color) * cover
    glow = np.clip(rays @ weather.sun.astype(single), 0, 1)[..., None]
    color += (80 * glow**60 + 25 * glow**6) * (weather.sunlight / 0.7).astype(single)
    # Everything fades into the haze near the horizon.
    veil = np.exp(-up / single(max(30 * weather.haze, 1e-3)))
    return color + (horizon - color) * veil
