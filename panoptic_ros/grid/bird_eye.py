"""Bird's-eye pictures of the grid."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import LabelSet

_Color = tuple[int, int, int]
_Rectangle = tuple[int, int, int, int]

_UNKNOWN = (149, 150, 152)
_NO_CLASS = (20, 20, 20)
_WHITE, _INK, _RING = (255, 255, 255), (30, 30, 30), (110, 112, 118)
# Of arrows that show the grid's velocities.
MOTION_COLOR = (255, 128, 0)
# Shares of white in what is likelier free and in what surely is: what is occupied stands out in
# its full colour.
_PALE, _PALEST = 0.6, 0.85
# Percent from which on a cell is drawn as an obstacle, one cell thicker on each side: the grid
# holds an obstacle's face only.
_OCCUPIED = 50
_METRES_PER_RING = 10.0
# Room for a ring's label at the right edge, metres.
_RING_LABEL = 4.0
# An arrow's length shows the way of that many seconds; shorter ways than this have none, metres.
_ARROW_SECONDS = 1.0
_SHORTEST_ARROW = 0.5
# The car around base_link: rear, front, half its width, the windscreen's ends, metres.
_REAR, _FRONT, _SIDE = -1.0, 3.5, 0.95
_SCREEN = (1.6, 2.3)
# Ground that is drawn behind the car, and what of the window is: there is little to be seen
# beyond, which would make all else small. Metres.
_BEHIND = 2.0
_AHEAD, _ASIDE = 40.0, 14.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LEGEND_WIDTH, _LEGEND_LINE = 150, 22
_LEGEND_CLASSES = 12


class Mark(NamedTuple):
    """Describe what is drawn on the grid: a point and its speed in base_link, metres, m/s."""

    position: tuple[float, float]
    velocity: tuple[float, float]
    text: str
    color: _Color


def draw(
    occupancy: np.ndarray,
    classes: np.ndarray,
    labels: LabelSet,
    window: GridWindow,
    marks: Iterable[Mark] = (),
    scale: int = 5,
) -> np.ndarray:
    """Return a picture of the grid with a legend, uint8 [h, w, 3], RGB.

    occupancy, classes, scale: as for `draw_cells`. The car is at the bottom and looks up; left
    is left. Cells farther than 40 m ahead or 14 m aside are left out; obstacles are drawn
    thicker than they are in the grid, marks as for `draw_marks`.
    Raise ValueError for arrays of another shape than the window's.
    """
    if occupancy.shape != window.shape or classes.shape != window.shape:
        raise ValueError(
            f"occupancy has shape {occupancy.shape}, classes {classes.shape}, "
            f"the window {window.shape}"
        )
    part, window = _near(window)
    occupancy, classes = _thickened(occupancy[part], np.asarray(classes, np.uint8)[part])
    cells = draw_cells(occupancy, classes, labels, scale)
    behind = round(max(0.0, window.x_min + _BEHIND) / window.resolution * scale)
    picture = cv2.copyMakeBorder(cells, 0, behind, 0, 0, cv2.BORDER_CONSTANT, value=_UNKNOWN)
    draw_marks(picture, marks, window)
    return np.hstack([picture, _legend(picture.shape[0], occupancy, classes, labels)])


def draw_cells(
    occupancy: np.ndarray, classes: np.ndarray, labels: LabelSet, scale: int = 3
) -> np.ndarray:
    """Return the cells alone, uint8 [nx * scale, ny * scale, 3], RGB.

    occupancy: int8 [ny, nx], -1 or 0..100; classes: integer [ny, nx], label ids, others: none;
    scale: pixels per cell. Classes have their colours, pale where free; what is unknown is grey.
    """
    palette = np.full((256, 3), _NO_CLASS, np.uint8)
    palette[labels.ids] = labels.colors[labels.ids]
    color = palette[np.asarray(classes, np.uint8)].astype(np.float32)
    sure = np.clip(1 - occupancy / _OCCUPIED, 0, 1)
    white = np.where(sure > 0, _PALE + (_PALEST - _PALE) * sure, 0)[..., None]
    color += (255 - color) * white.astype(np.float32)
    color[occupancy < 0] = _UNKNOWN
    upright = np.ascontiguousarray(color.astype(np.uint8).transpose(1, 0, 2)[::-1, ::-1])
    return cv2.resize(upright, None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)


def draw_marks(picture: np.ndarray, marks: Iterable[Mark], window: GridWindow) -> None:
    """Draw a ring every 10 m, the car, and marks onto a picture of the window, in place.

    Marks have an arrow as long as the way of one second, and their text where there is room,
    the nearest first. The picture may reach further down than the window.
    """
    pixels = _Pixels(picture, window)
    written: list[_Rectangle] = []
    _draw_rings(picture, pixels, window, written)
    _draw_car(picture, pixels)
    for mark in sorted(marks, key=lambda mark: math.hypot(*mark.position)):
        _draw_arrow(picture, pixels, mark)
        _write_beside(picture, pixels.of(*mark.position), mark.text, written)


class _Pixels:
    """Find the pixels of places in a picture whose width is that of a window."""

    def __init__(self, picture: np.ndarray, window: GridWindow) -> None:
        self.per_metre = picture.shape[1] / window.width
        self._left, self._top = window.y_min + window.width, window.x_min + window.length

    def of(self, x: float, y: float) -> tuple[int, int]:
        """Return column and row of a point in base_link, in the picture or beside it."""
        return round((self._left - y) * self.per_metre), round((self._top - x) * self.per_metre)


def _near(window: GridWindow) -> tuple[tuple[slice, slice], GridWindow]:
    """Return rows and columns of the cells that are drawn, and the window of them alone."""
    centers = window.centers()
    x, y = centers[0, :, 0], centers[:, 0, 1]
    rows, columns = np.flatnonzero(np.abs(y) < _ASIDE), np.flatnonzero(np.abs(x) < _AHEAD)
    if not len(rows) or not len(columns):
        return (slice(None), slice(None)), window
    side = window.resolution
    near = GridWindow(
        window.x_min + columns[0] * side,
        window.y_min + rows[0] * side,
        len(columns) * side,
        len(rows) * side,
        side,
    )
    return (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)), near


def _thickened(occupancy: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return occupancy and classes with obstacles one cell wider to all sides."""
    around = np.ones((3, 3), np.uint8)
    # Of two obstacles the one with the larger class id wins: things before walls.
    obstacle = np.where(occupancy >= _OCCUPIED, classes, 0)
    wider = cv2.dilate(obstacle, around)
    grown = (occupancy < _OCCUPIED) & (wider > 0)
    return np.where(grown, 100, occupancy), np.where(grown, wider, classes)


