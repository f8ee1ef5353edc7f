"""Shapes of the drawn street: polygons in metres around the point where an object stands.

A shape is a function of `side` (1: seen from its right, -1: from its left) and the frame's
number, and gives its parts from back to front.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

Color = tuple[float, float, float]
Flat = list[tuple[float, float]]

PLASTERS = ((176, 148, 122), (198, 184, 160), (150, 118, 104), (186, 172, 168), (160, 160, 150))
PAINTS = ((150, 28, 30), (40, 62, 120), (210, 212, 214), (48, 50, 54), (160, 165, 170))
CLOTHES = ((170, 60, 50), (50, 70, 120), (60, 90, 70), (190, 170, 120), (90, 60, 100))

_GLASS, _TYRE, _METAL, _SKIN = (62, 74, 88), (26, 26, 28), (112, 114, 116), (206, 160, 132)
_SHADOW = (58, 58, 62)
_HEADLIGHT, _TAIL_LIGHT = (250, 248, 225), (205, 32, 28)


@dataclass(frozen=True)
class Part:
    """Hold one polygon; stuff: name of a class that takes the place of the object's label."""

    points: list[tuple[float, float, float]]
    color: Color
    stuff: str = ""
    is_shadow: bool = False


Shape = Callable[[int, int], Iterator[Part]]


def building(length: float, height: float, color: Color) -> Shape:
    """Return a block with windows; its near corner towards the street is the origin."""

    def shape(side: int, frame: int) -> Iterator[Part]:
        # side is 1 for what stands left of the camera: the block reaches away from the street.
        away = -side * 12
        yield _upright(_box(min(away, 0), 0, max(away, 0), height), _darker(color, 0.75))
        yield _along(0, _box(0, 0, length, height), color)
        yield _along(0, _box(0, 0, length, 0.9), _darker(color, 0.6))
        for z in np.arange(1.0, length - 1.6, 2.6):
            for y in np.arange(1.6, height - 1.8, 2.9):
                yield _along(0, _box(z, y, z + 1.3, y + 1.6), _GLASS)

    return shape


def tree(rng: np.random.Generator, size: float) -> Shape:
    """Return a tree of about size * 6 metres."""
    blobs = [
        (rng.uniform(-1, 1) * size, (3.6 + rng.uniform(-0.7, 1.3)) * size, rng.uniform(0.8, 1.3))
        for _ in range(9)
    ]
    greens = rng.uniform(0.75, 1.2, len(blobs))

    def shape(side: int, frame: int) -> Iterator[Part]:
        yield _upright(_box(-0.14, 0, 0.14, 3 * size), (84, 66, 50))
        for (x, y, radius), green in zip(blobs, greens, strict=True):
            yield _upright(_disc(x, y, radius * size), _darker((74, 112, 50), green))

    return shape


def street_lamp() -> Shape:
    """Return a lamp whose arm reaches over the road."""

    def shape(side: int, frame: int) -> Iterator[Part]:
        yield _upright(_box(-0.07, 0, 0.07, 6.4), _METAL)
        yield _upright(_box(min(0, side * 1.6), 6.3, max(0, side * 1.6), 6.42), _METAL)

    return shape


def traffic_light() -> Shape:
    """Return a traffic light that shows green."""

    def shape(side: int, frame: int) -> Iterator[Part]:
        yield _upright(_box(-0.06, 0, 0.06, 2.6), _METAL)
        yield _upright(_box(-0.2, 2.5, 0.2, 3.6), (24, 26, 24), "traffic light")
        for y, lamp in ((3.35, (70, 20, 18)), (3.05, (80, 66, 20)), (2.75, (60, 235, 120))):
            yield _upright(_disc(0, y, 0.12), lamp, "traffic light")

    return shape


def sign() -> Shape:
    """Return a speed limit sign."""

    def shape(side: int, frame: int) -> Iterator[Part]:
        yield _upright(_box(-0.04, 0, 0.04, 2.4), _METAL)
        for radius, color in ((0.38, (200, 30, 30)), (0.28, (240, 240, 236))):
            yield _upright(_disc(0, 2.5, radius), color, "traffic sign")

    return shape


def car(color: Color, oncoming: bool) -> Shape:
    """Return a car that drives away, or towards the camera; its near bumper is the origin."""
    rear = [(-0.9, 0.3), (-0.93, 0.85), (-0.7, 1.45), (0.7, 1.45), (0.93, 0.85), (0.9, 0.3)]
    window = [(-0.76, 0.9), (-0.62, 1.37), (0.62, 1.37), (0.76, 0.9)]
    body = [(0, 0.3), (0, 0.85), (0.5, 1.45), (2.5, 1.45), (3.3, 0.92), (4.2, 0.8), (4.2, 0.3)]
    glass = [(0.35, 0.92), (0.7, 1.36), (2.4, 1.36), (3.0, 0.92)]
    lights = _HEADLIGHT if oncoming else _TAIL_LIGHT

    def shape(side: int, frame: int) -> Iterator[Part]:
        flank = 0.9 * side
        yield _shadow(1.0, 4.2)
        yield _along(flank, body, _darker(color, 0.8))
        yield _along(flank * 0.9, glass, _GLASS)
        for z in (0.8, 3.4):
            yield _along(flank * 1.01, _disc(z, 0.32, 0.33), _TYRE)
        for x in (-0.75, 0.75):
            yield _upright(_box(x - 0.12, 0, x + 0.12, 0.4), _TYRE)
        yield _upright(rear, color)
        yield _upright(window, _GLASS)
        for x in (-0.72, 0.72):
            yield _upright(_box(x - 0.14, 0.68, x + 0.14, 0.82), lights)
        yield _upright(_box(-0.26, 0.48, 0.26, 0.6), (236, 236, 232))

    return shape


