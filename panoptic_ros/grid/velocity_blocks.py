"""The grid's velocities, few enough to be drawn."""

from __future__ import annotations

import numpy as np

from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.window import GridWindow

# Side of the blocks that have one arrow each, metres.
_BLOCK = 2.0


def velocity_blocks(layers: DynamicLayers, window: GridWindow) -> tuple[np.ndarray, np.ndarray]:
    """Return middle and mean velocity of what moves, of blocks of 2 m by 2 m.

    Both float64 [N, 2], in base_link, metres and m/s.
    """
    rows, columns = np.nonzero(np.isfinite(layers.velocity[0]))
    places = window.centers()[rows, columns]
    velocities = layers.velocity[:, rows, columns].T
    block, of = np.unique(np.floor(places / _BLOCK), axis=0, return_inverse=True)
    counts = np.bincount(of.ravel(), minlength=len(block))

    def mean(values: np.ndarray) -> np.ndarray:
        sums = [np.bincount(of.ravel(), v, len(block)) for v in values.T]
        return np.stack(sums, axis=-1) / counts[:, None]

    return mean(places), mean(velocities)
