"""Positions and velocities on the ground: a Kalman filter with constant velocity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# 99 % of the sightings of an object have a smaller squared Mahalanobis distance from where the
# filter expects it (chi-square, 2 degrees of freedom).
GATE = 9.21
_POSITION = slice(0, 2)


@dataclass(frozen=True)
class GroundStates:
    """Hold the states of N objects over the ground, in `odom`.

    means: float64 [N, 4], x, y (m), vx, vy (m/s); covariances: float64 [N, 4, 4].
    """

    means: np.ndarray
    covariances: np.ndarray

    @classmethod
    def first_seen(
        cls, positions: np.ndarray, covariances: np.ndarray, speed: float
    ) -> GroundStates:
        """Return the states of objects seen once: of unknown velocity.

        positions: [N, 2], m; covariances: [N, 2, 2]; speed: its standard deviation, m/s.
        """
        means = np.zeros((len(positions), 4))
        means[:, _POSITION] = positions
        states = np.zeros((len(positions), 4, 4))
        states[:, _POSITION, _POSITION] = covariances
        states[:, [2, 3], [2, 3]] = speed**2
        return cls(means, states)

    @classmethod
    def stack(cls, states: list[GroundStates]) -> GroundStates:
        """Return several as one."""
        return cls(
            np.concatenate([s.means for s in states]),
            np.concatenate([s.covariances for s in states]),
        )

    def __getitem__(self, index: list[int]) -> GroundStates:
        """Return some of the states."""
        return GroundStates(self.means[index], self.covariances[index])

    def predicted(self, seconds: float, acceleration: float) -> GroundStates:
        """Return the states some time later.

        acceleration: its standard deviation, m/s^2. Source: the discrete white noise
        acceleration model, Bar-Shalom et al. 2001, "Estimation with Applications to Tracking
        and Navigation", section 6.3.2.
        """
        transition = np.eye(4)
        transition[[0, 1], [2, 3]] = seconds
        gain = np.zeros((4, 2))
        gain[[0, 1], [0, 1]] = seconds**2 / 2
        gain[[2, 3], [0, 1]] = seconds
        noise = acceleration**2 * gain @ gain.T
        return GroundStates(
            self.means @ transition.T, transition @ self.covariances @ transition.T + noise
        )

    def updated(self, positions: np.ndarray, covariances: np.ndarray) -> GroundStates:
        """Return the states after one sighting of each; shapes as for `first_seen`.

        The further a sighting lies beyond the gate the less certain it is taken to be: the
        contact edge of an object that something half hides is not where it stands.
        """
        innovation = positions - self.means[:, _POSITION]
        spread = self.covariances[:, _POSITION, _POSITION] + covariances
        distances = (innovation * _solved(spread, innovation)).sum(-1)
        excess = np.maximum(1, distances / GATE) - 1
        spread = spread + excess[:, None, None] * covariances
        # K = P H' S^-1; P and S are symmetric.
        gain = np.linalg.solve(spread, self.covariances[:, _POSITION]).transpose(0, 2, 1)
        means = self.means + np.einsum("nij,nj->ni", gain, innovation)
        covariance = self.covariances - gain @ self.covariances[:, _POSITION]
        return GroundStates(means, (covariance + covariance.transpose(0, 2, 1)) / 2)

    def distances(self, positions: np.ndarray, covariances: np.ndarray) -> np.ndarray:
        """Return squared Mahalanobis distances to M sightings, float64 [N, M].

        positions: [M, 2]; covariances: [M, 2, 2].
        """
        innovation = positions[None] - self.means[:, None, _POSITION]
        spread = self.covariances[:, None, _POSITION, _POSITION] + covariances[None]
        return (innovation * _solved(spread, innovation)).sum(-1)


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return matrices^-1 @ vectors, float64 [..., 2]."""
    return np.linalg.solve(matrices, vectors[..., None])[..., 0]
