"""Where a vehicle was, by its odometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from panoptic_ros.geometry.poses import (
    Pose2D,
    is_same_frame,
    planar_pose,
    rigid_transform,
    rotation_matrix,
)
from panoptic_ros.stream.stamps import LONGEST_GAP_NS, PoseHistory, nanoseconds


class EgoMotion:
    """Keep where base_frame was, by nav_msgs/Odometry of it or of a frame that is fixed to it.

    One thread adds messages, others may look up. frame: that the poses are in, at first
    odom_frame, then odometry's; is_known: there was odometry that could be used; is_refused: there
    was some that could not.
    """

    def __init__(self, base_frame: str, odom_frame: str) -> None:
        self._base_frame, self._odom_frame = base_frame, odom_frame
        self.frame = odom_frame
        self.is_known = self.is_refused = False
        self._poses = PoseHistory()

    def add(self, message: Any, base_from: Callable[[str], np.ndarray]) -> str:
        """Take a message. Return why it, or what came before it, is left out, else "".

        base_from: gives base_frame from another frame on the vehicle, float64 [4, 4]; it may raise
        LookupError or ValueError.
        """
        try:
            stamp_ns = nanoseconds(message.header.stamp)
            place = self._vehicle_pose(message, base_from)
        except (LookupError, ValueError) as error:
            self.is_refused = True
            return str(error)
        # RViz takes no frame with ROS 1's leading slash, and tracks are in this one.
        frame = message.header.frame_id.lstrip("/") or self._odom_frame
        reason = ""
        if self.is_known and frame != self.frame:
            # Places in two frames are no motion.
            self._poses.forget()
            reason = (
                f"its frame_id was {self.frame!r} and is {frame!r}: what came before is "
                "forgotten; are there two publishers?"
            )
        self.frame, self.is_known = frame, True
        self._poses.add(stamp_ns, place)
        return reason

    def at(self, stamp_ns: int) -> Pose2D | None:
        """Return the pose at a stamp, as `PoseHistory.at`."""
        return self._poses.at(stamp_ns)

    def _vehicle_pose(self, message: Any, base_from: Callable[[str], np.ndarray]) -> Pose2D:
        pose, frame, base = message.pose.pose, message.header.frame_id, self._base_frame
        place, turn = pose.position, pose.orientation
        matrix = rigid_transform(
            (place.x, place.y, place.z), rotation_matrix((turn.x, turn.y, turn.z, turn.w))
        )
        child = message.child_frame_id or base
        if frame and (is_same_frame(frame, base) or is_same_frame(frame, child)):
            raise ValueError(
                f"its frame_id is {frame!r} and its child_frame_id {child!r}: the first must be a "
                f"frame that {base!r} moves in, such as 'odom'; are they swapped?"
            )
        # Values that are not finite are named in the error, not by NumPy on stderr.
        with np.errstate(invalid="ignore", over="ignore"):
            return planar_pose(matrix @ np.linalg.inv(base_from(child)))


def no_odometry(topic: str) -> str:
    """Return the reason of a frame at whose stamp odometry of a topic gives no pose."""
    return (
        f"no odometry on {topic} around the image's stamp (messages that are more than "
        f"{LONGEST_GAP_NS / 1e9:g} s, or a jump, apart do not count)"
    )
