"""Lamps of streets and vehicles: where they are, which are seen, and how they dazzle.

What rain and night do is done to the picture, with the depth at hand: `View` is what they see.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from panoptic_ros.synthetic.scene import Actor, SceneBuilder

WHITE, RED = np.array([1.0, 0.95, 0.85]), np.array([1.0, 0.06, 0.03])


@dataclass(frozen=True)
class View:
    """Hold a rendered view, and where it was seen from.

    color: uint8 [H, W, 3]; labels: uint16 [H, W]; depth: float32 [H, W], metres, 0 for sky;
    glow: float32 [H, W], what the material emits; rays: float32 [H, W, 3], of depth 1, world;
    position: of the camera in the world; turn, rotation: base_link's and the optical axes in the
    world, [3, 3]; focal: pixels; time: seconds.
    """

    color: np.ndarray
    labels: np.ndarray
    depth: np.ndarray
    glow: np.ndarray
    rays: np.ndarray
    position: np.ndarray
    rotation: np.ndarray
    turn: np.ndarray
    focal: float
    time: float

    @property
    def scale(self) -> float:
        """Size of the picture against 512 x 1024: lens and rain are drawn in proportion."""
        return self.depth.shape[1] / 1024


@dataclass(frozen=True)
class VehicleLamps:
    """Hold a vehicle's lamps in its frame: head and tail, [N, 3] each."""

    actor: Actor
    head: np.ndarray
    tail: np.ndarray


@dataclass(frozen=True)
class Lamps:
    """Hold the lamps of a scene: street lamps, and those of each vehicle.

    street: [N, 3] in the world; heights: [N], above the ground, metres.
    """

    street: np.ndarray
    heights: np.ndarray
    vehicles: list[VehicleLamps]


class Spot(NamedTuple):
    """Hold a lamp that is seen: column, row and radius in pixels, RGB in multiples of white."""

    u: float
    v: float
    radius: float
    color: np.ndarray


def find_lamps(builder: SceneBuilder) -> Lamps:
    """Return the lamps of what a builder holds: a vehicle's are where its lenses are."""
    vehicles = []
    for actor in builder.actors:
        lenses = {
            kind: [
                half.mean(axis=0)
                for part in actor.parts
                if part.material == kind
                for half in _halves(builder.meshes[part.shape].vertices.reshape(-1, 3))
            ]
            for kind in ("headlight", "taillight")
        }
        if any(lenses.values()):
            head, tail = (np.array(points).reshape(-1, 3) for points in lenses.values())
            vehicles.append(VehicleLamps(actor, head, tail))
    street = np.array([lamp.position for lamp in builder.lamps]).reshape(-1, 3)
    heights = np.array([lamp.height for lamp in builder.lamps])
    return Lamps(street, heights, vehicles)


def _halves(points: np.ndarray) -> Iterator[np.ndarray]:
    """Yield what lies at the left and at the right: a pair of lamps is one mesh."""
    for side in (points[points[:, 1] >= 0.15], points[points[:, 1] <= -0.15]):
        if len(side):
            yield side
    if (np.abs(points[:, 1]) < 0.15).all():
        yield points


def moves(actor: Actor, time: float) -> bool:
    """Whether an actor is somewhere else a second later."""
    return actor.path(time)[:2] != actor.path(time + 1.0)[:2]


def is_on(actor: Actor, time: float, share: float) -> bool:
    """Whether a vehicle's lamps are on: of those that move a share, of those that stand a fifth."""
    chance = (actor.label * 2654435761 % 1000) / 1000
    return chance < (share if moves(actor, time) else 0.2 * share)


