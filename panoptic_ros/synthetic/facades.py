"""Textures of buildings: floors of windows, shops, roofs."""

from __future__ import annotations

import cv2
import numpy as np

from panoptic_ros.synthetic import textures

WALL_COLORS = (
    (205, 190, 160), (188, 170, 150), (222, 214, 200), (196, 180, 120), (170, 120, 95),
    (150, 150, 155), (214, 200, 190), (176, 150, 130), (200, 165, 140), (130, 120, 115),
    (225, 225, 222), (160, 175, 180),
)  # fmt: skip
# One texture holds BAYS x FLOORS windows.
BAYS = 4
FLOORS = 4
_CELL = 128


def _pane(image: np.ndarray, rng: np.random.Generator, x0: int, y0: int, x1: int, y1: int) -> None:
    dark = rng.uniform(25, 85)
    tint = np.array([0.85, 0.95, 1.1]) * dark
    height = y1 - y0
    shine = np.linspace(1.7, 0.8, height)[:, None, None]
    image[y0:y1, x0:x1] = np.clip(tint * shine, 0, 255).astype(np.uint8)
    kind = rng.random()
    if kind < 0.25:  # curtains
        w = (x1 - x0) // 4
        image[y0:y1, x0 : x0 + w] = image[y0:y1, x1 - w : x1] = int(rng.integers(150, 225))
    elif kind < 0.45:  # blind, partly down
        drop = int(height * rng.uniform(0.2, 0.9))
        image[y0 : y0 + drop, x0:x1] = int(rng.integers(130, 220))


