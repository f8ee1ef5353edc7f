"""A short drive down a drawn street, with its true labels: an input that needs no file.

World: metres, x right, y up, z ahead of where the drive begins; the road is centred on x = 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from panoptic_ros.labels import CITYSCAPES, encode
from panoptic_ros.synthetic import clip_objects as objects

FRAMES = 60
SIZE = (512, 1024)
RATE_HZ = 10.0

Point = tuple[float, float, float]
Color = tuple[float, float, float]

_IDS = {c.name: c.id for c in CITYSCAPES.classes}
_CAMERA_X, _CAMERA_HEIGHT = 1.6, 1.5
_SPEED = 0.45  # metres per frame
_NEAR, _FAR = 0.6, 140.0
_HAZE = np.array((196, 208, 218), float)
_SUBPIXEL_BITS = 4
_CURB, _LAWN, _FACADE = 5.4, 8.2, 9.5  # |x| where each begins
_CROSSING = 40.0


def draw_clip(
    frames: int = FRAMES, size: tuple[int, int] = SIZE, seed: int = 0
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw a drive frame by frame: image uint8 [H, W, 3] RGB, labels uint16 [H, W].

    The labels are encoded as Cityscapes `gtFine_instanceIds`; an object keeps its number
    through the clip. The same arguments give the same pixels.
    """
    street = _street(np.random.default_rng(seed))
    for number in range(frames):
        canvas = Canvas(size, camera_z=number * _SPEED)
        _ground(canvas)
        street.draw(canvas, number)
        noise = np.random.default_rng((seed, number)).normal(0, 2.5, (*size, 1))
        yield np.clip(canvas.image + noise, 0, 255).astype(np.uint8), canvas.labels


