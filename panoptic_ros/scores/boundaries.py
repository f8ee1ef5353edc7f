"""Boundaries of segments: what boundary IoU and boundary PQ compare.

Source: Cheng et al. 2021, "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation",
and the rules of its boundary-iou-api.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from panoptic_ros.scores.overlaps import Overlaps, overlaps
from panoptic_ros.scores.segments import VOID

# The boundary's width as a share of the image's diagonal.
DILATION = 0.02


def boundary_width(shape: tuple[int, int]) -> int:
    """Return how many pixels from its edge a segment's boundary reaches, >= 1."""
    return max(1, round(DILATION * math.hypot(*shape)))


def on_boundary(ids: np.ndarray) -> np.ndarray:
    """Return which pixels are within `boundary_width` of another segment or the image's edge.

    ids: integer [H, W]; bool [H, W]. Distances are those of squares (Chebyshev's).
    """
    width = boundary_width(ids.shape)
    present, index = np.unique(ids, return_inverse=True)
    if len(present) >= np.iinfo(np.uint16).max:
        raise ValueError(f"{len(present)} segments in one image are more than can be compared")
    # 0 is outside the image: every segment ends there.
    numbers = (index.reshape(ids.shape) + 1).astype(np.uint16)
    numbers = np.pad(numbers, width)
    square = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    inside = cv2.erode(numbers, square) == cv2.dilate(numbers, square)
    return ~inside[width:-width, width:-width]


def boundary_overlaps(truth: np.ndarray, prediction: np.ndarray) -> Overlaps:
    """Return the overlaps of the boundaries of two images of segment ids, integer [H, W] both.

    What is inside a segment has an id that none has; void (0) stays void.
    """
    return overlaps(_boundaries(truth), _boundaries(prediction))


def _boundaries(ids: np.ndarray) -> np.ndarray:
    ids = ids.astype(np.int64)
    inner = ~on_boundary(ids) & (ids != VOID)
    return np.where(inner, ids.max(initial=0) + 1, ids)