def upper_floors(rng: np.random.Generator, color: textures.Color) -> np.ndarray:
    """Return BAYS x FLOORS windows in a wall, uint8 [512, 512, 3]; tiles both ways."""
    size = BAYS * _CELL
    wall = textures.bricks if rng.random() < 0.3 else textures.plain
    image = cv2.resize(wall(rng, color), (size, size), interpolation=cv2.INTER_LINEAR)
    image = np.ascontiguousarray(image)
    width = int(_CELL * rng.choice([0.34, 0.42, 0.55, 0.86]))
    height = int(_CELL * rng.uniform(0.45, 0.68))
    left, top = (_CELL - width) // 2, int((_CELL - height) * rng.uniform(0.35, 0.6))
    frame = [int(v) for v in rng.choice([[235, 235, 230], [90, 70, 55], [60, 62, 66]])]
    sill = [int(min(255, c * 1.15)) for c in color]
    shutters = rng.random() < 0.3 and width < 0.5 * _CELL
    shutter = [int(v) for v in rng.integers(40, 150, 3)]
    cornice = rng.random() < 0.5
    for row in range(FLOORS):
        if cornice:
            y = row * _CELL + _CELL - 6
            cv2.rectangle(image, (0, y), (size, y + 5), sill, -1)
        for bay in range(BAYS):
            x0, y0 = bay * _CELL + left, row * _CELL + top
            x1, y1 = x0 + width, y0 + height
            cv2.rectangle(image, (x0 - 4, y0 - 4), (x1 + 3, y1 + 3), frame, -1)
            _pane(image, rng, x0, y0, x1, y1)
            cv2.line(image, ((x0 + x1) // 2, y0), ((x0 + x1) // 2, y1), frame, 3)
            if height > 70:
                cv2.line(image, (x0, y0 + height // 3), (x1, y0 + height // 3), frame, 2)
            cv2.rectangle(image, (x0 - 7, y1 + 4), (x1 + 7, y1 + 9), sill, -1)
            if shutters:
                for x in (x0 - 4 - width // 2, x1 + 4):
                    cv2.rectangle(image, (x, y0 - 2), (x + width // 2, y1 + 2), shutter, -1)
    return image


def ground_floor(rng: np.random.Generator, color: textures.Color) -> np.ndarray:
    """Return shops and doors under name boards, uint8 [128, 512, 3]; tiles sideways."""
    height, width = _CELL, BAYS * _CELL
    image = cv2.resize(textures.plain(rng, np.multiply(color, 0.85)), (width, height))
    x = 0
    while x < width - 70:
        span = int(rng.integers(70, 190))
        x1 = min(x + span, width - 4)
        if rng.random() < 0.7:
            board = [int(v) for v in rng.integers(20, 230, 3)]
            cv2.rectangle(image, (x + 5, 8), (x1 - 5, 30), board, -1)
            ink = 245 if sum(board) < 380 else 30
            letters = int(rng.integers(4, 9))
            for k in range(letters):
                lx = x + 14 + k * 9
                if lx + 6 < x1 - 8:
                    cv2.rectangle(
                        image, (lx, 13), (lx + int(rng.integers(3, 7)), 25), [ink] * 3, -1
                    )
            _pane(image, rng, x + 7, 36, x1 - 7, height - 14)
            for _ in range(int(rng.integers(2, 7))):
                px, py = int(rng.integers(x + 8, x1 - 14)), int(rng.integers(60, height - 26))
                goods = [int(v) for v in rng.integers(40, 240, 3)]
                cv2.rectangle(image, (px, py), (px + 6, py + 14), goods, -1)
        else:
            door = [int(v) for v in rng.integers(30, 130, 3)]
            middle = (x + x1) // 2
            cv2.rectangle(image, (middle - 18, 34), (middle + 18, height), [210, 205, 195], -1)
            cv2.rectangle(image, (middle - 14, 38), (middle + 14, height), door, -1)
        x = x1 + int(rng.integers(4, 14))
    return image


def glass_fronts(rng: np.random.Generator) -> np.ndarray:
    """Return shops behind large panes in dark frames, uint8 [128, 512, 3]; tiles sideways.

    The panes mirror what is across the street, the more the darker it is behind them.
    """
    height, width = _CELL, BAYS * _CELL
    frame = rng.uniform(12, 90) * rng.uniform(0.75, 1.25, 3)
    image = cv2.resize(textures.plain(rng, frame, 0.06), (width, height)).astype(np.float32)
    mirrored = cv2.resize(textures.noise(rng, 128, (4, 8, 16)), (width, height))
    ramp = np.linspace(1.5, 0.6, height)[:, None]
    x = int(rng.integers(4, 10))
    while x < width - 40:
        x1 = min(x + int(rng.integers(50, 170)), width - 5)
        dark = rng.uniform(14, 70)
        glass = dark * ramp * (1 + 0.45 * mirrored)
        pane = glass[..., None] * rng.uniform(0.85, 1.15, 3)
        top, bottom = int(rng.integers(30, 44)), height - int(rng.integers(6, 30))
        image[top:bottom, x:x1] = pane[top:bottom, x:x1]
        if rng.random() < 0.5:
            board = rng.uniform(15, 230, 3)
            image[8:26, x + 2 : x1 - 2] = board
            for k in range(x + 10, x1 - 12, 8):
                image[13:21, k : k + int(rng.integers(2, 6))] = 240 if board.sum() < 380 else 30
        for _ in range(int(rng.integers(0, 6))):
            px, py = int(rng.integers(x, x1 - 6)), int(rng.integers(50, height - 34))
            image[py : py + 12, px : px + 7] = rng.uniform(40, 230, 3)
        x = x1 + int(rng.integers(3, 12))
    return np.clip(image, 0, 255).astype(np.uint8)


def roof(rng: np.random.Generator) -> np.ndarray:
    """Return roof tiles, uint8 [128, 128, 3]; tiles both ways."""
    color = rng.choice([[150, 75, 55], [110, 60, 48], [80, 80, 84], [95, 85, 75]])
    image = textures.plain(rng, color, 0.1).astype(np.float32)
    image[::16] *= 0.65
    image[1::16] *= 1.15
    return np.clip(image, 0, 255).astype(np.uint8)
