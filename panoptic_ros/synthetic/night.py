"""Night: the car's own lamps, street lamps, lit windows, and the lamps of others."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from panoptic_ros.synthetic.lamps import (
    RED,
    WHITE,
    Lamps,
    VehicleLamps,
    View,
    add_glare,
    faded,
    is_on,
    street_spots,
    vehicle_spots,
)
from panoptic_ros.synthetic.rain import GROUND, Wetness
from panoptic_ros.synthetic.scene import SceneBuilder
from panoptic_ros.synthetic.town_camera import TownCamera
from panoptic_ros.synthetic.weather import Weather

_SIGN = 20
# What a facade's material emits where windows are lit: it marks them for `Night`.
_LIT = 0.05
_WINDOWS = np.array([[255, 180, 70], [255, 212, 125]])


class Night:
    """Draw night: the car's own lamps, street lamps, windows, and the lamps of others."""

    def __init__(self, day: Weather, rng: np.random.Generator, lamps: Lamps) -> None:
        city = rng.uniform(0.3, 1.0)
        horizon = np.array([8.0, 9.0, 13.0]) + city * np.array([30.0, 19.0, 9.0])
        self.weather = replace(
            day,
            sunlight=np.zeros(3),
            skylight=np.full(3, 0.66),
            zenith=np.array([3.0, 4.0, 8.0]) * rng.uniform(0.5, 1.6),
            horizon=horizon,
            haze=float(1 / rng.uniform(200, 900)),
            clouds=day.clouds * np.float32(rng.uniform(0.2, 0.9)),
            cloud_color=horizon * 0.5,
        )
        self._lamps = lamps
        self._ambient = np.array([0.85, 0.92, 1.15]) * rng.uniform(0.02, 0.06)
        self._ambient = self._ambient + city * np.array([0.036, 0.026, 0.017])
        sodium, white = np.array([1.0, 0.62, 0.28]), np.array([0.95, 0.95, 1.0])
        self._lamp = (sodium if rng.random() < 0.6 else white) * rng.uniform(0.35, 0.85)
        self._are_lit = rng.random() < 0.85
        self._beam = WHITE * rng.uniform(0.6, 1.05)
        self._blur, self._noise = rng.uniform(0.3, 1.0), rng.uniform(3.0, 9.0)
        self._exposure, self._zoom = rng.uniform(0.85, 1.25), rng.uniform(0.0, 0.012)
        self._glare = rng.uniform(0.7, 1.8)
        # After rain, a third of the nights.
        depth = rng.uniform(0.35, 0.8)
        self._wet = Wetness(rng, depth) if rng.random() < 0.35 else None

    def camera(self, camera: TownCamera) -> TownCamera:
        """Return the camera as it is in this weather: open for longer, at a high gain."""
        return replace(
            camera,
            blur=camera.blur + self._blur * camera.size[1] / 1024,
            noise=camera.noise + self._noise,
            exposure=float(np.clip(camera.exposure, 0.8, 1.25) * self._exposure),
            gamma=float(np.clip(camera.gamma, 0.85, 1.1)),
        )

    def light(self, view: View) -> np.ndarray:
        """Return the view's colour in the light of all lamps, float32 [H, W, 3]."""
        light = _Light(view, self._ambient)
        if self._are_lit:
            light.street_lamps(self._lamps, self._lamp)
        light.vehicles(self._lamps.vehicles)
        light.own_lamps(self._beam)
        # Little light has little colour.
        color = faded(view.color.astype(np.float32), 0.35)
        color *= light.whole()
        if self._wet:
            color[np.isin(view.labels, GROUND)] *= 0.6
        return color

    def finish(self, image: np.ndarray, view: View, rng: np.random.Generator) -> np.ndarray:
        """Return the picture with all that shines by itself; image: with haze and sky."""
        spots = list(vehicle_spots(view, self._lamps, share=0.97, strength=1.0))
        if self._are_lit:
            spots += street_spots(view, self._lamps.street, self._lamp)
        image = add_glare(image, spots, _shining(view), self._glare, view.scale)
        if self._wet:
            image = self._wet.mirror(image, view)
        return _zoomed(image, self._zoom)