def bus() -> Shape:
    """Return a bus that comes towards the camera."""
    color = (196, 150, 40)

    def shape(side: int, frame: int) -> Iterator[Part]:
        flank = 1.25 * side
        yield _shadow(1.3, 11)
        yield _along(flank, _box(0, 0.3, 11, 3.1), _darker(color, 0.8))
        for z in np.arange(0.6, 10, 1.9):
            yield _along(flank, _box(z, 1.4, z + 1.6, 2.6), _GLASS)
        for z in (2.2, 8.6):
            yield _along(flank * 1.01, _disc(z, 0.48, 0.48), _TYRE)
        yield _upright(_box(-1.25, 0.3, 1.25, 3.1), color)
        yield _upright(_box(-1.12, 1.2, 1.12, 2.6), _GLASS)
        yield _upright(_box(-0.8, 2.7, 0.8, 3.0), (250, 190, 60))
        for x in (-0.95, 0.95):
            yield _upright(_box(x - 0.18, 0.6, x + 0.18, 0.8), _HEADLIGHT)

    return shape


def person(rng: np.random.Generator) -> Shape:
    """Return a person who walks."""
    coat, trousers = (CLOTHES[i] for i in rng.permutation(len(CLOTHES))[:2])
    phase = rng.uniform(0, 2 * np.pi)

    def shape(side: int, frame: int) -> Iterator[Part]:
        step = 0.22 * np.sin(phase + frame * 0.7)
        yield _shadow(0.25, 0.3)
        for foot in (step, -step):
            yield _upright(_limb((0.0, 0.9), (foot, 0.02), 0.16), _darker(trousers, 0.8))
        yield _upright([(-0.2, 0.85), (-0.24, 1.45), (0.24, 1.45), (0.2, 0.85)], coat)
        for hand in (step, -step):
            arm = _limb((0.22 * np.sign(hand or 1), 1.4), (0.26 * np.sign(hand or 1), 0.85), 0.1)
            yield _upright(arm, _darker(coat, 0.85))
        yield _upright(_disc(0, 1.62, 0.13), _SKIN)
        yield _upright(_disc(0, 1.68, 0.11), (52, 40, 32))

    return shape


def bicycle() -> Shape:
    """Return a bicycle seen from its side."""
    frame_tubes = (
        ((-0.5, 0.34), (-0.15, 0.85)),
        ((-0.15, 0.85), (0.4, 0.8)),
        ((0.5, 0.34), (0.36, 1.0)),
        ((-0.5, 0.34), (0.0, 0.32)),
        ((0.0, 0.32), (0.4, 0.8)),
    )

    def shape(side: int, frame: int) -> Iterator[Part]:
        yield _shadow(0.7, 0.2)
        for x in (-0.5, 0.5):
            yield _upright(_disc(x, 0.34, 0.34), _TYRE)
            yield _upright(_disc(x, 0.34, 0.27), (150, 150, 150))
        for start, end in frame_tubes:
            yield _upright(_limb(start, end, 0.06), (30, 110, 150))

    return shape


def rider() -> Shape:
    """Return who sits on the bicycle."""

    def shape(side: int, frame: int) -> Iterator[Part]:
        turn = frame * 0.6
        for angle in (turn, turn + np.pi):
            foot = (0.15 * np.cos(angle), 0.3 + 0.12 * np.sin(angle))
            knee = (0.2, 0.66 + 0.08 * np.sin(angle))
            yield _upright(_limb((-0.15, 0.95), knee, 0.15), (44, 48, 70))
            yield _upright(_limb(knee, foot, 0.12), (44, 48, 70))
        yield _upright(_limb((-0.15, 0.9), (0.12, 1.42), 0.3), (214, 120, 40))
        yield _upright(_limb((0.12, 1.36), (0.38, 1.0), 0.09), (196, 106, 34))
        yield _upright(_disc(0.2, 1.62, 0.13), _SKIN)
        yield _upright(_disc(0.19, 1.69, 0.13), (230, 230, 235))

    return shape


def _upright(outline: Flat, color: Color, stuff: str = "") -> Part:
    """Return a part that faces the camera; outline: (x, y)."""
    return Part([(x, y, 0.0) for x, y in outline], color, stuff)


def _along(x: float, outline: Flat, color: Color) -> Part:
    """Return a part that faces sideways; outline: (z, y)."""
    return Part([(x, y, z) for z, y in outline], color)


def _shadow(half_width: float, length: float) -> Part:
    corners = [(x, 0.0, z) for z, x in _box(0, -half_width, length, half_width)]
    return Part(corners, _SHADOW, is_shadow=True)


def _box(x0: float, y0: float, x1: float, y1: float) -> Flat:
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


def _disc(x: float, y: float, radius: float) -> Flat:
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return [(x + radius * np.cos(a), y + radius * np.sin(a)) for a in angles]


def _limb(start: tuple[float, float], end: tuple[float, float], width: float) -> Flat:
    (x0, y0), (x1, y1) = start, end
    scale = width / 2 / float(np.hypot(x1 - x0, y1 - y0))
    across = ((y0 - y1) * scale, (x1 - x0) * scale)
    ends = ((start, 1), (end, 1), (end, -1), (start, -1))
    return [(x + sign * across[0], y + sign * across[1]) for (x, y), sign in ends]


def _darker(color: Color, factor: float) -> Color:
    return tuple(min(255.0, c * factor) for c in color)
