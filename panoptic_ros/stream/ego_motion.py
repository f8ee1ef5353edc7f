"""Where a vehicle was, by its odometry."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from panoptic_ros.geometry.poses import Pose2D, is_same_frame, jump, message_pose, planar_pose
from panoptic_ros.stream.stamps import StampMonitor, nanoseconds

_HISTORY_NS = 10_000_000_000
# Between poses farther apart a vehicle may have been anywhere.
LONGEST_GAP_NS = 2_000_000_000


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
        matrix = message_pose(pose.position, pose.orientation)
        child = message.child_frame_id or base
        if frame and (is_same_frame(frame, base) or is_same_frame(frame, child)):
            raise ValueError(
                f"its frame_id is {frame!r} and its child_frame_id {child!r}: the first must be a "
                f"frame that {base!r} moves in, such as 'odom'; are they swapped?"
            )
        # Values that are not finite are named in the error, not by NumPy on stderr.
        with np.errstate(invalid="ignore", over="ignore"):
            return planar_pose(matrix @ np.linalg.inv(base_from(child)))


class PoseHistory:
    """Keep a vehicle's poses of the last ten seconds, also between them. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps = StampMonitor()
        self._poses: deque[tuple[int, Pose2D]] = deque()

    def add(self, time_ns: int, pose: Pose2D) -> None:
        """Keep a measurement.

        One that is not newer than the last is passed over, but for one of more than a second
        before: time has started again then, and the history with it.
        """
        with self._lock:
            if self._stamps.step_back(time_ns) is not None:
                self._poses.clear()
            elif self._poses and time_ns <= self._poses[-1][0]:
                return
            self._poses.append((time_ns, pose))
            while self._poses[0][0] < time_ns - _HISTORY_NS:
                self._poses.popleft()

    def forget(self) -> None:
        """Forget all poses."""
        with self._lock:
            self._stamps = StampMonitor()
            self._poses.clear()

    def at(self, time_ns: int) -> Pose2D | None:
        """Return the pose at a time, interpolated; None outside of what was measured.

        None, too, between poses that are more than two seconds apart, or a `jump`.
        """
        with self._lock:
            after = bisect_left(self._poses, time_ns, key=lambda entry: entry[0])
            if after == len(self._poses):
                return None
            later_ns, later = self._poses[after]
            if later_ns == time_ns:
                return later
            if after == 0:
                return None
            before_ns, before = self._poses[after - 1]
        gap_ns = later_ns - before_ns
        if gap_ns > LONGEST_GAP_NS or jump(before, later, gap_ns / 1e9):
            return None
        return _between(before, later, (time_ns - before_ns) / gap_ns)


def no_odometry(topic: str) -> str:
    """Return the reason of a frame at whose stamp odometry of a topic gives no pose."""
    return (
        f"no odometry on {topic} around the image's stamp (messages that are more than "
        f"{LONGEST_GAP_NS / 1e9:g} s, or a jump, apart do not count)"
    )


def _between(a: Pose2D, b: Pose2D, share: float) -> Pose2D:
    turn = math.remainder(b.yaw - a.yaw, math.tau)
    return Pose2D(
        a.x + share * (b.x - a.x),
        a.y + share * (b.y - a.y),
        math.remainder(a.yaw + share * turn, math.tau),
    )