def _draw_rings(
    picture: np.ndarray, pixels: _Pixels, window: GridWindow, written: list[_Rectangle]
) -> None:
    center = pixels.of(0.0, 0.0)
    for number in range(1, int(window.farthest / _METRES_PER_RING) + 1):
        metres = number * _METRES_PER_RING
        radius = round(metres * pixels.per_metre)
        cv2.circle(picture, center, radius, _RING, 1, cv2.LINE_AA)
        # To the right, where the road is not.
        aside = min(0.7 * metres, max(0.0, -window.y_min - _RING_LABEL))
        ahead = math.sqrt(metres**2 - aside**2)
        _write_beside(picture, pixels.of(ahead, -aside), f"{metres:.0f} m", written)


def _draw_car(picture: np.ndarray, pixels: _Pixels) -> None:
    nose = 0.6 * _SIDE
    body = [
        *((_REAR, _SIDE), (_FRONT - 0.7, _SIDE), (_FRONT, nose)),
        *((_FRONT, -nose), (_FRONT - 0.7, -_SIDE), (_REAR, -_SIDE)),
    ]
    outline = np.array([pixels.of(*corner) for corner in body])
    cv2.fillPoly(picture, [outline], _INK, cv2.LINE_AA)
    cv2.polylines(picture, [outline], True, _WHITE, 2, cv2.LINE_AA)
    low, high = _SCREEN
    screen = [(low, nose), (high, 0.75 * _SIDE), (high, -0.75 * _SIDE), (low, -nose)]
    cv2.fillPoly(picture, [np.array([pixels.of(*corner) for corner in screen])], _WHITE)


