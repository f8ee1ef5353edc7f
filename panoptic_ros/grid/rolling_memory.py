"""A memory of cells that is fixed to the world and follows the car."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import cv2
import numpy as np

from panoptic_ros.geometry.poses import Pose2D

if TYPE_CHECKING:
    from panoptic_ros.grid.window import GridWindow

# Cells by which the memory moves at once: a cache line's worth, so that few frames clear anything.
_STEP = 16
_NEAREST = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP


class RollingMemory:
    """Keep arrays of square cells around the car, axis-aligned in odom.

    A cell keeps its place in the arrays for as long as it is in reach: coordinates wrap around
    (a ring buffer in x and y), and where the car moves, rows and columns that come into reach
    are cleared. So nothing is ever resampled: contents do not smear, however far the car goes
    and turns. Window cells are looked up one by one, each at its centre.

    size: cells of a side; the window fits in at every yaw.
    """

    def __init__(self, window: GridWindow) -> None:
        self.window = window
        # Two more: the car is somewhere in its cell, and the farthest cell needs all of its own.
        self._reach = window.reach + 2
        self.size = 2 * self._reach + _STEP
        # Twice in each direction: what wraps around is still one piece of it.
        self._places = np.tile(
            np.arange(self.size**2, dtype=np.int32).reshape(self.size, self.size), (2, 2)
        )
        # One more than the index: 0 is no cell.
        self._numbers = np.arange(1, math.prod(window.shape) + 1, dtype=np.int32)
        self._numbers = self._numbers.reshape(window.shape)
        self._planes: list[np.ndarray] = []
        self._origin: tuple[int, int] | None = None

    def plane(self, dtype: type, *shape: int) -> np.ndarray:
        """Return a new array of zeros [*shape, size * size] that moves with the memory."""
        # Pages that no cell uses are never made: zeros come from the system as they are.
        plane: np.ndarray = np.zeros((*shape, self.size, self.size), dtype)
        self._planes.append(plane)
        return plane.reshape(*shape, -1)

    def forget(self) -> None:
        """Drop all planes and the position."""
        self._planes.clear()
        self._origin = None

    def follow(self, pose: Pose2D) -> None:
        """Keep the car in the middle: forget what is out of reach, clear what comes into it."""
        # Cell k covers k * resolution to (k + 1) * resolution.
        step = _STEP * self.window.resolution
        x, y = (math.floor(v / step) * _STEP - self._reach for v in (pose.x, pose.y))
        old, self._origin = self._origin, (x, y)
        if old is None:
            return
        for axis, (before, after) in enumerate(zip(old, (x, y), strict=True)):
            self._clear(axis, before, after)

    def _clear(self, axis: int, before: int, after: int) -> None:
        if before == after:
            return
        entering = (before + self.size, after + self.size) if after > before else (after, before)
        first = max(entering[0], entering[1] - self.size) % self.size
        end = first + min(entering[1] - entering[0], self.size)
        # What wraps around is two pieces. Slices are cleared in less time than lists of columns.
        for strip in (slice(first, end), slice(0, max(end - self.size, 0))):
            for plane in self._planes:
                plane[(..., strip) if axis == 0 else (..., strip, slice(None))] = 0

    def places(self, pose: Pose2D) -> np.ndarray:
        """Return the memory cell that each window cell lies on, flat indices [ny, nx].

        pose: near the last one followed.
        """
        ny, nx = self.window.shape
        matrix = self._window_to_cells(pose)
        matrix[:, 2] += np.array(self._origin) % self.size
        places = cv2.warpAffine(self._places, matrix, (nx, ny), flags=_NEAREST)
        # Converted once here rather than at each use as an index.
        return places.astype(np.intp)

    def cells_at(self, points: np.ndarray) -> np.ndarray:
        """Return the memory cell of each point in odom, [N, 2], flat indices, -1 out of reach."""
        numbers = np.floor(points * (1 / self.window.resolution)).astype(np.intp)
        offset = numbers - np.array(self._origin)
        inside = ((offset >= 0) & (offset < self.size)).all(axis=1)
        column, row = (numbers % self.size).T
        return np.where(inside, row * self.size + column, -1)

    def corners(self, cells: np.ndarray) -> np.ndarray:
        """Return the corner of cells with the smallest x and y, in odom, float64 [N, 2]."""
        origin = np.array(self._origin)
        places = np.column_stack([cells % self.size, cells // self.size])
        return (origin + (places - origin) % self.size) * self.window.resolution

    def touched(self, known: np.ndarray, pose: Pose2D) -> tuple[np.ndarray, np.ndarray]:
        """Return the memory cells on which known window cells lie, and these, flat indices.

        known: bool [ny, nx]. The window is looked up for each memory cell, not the other way
        round: a turned window leaves no holes.
        """
        ny, nx = self.window.shape
        to_cells = self._window_to_cells(pose)
        corners = np.array([[-1, -1], [nx, -1], [nx, ny], [-1, ny]])
        reach = corners @ to_cells[:, :2].T + to_cells[:, 2]
        low, high = np.floor(reach.min(0)).astype(int), np.ceil(reach.max(0)).astype(int) + 1
        numbers = self._numbers * known
        from_cells = cv2.invertAffineTransform(to_cells)
        from_cells[:, 2] += from_cells[:, :2] @ low
        seen = cv2.warpAffine(numbers, from_cells, tuple((high - low).tolist()), flags=_NEAREST)
        indices = np.flatnonzero(seen > 0)
        # From the box to the places that it lies on, whose rows are longer.
        row_length = self._places.shape[1]
        column, row = (low + np.array(self._origin)) % self.size
        width = seen.shape[1]
        places = indices + indices // width * (row_length - width) + (row * row_length + column)
        memory = self._places.ravel().take(places).astype(np.intp)
        return memory, seen.ravel().take(indices).astype(np.intp) - 1

    def _window_to_cells(self, pose: Pose2D) -> np.ndarray:
        """Return the affine map from window (ix, iy) to memory cells counted from the origin."""
        window, resolution = self.window, self.window.resolution
        matrix = pose.matrix
        first = np.array([window.x_min, window.y_min]) + resolution / 2
        corner = matrix[:, :2] @ first + matrix[:, 2]
        offset = corner / resolution - 0.5 - np.array(self._origin)
        return np.column_stack([matrix[:, :2], offset])
