"""The tracks' boxes in space: they move on between sightings and keep the size they have shown."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.ground_plane import Viewpoint
from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.labels import LabelSet
from panoptic_ros.tracking.box_fitting import ROUND, SIZES, FittedBox, fit_box
from panoptic_ros.tracking.ground_tracks import GroundTracks
from panoptic_ros.tracking.instance_points import InstancePoints
from panoptic_ros.tracking.tracking_options import TrackingOptions

# Standard deviation of a box's middle along a side that is measured, metres, and of one that is
# not, as a share of it.
_MEASURED, _GUESSED = 0.1, 0.05
# Least weight of a measured size against the earlier ones; of one that only shows that it is
# larger.
_SIZE_GAIN, _GROWTH = 0.1, 0.3
# Standard deviation of how much a heading changes, radians a second.
_TURNING = 0.3
# What surely moves at this speed heads where it goes, m/s, that well, radians.
_SPEED, _COURSE = 1.5, 0.05
# A heading this far from the earlier ones is another side's, unless it comes so often in a row.
_OTHER_SIDE, _AGAIN = math.pi / 4, 2
# So is a box further from where it is expected, metres: a track that went on with another object.
# How fast something goes is known after so many sightings.
_STRAYS, _KNOWN = 1.5, 3


@dataclass(frozen=True)
class TrackedBox:
    """Hold a track's box, in the frame of the tracker's poses.

    covariance: of its middle's x and y, float64 [2, 2], square metres.
    """

    cuboid: Cuboid
    covariance: np.ndarray


class BoxTracks:
    """Follow the boxes of tracks that are seen by depth or points.

    The middle has a Kalman filter of its own, as the visible edge that the track follows wanders
    over the object. Where a track is not measured its box moves on, as large as it was last.
    """

    def __init__(self, options: TrackingOptions, labels: LabelSet) -> None:
        self._labels = labels
        self._middles = GroundTracks(options)
        self._shapes: dict[int, _Shape] = {}

    def predict(self, seconds: float, alive: Collection[int]) -> None:
        """Go on in time with the tracks that still live, forget the others."""
        self._shapes = {i: shape for i, shape in self._shapes.items() if i in alive}
        self._middles.predict(seconds, alive)
        for shape in self._shapes.values():
            shape.variance += (_TURNING * seconds) ** 2

    def update(
        self,
        sightings: Mapping[int, tuple[int, InstancePoints]],
        at: Viewpoint,
        pose: Pose2D,
    ) -> None:
        """Take the class id and the points of the tracks that one frame shows.

        at: where they are seen from; pose: base_link in the frame of the boxes.
        """
        middles: dict[int, GroundInstance] = {}
        for track_id, (class_id, points) in sightings.items():
            name = self._labels[class_id].name
            shape = self._shapes.get(track_id) or _Shape(SIZES.get(name))
            known = shape.heading
            fitted = fit_box(
                points,
                at,
                shape.size,
                None if known is None else known - pose.yaw,
                is_round=name in ROUND,
            )
            if fitted is None:
                continue
            x, y, _ = fitted.cuboid.center
            place = GroundInstance(0, class_id, (x, y), 0.0, _covariance(fitted))
            if shape.sightings >= _KNOWN and self._is_elsewhere(track_id, place, pose):
                shape.strays += 1
                if shape.strays < _AGAIN:
                    continue
                self._middles.forget({track_id})
                shape = _Shape(SIZES.get(name))
            shape.measure(fitted, pose)
            self._shapes[track_id], middles[track_id] = shape, place
        self._middles.update(middles, pose)
        for track_id, ((_, _, *velocity), covariance) in self._middles.states().items():
            if track_id in middles:
                self._shapes[track_id].go(np.array(velocity), covariance[2:, 2:])

    def _is_elsewhere(self, track_id: int, place: GroundInstance, pose: Pose2D) -> bool:
        """Return whether a box is far from where the track's must be."""
        off = self._middles.positions([track_id])[0] - pose.apply(np.array(place.position))
        return bool(np.hypot(*off) > _STRAYS)

    def boxes(self) -> dict[int, TrackedBox]:
        """Return the boxes by track."""
        return {
            i: TrackedBox(self._shapes[i].cuboid(x, y), covariance[:2, :2])
            for i, ((x, y, _, _), covariance) in self._middles.states().items()
        }


@dataclass
class _Shape:
    """Hold what a track's box is beside its middle.

    size: length, width, height, metres, None where nothing is known; counts: how often each was
    measured; bottom: z, metres; heading: radians in odom, with its variance; doubts: how often
    in a row another one was measured; strays: how often in a row the box was elsewhere;
    sightings: how often it was where it was expected.
    """

    size: tuple[float, float, float] | None
    counts: np.ndarray = field(default_factory=lambda: np.zeros(3))
    bottom: float = 0.0
    heading: float | None = None
    variance: float = math.inf
    doubts: int = 0
    strays: int = 0
    sightings: int = 0

    def cuboid(self, x: float, y: float) -> Cuboid:
        """Return the box around a middle."""
        length, width, height = self.size or (0.0, 0.0, 0.0)
        middle = (x, y, self.bottom + height / 2)
        return Cuboid(middle, (length, width, height), self.heading or 0.0)

    def measure(self, fitted: FittedBox, pose: Pose2D) -> None:
        """Take a fitted box."""
        new, measured = np.array(fitted.cuboid.size), np.array(fitted.is_measured)
        old = new if self.size is None else np.array(self.size)
        gains = np.where(measured, np.maximum(_SIZE_GAIN, 1 / (1 + self.counts)), _GROWTH)
        length, width, height = (old + gains * (new - old)).tolist()
        self.size, self.counts = (length, width, height), self.counts + measured
        self.bottom = fitted.cuboid.center[2] - fitted.cuboid.size[2] / 2
        self.turn(fitted.cuboid.yaw + pose.yaw, fitted.heading_sigma)
        self.strays, self.sightings = 0, self.sightings + 1

    def go(self, velocity: np.ndarray, covariance: np.ndarray) -> None:
        """Take a velocity, m/s, and its covariance: what moves looks ahead."""
        speed = float(np.hypot(*velocity))
        sigma = math.sqrt(float(np.trace(covariance)))
        if speed < max(_SPEED, 3 * sigma) or self.heading is None:
            return
        course = math.atan2(velocity[1], velocity[0])
        self.turn(course, max(_COURSE, sigma / speed))
        if math.cos(self.heading - course) < 0:
            self.heading = math.remainder(self.heading + math.pi, math.tau)

    def turn(self, heading: float, sigma: float) -> None:
        """Take a heading, which may be the opposite one."""
        off = 0.0 if self.heading is None else math.remainder(heading - self.heading, math.pi)
        self.doubts = self.doubts + 1 if abs(off) > _OTHER_SIDE else 0
        if self.heading is None or self.doubts >= _AGAIN:
            self.heading, self.variance, self.doubts = heading, sigma**2, 0
        elif not self.doubts:
            gain = self.variance / (self.variance + sigma**2)
            self.heading, self.variance = self.heading + gain * off, (1 - gain) * self.variance
        self.heading = math.remainder(self.heading, math.tau)


def _covariance(fitted: FittedBox) -> np.ndarray:
    """Return the covariance of a box's middle, float64 [2, 2], square metres."""
    box = fitted.cuboid
    measured = np.array(fitted.is_measured[:2])
    sigma = np.where(measured, _MEASURED, _MEASURED + _GUESSED * np.array(box.size[:2]))
    turn = Pose2D(yaw=box.yaw).matrix[:, :2]
    return turn @ np.diag(sigma**2) @ turn.T
