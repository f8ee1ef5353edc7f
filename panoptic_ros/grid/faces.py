"""The faces of obstacles, from the contacts of neighbouring lines of sight."""

from __future__ import annotations

import numpy as np

# Neighbours of one class whose distances differ by a larger factor belong to two obstacles.
_SAME_FACE = 1.1


def trace_faces(
    xy: np.ndarray, distance: np.ndarray, value: np.ndarray, spacing: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return points along the faces of obstacles at most `spacing` metres apart.

    xy: float [C, 2], each line's contact; distance: float [C], inf where there is none; value:
    int [C], in the label image. A wall seen at a small angle meets the lines at long intervals:
    what lies between two contacts of one thing is its face.
    Return points float [P, 2] and the lines that they come from, intp [P].
    """
    placed = np.flatnonzero(np.isfinite(distance))
    if not len(placed):
        return np.zeros((0, 2)), placed
    after = np.minimum(placed + 1, len(distance) - 1)
    here, there = distance[placed], distance[after]
    joined = (value[placed] == value[after]) & (
        np.maximum(here, there) <= _SAME_FACE * np.minimum(here, there)
    )
    step = np.where(joined[:, None], xy[after] - xy[placed], 0.0)
    counts = np.maximum(np.ceil(np.hypot(step[:, 0], step[:, 1]) / spacing), 1).astype(np.intp)
    of = np.repeat(np.arange(len(placed)), counts)
    number = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    points = xy[placed[of]] + step[of] * (number / counts[of])[:, None]
    return points, placed[of]
