"""What one label image says about the ground."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

UNKNOWN, FREE, OCCUPIED = -1, 0, 1


class Sight(IntEnum):
    """Say how a camera looks at a cell, with the values of SemanticGrid.msg's unknown_reason.

    KNOWN is of a cell that is not unknown, whatever the camera sees of it now.
    """

    KNOWN = 0
    OUT_OF_VIEW = 1
    HIDDEN = 2
    TOO_COARSE = 3
    NEVER_SEEN = 4


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
    ids: int32, the label image's value where occupied, else 0; sight: uint8, how the camera
    looks at the cell: NEVER_SEEN is in view and not hidden.
    """

    state: np.ndarray
    classes: np.ndarray
    weight: np.ndarray
    instances: list[GroundInstance]
    ids: np.ndarray
    sight: np.ndarray
