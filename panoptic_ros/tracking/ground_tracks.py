"""The tracks' positions and velocities on the ground; lost tracks found again by position."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.tracking.tracking_options import TrackingOptions

# The visible contact edge's middle wanders over an object as the view of it changes: standard
# deviation, in widths of the edge.
_WANDER = 0.25
# 99 % of the sightings of an object have a smaller squared Mahalanobis distance from where the
# filter expects it (chi-square, 2 degrees of freedom).
_GATE = 9.21
_POSITION = slice(0, 2)


class GroundTracks:
    """Follow what is placed on the ground, in `odom`."""

    def __init__(self, options: TrackingOptions) -> None:
        self._options = options
        self._rows: dict[int, int] = {}
        self._states = GroundStates(np.zeros((0, 4)), np.zeros((0, 4, 4)))

    def positions(self, track_ids: Iterable[int]) -> np.ndarray:
        """Return x, y of tracks, float64 [N, 2], NaN for those without a place."""
        means = np.concatenate([self._states.means, np.full((1, 4), np.nan)])
        return means[[self._rows.get(i, -1) for i in track_ids], :2]

    def states(self) -> dict[int, tuple[list[float], np.ndarray]]:
        """Return x, y (m), vx, vy (m/s) of each track and their covariance, float64 [4, 4]."""
        means, covariances = self._states.means.tolist(), self._states.covariances
        return {i: (means[row], covariances[row]) for i, row in self._rows.items()}

    def forget(self, track_ids: Collection[int]) -> None:
        """Drop tracks: their next sighting is as their first."""
        self._rows = {i: row for i, row in self._rows.items() if i not in track_ids}

    def predict(self, seconds: float, alive: Collection[int]) -> None:
        """Go on in time with the tracks that still live, forget the others."""
        self._rows = {i: row for i, row in self._rows.items() if i in alive}
        states = self._states[list(self._rows.values())]
        self._rows = {i: row for row, i in enumerate(self._rows)}
        self._states = states.predicted(seconds, self._options.acceleration)

    def update(self, sightings: Mapping[int, GroundInstance], pose: Pose2D) -> None:
        """Take one frame's sightings by track, seen from a pose of base_link in odom."""
        known = [i for i in sightings if i in self._rows]
        new = [i for i in sightings if i not in self._rows]
        rows = [self._rows[i] for i in known]
        updated = self._states[rows].updated(*_in_odom([sightings[i] for i in known], pose))
        # These arrays are this frame's own: `predict` has made them.
        self._states.means[rows] = updated.means
        self._states.covariances[rows] = updated.covariances
        first = GroundStates.first_seen(
            *_in_odom([sightings[i] for i in new], pose), self._options.speed
        )
        self._rows.update(zip(new, itertools.count(len(self._states.means))))
        self._states = GroundStates.stack([self._states, first])

    def find(
        self, lost: Sequence[int], sightings: Mapping[int, GroundInstance], pose: Pose2D
    ) -> dict[int, int]:
        """Return which new tracks' sightings are where lost tracks of one class must be.

        sightings: by new track. Returns {new track: lost track}, each at most once, so that
        the sum of squared Mahalanobis distances is least.
        """
        lost = [i for i in lost if i in self._rows]
        if not lost or not sightings:
            return {}
        states = self._states[[self._rows[i] for i in lost]]
        costs = states.distances(*_in_odom(list(sightings.values()), pose))
        # What cannot be must not outweigh what can.
        rows, columns = linear_sum_assignment(np.minimum(costs, _GATE))
        new = list(sightings)
        return {
            new[column]: lost[row]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < _GATE
        }


@dataclass(frozen=True)
class GroundStates:
    """Hold N objects' states in a Kalman filter of constant velocity, over the ground, in `odom`.

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
        excess = np.maximum(1, distances / _GATE) - 1
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


def _in_odom(sightings: list[GroundInstance], pose: Pose2D) -> tuple[np.ndarray, np.ndarray]:
    """Return positions [N, 2] and covariances [N, 2, 2] in odom."""
    positions = np.array([s.position for s in sightings], float).reshape(-1, 2)
    covariances = np.array([s.covariance for s in sightings], float).reshape(-1, 2, 2)
    wander = (_WANDER * np.array([s.width for s in sightings], float)) ** 2
    rotation = pose.matrix[:, :2]
    covariances = rotation @ covariances @ rotation.T + wander[:, None, None] * np.eye(2)
    return pose.apply(positions), covariances


def _solved(matrices: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return matrices^-1 @ vectors, float64 [..., 2]."""
    return np.linalg.solve(matrices, vectors[..., None])[..., 0]
