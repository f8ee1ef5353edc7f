"""What a bag holds besides the images: calibration, poses, depth and points of each frame."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections import Counter
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
from panoptic_ros.geometry.depth_registration import register_depth, resized_depth
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.mounting import Mounting
from panoptic_ros.geometry.poses import Pose2D, planar_pose
from panoptic_ros.messages import decode_depth, decode_points
from panoptic_ros.replay.transform_tree import TransformTree

BASE_FRAME, ODOM_FRAME = "base_link", "odom"
STATIC_TF_TOPIC = "/tf_static"
# As the node does by default.
_MATCH_NS = 50_000_000
# How much later or earlier than its picture a measurement may have been logged.
_LOGGED_WITHIN_NS = 500_000_000


class GroundViews:
    """Look up calibration, mounting, ego motion, depth and points by a frame's stamp.

    Topics: the camera's CameraInfo, TF, the only Odometry (else TF from `odom` to `base_link`),
    the only depth image or PointCloud2. Where no TF leads to the camera it is mounted as the
    node's parameters say by default. odom_frame: of the ego motion.
    """

    def __init__(self, bag: BagReader, camera: str) -> None:
        self._bag = bag
        self.odom_frame = ODOM_FRAME
        self._counts: Counter[str] = Counter()
        self._first: dict[str, str] = {}
        self._transforms, self._motion = TransformTree(), TransformTree()
        self._moving_frame = ""
        self._calibrations: list[tuple[int, Any]] = []
        self._depth_info: Any = None
        info, odometry = node_inputs(bag, camera)
        depth, clouds = depth_topics(bag), bag.topics_of(CLOUD)
        beside_depth = _calibration_topics(bag, depth[0]) if len(depth) == 1 else []
        self._read_all(info, odometry, beside_depth[0] if len(beside_depth) == 1 else None)
        self._depth = _Nearest(bag, depth[0]) if len(depth) == 1 else None
        self._points = _Nearest(bag, clouds[0]) if len(clouds) == 1 else None

    def at(self, frame: BagMessage, size: tuple[int, int]) -> GroundView | None:
        """Return what is known about a frame, of size (H, W); None, counted, for too little."""
        stamp = stamp_ns(frame.message.header)
        try:
            info = self._calibration(frame.time)
            name = frame.message.header.frame_id or info.header.frame_id
            view = GroundView(
                CameraModel.from_camera_info(info).of_pictures(size),
                self._base_from(name, name, stamp),
                self._pose(name, stamp),
            )
        except (LookupError, ValueError) as error:
            self.miss(f"cannot be placed on the ground: {_reason(error)}")
            return None
        if not self._transforms.connects(BASE_FRAME, name):
            self.miss(
                f"are placed by the default of the node's parameters, {Mounting()}: no TF leads "
                f"from {name!r} to {BASE_FRAME!r}"
            )
        try:
            return replace(view, **self._measured(frame, view.camera, name, stamp))
        except (LookupError, ValueError) as error:
            self.miss(f"are placed without depth or points: {_reason(error)}")
            return view

    def miss(self, what: str) -> None:
        """Count a frame that lacks something; reasons that differ in numbers are one."""
        kind = re.sub(r"[\d.]+", "", what)
        self._counts[kind] += 1
        self._first.setdefault(kind, what)

    def missing(self) -> list[str]:
        """Return a line for each reason: how many frames lack what, and why the first does."""
        return [f"{number} frames {self._first[kind]}" for kind, number in self._counts.items()]

    def _read_all(self, info: str | None, odometry: str | None, depth_info: str | None) -> None:
        """Read what is small: calibrations, transforms, odometry."""
        topics = {topic for topic in (info, odometry, depth_info) if topic}
        for message in self._bag.messages(topics | {*self._bag.topics_of(TF)}):
            if message.topic == depth_info:
                self._depth_info = message.message
            elif message.topic == info:
                self._calibrations.append((message.time, message.message))
            elif message.topic == odometry:
                self._add_odometry(message.message)
            else:
                is_static = message.topic == STATIC_TF_TOPIC
                for transform in message.message.transforms:
                    self._add_transform(transform, is_static=is_static)

    def _add_odometry(self, message: Any) -> None:
        self.odom_frame = message.header.frame_id or ODOM_FRAME
        self._moving_frame = message.child_frame_id or BASE_FRAME
        pose, stamp = message.pose.pose, stamp_ns(message.header)
        try:
            self._motion.add(
                self.odom_frame, self._moving_frame, stamp, pose.position, pose.orientation
            )
        except ValueError as error:
            self._bag.problems.append(f"odometry at {stamp / 1e9:.6f} s is passed over: {error}")

    def _add_transform(self, message: Any, *, is_static: bool) -> None:
        parent, child = message.header.frame_id, message.child_frame_id
        stamp = None if is_static else stamp_ns(message.header)
        transform = message.transform
        try:
            self._transforms.add(parent, child, stamp, transform.translation, transform.rotation)
        except ValueError as error:
            self._bag.problems.append(f"a transform is passed over: {error}")

    def _calibration(self, time: int) -> Any:
        """Return the CameraInfo of a log time: the last before, else the first after it."""
        if not self._calibrations:
            raise LookupError("the bag has no CameraInfo of the camera")
        behind = bisect_right(self._calibrations, time, key=lambda entry: entry[0])
        return self._calibrations[max(behind - 1, 0)][1]

    def _base_from(self, frame: str, camera: str, stamp: int) -> np.ndarray:
        """Return base_link from a frame, float64 [4, 4]; camera: the image's frame."""
        tree = self._transforms
        is_cameras = frame.lstrip("/") == camera.lstrip("/")
        if is_cameras and not tree.connects(BASE_FRAME, frame):
            return Mounting().base_from_optical()
        return tree.lookup(BASE_FRAME, frame, stamp)

    def _pose(self, camera: str, stamp: int) -> Pose2D | None:
        """Return base_link in odom; None if the bag has no ego motion."""
        if self._moving_frame:
            moved = self._motion.lookup(self.odom_frame, self._moving_frame, stamp)
            if self._moving_frame != BASE_FRAME:
                moved = moved @ np.linalg.inv(self._base_from(self._moving_frame, camera, stamp))
        else:
            try:
                moved = self._transforms.lookup(ODOM_FRAME, BASE_FRAME, stamp)
            except LookupError:
                return None
        return planar_pose(moved)

    def _measured(
        self, frame: BagMessage, camera: CameraModel, name: str, stamp: int
    ) -> dict[str, Any]:
        """Return depth, or points in base_link as it was at the stamp, where there are some."""
        if self._depth is not None:
            image = self._depth.of(stamp, frame.time).message
            return {"depth": self._registered(image, camera, name, stamp)}
        if self._points is None:
            return {}
        cloud = self._points.of(stamp, frame.time).message
        measured = stamp_ns(cloud.header)
        # From the cloud's frame then to base_link now.
        matrix = self._base_from(cloud.header.frame_id, name, measured)
        then, now = self._pose(name, measured), self._pose(name, stamp)
        points = decode_points(cloud) @ matrix[:3, :3].T + matrix[:3, 3]
        if then is not None and now is not None:
            points[:, :2] = now.inverse().compose(then).apply(points[:, :2])
        return {"points": points.astype(np.float32)}

    def _registered(self, message: Any, camera: CameraModel, name: str, stamp: int) -> np.ndarray:
        """Return a depth image as the camera sees it, float32 [H, W], metres."""
        depth, own = decode_depth(message), message.header.frame_id
        if own.lstrip("/") in ("", name.lstrip("/")):
            return resized_depth(depth, camera.size)
        if self._depth_info is None:
            raise LookupError(
                f"depth is in frame {own!r}, the image in {name!r}, and there is no CameraInfo "
                "beside it"
            )
        depth_camera = CameraModel.from_camera_info(self._depth_info)
        camera_from_depth = self._transforms.lookup(name, own, stamp)
        fitting = depth_camera.of_pictures((depth.shape[0], depth.shape[1]))
        return register_depth(depth, fitting, camera, camera_from_depth)


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
        near = [(abs(s - stamp), e) for e in self._entries[first:behind] if (s := self._stamp(e))]
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
    odometry = bag.topics_of(ODOMETRY)
    return (beside[0] if len(beside) == 1 else None, odometry[0] if len(odometry) == 1 else None)


def _calibration_topics(bag: BagReader, images: str) -> list[str]:
    """Return the topics of CameraInfo in the folder of some images."""
    before, image, _ = images.partition("/image")
    folder = before if image else images.rpartition("/")[0]
    return [t for t in bag.topics_of(CAMERA_INFO) if t.rsplit("/", 1)[0] == folder]


def depth_topics(bag: BagReader) -> list[str]:
    """Return the topics of raw images that are called depth."""
    return [topic for topic in bag.topics_of(IMAGE) if "depth" in topic]


def _reason(error: Exception) -> str:
    # A KeyError would show itself quoted.
    return str(error.args[0]) if error.args else type(error).__name__
