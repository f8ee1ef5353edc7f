"""Textures made by code; each returns uint8 [H, W, 3], RGB, that tiles where it says so."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

Color = Sequence[float] | np.ndarray


def noise(rng: np.random.Generator, size: int, octaves: Sequence[int] = (4, 16, 64)) -> np.ndarray:
    """Return tiling value noise, float32 [size, size], about 0 with a spread of about 1."""
    total = np.zeros((size, size), np.float32)
    for cells in octaves:
        grid = rng.normal(size=(cells, cells)).astype(np.float32)
        wrapped = np.pad(grid, 2, mode="wrap")
        step = size // cells
        big = cv2.resize(wrapped, None, fx=step, fy=step, interpolation=cv2.INTER_CUBIC)
        total += big[2 * step : 2 * step + size, 2 * step : 2 * step + size]
    return total / np.sqrt(len(octaves))


def _finish(image: np.ndarray) -> np.ndarray:
    return np.clip(image, 0, 255).astype(np.uint8)


def _tinted(values: np.ndarray, color: Color, spread: float) -> np.ndarray:
    return np.asarray(color, np.float32) * (1 + spread * values[..., None])


def plain(
    rng: np.random.Generator, color: Color, spread: float = 0.08, size: int = 128
) -> np.ndarray:
    """Return a tiling surface of one colour (0..255) with soft and fine variation."""
    return _finish(_tinted(noise(rng, size, (4, 32, size)), color, spread))


def asphalt(rng: np.random.Generator, color: Color) -> np.ndarray:
    """Return tiling asphalt with patches, stains and cracks."""
    size = 512
    image = _tinted(noise(rng, size, (4, 16, 128, size)), color, 0.09)
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.integers(0, size - 150, 2)
        w, h = rng.integers(40, 150, 2)
        image[y : y + h, x : x + w] *= rng.uniform(0.82, 1.12)
    canvas = _finish(image)
    for _ in range(int(rng.integers(0, 5))):
        steps = rng.normal(scale=14, size=(12, 2)) + rng.normal(scale=9, size=2)
        line = (rng.uniform(0, size, 2) + np.cumsum(steps, axis=0)).astype(np.int32)
        cv2.polylines(canvas, [line], False, [float(c) * 0.62 for c in color], 1, cv2.LINE_AA)
    return canvas


def carriageway(rng: np.random.Generator, color: Color, concrete: bool) -> np.ndarray:
    """Return one lane of a road, [256, 1024]: along it columns, which tile, across it rows.

    Wheel tracks, drips of oil between them, and the joints of slabs or the seams of asphalt.
    """
    h, w = 256, 1024
    grain = noise(rng, w, (8, 64, 256, w))[:h]
    streaks = cv2.resize(noise(rng, 64, (4, 32))[:, :4], (w, h), interpolation=cv2.INTER_AREA)
    streaks = np.broadcast_to(streaks.mean(axis=1, keepdims=True), (h, w))
    image = _tinted(grain + 0.6 * streaks, color, rng.uniform(0.025, 0.08))
    across = np.linspace(0, 1, h)
    tracks = sum(np.exp(-(((across - c) / 0.08) ** 2)) for c in (0.26, 0.74))
    oil = np.exp(-(((across - 0.5) / 0.07) ** 2))
    # Tyres polish asphalt or darken it; they darken concrete.
    worn = rng.uniform(0.0, 0.25) if concrete else rng.uniform(-0.15, 0.15)
    image *= (1 - worn * tracks - rng.uniform(0, 0.15) * oil)[:, None, None]
    if concrete:
        slabs = 5
        image *= np.repeat(rng.normal(1, 0.035, slabs), w // slabs + 1)[:w, None]
        for k in range(slabs):
            image[:, k * w // slabs : k * w // slabs + 3] *= rng.uniform(0.5, 0.85)
    for _ in range(int(rng.integers(0, 3))):
        x, y = rng.integers(0, w - 300), rng.integers(0, h - 100)
        long, wide = rng.integers(60, 300), rng.integers(30, 100)
        image[y : y + wide, x : x + long] *= rng.uniform(0.8, 1.15)
    canvas = _finish(image)
    for _ in range(int(rng.integers(0, 6))):
        steps = rng.normal(scale=(26, 5), size=(14, 2)) + rng.normal(scale=(22, 3))
        line = (rng.uniform(0, (w, h)) + np.cumsum(steps, axis=0)).astype(np.int32)
        tar = (np.asarray(color, float) * rng.uniform(0.45, 0.75)).tolist()
        cv2.polylines(canvas, [line], False, tar, int(rng.integers(1, 5)), cv2.LINE_AA)
    return canvas


def stained(rng: np.random.Generator, color: Color) -> np.ndarray:
    """Return cast concrete: streaks that run down, and a joint at its left edge."""
    streaks = noise(rng, 256, (8, 64, 128))[:1]
    image = _tinted(0.7 * streaks + noise(rng, 256, (4, 32, 256)), color, 0.08)
    image[:, :3] *= 0.6
    return _finish(image)


def paving(rng: np.random.Generator, color: Color, stones: int = 4) -> np.ndarray:
    """Return tiling slabs with joints, each a little different."""
    size, step = 256, 256 // stones
    tone = np.kron(rng.normal(size=(stones, stones)), np.ones((step, step))).astype(np.float32)
    image = _tinted(0.6 * tone + noise(rng, size, (8, size)), color, 0.07)
    for k in range(stones):
        image[k * step : k * step + 2] *= 0.75
        row = slice(k * step, (k + 1) * step)
        shift = (k % 2) * step // 2
        for j in range(stones):
            image[row, (j * step + shift) % size] *= 0.75
    return _finish(image)


def grass(rng: np.random.Generator, color: Color) -> np.ndarray:
    """Return tiling grass with worn patches."""
    image = _tinted(noise(rng, 256, (32, 128, 256)), color, 0.22)
    worn = np.clip(noise(rng, 256, (4, 8)) - 0.8, 0, 1)[..., None]
    return _finish(image * (1 - worn) + worn * np.array([120, 100, 70], np.float32))


def leaves(rng: np.random.Generator, color: Color) -> np.ndarray:
    """Return foliage: light and dark leaves of one hue."""
    return _finish(_tinted(noise(rng, 128, (16, 64)), color, 0.34))


def bricks(rng: np.random.Generator, color: Color) -> np.ndarray:
    """Return a tiling brick wall."""
    size, rows, step, wide = 256, 16, 16, 32
    image = np.full((size, size, 3), 175.0, np.float32)
    for r in range(rows):
        shift = (r % 2) * wide // 2
        for k in range(-1, rows // 2):
            x = k * wide + shift
            tone = np.asarray(color, float) * rng.uniform(0.82, 1.15)
            image[r * step + 1 : (r + 1) * step - 1, max(x, 0) + 1 : max(x + wide - 1, 0)] = tone
    return _finish(image * (1 + 0.05 * noise(rng, size, (4, size))[..., None]))


def gradient(bottom: Color, top: Color) -> np.ndarray:
    """Return a vertical gradient: glass and paint that seem to mirror sky and ground."""
    ramp = np.linspace(0, 1, 64)[:, None, None]
    image = (1 - ramp) * np.asarray(bottom, float) + ramp * np.asarray(top, float)
    return _finish(np.broadcast_to(image, (64, 64, 3)))


def stripes(first: Color, second: Color) -> np.ndarray:
    """Return tiling vertical stripes of two colours, four of each."""
    band = np.arange(128) // 16 % 2
    image = np.where(band[None, :, None] == 0, np.asarray(first, float), np.asarray(second, float))
    return _finish(np.broadcast_to(image, (128, 128, 3)))
