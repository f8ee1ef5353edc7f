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
