"""Particles that carry the mass of what moves, after Nuss et al. 2018; see `DynamicGrid`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_GUESS_WEIGHT = 1e-3
_TINY = 1e-12


@dataclass(frozen=True)
class Moments:
    """Hold, per cell that has particles, their mass and the moments of their velocity.

    cells: intp [M], ascending; mass: float64 [M]; velocity: float64 [2, M], m/s; covariance:
    float64 [3, M]: xx, xy, yy, (m/s)^2.
    """

    cells: np.ndarray
    mass: np.ndarray
    velocity: np.ndarray
    covariance: np.ndarray


@dataclass
class Particles:
    """Hold N particles in `odom`.

    position: float64 [N, 2], metres; velocity: float64 [N, 2], m/s; weight: float64 [N], shares
    of their cell's mass of belief.
    """

    position: np.ndarray
    velocity: np.ndarray
    weight: np.ndarray

    @classmethod
    def none(cls) -> Particles:
        """Return no particles."""
        return cls(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.weight)

    def take(self, index: np.ndarray) -> Particles:
        """Return some of the particles."""
        return Particles(
            self.position.take(index, axis=0),
            self.velocity.take(index, axis=0),
            self.weight.take(index),
        )

    def joined(self, others: Particles) -> Particles:
        """Return these and others."""
        return Particles(
            np.concatenate([self.position, others.position]),
            np.concatenate([self.velocity, others.velocity]),
            np.concatenate([self.weight, others.weight]),
        )

    def move(self, seconds: float, acceleration: float, rng: np.random.Generator) -> None:
        """Move by constant velocities and noise (eq. 14), in place.

        acceleration: its standard deviation, m/s^2, as in `GroundStates.predicted`.
        """
        pushed = rng.standard_normal(self.velocity.shape) * (acceleration * seconds)
        self.position += (self.velocity + pushed / 2) * seconds
        self.velocity += pushed

    def resampled(self, count: int, rng: np.random.Generator) -> Particles:
        """Return at most so many particles of about the same mass, of equal weights.

        Systematic resampling (Kitagawa 1996): a particle is drawn as often as its weight says,
        up or down to a whole number.
        """
        if not count:
            return Particles.none()
        total = float(self.weight.sum())
        drawn = (np.arange(count) + rng.random()) * (total / count)
        index = np.searchsorted(np.cumsum(self.weight), drawn)
        chosen = self.take(np.minimum(index, len(self) - 1))
        chosen.weight.fill(total / count)
        return chosen

    def moments(self, cells: np.ndarray, guessed: np.ndarray) -> Moments:
        """Return mass and the velocity's moments per cell (eq. 81, 83, 84).

        cells: intp [N], of each particle; guessed: intp, indices of those whose velocity is a
        guess, which only counts where there is no other.
        """
        kept, of = np.unique(cells, return_inverse=True)

        def total(values: np.ndarray) -> np.ndarray:
            return np.bincount(of, values, len(kept))

        weight, (vx, vy) = self.weight.copy(), self.velocity.T
        mass = total(weight)
        weight[guessed] *= _GUESS_WEIGHT
        wx, wy = weight * vx, weight * vy
        scale = 1 / np.maximum(total(weight), _TINY)
        x, y = total(wx) * scale, total(wy) * scale
        spread = [total(wx * vx) * scale - x * x, total(wx * vy) * scale - x * y]
        spread.append(total(wy * vy) * scale - y * y)
        return Moments(kept, mass, np.stack([x, y]), np.stack(spread))