def light_windows(builder: SceneBuilder, rng: np.random.Generator) -> None:
    """Paint some windows of a builder's facades lit; panes are darker and bluer than walls."""
    for name, material in builder.materials.items():
        if not name.startswith(("facade", "shops")) or material.texture is None:
            continue
        red, _, blue = cv2.split(material.texture.astype(np.float32))
        panes = ((blue > 1.18 * red) & (red < 165)).astype(np.uint8)
        # The bars of a window do not part it.
        whole = cv2.morphologyEx(panes, cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
        count, windows = cv2.connectedComponents(whole)
        share = 0.6 if name.startswith("shops") else rng.uniform(0.12, 0.45)
        on = rng.random(count) < share
        mixed = rng.random((count, 1))
        tones = (_WINDOWS[0] * mixed + _WINDOWS[1] * (1 - mixed)) * rng.uniform(0.8, 1, (count, 1))
        lit = (panes > 0) & (windows > 0) & on[windows]
        texture = material.texture.copy()
        texture[lit] = tones[windows[lit]].astype(np.uint8)
        builder.materials[name] = replace(material, texture=texture, glow=_LIT)


class _Light:
    """Gather the light of lamps on what a view shows, at half its size."""

    def __init__(self, view: View, ambient: np.ndarray) -> None:
        self._view = view
        depth = np.where(view.depth == 0, np.float32(1000.0), view.depth)[::2, ::2, None]
        # In the world's axes, from the camera.
        self._points = view.rays[::2, ::2] * depth
        near = np.flatnonzero((depth[..., 0] < 90.0).any(axis=1))
        self._rows = slice(int(near[0]), int(near[-1]) + 1) if len(near) else slice(0, 0)
        self._normals = _normals(self._points)
        self._sum = np.empty_like(self._points)
        self._sum[:] = ambient

    def whole(self) -> np.ndarray:
        """Return the light at the view's size, float32 [H, W, 3]."""
        h, w = self._view.depth.shape
        # As film does, the camera gives in where it is bright.
        seen = self._sum / (1 + np.float32(0.4) * self._sum)
        return np.asarray(cv2.resize(seen, (w, h), interpolation=cv2.INTER_LINEAR))

    def street_lamps(self, lamps: Lamps, color: np.ndarray) -> None:
        """Add pools of light below street lamps, the nearest 14 in sight."""
        if not len(lamps.street):
            return
        offset = (lamps.street - self._view.position).astype(np.float32)
        ahead = offset @ self._view.rotation[:, 2]
        nearest = np.argsort(np.where((ahead > -12) & (ahead < 95), np.abs(ahead), np.inf))[:14]
        color = color.astype(np.float32)
        rows = self._rows
        points, normals = self._points[rows], self._normals[rows]
        for k in nearest[(ahead[nearest] > -12) & (ahead[nearest] < 95)]:
            to_lamp = offset[k] - points
            square = np.einsum("ijk,ijk->ij", to_lamp, to_lamp)
            height = np.float32(lamps.heights[k])
            down = np.clip(to_lamp[..., 2], 0, None)
            facing = np.abs(np.einsum("ijk,ijk->ij", to_lamp, normals))
            # 1 / d^2, downwards only, 1 on the ground right below; walls get their share.
            strength = height * height * down * (0.3 * down + 0.7 * facing)
            strength /= square * square + np.float32(1.0)
            self._sum[rows] += strength[..., None] * color

    def own_lamps(self, color: np.ndarray) -> None:
        """Add the beam of the ego car's two headlamps."""
        view = self._view
        turn = view.turn.astype(np.float32)
        # base_link's axes from the camera; the lamps are 0.7 m before it.
        rows = self._rows
        points = self._points[rows] @ turn
        # Signs throw the light back to where it comes from.
        mirrors = 1 + 3 * (view.labels[::2, ::2][rows] == _SIGN).astype(np.float32)
        for side in (-0.62, 0.62):
            lamp = np.array([0.7, side, 0.65 - view.position[2]], np.float32)
            x, y, z = cv2.split(points - lamp)
            ahead = np.maximum(x, 0.3)
            azimuth, elevation = y / ahead, z / ahead
            cone = np.exp(-((azimuth / 0.26) ** 2)) + 0.3 * np.exp(-((azimuth / 0.65) ** 2))
            # Low beam: bright below the cut-off, brightest just below it, a little above.
            drop = np.clip((0.012 - elevation) / 0.02, 0.05, 1.0)
            beam = cone * drop * np.exp(-((np.minimum(elevation + 0.05, 0) / 0.16) ** 2))
            beam *= mirrors * (x > 0.3) / (1 + (ahead / 13.0) ** 2)
            self._sum[rows] += beam[..., None] * color.astype(np.float32)

    def vehicles(self, vehicles: list[VehicleLamps]) -> None:
        """Add what the lamps of others throw on the road, of the nearest eight."""
        view, seen = self._view, []
        for vehicle in vehicles:
            place, turn = vehicle.actor.pose(view.time)
            ahead = (place - view.position) @ view.rotation[:, 2]
            if 1.0 < ahead < 60 and is_on(vehicle.actor, view.time, 0.97):
                seen.append((ahead, vehicle, place, turn))
        rows = self._rows
        for _, vehicle, place, turn in sorted(seen, key=lambda s: s[0])[:8]:
            for lamps, reach, color in (
                (vehicle.head, 4.5, 0.4 * WHITE),
                (vehicle.tail, -1.2, 0.13 * RED),
            ):
                if len(lamps):
                    middle = lamps.mean(axis=0) * [1, 0, 0] + [reach, 0, 0.3]
                    offset = self._points[rows] - (place + turn @ middle - view.position).astype(
                        np.float32
                    )
                    square = np.einsum("ijk,ijk->ij", offset, offset)
                    pool = np.exp(-square / np.float32(reach * reach * 0.8 + 1.0))
                    self._sum[rows] += pool[..., None] * color.astype(np.float32)


def _normals(points: np.ndarray) -> np.ndarray:
    """Return unit normals of the surfaces that points [H, W, 3] lie on."""
    down, right = np.zeros_like(points), np.zeros_like(points)
    down[:-1], right[:, :-1] = points[1:] - points[:-1], points[:, 1:] - points[:, :-1]
    x0, y0, z0 = cv2.split(down)
    x1, y1, z1 = cv2.split(right)
    normal = np.asarray(cv2.merge([y0 * z1 - z0 * y1, z0 * x1 - x0 * z1, x0 * y1 - y0 * x1]))
    length: np.ndarray = np.sqrt(np.einsum("ijk,ijk->ij", normal, normal))
    return normal / (length[..., None] + np.float32(1e-9))


def _shining(view: View) -> np.ndarray:
    """Return what shines by itself: traffic lights, destination boards, windows; 1: white."""
    color = view.color * np.float32(1 / 255)
    # The lenses of vehicles, lit or not, mirror what there is.
    strength = np.where(view.glow > 0.5, np.float32(2.5), np.float32(0.8)) * view.glow
    light = color * np.where(view.glow > 0.3, strength, 0)[..., None]
    red, _, blue = cv2.split(color)
    lit = np.clip((red - blue - 0.3) / 0.15, 0, 1) * (np.abs(view.glow - _LIT) < 0.01)
    light += color * (np.float32(0.75) * lit)[..., None]
    return light


def _zoomed(image: np.ndarray, amount: float) -> np.ndarray:
    """Return an image as a long exposure shows it from a car that drives on."""
    h, w = image.shape[:2]
    larger = 1 + amount
    matrix = np.array(
        [[larger, 0, (1 - larger) * w / 2], [0, larger, (1 - larger) * h / 2]], np.float32
    )
    moved = cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR)
    return np.asarray(cv2.addWeighted(image, 0.5, moved, 0.5, 0))
