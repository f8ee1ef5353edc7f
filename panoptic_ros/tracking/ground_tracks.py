"""The tracks' positions on the ground, and lost tracks found again by position."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.tracking.ground_filter import GATE, GroundStates
from panoptic_ros.tracking.tracking_options import TrackingOptions

# The visible contact edge's middle wanders over an object as the view of it changes: standard
# deviation, in widths of the edge.
_WANDER = 0.25


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
        rows, columns = linear_sum_assignment(np.minimum(costs, GATE))
        new = list(sightings)
        return {
            new[column]: lost[row]
            for row, column in zip(rows, columns, strict=True)
            if costs[row, column] < GATE
        }


def _in_odom(sightings: list[GroundInstance], pose: Pose2D) -> tuple[np.ndarray, np.ndarray]:
    """Return positions [N, 2] and covariances [N, 2, 2] in odom."""
    positions = np.array([s.position for s in sightings], float).reshape(-1, 2)
    covariances = np.array([s.covariance for s in sightings], float).reshape(-1, 2, 2)
    wander = (_WANDER * np.array([s.width for s in sightings], float)) ** 2
    rotation = pose.matrix[:, :2]
    covariances = rotation @ covariances @ rotation.T + wander[:, None, None] * np.eye(2)
    return pose.apply(positions), covariances
