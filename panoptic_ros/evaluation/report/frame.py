"""A frame that a report shows: what the camera saw, the truth and what was predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True)
class ReportFrame:
    """Hold one of the best or worst frames of a fusion strategy.

    pq: the frame's own panoptic quality, 0..1; image: uint8 [H, W, 3], RGB; truth and
    prediction: integer [H, W], class_id or class_id * 1000 + n, 0 void or unlabeled; in the
    truth a thing class's plain id is a group, a class outside the label set is void.
    """

    name: str
    fusion: str
    rank: Literal["best", "worst"]
    pq: float
    image: np.ndarray
    truth: np.ndarray
    prediction: np.ndarray