def _draw_arrow(picture: np.ndarray, pixels: _Pixels, mark: Mark) -> None:
    (x, y), (vx, vy) = mark.position, mark.velocity
    here = pixels.of(x, y)
    way = math.hypot(vx, vy) * _ARROW_SECONDS
    if way >= _SHORTEST_ARROW:
        ahead = pixels.of(x + vx * _ARROW_SECONDS, y + vy * _ARROW_SECONDS)
        # A tip of 8 pixels, whatever the way.
        tip = min(0.5, 8 / (way * pixels.per_metre))
        for color, thickness in ((_INK, 5), (mark.color, 3)):
            cv2.arrowedLine(picture, here, ahead, color, thickness, cv2.LINE_AA, tipLength=tip)
    cv2.circle(picture, here, 5, mark.color, -1, cv2.LINE_AA)
    cv2.circle(picture, here, 5, _INK, 1, cv2.LINE_AA)


def _write_beside(
    picture: np.ndarray, point: tuple[int, int], text: str, written: list[_Rectangle]
) -> None:
    """Write beside a point unless all places there are taken."""
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.4, 1)
    column, row = point
    for left, bottom in (
        (column + 9, row + height // 2),
        (column - 9 - width, row + height // 2),
        (column - width // 2, row - 9),
        (column - width // 2, row + 10 + height),
    ):
        place = (left - 2, bottom - height - 2, left + width + 2, bottom + 3)
        inside = min(place[:2]) >= 0 and place[2] <= picture.shape[1]
        if inside and place[3] <= picture.shape[0] and not any(_meet(place, w) for w in written):
            written.append(place)
            cv2.rectangle(picture, place[:2], place[2:], _WHITE, -1)
            _write(picture, (left, bottom), text, _INK)
            return


def _meet(a: _Rectangle, b: _Rectangle) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def _write(picture: np.ndarray, corner: tuple[int, int], text: str, color: _Color) -> None:
    cv2.putText(picture, text, corner, _FONT, 0.4, color, 1, cv2.LINE_AA)


def _legend(
    height: int, occupancy: np.ndarray, classes: np.ndarray, labels: LabelSet
) -> np.ndarray:
    """Return what the colours mean, of the classes that are there, uint8 [height, w, 3]."""
    pane = np.full((height, _LEGEND_WIDTH, 3), 255, np.uint8)
    row = _LEGEND_LINE
    for title, shown, is_pale in (
        ("in the way", occupancy >= _OCCUPIED, False),
        ("free", (occupancy >= 0) & (occupancy < _OCCUPIED), True),
    ):
        _write(pane, (10, row), title, _INK)
        row += _LEGEND_LINE
        for name, color in _most(classes[shown], labels):
            swatch = draw_cells(np.array([[0]]), np.array([[color]]), labels) if is_pale else None
            shade = labels[color].color if swatch is None else tuple(swatch[0, 0].tolist())
            row = _entry(pane, row, name, shade)
        row += _LEGEND_LINE // 2
    row = _entry(pane, row, "not seen", _UNKNOWN)
    for shade, thickness in ((_INK, 5), (MOTION_COLOR, 3)):
        cv2.arrowedLine(pane, (10, row - 4), (30, row - 4), shade, thickness, cv2.LINE_AA, 0, 0.4)
    _write(pane, (38, row), "moves: way in 1 s", _INK)
    return pane


def _most(ids: np.ndarray, labels: LabelSet) -> Sequence[tuple[str, int]]:
    """Return name and id of the classes of most cells, the most frequent one first."""
    counts = np.bincount(ids, minlength=1)
    counts[0] = 0
    found = [int(i) for i in np.argsort(-counts, kind="stable")[:_LEGEND_CLASSES] if counts[i]]
    return [(labels[i].name, i) for i in found if i in labels.ids]


def _entry(pane: np.ndarray, row: int, name: str, color: Sequence[int]) -> int:
    """Draw a line of the legend; return the next one's row."""
    shade = tuple(int(c) for c in color)
    cv2.rectangle(pane, (10, row - 11), (26, row + 3), shade, -1)
    cv2.rectangle(pane, (10, row - 11), (26, row + 3), _RING, 1)
    _write(pane, (34, row), name, _INK)
    return row + _LEGEND_LINE
