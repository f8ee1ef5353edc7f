"""What a viewer shows of tracks: boxes in `odom`, names, velocities."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.grids import TrackMarker
from panoptic_ros.tracking.track import Track
from panoptic_ros.visualization import instance_color

# A resting object's velocity passes for moving once in a hundred times (chi-square, 2 degrees).
_MOVES = 9.21
_SEEN_ALPHA, _COASTING_ALPHA = 0.7, 0.3


def track_markers(tracks: Iterable[Track], labels: LabelSet) -> list[TrackMarker]:
    """Return a marker for each track that has a box or a place on the ground."""
    return [_marker(track, labels) for track in tracks if track.box_3d or track.position]


def _marker(track: Track, labels: LabelSet) -> TrackMarker:
    cls = labels[track.class_id]
    box = track.box_3d.cuboid if track.box_3d else _flat_box(track)
    velocity = track.velocity if _moves(track) else None
    speed = f" {math.hypot(*velocity):.1f} m/s" if velocity else ""
    red, green, blue = (c / 255 for c in instance_color(cls, track.track_id))
    return TrackMarker(
        track_id=track.track_id,
        text=f"{cls.name} {track.track_id}{speed}",
        color=(red, green, blue),
        alpha=_COASTING_ALPHA if track.coasting else _SEEN_ALPHA,
        center=box.center,
        size=box.size,
        yaw=box.yaw,
        velocity=velocity,
    )


def _flat_box(track: Track) -> Cuboid:
    """Return the box of a track that was placed only: what is measured there is all known."""
    width, bearing = track.width or 0.0, track.bearing or 0.0
    height = width if track.height is None else track.height
    # How far an object reaches back is not seen: no further than it is wide and high.
    depth = min(width, height)
    x, y = track.position or (math.nan, math.nan)
    center = (
        x + depth / 2 * math.cos(bearing),
        y + depth / 2 * math.sin(bearing),
        (track.elevation or 0.0) + height / 2,
    )
    return Cuboid(center, (depth, width, height), bearing)


def _moves(track: Track) -> bool:
    if track.velocity is None or track.covariance is None:
        return False
    velocity = np.array(track.velocity)
    return bool(velocity @ np.linalg.solve(track.covariance[2:, 2:], velocity) > _MOVES)