def vehicle_spots(view: View, lamps: Lamps, share: float, strength: float) -> Iterator[Spot]:
    """Yield the lamps of vehicles that are seen; share: of those that drive, who has them on."""
    for vehicle in lamps.vehicles:
        actor = vehicle.actor
        place, turn = actor.pose(view.time)
        ahead = (place - view.position) @ view.rotation[:, 2]
        if not 0.5 < ahead < 350 or not is_on(actor, view.time, share):
            continue
        away = view.position - place
        facing = float(turn[:, 0] @ away / np.linalg.norm(away))
        brakes = 2.2 if not moves(actor, view.time) or actor.label % 5 == 0 else 1.0
        for points, color, radius in (
            (vehicle.head, WHITE * 5.0 * max(facing, 0) ** 2, 0.10),
            (vehicle.tail, RED * 1.3 * brakes * max(-facing, 0) ** 0.5, 0.09),
        ):
            if color[0] > 0.15:
                for point in points:
                    spot = _spot(view, place + turn @ point, radius, color * strength)
                    if spot:
                        yield spot


def street_spots(view: View, lamps: np.ndarray, color: np.ndarray) -> list[Spot]:
    """Return the street lamps that are seen."""
    ahead = (lamps - view.position) @ view.rotation[:, 2]
    spots = (_spot(view, lamp, 0.16, color * 4.5) for lamp in lamps[(ahead > 3) & (ahead < 350)])
    return [s for s in spots if s]


def _spot(view: View, point: np.ndarray, radius: float, color: np.ndarray) -> Spot | None:
    """Return a lamp as it is seen, None where it is hidden or outside the view.

    radius: metres; color: RGB in multiples of white.
    """
    x, y, z = (point - view.position) @ view.rotation
    h, w = view.depth.shape
    if z < 0.5:
        return None
    u, v = view.focal * x / z + (w - 1) / 2, view.focal * y / z + (h - 1) / 2
    if not (0 <= u <= w - 1 and 0 <= v <= h - 1):
        return None
    # The nearest of a few pixels: a lens may be smaller than one.
    before = view.depth[max(round(v) - 1, 0) : round(v) + 2, max(round(u) - 1, 0) : round(u) + 2]
    if not ((before == 0) | (before > z - 0.5 - 0.01 * z)).any():
        return None
    wanted, least, most = radius * view.focal / z, 0.8 * view.scale, 6.0 * view.scale
    return Spot(u, v, min(max(wanted, least), most), color * min(wanted / least, 1.0) ** 0.7)


def add_glare(
    image: np.ndarray, spots: list[Spot], shining: np.ndarray | None, glare: float, scale: float
) -> np.ndarray:
    """Return an image with lamps, and what eye and lens make of them, added."""
    h, w = image.shape[:2]
    light = np.zeros((h, w, 3), np.float32) if shining is None else shining
    for u, v, radius, color in spots:
        reach = int(np.ceil(2.6 * radius)) + 1
        x0, y0 = max(int(u) - reach, 0), max(int(v) - reach, 0)
        window = light[y0 : int(v) + reach + 2, x0 : int(u) + reach + 2]
        y, x = np.ogrid[: window.shape[0], : window.shape[1]]
        square = ((x + x0 - u) ** 2 + (y + y0 - v) ** 2) / (radius * radius)
        window += np.exp(-square)[..., None].astype(np.float32) * color.astype(np.float32)
    if not light.any():
        return image
    small = cv2.resize(light, (max(w // 4, 8), max(h // 4, 8)), interpolation=cv2.INTER_AREA)
    halo = np.zeros(small.shape, np.float32)
    for sigma, share in ((1.5, 0.9), (5.0, 1.1), (18.0, 1.2)):
        halo += np.float32(share * glare) * cv2.GaussianBlur(small, (0, 0), sigma * scale)
    light = np.minimum(light, 1.3) + cv2.resize(halo, (w, h), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.scaleAdd(light, 210.0, image))


def faded(color: np.ndarray, share: float) -> np.ndarray:
    """Return colours, float32 [H, W, 3], a share of the way to grey."""
    grey = cv2.cvtColor(color, cv2.COLOR_RGB2GRAY)
    color += np.float32(share) * (grey[..., None] - color)
    return color
