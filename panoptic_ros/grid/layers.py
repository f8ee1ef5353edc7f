"""The semantic grid's output."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNKNOWN_CELL = -1


@dataclass(frozen=True)
class GridLayers:
    """Hold the cells of the window in base_link at the last pose, all [ny, nx].

    occupancy: int8, -1 unknown, 0..100 percent of being occupied.
    probability: float32, 0..1, of being occupied, 0.5 where unknown.
    classes: uint8, label id of what stands there if occupied is likelier than free, else of the
        ground; 0 where unknown.
    cost: int8, -1 unknown, 0..100: the cost that is expected, of both cases.
    class_probabilities: float32 [C, ny, nx], in the label set's order, sum 1; None unless asked
        for.
    """

    occupancy: np.ndarray
    probability: np.ndarray
    classes: np.ndarray
    cost: np.ndarray
    class_probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class DynamicLayers:
    """Hold what moves, of the cells of the window in base_link at the last pose.

    empty, static, dynamic, unknown: float32 [ny, nx], probabilities, together 1.
    velocity: float32 [2, ny, nx], over the ground, along base_link's x and y, m/s; covariance:
        float32 [3, ny, nx], its xx, xy and yy, (m/s)^2; both NaN where nothing moves.
    sight: uint8 [ny, nx], KNOWN or why the cell is unknown, see `Sight`.
    distance: float32 [ny, nx], metres to the nearest cell that is static or dynamic, inf where
        there is none.
    """

    empty: np.ndarray
    static: np.ndarray
    dynamic: np.ndarray
    unknown: np.ndarray
    velocity: np.ndarray
    covariance: np.ndarray
    sight: np.ndarray
    distance: np.ndarray

    def fields(self) -> dict[str, np.ndarray]:
        """Return the layers by the names that they have in SemanticGrid.msg."""
        return {
            "p_empty": self.empty,
            "p_static": self.static,
            "p_dynamic": self.dynamic,
            "p_unknown": self.unknown,
            "velocity_x": self.velocity[0],
            "velocity_y": self.velocity[1],
            "velocity_covariance": self.covariance,
            "unknown_reason": self.sight,
            "obstacle_distance": self.distance,
        }
