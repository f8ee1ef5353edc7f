"""What one label image says about the ground."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

UNKNOWN, FREE, OCCUPIED = -1, 0, 1


@dataclass(frozen=True)
class GroundInstance:
    """Place one instance on the ground, in base_link.

    id: its value in the label image; class_id: label id; position: x, y of the visible contact
    edge's middle, metres; width: of that edge, across the line of sight, metres;
    covariance: of the position, float [2, 2], square metres; elevation: of the ground there,
    metres, the third coordinate of the position.
    """

    id: int
    class_id: int
    position: tuple[float, float]
    width: float
    covariance: np.ndarray
    elevation: float = 0.0


@dataclass(frozen=True)
class GroundObservation:
    """Hold what one image shows of a window, all [ny, nx].

    state: int8, -1 unknown, 0 free, 1 occupied; classes: uint8, label id, 0 where unknown;
    weight: float32, 0 (unknown) to 1, certainty: falls with the ground that a pixel covers.
    """

    state: np.ndarray
    classes: np.ndarray
    weight: np.ndarray
    instances: list[GroundInstance]