class Canvas:
    """Draw polygons of the world into an image and a label image at once."""

    def __init__(self, size: tuple[int, int], camera_z: float) -> None:
        height, width = size
        sky = np.linspace((92, 140, 205), _HAZE, height // 2)
        self.image = np.empty((height, width, 3), np.uint8)
        self.image[: height // 2] = sky[:, None]
        self.image[height // 2 :] = _HAZE
        self.labels = np.full(size, _IDS["sky"], np.uint16)
        self.camera_z = camera_z
        self._focal = 0.62 * width
        self._centre = np.array((width / 2, 0.46 * height))

    def polygon(self, points: Iterable[Point], color: Color, value: int | None) -> None:
        """Fill a polygon; value: its label, None leaves the labels as they are (a shadow)."""
        seen = _clip_near([(x - _CAMERA_X, y, z - self.camera_z) for x, y, z in points])
        if not seen:
            return
        x, y, z = np.array(seen).T
        offsets = np.stack((x, _CAMERA_HEIGHT - y)) * self._focal / z
        corners = self._centre + offsets.T
        fixed = np.round(corners * (1 << _SUBPIXEL_BITS)).astype(np.int32)
        haze = 1 - np.exp(-z.mean() / 180)
        shade = np.array(color, float) * (1 - haze) + _HAZE * haze
        cv2.fillPoly(self.image, [fixed], shade.tolist(), cv2.LINE_AA, _SUBPIXEL_BITS)
        if value is not None:
            cv2.fillPoly(self.labels, [fixed], value, cv2.LINE_8, _SUBPIXEL_BITS)


def _clip_near(points: Sequence[Point]) -> list[Point]:
    """Cut off what lies nearer than the near plane (Sutherland and Hodgman 1974)."""
    kept: list[Point] = []
    for before, point in zip([points[-1], *points[:-1]], points, strict=True):
        if (before[2] < _NEAR) != (point[2] < _NEAR):
            share = (_NEAR - before[2]) / (point[2] - before[2])
            kept.append(tuple(b + share * (p - b) for b, p in zip(before, point, strict=True)))
        if point[2] >= _NEAR:
            kept.append(point)
    return kept


def _strip(canvas: Canvas, x: tuple[float, float], z: tuple[float, float], *fill: object) -> None:
    (x0, x1), (z0, z1) = x, z
    canvas.polygon([(x0, 0, z0), (x1, 0, z0), (x1, 0, z1), (x0, 0, z1)], *fill)


def _ground(canvas: Canvas) -> None:
    """Draw what lies flat: lawns, sidewalks, road and its markings."""
    road, paint = _IDS["road"], (226, 226, 220)
    all_z = (canvas.camera_z, canvas.camera_z + _FAR)
    _strip(canvas, (-60, 60), all_z, (118, 142, 86), _IDS["terrain"])
    _strip(canvas, (-_LAWN, _LAWN), all_z, (168, 162, 156), _IDS["sidewalk"])
    _strip(canvas, (-_CURB, _CURB), all_z, (205, 202, 196), _IDS["sidewalk"])
    _strip(canvas, (-_CURB + 0.2, _CURB - 0.2), all_z, (92, 92, 96), road)
    for edge in (-3.2, 3.2):
        _strip(canvas, (edge - 0.06, edge + 0.06), all_z, paint, road)
    for z in np.arange(all_z[0] // 6 * 6, all_z[1], 6):
        _strip(canvas, (-0.08, 0.08), (z, z + 3), paint, road)
    for x in np.arange(-4.9, 4.6, 1.0):
        _strip(canvas, (x, x + 0.5), (_CROSSING - 1.5, _CROSSING + 1.5), paint, road)


@dataclass(frozen=True)
class _Object:
    """Hold a shape, where it stands at first (x, z) and how it moves (metres per frame)."""

    shape: objects.Shape
    x: float
    z: float
    value: int
    speed: tuple[float, float] = (0.0, 0.0)

    def at(self, frame: int) -> tuple[float, float]:
        return self.x + frame * self.speed[0], self.z + frame * self.speed[1]

    def draw(self, canvas: Canvas, frame: int) -> None:
        x, z = self.at(frame)
        # The side that the camera sees is the one towards it.
        side = 1 if x < _CAMERA_X else -1
        for part in self.shape(side, frame):
            points = [(x + px, py, z + pz) for px, py, pz in part.points]
            value = _IDS[part.stuff] if part.stuff else self.value
            canvas.polygon(points, part.color, None if part.is_shadow else value)


@dataclass(frozen=True)
class _Street:
    """Hold the buildings, which stand behind everything else, and the objects."""

    buildings: list[_Object]
    objects: list[_Object]

    def draw(self, canvas: Canvas, frame: int) -> None:
        for group in (self.buildings, self.objects):
            for item in sorted(group, key=lambda o: -o.at(frame)[1]):
                item.draw(canvas, frame)


def _street(rng: np.random.Generator) -> _Street:
    """Lay out the street: the same for every frame."""
    return _Street(
        [b for side in (-1, 1) for b in _buildings(rng, side)],
        [*_furniture(rng), *_traffic(rng)],
    )


def _buildings(rng: np.random.Generator, side: int) -> Iterator[_Object]:
    z = -12.0
    while z < _FAR:
        length, height = rng.uniform(9, 16), rng.uniform(7, 15)
        color = objects.PLASTERS[rng.integers(len(objects.PLASTERS))]
        shape = objects.building(length, height, color)
        yield _Object(shape, side * _FACADE, z, _IDS["building"])
        z += length + (rng.uniform(3, 7) if rng.random() < 0.4 else 0)


def _furniture(rng: np.random.Generator) -> Iterator[_Object]:
    """Place trees, lamps, traffic lights and signs along both sidewalks."""
    for side in (-1, 1):
        for z in np.arange(7, _FAR, 13):
            x, size = side * (_LAWN - 0.4), rng.uniform(0.85, 1.2)
            yield _Object(objects.tree(rng, size), x, z + rng.uniform(-2, 2), _IDS["vegetation"])
        for z in np.arange(15, _FAR, 24):
            yield _Object(objects.street_lamp(), side * (_CURB + 0.4), z, _IDS["pole"])
        yield _Object(objects.traffic_light(), side * (_CURB + 0.3), _CROSSING - 2, _IDS["pole"])
        yield _Object(objects.sign(), side * (_CURB + 0.5), 27 + side * 4, _IDS["pole"])


def _traffic(rng: np.random.Generator) -> Iterator[_Object]:
    """Place everything countable, and number it by class."""
    used: dict[str, int] = {}

    def thing(name: str, shape: objects.Shape, x: float, z: float, *speed: float) -> _Object:
        used[name] = used.get(name, -1) + 1
        return _Object(shape, x, z, encode(_IDS[name], used[name]), speed or (0.0, 0.0))

    def car(x: float, z: float, *speed: float) -> _Object:
        color = objects.PAINTS[rng.integers(len(objects.PAINTS))]
        oncoming = bool(speed) and speed[1] < 0
        return thing("car", objects.car(color, oncoming), x, z, *speed)

    yield from (car(4.35, z) for z in (9, 15.5, 29, 52, 66))
    yield from (car(-4.35, z) for z in (8, 21, 47, 60))
    yield from (car(-1.6, z, 0, -0.35) for z in (34, 95))
    yield car(1.6, 14, 0, 0.85)
    yield thing("bus", objects.bus(), -1.6, 62, 0, -0.3)
    for x, z, speed in ((6.4, 11, 0.06), (7.2, 19, -0.05), (-6.5, 14, 0.06), (-7.0, 33, -0.05)):
        yield thing("person", objects.person(rng), x, z, 0, speed)
    yield thing("person", objects.person(rng), -3.4, _CROSSING - 0.4, 0.06, 0)
    yield thing("person", objects.person(rng), 7.0, _CROSSING + 0.5, -0.06, 0)
    yield thing("bicycle", objects.bicycle(), -5.0, _CROSSING - 1.2, 0.1, 0)
    yield thing("rider", objects.rider(), -5.0, _CROSSING - 1.21, 0.1, 0)
