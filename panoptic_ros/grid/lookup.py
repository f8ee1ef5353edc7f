"""Which pixels show which ground: tables that one calibration needs once."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.window import GridWindow

# Sight lines are sampled this many pixels apart, where pixels are larger than half a cell.
_PIXELS_APART = 0.7
# Nearest ground of interest, metres from the camera's foot.
_NEAREST = 0.2
# Step for derivatives, as a fraction of the range.
_DELTA = 1e-4


class PixelFinder:
    """Find the pixels of points, by their flat index in a picture of the camera's size.

    hidden: bool [H, W], pixels that show the own vehicle, or None.
    """

    def __init__(self, view: Viewpoint, hidden: np.ndarray | None) -> None:
        self.view = view
        self._hidden = None if hidden is None else hidden.ravel()

    def index(self, optical: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pixel (intp [N], 0 where none) of optical points [N, 3], and bool [N]."""
        return self.flat(*self.view.camera.project(optical))

    def flat(self, pixels: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the flat index (0 where none) of pixels [N, 2], and bool [N]."""
        index = self.view.camera.flat_index(np.where(visible[:, None], pixels, 0.0))
        if self._hidden is not None:
            visible = visible & ~self._hidden[index]
        return np.where(visible, index, 0), visible

    def footprint(self, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the metres of ground under one pixel, along and across the sight line, [N]."""
        distance, bearing = self.view.polar(xy)
        delta = np.maximum(distance, _NEAREST) * _DELTA
        here = self._pixels(xy)
        along = self._pixels(self.view.at(distance + delta, bearing)) - here
        across = self._pixels(self.view.at(distance, bearing + _DELTA)) - here
        # Neighbours that fall on one point of the picture: there is no end of ground in a pixel.
        with np.errstate(divide="ignore", over="ignore"):
            return (
                delta / np.hypot(*along.T),
                np.maximum(distance, _NEAREST) * _DELTA / np.hypot(*across.T),
            )

    def _pixels(self, xy: np.ndarray) -> np.ndarray:
        return self.view.camera.project(self.view.on_ground(xy))[0]


@dataclass(frozen=True)
class CellLookup:
    """Hold, for the M cells of a window that a camera sees, their pixels.

    cells: intp [M], flat indices of the cells; near, far: intp [K, M], flat pixel indices of
    the cell's nearer and farther part on ground of the K heights; a cell smaller than a pixel
    has the two pixels that it falls between. weight: float32 [M], 0..1; distance: float32 [M],
    metres from the camera's foot; bearing: float [M], radians from its heading. coarse: intp,
    flat indices of the cells that are in the picture and too far away for it.
    """

    cells: np.ndarray
    near: np.ndarray
    far: np.ndarray
    weight: np.ndarray
    distance: np.ndarray
    bearing: np.ndarray
    coarse: np.ndarray

    @classmethod
    def build(
        cls,
        finder: PixelFinder,
        window: GridWindow,
        heights: tuple[float, ...],
        max_footprint: float,
    ) -> CellLookup:
        """Compute the pixels of every cell; cells that are not seen whole are left out.

        Raise ValueError where none is seen.
        """
        view = finder.view
        xy = window.centers().reshape(-1, 2)
        cells = np.flatnonzero(finder.index(view.on_ground(xy))[1])
        along, across = finder.footprint(xy[cells])
        footprint = np.maximum(along, across)
        is_fine = footprint <= max_footprint
        coarse = cells[~is_fine]
        cells, along, footprint = (v[is_fine] for v in (cells, along, footprint))
        distance, bearing = view.polar(xy[cells])
        half = np.maximum(along / 2, window.resolution / 4)
        near, far = view.at(distance - half, bearing), view.at(distance + half, bearing)
        index, seen = zip(
            *(finder.index(view.on_ground(p, h)) for p in (near, far) for h in heights),
            strict=True,
        )
        whole = np.all(seen, axis=0)
        if not whole.any():
            raise ValueError(
                f"the camera at {view.position.round(2).tolist()} shows no ground of the grid's "
                "window; check its pose (optical frame: z ahead) and the window"
            )
        index = np.stack(index)[:, whole]
        count = len(heights)
        return cls(
            cells=cells[whole],
            near=index[:count],
            far=index[count:],
            weight=np.minimum(1, window.resolution / footprint[whole]).astype(np.float32),
            distance=distance[whole].astype(np.float32),
            bearing=bearing[whole],
            coarse=coarse,
        )


@dataclass(frozen=True)
class SightLines:
    """Hold the pixels along C lines on the ground that run away from the camera's foot.

    For an upright camera without distortion these are the picture's columns. bearings: float
    [C], radians from the camera's heading, equally spaced by `step`; distances: float [R],
    metres; index: intp [R, C], flat pixel indices on the plane; rows: float32 [R, C], the
    picture's row, exactly; seen: uint8 [R, C], 1 where the picture shows the point; first:
    intp [C], the nearest sample that is seen.
    """

    bearings: np.ndarray
    step: float
    distances: np.ndarray
    index: np.ndarray
    rows: np.ndarray
    seen: np.ndarray
    first: np.ndarray

    @classmethod
    def build(cls, finder: PixelFinder, window: GridWindow, bearing: np.ndarray) -> SightLines:
        """Draw lines as dense as the window's cells over the bearings [M] of those in sight."""
        view = finder.view
        reach = float(view.polar(_corners(window))[0].max())
        focal = float(np.diag(view.camera.matrix)[:2].max())
        distances = _distances(reach, window.resolution / 2, focal * view.height)
        step = window.resolution / reach
        bearings = np.arange(bearing.min(), bearing.max() + step, step)
        points = view.at(distances[:, None], bearings[None])
        pixels, shown = view.camera.project(view.on_ground(points.reshape(-1, 2)))
        tables = *finder.flat(pixels, shown), pixels[:, 1].astype(np.float32)
        index, seen, rows = (table.reshape(len(distances), -1) for table in tables)
        kept = slice(int(seen.any(axis=1).argmax()), None)
        index, seen, rows = index[kept], seen[kept], rows[kept]
        first = seen.argmax(axis=0)
        return cls(bearings, step, distances[kept], index, rows, seen.astype(np.uint8), first)

    def line_of(self, bearing: np.ndarray) -> np.ndarray:
        """Return the line next to each bearing, intp, -1 where there is none."""
        line = np.rint((bearing - self.bearings[0]) / self.step).astype(np.intp)
        return np.where((line >= 0) & (line < len(self.bearings)), line, -1)


def needed_pixels(size: tuple[int, int], *tables: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the pixels that tables of flat pixel indices need, each once, and tables of them.

    size: (H, W) of the picture; tables: intp, of any shape. A table that is returned holds
    indices of the needed pixels, intp [P]. Cells and lines share many: reading each once, in the
    picture's order, and the tables from them, takes half the time.
    """
    is_needed = np.zeros(math.prod(size), bool)
    for table in tables:
        is_needed[table] = True
    pixels = np.flatnonzero(is_needed)
    places = np.empty(is_needed.shape, np.intp)
    places[pixels] = np.arange(len(pixels))
    return pixels, *(places[table] for table in tables)


def _corners(window: GridWindow) -> np.ndarray:
    """Return the window's corners, x and y, [4, 2]."""
    x = window.x_min + np.array([0, 1, 0, 1]) * window.length
    y = window.y_min + np.array([0, 0, 1, 1]) * window.width
    return np.column_stack([x, y])


def _distances(reach: float, step: float, focal_height: float) -> np.ndarray:
    """Return distances from near to far that are a step apart, or a part of a pixel.

    On flat ground a pixel covers distance^2 / (focal length * camera height).
    """
    distances = [_NEAREST]
    while distances[-1] < reach:
        pixel = distances[-1] ** 2 / focal_height
        distances.append(distances[-1] + max(step, _PIXELS_APART * pixel))
    return np.array(distances)
