"""What the tracker says about one object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from panoptic_ros.tracking.box_tracks import TrackedBox


@dataclass(frozen=True)
class Track:
    """Describe an object that lasts over frames, at the time of one of them.

    track_id: from 1 on, never given twice; instance_id: its value in this frame's label image,
    0 while coasting; class_id: label id; score: of the last sighting, 0..1.
    box: (x0, y0, x1, y1) in pixels, the ends exclusive: the mask's, or the expected one while
    coasting, which may reach out of the image.
    position: x, y of its visible contact edge in `odom`, metres; velocity: m/s in `odom`;
    covariance: float64 [4, 4] of (x, y, vx, vy); all None for what was never placed.
    bearing: direction of the line of sight to it in `odom`, radians, when it was placed last;
    width: across that line, metres; height: metres; elevation: of the ground where it stood
    then, metres, the third coordinate of the position; None where unknown.
    age: seconds since the first sighting; coasting: not seen in this frame.
    box_3d: its box where depth or points have shown it, else None; in `odom`, or, where the view
    has no pose, in base_link.
    """

    track_id: int
    instance_id: int
    class_id: int
    score: float
    box: tuple[float, float, float, float]
    position: tuple[float, float] | None
    velocity: tuple[float, float] | None
    covariance: np.ndarray | None
    bearing: float | None
    width: float | None
    height: float | None
    elevation: float | None
    age: float
    coasting: bool
    box_3d: TrackedBox | None = None
