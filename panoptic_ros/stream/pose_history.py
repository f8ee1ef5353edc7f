"""The vehicle's poses of the last seconds, interpolated between measurements."""

from __future__ import annotations

import math
import threading
from bisect import bisect_left
from collections import deque

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.stream.stamps import StampMonitor

LENGTH_NS = 10_000_000_000


class PoseHistory:
    """Keep the poses of the last ten seconds. Safe across threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stamps = StampMonitor()
        self._times: deque[int] = deque()
        self._poses: deque[Pose2D] = deque()

    def add(self, time_ns: int, pose: Pose2D) -> None:
        """Keep a measurement.

        One that is not newer than the last is passed over, but for one of more than a second
        before: time has started again then, and the history with it.
        """
        with self._lock:
            if self._stamps.step_back(time_ns) is not None:
                self._times.clear()
                self._poses.clear()
            elif self._times and time_ns <= self._times[-1]:
                return
            self._times.append(time_ns)
            self._poses.append(pose)
            while self._times[0] < time_ns - LENGTH_NS:
                self._times.popleft()
                self._poses.popleft()

    def at(self, time_ns: int) -> Pose2D | None:
        """Return the pose at a time, interpolated; None outside of what was measured."""
        with self._lock:
            after = bisect_left(self._times, time_ns)
            if after == len(self._times):
                return None
            if self._times[after] == time_ns:
                return self._poses[after]
            if after == 0:
                return None
            times = self._times[after - 1], self._times[after]
            poses = self._poses[after - 1], self._poses[after]
        return _between(*poses, (time_ns - times[0]) / (times[1] - times[0]))


def _between(a: Pose2D, b: Pose2D, share: float) -> Pose2D:
    turn = math.remainder(b.yaw - a.yaw, math.tau)
    return Pose2D(
        a.x + share * (b.x - a.x),
        a.y + share * (b.y - a.y),
        math.remainder(a.yaw + share * turn, math.tau),
    )
