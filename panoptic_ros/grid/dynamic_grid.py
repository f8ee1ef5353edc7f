"""What moves: cells that are empty, static, dynamic or unknown, and their velocities.

After Nuss et al. 2018, "A random finite set approach for dynamic occupancy grid maps with
real-time application" (IJRR; equations as numbered in arXiv:1605.02406), and Rummelhard et al.
2015, "Conditional Monte Carlo dense occupancy tracker" (CMCDOT, hal-01205298): static mass stays
in its cell, and only what may move is spent particles on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.grid_options import DynamicGridOptions, SemanticGridOptions
from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.grid.observation import OCCUPIED, UNKNOWN, GroundObservation, Sight
from panoptic_ros.grid.particles import Particles
from panoptic_ros.grid.rolling_memory import RollingMemory
from panoptic_ros.labels import LabelSet

if TYPE_CHECKING:
    from panoptic_ros.grid.window import GridWindow

# Probability that a thing that has just appeared moves, by class; other things, and obstacles
# without a class, have the last ones. What is no thing (a building, a pole) never moves.
_MOVES = {"person": 0.7, "rider": 0.9}
_THING_MOVES, _UNLABELED_MOVES = 0.5, 0.2
# Standard deviation of the velocity of a person who has just appeared, m/s.
_WALK = 1.5
# A cell's mass is never whole, so that it can change (p_S in eq. 39).
_MOST_MASS = 0.98
# What is free can be driven into: against something seen there it counts no more than that, so
# that what enters is believed at once.
_MOST_FREE = 0.6
# Particles that a cell's whole mass is worth.
_PER_MASS = 60
# Standard deviation of the velocity that a standing object seems to have, m/s: its visible edge
# wanders as the view of it changes.
_WANDER = 0.3
# A camera that has shown nothing for longer looks nowhere.
_SIGHT_SECONDS = 1.0
_TINY = 1e-9
_CLASS_VALUES = np.iinfo(np.uint8).max + 1


@dataclass(frozen=True)
class Motion:
    """Describe how an instance moves by its track.

    instance_id: its value in the label image; velocity: over the ground in odom, m/s;
    covariance: float [2, 2], (m/s)^2.
    """

    instance_id: int
    velocity: tuple[float, float]
    covariance: np.ndarray

    @property
    def is_finite(self) -> bool:
        """Whether velocity and covariance are numbers."""
        return bool(np.isfinite(self.velocity).all() and np.isfinite(self.covariance).all())

    @property
    def root(self) -> np.ndarray:
        """A matrix that gives the covariance, times its transpose, float64 [2, 2]."""
        values, axes = np.linalg.eigh(self.covariance)
        return np.asarray(axes * np.sqrt(np.maximum(values, 0)))


class DynamicGrid:
    """Follow, per cell of a memory in odom, masses of belief that it is free, static, dynamic.

    What is left to one is unknown (Dempster and Shafer). The dynamic mass is the weight of the
    particles in the cell. A frame's observation is combined with what was expected; mass that
    nobody expected is newborn and divided by what its class says, and by its track's velocity.
    Raise ValueError for an observation of another shape than the window's.
    """

    def __init__(
        self,
        window: GridWindow,
        labels: LabelSet,
        options: DynamicGridOptions | None = None,
        grid_options: SemanticGridOptions | None = None,
    ) -> None:
        self.window = window
        self.options = options or DynamicGridOptions()
        grid = grid_options or SemanticGridOptions()
        # Masses of belief. Free: whose pignistic probability of being occupied is the sensor
        # model's; occupied: more than that, as one sight has to be enough for what drives.
        self._seen_free = 1 - 2 * grid.miss_probability
        self._seen_occupied = grid.hit_probability
        self._static_half_life = grid.static_half_life
        self._dynamic_half_life = grid.dynamic_half_life
        self._memory = RollingMemory(window)
        self._moves = np.zeros(_CLASS_VALUES, np.float32)
        self._moves[0] = _UNLABELED_MOVES
        self._speeds = np.full(_CLASS_VALUES, self.options.speed, np.float32)
        for entry in labels.things:
            self._moves[entry.id] = _MOVES.get(entry.name, _THING_MOVES)
            if entry.name == "person":
                self._speeds[entry.id] = min(_WALK, self.options.speed)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._memory.forget()
        self._free = self._memory.plane(np.float32)
        self._static = self._memory.plane(np.float32)
        self._particles = Particles.none()
        self._moments = self._particles.moments(*np.zeros((2, 0), np.intp))
        # The same frames give the same grid.
        self._rng = np.random.default_rng(0)
        self._time: float | None = None
        self._pose = Pose2D()
        # By camera: when it looked, and how at each cell.
        self._sights: dict[str, tuple[float, np.ndarray]] = {}

    def update(
        self,
        observation: GroundObservation,
        pose: Pose2D | None,
        time: float,
        motions: Sequence[Motion] = (),
        camera: str = "",
    ) -> None:
        """Take in what one image shows.

        pose: base_link in odom; None: not known, nothing is remembered then; time: seconds,
        where it goes back all is forgotten; motions: of the instances that have a track;
        camera: its name, where several see the same grid.
        """
        if observation.state.shape != self.window.shape:
            raise ValueError(
                f"state has shape {observation.state.shape}, the window {self.window.shape}"
            )
        if pose is None or (self._time is not None and time < self._time):
            self.reset()
        seconds = 0.0 if self._time is None else time - self._time
        self._time, self._pose = time, pose or Pose2D()
        self._sights[camera] = time, observation.sight
        self._memory.follow(self._pose)
        arrived = self._predict(seconds)
        known = (observation.state != UNKNOWN) & (observation.weight > 0)
        cells, seen = self._memory.touched(known, self._pose)
        planes = observation.state, observation.weight, observation.classes, observation.ids
        state, weight, classes, ids = (plane.ravel().take(seen) for plane in planes)
        occupied = state == OCCUPIED
        sources = self._sources(classes[occupied], ids[occupied], motions)
        self._combine(cells, occupied, weight, arrived, sources)

    def layers(self) -> DynamicLayers:
        """Return the window at the last pose, looked up in the memory."""
        places = self._memory.places(self._pose)
        moments = self._moments
        row = np.full(self._memory.size**2, -1, np.int32)
        row[moments.cells] = np.arange(len(moments.cells))
        row = row.take(places.ravel())
        found = np.flatnonzero(row >= 0)
        row = row[found]
        static = self._static.take(places)
        dynamic = np.zeros(places.shape, np.float32)
        dynamic.reshape(-1)[found] = moments.mass[row]
        np.minimum(dynamic, 1 - static, out=dynamic)
        empty = np.minimum(self._free.take(places), 1 - static - dynamic)
        unknown = 1 - static - dynamic - empty
        moves = (dynamic > np.maximum(static, np.maximum(empty, unknown))).take(found)
        velocity, covariance = self._velocities(found[moves], row[moves])
        sight = np.where(unknown > 0.5, self._sight(), np.uint8(Sight.KNOWN))
        distance = self._distance(static + dynamic > 0.5)
        return DynamicLayers(empty, static, dynamic, unknown, velocity, covariance, sight, distance)

    def _velocities(self, cells: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return velocity and covariance in base_link's axes, as `DynamicLayers` has them.

        cells: flat indices of those that move; row: theirs in the moments.
        """
        velocity = np.full((2, *self.window.shape), np.nan, np.float32)
        covariance = np.full((3, *self.window.shape), np.nan, np.float32)
        turn = self._pose.matrix[:, :2].T
        velocity.reshape(2, -1)[:, cells] = turn @ self._moments.velocity[:, row]
        xx, xy, yy = self._moments.covariance[:, row]
        turned = turn @ np.moveaxis(np.array([[xx, xy], [xy, yy]]), -1, 0) @ turn.T
        covariance.reshape(3, -1)[:, cells] = turned[:, [0, 0, 1], [0, 1, 1]].T
        return velocity, covariance

    def _sight(self) -> np.ndarray:
        """Return how the cameras look at the cells: the first that looks there at all."""
        sight = np.full(self.window.shape, Sight.OUT_OF_VIEW, np.uint8)
        for time, of_camera in self._sights.values():
            if self._time is not None and self._time - time <= _SIGHT_SECONDS:
                np.copyto(sight, of_camera, where=sight == Sight.OUT_OF_VIEW)
        return sight

    def _distance(self, occupied: np.ndarray) -> np.ndarray:
        """Return metres from each cell to the nearest occupied one, inf where there is none."""
        if not occupied.any():
            return np.full(occupied.shape, np.inf, np.float32)
        cells = cv2.distanceTransform(
            (~occupied).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE
        )
        return cells * np.float32(self.window.resolution)

    def _predict(self, seconds: float) -> np.ndarray:
        """Go on in time; return the particles' mass in each memory cell."""
        fade = np.float32(0.5 ** (seconds / self._static_half_life))
        self._free *= fade
        self._static *= fade
        particles = self._particles
        particles.move(seconds, self.options.acceleration, self._rng)
        particles.weight *= 0.5 ** (seconds / self._dynamic_half_life)
        places = self._memory.cells_at(particles.position)
        inside = np.flatnonzero(places >= 0)
        self._particles, self._places = particles.take(inside), places[inside]
        return np.bincount(self._places, self._particles.weight, self._memory.size**2)

    def _combine(
        self,
        cells: np.ndarray,
        occupied: np.ndarray,
        weight: np.ndarray,
        arrived: np.ndarray,
        sources: _Sources,
    ) -> None:
        """Divide the mass of the K memory cells that are seen (eq. 62, 63, 67, 73).

        occupied: bool [K]; weight: [K]; sources: of the occupied ones.
        """
        came = arrived[cells].astype(np.float32)
        expected = came + self._static[cells]
        # More than a cell can hold arrives where particles of two cells meet.
        dynamic = came / np.maximum(expected / _MOST_MASS, 1)
        np.minimum(expected, _MOST_MASS, out=expected)
        believed = np.where(occupied, np.float32(_MOST_FREE), np.float32(1))
        free = np.minimum(self._free[cells], np.minimum(1 - expected, believed))
        unknown = 1 - expected - free
        # A coarse pixel leaves open which cell is occupied, but not that something is there.
        hit = self._seen_occupied * np.sqrt(weight) * occupied
        miss = self._seen_free * weight * ~occupied
        whole = 1 - expected * miss - free * hit
        self._free[cells] = (free * (1 - hit) + unknown * miss) / whole
        taken = (expected * (1 - miss) + unknown * hit) / whole
        appears = self.options.birth_probability * (1 - expected) * occupied
        born = taken * appears / np.maximum(expected + appears, _TINY)
        kept = (taken - born) * dynamic / np.maximum(expected, _TINY)
        there = np.flatnonzero(occupied)
        # Of the particles' and the track's opinion, the latter has its weight (a linear pool).
        told = sources.track_weight * (taken - born)[there]
        kept[there] *= (1 - sources.track_weight) * (sources.moves > 0)
        newborn = (born[there] + told) * sources.moves
        static = taken - kept
        static[there] -= newborn
        self._static[cells] = np.maximum(static, 0)
        factor = np.ones(len(arrived), np.float32)
        factor[cells] = kept / np.maximum(came, _TINY)
        self._particles.weight *= factor[self._places]
        self._renew(cells[there], newborn, sources)

    def _renew(self, cells: np.ndarray, mass: np.ndarray, sources: _Sources) -> None:
        """Add particles for the mass that is born in cells (eq. 76, 77), and resample."""
        density = min(_PER_MASS, self.options.particles / max(float(mass.sum()), _TINY))
        counts = (mass * density + self._rng.random(len(mass))).astype(np.intp)
        of = np.repeat(np.arange(len(cells)), counts)
        inside = self._rng.random((len(of), 2)) * self.window.resolution
        newborn = Particles(
            self._memory.corners(cells[of]) + inside,
            sources.draw(of, self._rng),
            np.full(len(of), 1 / density),
        )
        both = self._particles.joined(newborn)
        guessed = len(self._particles) + np.flatnonzero(sources.track_weight[of] == 0)
        self._moments = both.moments(np.concatenate([self._places, cells[of]]), guessed)
        count = min(self.options.particles, round(float(both.weight.sum()) * _PER_MASS))
        self._particles = both.resampled(count, self._rng)

    def _sources(self, classes: np.ndarray, ids: np.ndarray, motions: Sequence[Motion]) -> _Sources:
        """Return what class and track say of cells [K] that something stands on."""
        moves, mean = self._moves[classes], np.zeros((len(classes), 2))
        spread = self._speeds[classes][:, None, None] * np.eye(2)
        weight = np.zeros(len(classes), np.float32)
        for motion in motions:
            of = np.flatnonzero(ids == motion.instance_id)
            if len(of) and motion.is_finite:
                mean[of], spread[of] = motion.velocity, motion.root
                weight[of] = self.options.track_weight
                moves[of] = self._moving(motion, moves[of])
        return _Sources(moves, mean, spread, weight)

    def _moving(self, motion: Motion, prior: np.ndarray) -> np.ndarray:
        """Return the probability that what has a track moves; prior: without the track.

        The Savage-Dickey ratio (Dickey 1971) of rest against a velocity of any size.
        """
        covariance = motion.covariance + _WANDER**2 * np.eye(2)
        velocity = np.array(motion.velocity)
        distance = velocity @ np.linalg.solve(covariance, velocity)
        density = math.exp(-distance / 2) / math.sqrt(np.linalg.det(covariance))
        rests = (1 - prior) * density * self.options.speed**2
        return prior / (prior + rests + _TINY)


@dataclass(frozen=True)
class _Sources:
    """Hold what newborn particles are drawn from, per cell [K].

    moves: probability; mean [K, 2] and spread [K, 2, 2], a root of the covariance: of the
    velocity; track_weight: 0 without a track.
    """

    moves: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    track_weight: np.ndarray

    def draw(self, of: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return a velocity for each number of a cell, float64 [N, 2]."""
        normal = rng.standard_normal((len(of), 2))
        return self.mean[of] + np.einsum("nij,nj->ni", self.spread[of], normal)
