"""What a bag holds besides the images: calibration, poses, depth and points of each frame."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from panoptic_ros.bags import (
    CAMERA_INFO,
    CLOUD,
    IMAGE,
    ODOMETRY,
    TF,
    BagMessage,
    BagReader,
    Entry,
    stamp_ns,
)
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.mounting import Mounting
from panoptic_ros.geometry.poses import Pose2D, is_same_frame, planar_pose
from panoptic_ros.messages.clouds import points_in_base
from panoptic_ros.messages.depth import depth_of_picture
from panoptic_ros.replay.transform_tree import TransformTree
from panoptic_ros.stream.ego_motion import LONGEST_GAP_NS, EgoMotion, no_odometry
from panoptic_ros.stream.stamps import nanoseconds

BASE_FRAME, ODOM_FRAME = "base_link", "odom"
_STATIC_TF = "tf_static"
# As the node does by default.
_MATCH_NS = 50_000_000
# How much later or earlier than its picture a measurement may have been logged.
_LOGGED_WITHIN_NS = 500_000_000


class GroundViews:
    """Look up calibration, mounting, ego motion, depth and points by a frame's stamp.

    Topics: the camera's CameraInfo, TF, the only Odometry (else TF from `odom` to `base_link`),
    the only depth image or PointCloud2. Where no TF leads to the camera it is mounted as the
    node's parameters say by default. Frames are asked for in the bag's order.
    """

    def __init__(self, bag: BagReader, camera: str) -> None:
        self._bag, self._camera = bag, camera
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._ambiguous: list[str] = []
        self._transforms = TransformTree()
        self._calibrations: list[tuple[int, Any]] = []
        self._depth_info: Any = None
        info, odometry = node_inputs(bag, camera)
        self._odometry_topic = odometry
        self._odometry = deque(bag.entries({odometry}) if odometry else ())
        self._motion = EgoMotion(BASE_FRAME, ODOM_FRAME)
        depth = self._only("depth", depth_topics(bag))
        points = self._only("points", bag.topics_of(CLOUD))
        self._only("odometry", bag.topics_of(ODOMETRY))
        self._read_all(info, _only(_calibration_topics(bag, depth)) if depth else None)
        self._depth = _Nearest(bag, depth) if depth else None
        self._points = _Nearest(bag, points) if points else None

    @property
    def odom_frame(self) -> str:
        """The frame that the ego motion is in."""
        return self._motion.frame

    def at(self, frame: BagMessage, size: tuple[int, int]) -> GroundView | None:
        """Return what is known about a frame, of size (H, W); None, counted, for too little."""
        stamp = stamp_ns(frame.message.header)
        try:
            info = self._calibration(frame.time)
            name = frame.message.header.frame_id or info.header.frame_id
            view = GroundView(
                CameraModel.calibrated(info, size),
                self._base_from(name, name, stamp, frame.time),
                self._pose(name, stamp, frame.time),
            )
        except (LookupError, ValueError) as error:
            self.miss(f"cannot be placed on the ground: {error}")
            return None
        if not self._transforms.connects(BASE_FRAME, name):
            self.miss(
                f"are placed by the default of the node's parameters, {Mounting()}: no TF leads "
                f"from {name!r} to {BASE_FRAME!r}"
            )
        depth = points = None
        if self._depth is not None:
            depth = self._measured("depth", self._depth_at, self._depth, frame, name, view.camera)
        if depth is None and self._points is not None:
            points = self._measured("points", self._points_at, self._points, frame, name)
        return replace(view, depth=depth, points=points)

    def miss(self, what: str) -> None:
        """Count a frame that lacks something."""
        self._count(f"frames {what}")

    def missing(self) -> list[str]:
        """Return a line for each reason: how many frames lack what, and why the first does.

        And for messages that are left out.
        """
        counted = [f"{number} {self._first[kind]}" for kind, number in self._counts.items()]
        return [*self._ambiguous, *counted]

    def _only(self, what: str, topics: list[str]) -> str | None:
        """Return the only one of some topics; None, told, of several."""
        if len(topics) > 1:
            # Not counted by frames, and names of topics may have digits.
            self._ambiguous.append(
                f"no {what} is taken, as the bag has several topics of it: {', '.join(topics)}; "
                "keep one (ros2 bag convert)"
            )
        return _only(topics)

    def _count(self, what: str) -> None:
        """Count a reason; those that differ in numbers are one."""
        kind = re.sub(r"[\d.]+", "", what)
        self._counts[kind] += 1
        self._first.setdefault(kind, what)

    def _read_all(self, info: str | None, depth_info: str | None) -> None:
        """Read what is small: calibrations and transforms."""
        topics = {topic for topic in (info, depth_info) if topic}
        for message in self._bag.messages(topics | {*self._bag.topics_of(TF)}):
            if message.topic == depth_info:
                self._depth_info = message.message
            elif message.topic == info:
                self._calibrations.append((message.time, message.message))
            else:
                # Of a robot with a namespace, too.
                is_static = message.topic.rpartition("/")[2] == _STATIC_TF
                for transform in message.message.transforms:
                    self._add_transform(transform, message.time, is_static=is_static)

    def _add_transform(self, message: Any, time: int, *, is_static: bool) -> None:
        parent, child, pose = message.header.frame_id, message.child_frame_id, message.transform
        try:
            stamp = None if is_static else nanoseconds(message.header.stamp)
            self._transforms.add(parent, child, stamp, pose.translation, pose.rotation, time)
        except ValueError as error:
            self._count(f"transforms are left out: {error}")

    def _calibration(self, time: int) -> Any:
        """Return the CameraInfo of a log time: the last before, else the first after it."""
        if not self._calibrations:
            others = ", ".join(self._bag.topics_of(CAMERA_INFO))
            of_others = f": of {others} none is in the folder of {self._camera}"
            raise LookupError(f"the bag has no CameraInfo of the camera{others and of_others}")
        behind = bisect_right(self._calibrations, time, key=lambda entry: entry[0])
        return self._calibrations[max(behind - 1, 0)][1]

    def _base_from(self, frame: str, camera: str, stamp: int, time: int) -> np.ndarray:
        """Return base_link from a frame, float64 [4, 4]; camera: the image's; time: of the log."""
        tree = self._transforms
        if is_same_frame(frame, camera) and not tree.connects(BASE_FRAME, frame):
            return Mounting().base_from_optical()
        return tree.lookup(BASE_FRAME, frame, stamp, time)

    def _pose(self, camera: str, stamp: int, time: int) -> Pose2D | None:
        """Return base_link in odom; None if the bag has no ego motion that can be used."""
        if self._odometry_topic is None:
            if not self._transforms.connects(ODOM_FRAME, BASE_FRAME):
                return None
            return planar_pose(self._transforms.lookup(ODOM_FRAME, BASE_FRAME, stamp, time))
        pose = self._heard_until(camera, stamp, time)
        if pose is None and (self._motion.is_known or not self._motion.is_refused):
            raise LookupError(no_odometry(self._odometry_topic))
        return pose

    def _heard_until(self, camera: str, stamp: int, time: int) -> Pose2D | None:
        """Hear odometry in the bag's order, and return the pose at a stamp where there is one.

        time: of the log. What comes later is heard as far as the pose needs it, as the node waits.
        """
        while self._odometry:
            later = self._odometry[0].time - time
            if later > LONGEST_GAP_NS or (later > 0 and self._motion.at(stamp) is not None):
                break
            message = self._bag.read(self._odometry.popleft())
            reason = message and self._motion.add(
                message.message, lambda frame: self._base_from(frame, camera, stamp, time)
            )
            if reason:
                self._count(f"messages on {self._odometry_topic} are left out: {reason}")
        return self._motion.at(stamp)

    def _measured(
        self, what: str, convert: Callable[..., np.ndarray], *frame: Any
    ) -> np.ndarray | None:
        """Return what is made of the measurement of a frame's stamp; None, counted, of none."""
        try:
            return convert(*frame)
        except (LookupError, ValueError) as error:
            self.miss(f"are placed without {what}: {error}")
            return None

    def _depth_at(
        self, images: _Nearest, frame: BagMessage, name: str, camera: CameraModel
    ) -> np.ndarray:
        """Return depth as the camera sees it, float32 [H, W], metres."""
        stamp = stamp_ns(frame.message.header)
        return depth_of_picture(
            images.of(stamp, frame.time).message,
            camera,
            name,
            lambda own: self._transforms.lookup(name, own, stamp, frame.time),
            self._depth_info,
            "camera_info beside the depth images",
        )

    def _points_at(self, clouds: _Nearest, frame: BagMessage, name: str) -> np.ndarray:
        """Return the points in base_link as it was at the frame's stamp, float32 [N, 3]."""
        stamp = stamp_ns(frame.message.header)
        cloud = clouds.of(stamp, frame.time).message
        measured = stamp_ns(cloud.header)
        matrix = self._base_from(cloud.header.frame_id, name, measured, frame.time)
        then, now = (self._known_pose(name, t, frame.time) for t in (measured, stamp))
        return points_in_base(cloud, matrix, then, now)

    def _known_pose(self, camera: str, stamp: int, time: int) -> Pose2D | None:
        try:
            return self._pose(camera, stamp, time)
        except LookupError:
            return None


