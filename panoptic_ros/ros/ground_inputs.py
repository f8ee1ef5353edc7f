"""What a frame needs to be placed on the ground: calibration, poses, depth, points."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import cv2
import numpy as np
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D, yaw
from panoptic_ros.ground_stage import GroundView
from panoptic_ros.messages import ImageRefused, decode_depth, decode_points
from panoptic_ros.ros.parameters import GroundParameters
from panoptic_ros.ros.transforms import Transforms, components, is_available
from panoptic_ros.stream.pose_history import PoseHistory
from panoptic_ros.stream.stamps import StampMatch, nanoseconds

T = TypeVar("T", bound=Any)

# How often what is waited for is looked for: well below a camera's period.
_POLL_SECONDS = 0.002
# Sizes whose sides differ by more than this are not the same picture resized.
_ASPECT_TOLERANCE = 0.01


class ViewMissing(RuntimeError):  # noqa: N818 - a normal state of affairs while sensors start
    """Say in one short line why a frame cannot be placed on the ground."""


class GroundInputs:
    """Subscribe to `camera_info`, `odom`, `depth`, `points` and TF, and look up by stamp.

    Messages come in on the executor's thread, `view` is called on another and may wait there.
    left_out: told of what is not used, the input's topic and why.
    """

    def __init__(
        self, node: Node, settings: GroundParameters, left_out: Callable[[str, str], None]
    ) -> None:
        self._node = node
        self._settings = settings
        self._left_out = left_out
        self._transforms = Transforms(node) if is_available() else None
        self._info: CameraInfo | None = None
        self._camera: tuple[CameraInfo, tuple[int, int], CameraModel] | None = None
        self._poses = PoseHistory()
        self._has_odometry = False
        self.odom_frame = settings.odom_frame
        self._depth: StampMatch[Image] = StampMatch()
        self._points: StampMatch[PointCloud2] = StampMatch()
        self._subscriptions = {
            topic: node.create_subscription(kind, topic, callback, qos_profile_sensor_data)
            for topic, kind, callback in (
                ("camera_info", CameraInfo, self._on_info),
                ("odom", Odometry, self._on_odometry),
                ("depth", Image, lambda m: self._keep(self._depth, "depth", m)),
                ("points", PointCloud2, lambda m: self._keep(self._points, "points", m)),
            )
        }

    def close(self) -> None:
        """Stop subscribing."""
        for subscription in self._subscriptions.values():
            self._node.destroy_subscription(subscription)
        if self._transforms is not None:
            self._transforms.close()

    def forget_transforms(self) -> None:
        """Forget moving transforms, as time has started again."""
        if self._transforms is not None:
            self._transforms.clear()

    def view(self, stamp_ns: int, frame: str, size: tuple[int, int]) -> GroundView:
        """Return what is known about an image, waiting for it up to the parameter's time.

        stamp_ns, frame: of the image's header; size: (H, W). Raise ViewMissing where camera or
        poses stay unknown. Depth or points that stay out are left out.
        """
        deadline = time.monotonic() + self._settings.timeout
        camera = self._camera_model(size)
        mounting = self._mounting(stamp_ns, frame or self._info.header.frame_id, deadline)
        pose = self._pose(stamp_ns, deadline)
        depth = self._matched(self._depth, "depth", stamp_ns, deadline)
        points = None
        if depth is None:
            points = self._matched(self._points, "points", stamp_ns, deadline)
        try:
            return GroundView(
                camera,
                mounting,
                pose,
                None if depth is None else _fitted(decode_depth(depth[1]), size),
                None if points is None else self._in_base(*points, stamp_ns, deadline),
            )
        except (ImageRefused, ViewMissing) as error:
            self._left_out("points" if depth is None else "depth", str(error))
            return GroundView(camera, mounting, pose)

    # ---- messages

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message

    def _on_odometry(self, message: Odometry) -> None:
        pose = message.pose.pose
        try:
            heading = yaw(components(pose.orientation))
            place = Pose2D(pose.position.x, pose.position.y, heading)
            stamp_ns = nanoseconds(message.header.stamp)
        except ValueError as error:
            self._left_out("odom", str(error))
            return
        self.odom_frame = message.header.frame_id or self._settings.odom_frame
        self._has_odometry = True
        self._poses.add(stamp_ns, place)

    def _keep(self, messages: StampMatch[T], topic: str, message: T) -> None:
        try:
            messages.add(nanoseconds(message.header.stamp), message)
        except ValueError as error:
            self._left_out(topic, str(error))

    # ---- look-ups

    def _camera_model(self, size: tuple[int, int]) -> CameraModel:
        info = self._info
        if info is None:
            topic = self._node.resolve_topic_name("camera_info")
            raise ViewMissing(
                f"no calibration on {topic} ({self._node.count_publishers(topic)} publishers); "
                "publish it with each image, or latched: durability transient_local"
            )
        if self._camera is None or self._camera[0] is not info or self._camera[1] != size:
            self._camera = (info, size, _calibrated(info, size))
        return self._camera[2]

    def _mounting(self, stamp_ns: int, frame: str, deadline: float) -> np.ndarray:
        settings = self._settings
        if settings.camera_pose_source != "tf":
            return settings.camera.base_from_optical()
        target = settings.level_frame or settings.base_frame
        return self._transform(target, frame, stamp_ns, deadline)

    def _pose(self, stamp_ns: int, deadline: float) -> Pose2D | None:
        settings = self._settings
        if settings.ego_motion == "none":
            return None
        if settings.ego_motion == "tf":
            matrix = self._transform(settings.odom_frame, settings.base_frame, stamp_ns, deadline)
            return Pose2D(
                float(matrix[0, 3]),
                float(matrix[1, 3]),
                float(np.arctan2(matrix[1, 0], matrix[0, 0])),
            )
        topic = self._node.resolve_topic_name("odom")
        if not self._has_odometry and self._node.count_publishers(topic) == 0:
            return None
        pose = _wait_for(lambda: self._poses.at(stamp_ns), deadline)
        if pose is None:
            raise ViewMissing(f"no odometry on {topic} around the image's stamp")
        return pose

    def _matched(
        self, messages: StampMatch[T], topic: str, stamp_ns: int, deadline: float
    ) -> tuple[int, T] | None:
        if self._node.count_publishers(self._node.resolve_topic_name(topic)) == 0:
            return None
        _wait_for(lambda: messages.reaches(stamp_ns) or None, deadline)
        found = messages.nearest(stamp_ns, round(self._settings.match_tolerance * 1e9))
        if found is None:
            tolerance = self._settings.match_tolerance
            self._left_out(topic, f"none within {tolerance} s of the image")
        return found

    def _in_base(
        self, points_ns: int, cloud: PointCloud2, image_ns: int, deadline: float
    ) -> np.ndarray:
        """Return the points in base_frame as it was at the image's stamp, float32 [N, 3]."""
        points = decode_points(cloud)
        frame, base = cloud.header.frame_id, self._settings.base_frame
        if frame != base:
            if self._transforms is None:
                raise ViewMissing(
                    f"points are in {frame!r}, not in {base!r}, and tf2_ros is not installed"
                )
            matrix = self._transform(base, frame, points_ns, deadline).astype(np.float32)
            points = points @ matrix[:3, :3].T + matrix[:3, 3]
        then, now = self._poses.at(points_ns), self._poses.at(image_ns)
        if then is not None and now is not None:
            points[:, :2] = now.inverse().compose(then).apply(points[:, :2])
        return points

    def _transform(self, target: str, source: str, stamp_ns: int, deadline: float) -> np.ndarray:
        reason = ""

        def look_up() -> np.ndarray | None:
            nonlocal reason
            try:
                return self._transforms.lookup(target, source, stamp_ns)
            except (LookupError, ValueError) as error:
                reason = str(error)
                return None

        found = _wait_for(look_up, deadline)
        if found is None:
            raise ViewMissing(f"no transform from {source!r} to {target!r}: {reason}")
        return found


