"""Accuracy of what moves in a grid: its cells, their velocities, and where they are a second on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial import cKDTree

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.layers import DynamicLayers
from panoptic_ros.scores.grid_accuracy import Box, GroundTruth

MOTION_RANGE = 25.0
"""Metres from the camera's foot up to which cells that move are scored."""
MOTION_TOLERANCE = 1.0
"""Metres between a cell and an object that it is taken to be of: a contact's error at 20 m."""
PREDICTION_SECONDS = 1.0
"""How far ahead occupancy is predicted."""
MOVING_SPEED = 0.5
"""Speed from which on an object counts as moving, m/s."""


@dataclass
class Agreement:
    """Count what was said and how much of it is true, what is true and how much was said."""

    said: int = 0
    right: int = 0
    true: int = 0
    found: int = 0

    def add(self, right: np.ndarray, found: np.ndarray) -> None:
        """Count what was said, bool [N], and what is true, bool [M]."""
        self.said += len(right)
        self.right += int(right.sum())
        self.true += len(found)
        self.found += int(found.sum())

    @property
    def precision(self) -> float | None:
        """Share of what was said that is true; None where nothing was."""
        return self.right / self.said if self.said else None

    @property
    def recall(self) -> float | None:
        """Share of what is true that was said; None where nothing is."""
        return self.found / self.true if self.true else None

    @property
    def f1(self) -> float | None:
        """Harmonic mean of precision and recall; None without what is true."""
        if self.recall is None:
            return None
        both = (self.precision or 0.0) + self.recall
        return 2 * (self.precision or 0.0) * self.recall / both if both else 0.0


@dataclass(frozen=True)
class MovingCells:
    """Hold, of one frame, points [N, 2] in base_link, metres, up to MOTION_RANGE.

    called: centres of the cells that the grid calls dynamic; velocities: float [N, 2], theirs,
    m/s; shown: centres of the cells that the camera sees of objects that truly move;
    shown_of: whose each is, keys of the truth's boxes.
    """

    called: np.ndarray
    velocities: np.ndarray
    shown: np.ndarray
    shown_of: np.ndarray

    @classmethod
    def of(cls, layers: DynamicLayers, truth: GroundTruth, centers: np.ndarray) -> MovingCells:
        """Pick the cells of a frame; centers: float [ny, nx, 2], metres."""
        near = truth.distance <= MOTION_RANGE
        called = near & np.isfinite(layers.velocity[0])
        seen = centers[near & truth.visible & truth.occupied]
        ids, gaps = _nearest(seen, _moving(truth))
        # A cell is as wide as that: its centre may lie beside the outline.
        own = gaps <= np.ptp(centers[0, :2, 0])
        return cls(centers[called], layers.velocity[:, called].T, seen[own], ids[own])


@dataclass
class MotionScore:
    """Score what moves, frame by frame.

    moving: cells that are called dynamic are right within MOTION_TOLERANCE of an object that
    moves; cells that the camera sees of such objects are found within it of a called one.
    velocity_errors: m/s, of called cells at vehicles that move. predicted, still: the same
    PREDICTION_SECONDS later, with the called cells moved by their velocities and left in place.
    """

    moving: Agreement = field(default_factory=Agreement)
    predicted: Agreement = field(default_factory=Agreement)
    still: Agreement = field(default_factory=Agreement)
    velocity_errors: list[float] = field(default_factory=list)

    def add(self, cells: MovingCells, truth: GroundTruth) -> None:
        """Score the cells and velocities of one frame."""
        boxes = _moving(truth)
        ids, gaps = _nearest(cells.called, boxes)
        right = gaps <= MOTION_TOLERANCE
        self.moving.add(right, _near(cells.shown, cells.called))
        for box_id, velocity in zip(ids[right].tolist(), cells.velocities[right], strict=True):
            if boxes[box_id].is_vehicle:
                error = np.subtract(velocity, boxes[box_id].velocity)
                self.velocity_errors.append(float(np.hypot(*error)))

    def add_prediction(
        self, cells: MovingCells, truth: GroundTruth, later: GroundTruth, motion: Pose2D
    ) -> None:
        """Score where a frame's cells are PREDICTION_SECONDS later.

        later: the truth then; motion: base_link then in base_link now.
        """
        boxes, back = _moving(later), motion.inverse()
        there = [
            _carried(point, truth.boxes[box_id], later.boxes[box_id])
            for point, box_id in zip(cells.shown, cells.shown_of.tolist(), strict=True)
            if box_id in later.boxes
        ]
        true = np.array(there).reshape(-1, 2)
        moved = cells.called + PREDICTION_SECONDS * cells.velocities
        for agreement, points in ((self.predicted, moved), (self.still, cells.called)):
            expected = back.apply(points)
            right = _nearest(expected, boxes)[1] <= MOTION_TOLERANCE
            agreement.add(right, _near(true, expected))

    def results(self) -> dict[str, float | int | None]:
        """Return the scores, 0..1 and m/s (median); None where nothing was there to score."""
        errors = self.velocity_errors
        return {
            "moving_precision": self.moving.precision,
            "moving_recall": self.moving.recall,
            "moving_f1": self.moving.f1,
            "velocity_error_m_s": float(np.median(errors)) if errors else None,
            "velocity_cells": len(errors),
            "predicted_f1": self.predicted.f1,
            "still_f1": self.still.f1,
        }


def _moving(truth: GroundTruth) -> dict[int, Box]:
    return {i: b for i, b in truth.boxes.items() if np.hypot(*b.velocity) > MOVING_SPEED}


def _nearest(points: np.ndarray, boxes: dict[int, Box]) -> tuple[np.ndarray, np.ndarray]:
    """Return the key of the box nearest to each point [N, 2], and the gap, metres, inf for none."""
    if not boxes or not len(points):
        return np.zeros(len(points), int), np.full(len(points), np.inf)
    gaps = np.stack([box.gaps(points) for box in boxes.values()])
    return np.array(list(boxes))[gaps.argmin(axis=0)], gaps.min(axis=0)


def _near(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return which points [N, 2] have one of the others [M, 2] within MOTION_TOLERANCE."""
    if not len(points) or not len(others):
        return np.zeros(len(points), bool)
    found: np.ndarray = cKDTree(others).query(points)[0] <= MOTION_TOLERANCE
    return found


def _carried(point: np.ndarray, before: Box, after: Box) -> np.ndarray:
    """Return where a point of an object is once its box has moved, each in its own frame."""
    old, new = (Pose2D(*box.center, box.yaw) for box in (before, after))
    return new.compose(old.inverse()).apply(point)


def second_later(times_ns: Sequence[int]) -> dict[int, int]:
    """Return, for each frame that has one, the frame PREDICTION_SECONDS later, by index."""
    index = {time: number for number, time in enumerate(times_ns)}
    ahead = round(PREDICTION_SECONDS * 1e9)
    return {n: index[time + ahead] for n, time in enumerate(times_ns) if time + ahead in index}
