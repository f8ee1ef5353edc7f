"""Accuracy of free space, contacts and hidden cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from panoptic_ros.grid.observation import FREE, GroundObservation
from panoptic_ros.labels import INSTANCE_DIVISOR

FREE_RANGE = 30.0
"""Metres from the camera's foot up to which cells are scored."""
CONTACT_RANGE = 20.0
"""Metres from the camera's foot up to which objects' contacts are scored."""
# As in panoptic quality: at most one true object can have that much of a mask.
_MATCHING_IOU = 0.5


@dataclass(frozen=True)
class Box:
    """Describe an object's outline on the ground in base_link.

    center: x, y, metres; size: length, width, metres; yaw: radians; velocity: over the ground,
    m/s; is_vehicle: whether it is a thing but no person.
    """

    center: tuple[float, float]
    size: tuple[float, float]
    yaw: float
    velocity: tuple[float, float] = (0.0, 0.0)
    is_vehicle: bool = False

    def distance(self, point: Sequence[float]) -> float:
        """Return how far a point is from the outline, inside or outside, metres."""
        beyond = self._beyond(np.asarray(point))
        return self.gap(point) if beyond.max() > 0 else float(-beyond.max())

    def gap(self, point: Sequence[float]) -> float:
        """Return how far a point is from the outline's inside, metres; 0 within."""
        return float(self.gaps(np.asarray(point)))

    def gaps(self, points: np.ndarray) -> np.ndarray:
        """Return how far points [..., 2] are from the outline's inside, metres, [...]."""
        return np.hypot(*np.moveaxis(np.maximum(self._beyond(points), 0), -1, 0))

    def _beyond(self, points: np.ndarray) -> np.ndarray:
        """Return how far points lie beyond the ends and the sides, [..., 2], negative within."""
        c, s = np.cos(self.yaw), np.sin(self.yaw)
        x, y = np.moveaxis(points - np.array(self.center), -1, 0)
        return np.abs(np.stack([c * x + s * y, c * y - s * x], -1)) - np.array(self.size) / 2


@dataclass(frozen=True)
class GroundTruth:
    """Hold the truth of a window's cells, bool [ny, nx] where not said, and objects' outlines.

    classes: uint8, label id of what stands there, else of the ground; occupied: something
    stands there; visible: in the picture, and nothing stands in the line of sight to its
    ground; hidden: in the picture, and something does. distance: float [ny, nx], metres from
    the ground below the camera. boxes: by the value in the true label image.
    """

    classes: np.ndarray
    occupied: np.ndarray
    visible: np.ndarray
    hidden: np.ndarray
    distance: np.ndarray
    boxes: Mapping[int, Box]


@dataclass
class FreeSpace:
    """Count cells: both free (tp), free but not truly (fp), truly free but not told so (fn)."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def add(self, free: np.ndarray, truly_free: np.ndarray) -> None:
        """Count cells, bool [N] each."""
        self.tp += int((free & truly_free).sum())
        self.fp += int((free & ~truly_free).sum())
        self.fn += int((~free & truly_free).sum())

    @property
    def iou(self) -> float | None:
        """Intersection over union, 0..1; None where no cell was free in either."""
        union = self.tp + self.fp + self.fn
        return self.tp / union if union else None


@dataclass
class GroundScore:
    """Score observations frame by frame.

    free: over cells that the camera sees, up to FREE_RANGE. Of the cells in the picture that
    something hides and on which nothing stands, hidden were there and hidden_free marked free,
    up to FREE_RANGE. contact_errors: metres from the placed contact of an instance to the
    outline of its object, for objects whose nearest point is within CONTACT_RANGE.
    """

    free: FreeSpace = field(default_factory=FreeSpace)
    hidden: int = 0
    hidden_free: int = 0
    contact_errors: list[float] = field(default_factory=list)

    def add(
        self,
        observation: GroundObservation,
        truth: GroundTruth,
        labels: np.ndarray,
        true_labels: np.ndarray,
        foot: np.ndarray,
    ) -> None:
        """Score one frame.

        labels, true_labels: label images [H, W]; foot: x, y of the camera in base_link.
        """
        near = truth.distance <= FREE_RANGE
        seen = truth.visible & near
        free = observation.state == FREE
        self.free.add(free[seen], ~truth.occupied[seen])
        hidden = truth.hidden & near & ~truth.occupied
        self.hidden += int(hidden.sum())
        self.hidden_free += int((free & hidden).sum())
        for instance in observation.instances:
            true_id = _matched(labels == instance.id, instance.class_id, true_labels)
            box = None if true_id is None else truth.boxes.get(true_id)
            if box is not None and box.gap(foot.tolist()) <= CONTACT_RANGE:
                self.contact_errors.append(box.distance(instance.position))

    def results(self) -> dict[str, float | int | None]:
        """Return free_iou and behind_free_rate, 0..1, contact_error_m (median), and contacts.

        None where nothing was there to score.
        """
        errors = self.contact_errors
        return {
            "free_iou": self.free.iou,
            "contact_error_m": float(np.median(errors)) if errors else None,
            "behind_free_rate": self.hidden_free / self.hidden if self.hidden else None,
            "contacts": len(errors),
        }


def _matched(mask: np.ndarray, class_id: int, true_labels: np.ndarray) -> int | None:
    """Return the true instance of the class whose mask agrees with a mask, None for none."""
    values, counts = np.unique(true_labels[mask], return_counts=True)
    own = values // INSTANCE_DIVISOR == class_id
    if not own.any():
        return None
    value = values[own][counts[own].argmax()]
    common = counts[own].max()
    union = mask.sum() + (true_labels == value).sum() - common
    return int(value) if common / union > _MATCHING_IOU else None
