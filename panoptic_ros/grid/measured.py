"""Where obstacles stand as a depth image or points in space show them."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.grid.label_kinds import NEITHER, OBSTACLE, LabelKinds
from panoptic_ros.grid.lookup import PixelFinder, SightLines

# Pixels between the pixels of a depth image that are read, per 1024 columns.
_STRIDE_PER_COLUMNS = 2 / 1024


class MeasuredObstacles:
    """Find the nearest obstacle on every line of sight from measured distances.

    Obstacles are returned as distance (float [C], metres from the camera's foot, inf where
    there is none) and value in the label image (int [C], 0 where none is known).

    A measurement is an obstacle where its height above the ground lies within `band` (metres)
    and its label is not ground.
    """

    def __init__(
        self,
        finder: PixelFinder,
        lines: SightLines,
        kinds: LabelKinds,
        band: tuple[float, float],
    ) -> None:
        self._finder = finder
        self._lines = lines
        self._kinds = kinds
        self._band = band

    def from_depth(self, labels: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read a registered depth image, float [H, W], metres along the optical axis, 0 none.

        Raise ValueError unless it has the label image's shape.
        """
        if depth.shape != labels.shape:
            raise ValueError(
                f"depth image is {depth.shape} (H, W), label image {labels.shape}; "
                "register the depth to the camera's picture"
            )
        rays = self._rays
        along = depth.ravel().take(rays.index)
        value = labels.ravel().take(rays.index)
        height = self._finder.view.height + along * rays.rise
        measured = np.isfinite(along) & (along > 0)
        return self._nearest(rays.line, along * rays.reach, height, value, measured)

    def from_points(self, labels: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Read points in base_link, float [N, 3], metres; raise ValueError for other shapes."""
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points must be [N, 3], not {points.shape}")
        view = self._finder.view
        height = view.plane.height_above(points)
        points = points[np.isfinite(points).all(axis=1) & self._in_band(height)]
        distance, bearing = view.polar(points[:, :2])
        line = self._lines.line_of(bearing)
        points, distance, line = (v[line >= 0] for v in (points, distance, line))
        index, seen = self._finder.index(view.optical(points))
        value = np.where(seen, labels.ravel().take(index), 0)
        return self._nearest(
            line, distance, view.plane.height_above(points), value, np.ones(len(points), bool)
        )

    @cached_property
    def _rays(self) -> _DepthRays:
        return _DepthRays(self._finder.view, self._lines)

    def _in_band(self, height: np.ndarray) -> np.ndarray:
        return (height >= self._band[0]) & (height <= self._band[1])

    def _nearest(
        self,
        line: np.ndarray,
        distance: np.ndarray,
        height: np.ndarray,
        value: np.ndarray,
        measured: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        kind = self._kinds.kinds.take(value, mode="clip")
        is_ground = (kind != NEITHER) & (kind != OBSTACLE)
        keep = measured & self._in_band(height) & ~is_ground
        line, distance, value = line[keep], distance[keep].astype(float), value[keep]
        nearest = np.full(len(self._lines.bearings), np.inf)
        np.minimum.at(nearest, line, distance)
        values = np.zeros(len(nearest), np.int64)
        is_nearest = distance == nearest[line]
        values[line[is_nearest]] = value[is_nearest]
        return nearest, values


class _DepthRays:
    """Hold the directions of some of a picture's pixels, in terms of a depth of 1 m.

    index: intp [S], flat pixel indices; line: intp [S], the line of sight above which each
    lies; reach: metres away from the camera over the ground; rise: metres up.
    """

    def __init__(self, view: Viewpoint, lines: SightLines) -> None:
        height, width = view.camera.size
        stride = max(1, round(width * _STRIDE_PER_COLUMNS))
        rows, columns = np.mgrid[0:height:stride, 0:width:stride].reshape(2, -1)
        rays = view.rays(np.column_stack([columns, rows]))
        line = lines.line_of(view.polar(rays[:, :2] + view.position[:2])[1])
        ahead = line >= 0
        self.index = (rows * width + columns)[ahead]
        self.line = line[ahead]
        self.reach = np.hypot(rays[ahead, 0], rays[ahead, 1]).astype(np.float32)
        self.rise = view.plane.rise(rays[ahead]).astype(np.float32)
