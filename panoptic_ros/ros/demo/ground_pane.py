"""The viewer's last pane: the grid of all cameras from above, with the tracks and what moves."""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from nav_msgs.msg import OccupancyGrid, Odometry
from rclpy.node import Node
from rclpy.time import Time
from visualization_msgs.msg import Marker, MarkerArray

from panoptic_ros.geometry.poses import Pose2D, message_pose, planar_pose
from panoptic_ros.grid.bird_eye import MOTION_COLOR, Mark, draw
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import label_set
from panoptic_ros.messages.grids import TrackMarker
from panoptic_ros.msg import LabelInfo
from panoptic_ros.ros.conversions import LATCHED

if TYPE_CHECKING:
    from panoptic_ros.rerun_log import RerunLog

# The grid leaves the node right after the label image.
_WAIT_SECONDS = 2.0
_NEEDED = {"grid", "classes", "velocities", "pose"}
_Place = tuple[float, float]
_BOX, _VELOCITY = "tracks/box", "tracks/velocity"
# What a track's name ends with where it moves: the arrows show it.
_SPEED = re.compile(r" [\d.]+ m/s$")


class GroundPane:
    """Collect grids, tracks and poses by stamp and draw those of a frame.

    Of the tracks those of each camera's newest frame are shown.
    """

    def __init__(self, node: Node, cameras: Sequence[str]) -> None:
        self._arrival = threading.Condition()
        self._messages: dict[int, dict[str, Any]] = {}
        self._tracks: dict[str, list[Marker]] = {}
        self._label_set = ""
        self._blank: np.ndarray | None = None
        for key, topic, kind, qos in (
            ("grid", "panoptic/grid", OccupancyGrid, 10),
            ("classes", "panoptic/class_grid", OccupancyGrid, 10),
            ("velocities", "panoptic/grid_velocities", MarkerArray, 10),
            ("pose", "odom", Odometry, 10),
        ):
            node.create_subscription(kind, topic, lambda m, k=key: self._keep(k, m), qos)
        for camera in cameras:
            keep = partial(self._tracks.__setitem__, camera)
            topic = f"panoptic/{camera}/markers"
            node.create_subscription(MarkerArray, topic, lambda m, k=keep: k(m.markers), 10)
        node.create_subscription(LabelInfo, "panoptic/label_info", self._on_labels, LATCHED)

    def picture(self, stamp_ns: int, log: RerunLog | None = None) -> np.ndarray | None:
        """Return the ground at a stamp, uint8 [h, w, 3] RGB, waiting for it if need be.

        log: records it in its frame, too. Where there is none a grey picture takes its place,
        so that a film's pictures all have one size; None before the first grid.
        """
        with self._arrival:
            complete = self._arrival.wait_for(lambda: self._is_complete(stamp_ns), _WAIT_SECONDS)
            parts = dict(self._messages.get(stamp_ns, {}))
            self._messages = {s: m for s, m in self._messages.items() if s > stamp_ns}
        if not complete:
            return self._blank
        cells, window, pose = _cells(parts["grid"]), _window(parts["grid"]), _pose(parts["pose"])
        tracks = _tracks([m for markers in list(self._tracks.values()) for m in markers])
        moving = _moving(parts["velocities"].markers)
        if log is not None:
            log.add_ground(pose, cells, window, tracks, moving)
        arrows = (Mark(*way, "", MOTION_COLOR) for way in zip(*moving, strict=True))
        marks = [*_marks(tracks, pose.inverse()), *arrows]
        classes, labels = _cells(parts["classes"]), label_set(self._label_set)
        picture = draw(cells, classes, labels, window, marks)
        self._blank = np.full_like(picture, 128)
        return picture

    def _on_labels(self, message: LabelInfo) -> None:
        self._label_set = message.label_set

    def _keep(self, key: str, message: Any) -> None:
        headers = message.markers if isinstance(message, MarkerArray) else [message]
        if not headers:
            return
        stamp = Time.from_msg(headers[0].header.stamp).nanoseconds
        with self._arrival:
            self._messages.setdefault(stamp, {})[key] = message
            self._arrival.notify_all()

    def _is_complete(self, stamp_ns: int) -> bool:
        parts = self._messages.get(stamp_ns, {})
        return bool(self._label_set) and parts.keys() >= _NEEDED


def _cells(message: OccupancyGrid) -> np.ndarray:
    cells = np.frombuffer(message.data, np.int8)
    return cells.reshape(message.info.height, message.info.width)


def _window(message: OccupancyGrid) -> GridWindow:
    info, corner = message.info, message.info.origin.position
    # The resolution is a float32 in the message.
    resolution = round(info.resolution, 6)
    return GridWindow(
        corner.x, corner.y, info.width * resolution, info.height * resolution, resolution
    )


def _pose(message: Odometry) -> Pose2D:
    return planar_pose(message_pose(message.pose.pose.position, message.pose.pose.orientation))


def _tracks(markers: list[Marker]) -> list[TrackMarker]:
    """Return the tracks in odom."""
    shown = [m for m in markers if m.action == Marker.ADD]
    names = {m.id: m.text for m in shown if m.text}
    ways = {m.id: [_xy(point) for point in m.points] for m in shown if m.ns == _VELOCITY}
    return [
        TrackMarker(
            track_id=box.id,
            text=names.get(box.id, ""),
            color=(box.color.r, box.color.g, box.color.b),
            alpha=box.color.a,
            center=(*_xy(box.pose.position), box.pose.position.z),
            size=(box.scale.x, box.scale.y, box.scale.z),
            yaw=2 * math.atan2(box.pose.orientation.z, box.pose.orientation.w),
            velocity=_way(*ways[box.id]) if box.id in ways else None,
        )
        for box in shown
        if box.ns == _BOX
    ]


def _way(here: tuple[float, float], there: tuple[float, float]) -> tuple[float, float]:
    return there[0] - here[0], there[1] - here[1]


def _marks(tracks: list[TrackMarker], to_base: Pose2D) -> list[Mark]:
    """Return the tracks in base_link; to_base: odom in base_link."""
    marks = []
    for track in tracks:
        x, y = to_base.apply(np.array(track.center[:2])).tolist()
        red, green, blue = (round(255 * value) for value in track.color)
        marks.append(Mark((x, y), (0.0, 0.0), _SPEED.sub("", track.text), (red, green, blue)))
    return marks


def _moving(markers: list[Marker]) -> tuple[list[_Place], list[_Place]]:
    """Return places and velocities in the grid, in base_link."""
    ways = [[_xy(point) for point in m.points] for m in markers if m.action == Marker.ADD]
    return [here for here, _ in ways], [_way(here, there) for here, there in ways]


def _xy(point: Any) -> tuple[float, float]:
    return point.x, point.y
