"""The cells of a grid around the vehicle."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from panoptic_ros.options import check_options, number

# Cells from the vehicle to the farthest corner. What is remembered around it has four times the
# square of that, of 100 bytes each.
_LARGEST_REACH = 2048


@dataclass(frozen=True)
class GridWindow:
    """Describe a grid in base_link, laid out like nav_msgs/OccupancyGrid.

    x_min, y_min: the corner of cell [0, 0]. Arrays are [row, column] = [iy, ix]: row 0 holds
    the smallest y, x grows along the columns. Raise ValueError for a number out of its range
    unless the sides are whole cells, and for more cells than memory has room for.
    """

    x_min: float = number(0.0, -200.0, 200.0, "Smallest x of the grid, metres.")
    y_min: float = number(-20.0, -200.0, 200.0, "Smallest y of the grid, metres.")
    length: float = number(60.0, 0.1, 200.0, "Side along x, metres: a whole number of cells.")
    width: float = number(40.0, 0.1, 200.0, "Side along y, metres: a whole number of cells.")
    resolution: float = number(0.2, 0.02, 5.0, "Side of a cell, metres.")

    def __post_init__(self) -> None:
        check_options(self)
        for name in ("length", "width"):
            cells = getattr(self, name) / self.resolution
            if round(cells) < 1 or abs(cells - round(cells)) > 1e-6 * max(cells, 1):
                raise ValueError(
                    f"{name} {getattr(self, name)} m is not a whole number of cells "
                    f"of {self.resolution} m; change one of them"
                )
        if self.reach > _LARGEST_REACH:
            raise ValueError(
                f"resolution {self.resolution} m: the grid's farthest corner is {self.reach} cells "
                f"from the vehicle, at most {_LARGEST_REACH} fit in memory; take larger cells or a "
                "smaller window"
            )

    @property
    def farthest(self) -> float:
        """Metres from base_link's origin to the farthest corner."""
        x = max(abs(self.x_min), abs(self.x_min + self.length))
        y = max(abs(self.y_min), abs(self.y_min + self.width))
        return math.hypot(x, y)

    @property
    def reach(self) -> int:
        """Cells from base_link's origin to the farthest corner."""
        return math.ceil(self.farthest / self.resolution)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (along y) and columns (along x)."""
        return round(self.width / self.resolution), round(self.length / self.resolution)

    def centers(self) -> np.ndarray:
        """Return x, y of every cell's centre, float64 [ny, nx, 2], metres."""
        rows, columns = self.shape
        x = self.x_min + (np.arange(columns) + 0.5) * self.resolution
        y = self.y_min + (np.arange(rows) + 0.5) * self.resolution
        return np.stack(np.meshgrid(x, y), axis=-1)

    def flat_index(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Return the flat index (iy * nx + ix) of the cell of each point, -1 outside, int64."""
        rows, columns = self.shape
        ix = np.floor((np.asarray(x) - self.x_min) / self.resolution)
        iy = np.floor((np.asarray(y) - self.y_min) / self.resolution)
        inside = (ix >= 0) & (ix < columns) & (iy >= 0) & (iy < rows)
        return np.where(inside, iy * columns + ix, -1).astype(np.int64)
