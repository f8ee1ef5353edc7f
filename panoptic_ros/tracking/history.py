"""What is remembered of a track between its sightings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.grid.observation import GroundInstance
from panoptic_ros.prediction import Segment
from panoptic_ros.tracking.camera_motion import View

# Weight of a new measurement of an object's size against the old ones.
_SIZE_GAIN = 0.2


@dataclass
class TrackHistory:
    """Hold a track's last sighting, the time of its first (s), its size and bearing."""

    segment: Segment
    first_time: float
    sightings: int = 0
    bearing: float | None = None
    width: float | None = None
    height: float | None = None

    def see(self, segment: Segment) -> None:
        """Take a sighting."""
        self.segment = segment
        self.sightings += 1

    def measure(self, sighting: GroundInstance, pose: Pose2D, view: View | None) -> None:
        """Take line of sight and size from where the last sighting stands on the ground."""
        x, y = sighting.position
        ahead, left = (0.0, 0.0) if view is None else view.foot
        self.bearing = math.remainder(pose.yaw + math.atan2(y - left, x - ahead), math.tau)
        self.width = _smoothed(self.width, sighting.width)
        if view is not None:
            _, y0, _, y1 = self.segment.box
            self.height = _smoothed(self.height, (y1 - y0) * view.depth(x, y) / view.focal_length)


def _smoothed(old: float | None, new: float) -> float:
    return new if old is None else old + _SIZE_GAIN * (new - old)
