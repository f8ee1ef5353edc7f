"""Recorded TF and odometry as a tree of frames, interpolated at any time."""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from typing import Any

import numpy as np

from panoptic_ros.geometry.poses import rigid_transform, rotation_matrix
from panoptic_ros.stream.stamps import StampMonitor

# Limits the search, which a loop would make endless.
_MOST_FRAMES = 100


class TransformTree:
    """Keep the pose of each frame in its parent, for one time (static) or over time.

    A frame that gets another parent forgets the poses in the first one. Where a frame's stamps go
    back, as of a simulator that is reset, the log times say which poses count. ROS 1's leading
    slash of a frame's name says nothing.
    """

    def __init__(self) -> None:
        self._edges: dict[str, _Edge] = {}

    def add(
        self, parent: str, child: str, time_ns: int | None, place: Any, turn: Any, log_ns: int = 0
    ) -> None:
        """Note a pose: x, y, z in metres and x, y, z, w; time_ns None: for all times.

        log_ns: does not fall from one to the next. Raise ValueError for numbers that are no pose,
        and for frames that tf2 does not take.
        """
        pose = (place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w)
        if not all(map(math.isfinite, pose)):
            raise ValueError(f"pose of {child!r} in {parent!r} is {pose}; it must be finite")
        rotation_matrix(pose[3:])
        parent, child = parent.lstrip("/"), child.lstrip("/")
        if parent == child or not (parent and child):
            raise ValueError(f"pose of {child!r} in {parent!r}: two frames must be named")
        edge = self._edges.get(child)
        if edge is None or edge.parent != parent:
            edge = self._edges[child] = _Edge(parent)
        edge.add(time_ns, pose, log_ns)

    def connects(self, target: str, source: str) -> bool:
        """Return whether transforms lead from one frame to the other, at any time."""
        return self._common(target, source) is not None

    def lookup(self, target: str, source: str, time_ns: int, log_ns: int = 0) -> np.ndarray:
        """Return target_from_source at a time, float64 [4, 4]; raise LookupError.

        log_ns: when it was recorded that something is of this time.
        """
        common = self._common(target, source)
        if common is None:
            raise LookupError(f"no transform from {source!r} to {target!r}")
        up, down = (self._chain(self._above(f), common, time_ns, log_ns) for f in (source, target))
        return np.linalg.inv(down) @ up

    def _common(self, target: str, source: str) -> str | None:
        """Return the nearest frame above both."""
        above_target = self._above(target)
        # In a circle, too, which tf2 does not notice on this way.
        if above_target[0] in (above_source := self._above(source)):
            return above_target[0]
        return next((frame for frame in above_source if frame in above_target), None)

    def _above(self, frame: str) -> list[str]:
        """Return a frame and those above it."""
        frames = [frame.lstrip("/")]
        while (edge := self._edges.get(frames[-1])) and len(frames) < _MOST_FRAMES:
            frames.append(edge.parent)
        return frames

    def _chain(self, frames: list[str], last: str, time_ns: int, log_ns: int) -> np.ndarray:
        """Return the transform from the first of some frames, each above the one before, to one."""
        matrix = np.eye(4)
        for frame in frames[: frames.index(last)]:
            try:
                matrix = self._edges[frame].at(time_ns, log_ns) @ matrix
            except LookupError as error:
                raise LookupError(f"no transform from {frame!r}: {error}") from None
        return matrix


class _Edge:
    """Hold a frame's poses in its parent."""

    def __init__(self, parent: str) -> None:
        self.parent = parent
        self._static: np.ndarray | None = None
        self._stamps = StampMonitor()
        self._runs: list[_Run] = []

    def add(self, time_ns: int | None, pose: tuple[float, ...], log_ns: int) -> None:
        if time_ns is None:
            self._static = _matrix(np.array(pose))
            return
        if self._stamps.step_back(time_ns) is not None or not self._runs:
            self._runs.append(_Run(log_ns))
        self._runs[-1].add(time_ns, pose)

    def at(self, time_ns: int, log_ns: int) -> np.ndarray:
        """Return the pose at a time; raise LookupError."""
        if self._static is not None:
            return self._static
        begun = bisect_right(self._runs, log_ns, key=lambda run: run.begin_ns)
        return self._runs[max(begun - 1, 0)].at(time_ns)


class _Run:
    """Hold poses whose stamps do not go back; begin_ns: log time of the first."""

    def __init__(self, begin_ns: int) -> None:
        self.begin_ns = begin_ns
        self._times, self._poses = array("q"), array("d")
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, time_ns: int, pose: tuple[float, ...]) -> None:
        self._times.append(time_ns)
        self._poses.extend(pose)
        self._sorted = None

    def at(self, time_ns: int) -> np.ndarray:
        """Return the pose at a time, between two as a rigid body moves; raise LookupError."""
        if self._sorted is None:
            times = np.array(self._times, np.int64)
            order = np.argsort(times, kind="stable")
            self._sorted = times[order], np.array(self._poses).reshape(-1, 7)[order]
        times, poses = self._sorted
        after = int(np.searchsorted(times, time_ns))
        if after < len(times) and times[after] == time_ns:
            return _matrix(poses[after])
        if not 0 < after < len(times):
            raise LookupError(
                f"{time_ns / 1e9:.3f} s is outside of what was recorded, "
                f"{times[0] / 1e9:.3f} to {times[-1] / 1e9:.3f} s"
            )
        share = (time_ns - times[after - 1]) / (times[after] - times[after - 1])
        return _matrix(_between(poses[after - 1], poses[after], share))


def _matrix(pose: np.ndarray) -> np.ndarray:
    return rigid_transform(pose[:3].tolist(), rotation_matrix(pose[3:].tolist()))


def _between(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    """Return x, y, z on the line between two poses, and the turn on the shortest arc."""
    a, b = (pose[3:] / np.linalg.norm(pose[3:]) for pose in (first, second))
    cosine = float(a @ b)
    if cosine < 0:
        b, cosine = -b, -cosine
    angle = math.acos(min(cosine, 1.0))
    # Near zero the sines are the shares.
    if angle > 1e-6:
        turn = math.sin((1 - share) * angle) * a + math.sin(share * angle) * b
    else:
        turn = (1 - share) * a + share * b
    place = (1 - share) * first[:3] + share * second[:3]
    return np.concatenate([place, turn / np.linalg.norm(turn)])
