"""Bayesian fusion of observations over time: occupancy and class of every cell.

After Erkent et al. 2018, "Semantic Grid Estimation with a Hybrid Bayesian and Deep Neural Network
Approach" (IROS), which fuses an occupancy grid with the classes that a network sees.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.costs import LETHAL, cost_table
from panoptic_ros.grid.grid_options import SemanticGridOptions
from panoptic_ros.grid.layers import UNKNOWN_CELL, GridLayers
from panoptic_ros.grid.observation import FREE, OCCUPIED, UNKNOWN, GroundObservation
from panoptic_ros.grid.rolling_memory import RollingMemory
from panoptic_ros.labels import UNLABELED, LabelSet

if TYPE_CHECKING:
    from panoptic_ros.grid.window import GridWindow

# Evidence is of what stays (ground, static obstacles) or of what moves.
_STATIC, _DYNAMIC = 0, 1
# A cell's best class is kept for each kind of evidence.
_GROUND, _OBSTACLE, _MOVING = 0, 1, 2
# Growth at which stored evidence is brought back to the scale of today: far from float32's end.
_LARGEST_GROWTH = 2.0**40
_CLASS_VALUES = np.iinfo(np.uint8).max + 1


class SemanticGrid:
    """Remember where the ground is free and what stands on it, around a moving car.

    Per cell:
    - log-odds of being occupied, l <- clip(l + weight * logit p(occupied | observation)), the
      inverse sensor model of Elfes 1989 and Thrun et al. 2005, "Probabilistic Robotics", eq. 9.7,
      with prior odds of one; the weight tempers an observation by its certainty. There are two:
      static, of ground and static obstacles, and dynamic (>= 0), of things, which only seen
      free lowers. Things come and go: where there is dynamic evidence, it alone says whether
      one is there now, however long the cell was free before; else the static one does.
    - a count per class, n_c <- n_c + weight: the parameters, less the prior, of a Dirichlet
      distribution over the classes.

    Both fade exponentially, with a half-life for what moves and one for the rest: a car that
    drove off leaves behind what was known of the road. Stored values are scaled by
    2^(age / half-life) instead of fading all cells each time (forward decay, Cormode et al.
    2009). A cell without evidence is unknown, whatever time passes.

    Raise ValueError for costs of classes that the label set does not know, and for class ids
    above 255.
    """

    def __init__(
        self, window: GridWindow, labels: LabelSet, options: SemanticGridOptions | None = None
    ) -> None:
        self.window, self.labels = window, labels
        self.options = options or SemanticGridOptions()
        if labels.ids.max() >= _CLASS_VALUES:
            raise ValueError(
                f"label set {labels.name!r} has class id {labels.ids.max()}; a grid's cell holds "
                f"0..{_CLASS_VALUES - 1}"
            )
        self._memory = RollingMemory(window)
        self._costs = np.full(_CLASS_VALUES, LETHAL, np.float32)
        costs = cost_table(self.options.costs, labels)
        self._costs[: len(costs)] = costs
        # Ground that was never seen adds nothing to what the obstacle costs.
        self._ground_costs = self._costs.copy()
        self._ground_costs[UNLABELED] = 0
        self._channels = np.full(_CLASS_VALUES, -1)
        self._channels[labels.ids] = np.arange(len(labels))
        # What a cell seen as [state, class] is evidence of.
        self._kinds = np.full((2, _CLASS_VALUES), _OBSTACLE)
        self._kinds[FREE] = _GROUND
        self._kinds[OCCUPIED, labels.ids[labels.is_thing]] = _MOVING
        hit, miss = self.options.hit, self.options.miss
        # Of the static and the dynamic log-odds, by kind.
        self._gains = np.array([[miss, hit, 0], [miss, 0, hit]], np.float32)
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._memory.forget()
        # What is always looked up together lies together: a cell's two log-odds are a complex
        # number, its best classes the bytes of an integer. It halves the time.
        self._log_odds = self._memory.plane(np.complex64)
        self._counts = self._memory.plane(np.float32, len(self.labels))
        self._best_count = self._memory.plane(np.float32, 3)
        self._best_class = self._memory.plane(np.uint32)
        self._growth = np.ones(2, np.float32)
        self._time: float | None = None
        self._pose = Pose2D()

    def update(self, observation: GroundObservation, pose: Pose2D | None, time: float) -> None:
        """Take in what one image shows.

        pose: base_link in odom; None: not known, the grid then shows this observation alone.
        time: seconds; where it jumps back (a bag that starts over) all is forgotten.
        Raise ValueError for arrays of another shape than the window's.
        """
        for name in ("state", "classes", "weight"):
            shape = getattr(observation, name).shape
            if shape != self.window.shape:
                raise ValueError(f"{name} has shape {shape}, the window {self.window.shape}")
        if pose is None or (self._time is not None and time < self._time):
            self.reset()
        self._pose = pose or Pose2D()
        self._fade(time)
        self._memory.follow(self._pose)
        known = (observation.state != UNKNOWN) & (observation.weight > 0)
        cells, seen = self._memory.touched(known, self._pose)
        state = observation.state.ravel().take(seen)
        classes = observation.classes.ravel().take(seen).astype(np.intp)
        weight = observation.weight.ravel().take(seen)
        kinds = self._kinds.take(state * np.intp(_CLASS_VALUES) + classes)
        self._add_occupancy(cells, kinds, weight)
        channels = self._channels.take(classes)
        if (channels < 0).any():
            named = channels >= 0
            cells, kinds, channels, weight = (v[named] for v in (cells, kinds, channels, weight))
        self._add_classes(cells, kinds, channels, weight)

    def _fade(self, time: float) -> None:
        age = 0.0 if self._time is None else time - self._time
        self._time = time
        half_lives = np.array([self.options.static_half_life, self.options.dynamic_half_life])
        # What is older than that is nothing in float32.
        self._growth *= np.exp2(np.minimum(age / half_lives, 60)).astype(np.float32)
        for rate in np.flatnonzero(self._growth > _LARGEST_GROWTH):
            shrink = 1 / self._growth[rate]
            self._log_odds.view(np.float32)[rate::2] *= shrink
            self._counts[self.labels.is_thing == (rate == _DYNAMIC)] *= shrink
            self._best_count[[_MOVING] if rate == _DYNAMIC else [_GROUND, _OBSTACLE]] *= shrink
            self._growth[rate] = 1

    def _add_occupancy(self, cells: np.ndarray, kinds: np.ndarray, weight: np.ndarray) -> None:
        limit = np.float32(self.options.max_log_odds)
        log_odds = self._log_odds_of(cells)
        stored = np.empty(len(cells), np.complex64)
        least = np.array([-limit, 0], np.float32)
        for rate, (term, gain) in enumerate(zip(log_odds, self._gains, strict=True)):
            term += gain.take(kinds) * weight
            np.clip(term, least[rate], limit, out=term)
            stored.view(np.float32)[rate::2] = term * self._growth[rate]
        self._log_odds[cells] = stored

    def _log_odds_of(self, cells: np.ndarray) -> np.ndarray:
        """Return the static and the dynamic log-odds of cells, of any shape, float32 [2, ...]."""
        stored = self._log_odds.take(cells).view(np.float32).reshape(*cells.shape, 2)
        growth = self._growth.reshape(2, *[1] * cells.ndim)
        return np.divide(np.moveaxis(stored, -1, 0), growth, order="C")

    def _add_classes(
        self, cells: np.ndarray, kinds: np.ndarray, channels: np.ndarray, weight: np.ndarray
    ) -> None:
        counts, best = self._counts.reshape(-1), self._best_count.reshape(-1)
        places = channels * self._counts.shape[1] + cells
        total = counts.take(places)
        total += self._growth.take((_STATIC, _STATIC, _DYNAMIC)).take(kinds) * weight
        counts[places] = total
        # Counts of a kind fade alike: its best class can only change when another is seen.
        places = kinds * self._best_count.shape[1] + cells
        better = np.flatnonzero(total >= best.take(places))
        best[places.take(better)] = total.take(better)
        places = 4 * cells.take(better) + kinds.take(better)
        ids = self.labels.ids.astype(np.uint8)
        self._best_class.view(np.uint8)[places] = ids.take(channels.take(better))

    def layers(self, *, class_probabilities: bool = False) -> GridLayers:
        """Return the window at the last pose, looked up in the memory.

        class_probabilities: whether to return these as well; they cost the most.
        """
        # OpenCV chooses by a mask, in place, in a fraction of the time of np.where.
        places = self._memory.places(self._pose)
        static, dynamic = self._log_odds_of(places)
        least = np.float32(self.options.min_log_odds)
        moves = dynamic > np.maximum(static, least)
        moves = moves.view(np.uint8)
        log_odds = cv2.copyTo(dynamic, moves, static)
        known = np.abs(log_odds) > least
        log_odds *= known
        probability = 1 / (1 + np.exp(-log_odds))
        best = self._best_class.take(places).view(np.uint8).reshape(*places.shape, 4)
        planes = cv2.split(best)
        ground, obstacle = planes[_GROUND], cv2.copyTo(planes[_MOVING], moves, planes[_OBSTACLE])
        cost = probability * cv2.LUT(obstacle, self._costs)
        cost += (1 - probability) * cv2.LUT(ground, self._ground_costs)
        classes = cv2.copyTo(obstacle, (log_odds > 0).view(np.uint8), ground)
        return GridLayers(
            occupancy=_percent(100 * probability, known),
            probability=probability,
            classes=classes * known,
            cost=_percent(cost, known),
            class_probabilities=self._class_probabilities(places) if class_probabilities else None,
        )

    def _class_probabilities(self, places: np.ndarray) -> np.ndarray:
        """Return the mean of each cell's Dirichlet distribution, float32 [C, ny, nx]."""
        growth = self._growth[self.labels.is_thing.view(np.uint8)]
        counts = np.stack([c.take(places) / g for c, g in zip(self._counts, growth, strict=True)])
        counts += np.float32(self.options.class_prior)
        return counts / counts.sum(axis=0)


def _percent(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return values of 0..100 as whole numbers, int8, UNKNOWN_CELL where not known."""
    # One more, so that unknown is 0 until the end; half of one rounds.
    percent = (values + np.float32(1.5)).astype(np.int8)
    percent *= known
    percent += UNKNOWN_CELL
    return percent
