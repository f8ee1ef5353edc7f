"""The grid from above, for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet

_UNKNOWN = (222, 222, 226)
_NO_CLASS = (20, 20, 20)
_LINE, _EGO = (170, 170, 178), (30, 30, 30)
# Share of white in what is free: what is occupied stands out in its full colour.
_PALENESS = 0.55
_METRES_PER_LINE = 10.0
# An arrow's length shows the way of that many seconds.
_ARROW_SECONDS = 1.0
_FONT, _FONT_SCALE = cv2.FONT_HERSHEY_SIMPLEX, 0.38


class Mark(NamedTuple):
    """Describe what is drawn on the grid: a point and its speed in base_link, metres, m/s."""

    position: tuple[float, float]
    velocity: tuple[float, float]
    text: str
    color: tuple[int, int, int]


def draw(
    layers: GridLayers,
    labels: LabelSet,
    marks: Iterable[Mark] = (),
    *,
    window: GridWindow | None = None,
    scale: int = 3,
) -> np.ndarray:
    """Return a picture of the grid, uint8 [nx * scale, ny * scale, 3], RGB.

    The car is at the bottom and looks up; left is left. Classes have their colours, pale where
    free; what is unknown is grey. A line every 10 m. marks: with their text and an arrow as long
    as the way of one second. window: the grid's, else the default one; scale: pixels per cell.
    Raise ValueError for layers of another shape than the window's.
    """
    window = window or GridWindow()
    if layers.occupancy.shape != window.shape:
        raise ValueError(f"layers have shape {layers.occupancy.shape}, the window {window.shape}")
    picture = draw_cells(layers.occupancy, layers.classes, labels, scale)
    draw_marks(picture, marks, window)
    return picture


def draw_cells(
    occupancy: np.ndarray, classes: np.ndarray, labels: LabelSet, scale: int = 3
) -> np.ndarray:
    """Return the cells alone, as `draw` does.

    occupancy: int8 [ny, nx], -1 or 0..100; classes: integer [ny, nx], label ids, others: none.
    """
    palette = np.full((256, 3), _NO_CLASS, np.uint8)
    palette[labels.ids] = labels.colors[labels.ids]
    color = palette[np.asarray(classes, np.uint8)].astype(np.float32)
    # The surer a cell is free, the paler.
    white = _PALENESS * np.clip(1 - occupancy / 50, 0, 1)[..., None]
    color += (255 - color) * white.astype(np.float32)
    color[occupancy < 0] = _UNKNOWN
    upright = np.ascontiguousarray(color.astype(np.uint8).transpose(1, 0, 2)[::-1, ::-1])
    return cv2.resize(upright, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)


def draw_marks(picture: np.ndarray, marks: Iterable[Mark], window: GridWindow) -> None:
    """Draw lines of distance, the car, and marks onto a picture of the window, in place."""
    first = math.ceil(window.x_min / _METRES_PER_LINE)
    last = math.floor((window.x_min + window.length) / _METRES_PER_LINE)
    for k in range(first, last + 1):
        _, row = _pixel((k * _METRES_PER_LINE, 0.0), picture, window)
        cv2.line(picture, (0, row), (picture.shape[1], row), _LINE, 1)
        text = f"{k * _METRES_PER_LINE:.0f} m"
        cv2.putText(picture, text, (3, row - 3), _FONT, _FONT_SCALE, _LINE, 1, cv2.LINE_AA)
    nose = [_pixel(p, picture, window) for p in ((2.0, 0.0), (0.0, 0.9), (0.0, -0.9))]
    cv2.fillPoly(picture, [np.array(nose)], _EGO, cv2.LINE_AA)
    for mark in marks:
        here = _pixel(mark.position, picture, window)
        ahead = np.add(mark.position, np.multiply(mark.velocity, _ARROW_SECONDS))
        cv2.arrowedLine(picture, here, _pixel(ahead, picture, window), mark.color, 2, cv2.LINE_AA)
        cv2.circle(picture, here, 4, mark.color, -1, cv2.LINE_AA)
        cv2.circle(picture, here, 4, _EGO, 1, cv2.LINE_AA)
        beside = (here[0] + 6, here[1] - 4)
        cv2.putText(picture, mark.text, beside, _FONT, _FONT_SCALE, _EGO, 1, cv2.LINE_AA)


def _pixel(position: Sequence[float], picture: np.ndarray, window: GridWindow) -> tuple[int, int]:
    """Return the column and row of a point in base_link, where it is in the picture or not."""
    height, width = picture.shape[:2]
    column = (window.y_min + window.width - position[1]) / window.width * width
    row = (window.x_min + window.length - position[0]) / window.length * height
    return round(column), round(row)