class _Nearest:
    """Find the message of a topic that is nearest to a stamp, among those logged about then."""

    def __init__(self, bag: BagReader, topic: str) -> None:
        self._bag, self._topic = bag, topic
        self._entries = list(bag.entries({topic}))
        self._stamps: dict[Entry, int | None] = {}

    def of(self, stamp: int, time: int) -> BagMessage:
        """Return the message; raise LookupError."""
        first = bisect_left(self._entries, time - _LOGGED_WITHIN_NS, key=lambda e: e.time)
        behind = bisect_right(self._entries, time + _LOGGED_WITHIN_NS, key=lambda e: e.time)
        entries = [(self._stamp(entry), entry) for entry in self._entries[first:behind]]
        near = [(abs(s - stamp), entry) for s, entry in entries if s is not None]
        distance, entry = min(near, key=lambda pair: pair[0], default=(_MATCH_NS + 1, None))
        message = self._bag.read(entry) if entry and distance <= _MATCH_NS else None
        if message is None:
            raise LookupError(f"nothing on {self._topic} within {_MATCH_NS / 1e9} s of the image")
        return message

    def _stamp(self, entry: Entry) -> int | None:
        if entry not in self._stamps:
            self._stamps[entry] = self._bag.stamp(entry)
        return self._stamps[entry]


def node_inputs(bag: BagReader, camera: str) -> tuple[str | None, str | None]:
    """Return the topics of the camera's calibration and of the only odometry."""
    depth_infos = {t for depth in depth_topics(bag) for t in _calibration_topics(bag, depth)}
    infos = [topic for topic in bag.topics_of(CAMERA_INFO) if topic not in depth_infos]
    beside = _calibration_topics(bag, camera) or infos
    return _only(beside), _only(bag.topics_of(ODOMETRY))


def _only(topics: list[str]) -> str | None:
    return topics[0] if len(topics) == 1 else None


def _calibration_topics(bag: BagReader, images: str) -> list[str]:
    """Return the topics of CameraInfo in the folder of some images."""
    before, image, _ = images.partition("/image")
    folder = before if image else images.rpartition("/")[0]
    return [t for t in bag.topics_of(CAMERA_INFO) if t.rsplit("/", 1)[0] == folder]


def is_depth(topic: str) -> bool:
    """Return whether a topic of images is called depth."""
    return "depth" in topic


def depth_topics(bag: BagReader) -> list[str]:
    """Return the topics of raw images that are called depth."""
    return [topic for topic in bag.topics_of(IMAGE) if is_depth(topic)]