def _calibrated(info: CameraInfo, size: tuple[int, int]) -> CameraModel:
    """Return the camera of pictures of a size; raise ViewMissing where they are not its own."""
    try:
        camera = CameraModel.from_camera_info(info)
    except ValueError as error:
        raise ViewMissing(f"camera_info cannot be used: {error}") from None
    (height, width), (own_height, own_width) = size, camera.size
    if not _same_shape(size, camera.size):
        raise ViewMissing(
            f"camera_info is of {own_width}x{own_height} pixels (region of interest and binning "
            f"counted), the images have {width}x{height}: another shape, so it is not theirs"
        )
    return camera.scaled(size)


def _fitted(depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a registered depth image at the picture's size, without mixing depths."""
    (height, width), (own_height, own_width) = size, depth.shape
    if not _same_shape(size, depth.shape):
        raise ImageRefused(
            f"depth has {own_width}x{own_height} pixels, the image {width}x{height}: it is not "
            "registered to it"
        )
    return cv2.resize(depth, size[::-1], interpolation=cv2.INTER_NEAREST)


def _same_shape(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return abs(a[0] * b[1] / (a[1] * b[0]) - 1) <= _ASPECT_TOLERANCE


def _wait_for(find: Callable[[], T | None], deadline: float) -> T | None:
    """Return what is found by a time (time.monotonic(), seconds), trying once at least."""
    while (found := find()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found
