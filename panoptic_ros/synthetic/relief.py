"""Hills: the height of the ground along a street's course."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Relief:
    """Hold a height that changes along the world's x, the way a street takes.

    heights, lengths, phases: metres, metres and radians of the waves that it is the sum of.
    """

    heights: np.ndarray
    lengths: np.ndarray
    phases: np.ndarray

    def height(self, x: np.ndarray | float) -> np.ndarray:
        """Return the height in metres at x, float [...]; 0 at x = 0."""
        angle = np.asarray(x, float)[..., None] / self.lengths + self.phases
        return ((np.sin(angle) - np.sin(self.phases)) * self.heights).sum(axis=-1)

    def tilt(self, x: float) -> np.ndarray:
        """Return the rotation, [3, 3], that lays what faces along x on the slope there."""
        slope = (np.cos(x / self.lengths + self.phases) * self.heights / self.lengths).sum()
        length = np.hypot(1.0, slope)
        c, s = 1 / length, slope / length
        return np.array([[c, 0.0, -s], [0.0, 1.0, 0.0], [s, 0.0, c]])


def make_relief(rng: np.random.Generator) -> Relief:
    """Return hills of up to 8 % of slope, round enough for a car.

    The radius of a crest is 500 m at least, so that surfaces of 5 m pieces stay on each other.
    """
    lengths = np.array([rng.uniform(75, 110), rng.uniform(110, 170)])
    steep = rng.uniform(0.02, 0.08) * np.array([0.6, 0.4])
    return Relief(steep * lengths, lengths, rng.uniform(0, 2 * np.pi, 2))
