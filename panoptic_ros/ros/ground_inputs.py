"""What a frame needs to be placed on the ground: calibration, poses, depth, points."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeVar

import numpy as np
from nav_msgs.msg import Odometry
from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.poses import Pose2D, is_same_frame, planar_pose
from panoptic_ros.ground_stage import GroundView
from panoptic_ros.messages.clouds import points_in_base
from panoptic_ros.messages.depth import depth_of_picture
from panoptic_ros.ros.conversions import LATCHED
from panoptic_ros.ros.parameters import GroundParameters
from panoptic_ros.ros.transforms import Transforms, is_available
from panoptic_ros.stream.ego_motion import EgoMotion, no_odometry
from panoptic_ros.stream.stamps import FramesUnderWay, StampMatch, nanoseconds

T = TypeVar("T", bound=Any)

# How often what is waited for is looked for: well below a camera's period.
_POLL_SECONDS = 0.002
# How often calibrations that are kept for late subscribers are looked for.
_LOOK_SECONDS = 0.2
# As a time of TF: the newest that it has. As a deadline: try once.
_NEWEST = 0
_AT_ONCE = 0.0


class ViewMissing(LookupError):  # noqa: N818 - a normal state of affairs while sensors start
    """Say in one short line why a frame cannot be placed on the ground."""


class VehicleInputs:
    """Subscribe to odometry and TF, once for all cameras, and look up by stamp.

    Messages come in on the executor's thread, the other methods are called on others and may wait
    there. settings: the node's. Attributes: motion, by odometry; mountings, base_frame from what
    the parameters place in it, by frame; left_out: who is told of messages that are not used, the
    topic and why.
    """

    def __init__(self, node: Node, settings: GroundParameters) -> None:
        self._node, self._settings = node, settings
        self._transforms = Transforms(node) if is_available() else None
        self.motion = EgoMotion(settings.base_frame, settings.odom_frame)
        self.mountings: dict[str, np.ndarray] = {}
        self.left_out: list[Callable[[str, str], None]] = []
        self._subscription: Subscription | None = None
        with ExitStack() as undo:
            undo.callback(self.close)
            # Poses from TF are in odom_frame, whatever odometry calls its own.
            if settings.ego_motion == "odometry":
                self._subscription = node.create_subscription(
                    Odometry, "odom", self._on_odometry, qos_profile_sensor_data
                )
            undo.pop_all()

    def close(self) -> None:
        """Stop subscribing."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
        if self._transforms is not None:
            self._transforms.close()

    def forget_transforms(self) -> None:
        """Forget moving transforms, as time has started again."""
        if self._transforms is not None:
            self._transforms.clear()

    def pose(self, stamp_ns: int, deadline: float) -> Pose2D | None:
        """Return where base_frame was; None without ego motion. Raise ViewMissing."""
        settings = self._settings
        if settings.ego_motion == "none":
            return None
        if settings.ego_motion == "tf":
            matrix = self.transform(settings.odom_frame, settings.base_frame, stamp_ns, deadline)
            try:
                return planar_pose(matrix)
            except ValueError as error:
                raise ViewMissing(str(error)) from None
        topic, motion = self._node.resolve_topic_name("odom"), self.motion
        may_come = not motion.is_refused and self._node.count_publishers(topic) > 0
        if not motion.is_known and not may_come:
            return None
        pose = _wait_for(lambda: motion.at(stamp_ns), deadline)
        if pose is None:
            raise ViewMissing(no_odometry(topic))
        return pose

    def base_from(self, frame: str, stamp_ns: int, deadline: float) -> np.ndarray:
        """Return base_frame from a frame on the vehicle, float64 [4, 4]; raise ViewMissing."""
        if is_same_frame(frame, self._settings.base_frame):
            return np.eye(4)
        mounting = self.mountings.get(frame.lstrip("/"))
        if mounting is not None:
            return mounting
        return self.transform(self._settings.base_frame, frame, stamp_ns, deadline)

    def transform(self, target: str, source: str, stamp_ns: int, deadline: float) -> np.ndarray:
        """Return target from source by TF, float64 [4, 4]; raise ViewMissing."""
        transforms, reason = self._transforms, "tf2_ros is not installed"

        def look_up() -> np.ndarray | None:
            nonlocal reason
            try:
                return transforms.lookup(target, source, stamp_ns) if transforms else None
            except (LookupError, ValueError) as error:
                reason = str(error)
                return None

        found = _wait_for(look_up, deadline if transforms else _AT_ONCE)
        if found is None:
            raise ViewMissing(f"no transform from {source!r} to {target!r}: {reason}")
        return found

    def _on_odometry(self, message: Odometry) -> None:
        reason = self.motion.add(message, lambda frame: self.base_from(frame, _NEWEST, _AT_ONCE))
        if reason:
            for tell in self.left_out:
                tell("odom", reason)


class GroundInputs:
    """Subscribe to a camera's calibration, depth and points, and look up by stamp.

    Messages come in on the executor's thread, `view` is called on another and may wait there.
    camera: its topics begin with it, "" for the only one; settings: the camera's; vehicle: what
    it shares with others; frames: whose depth and points are kept; left_out: told of what is not
    used, the input's topic, without the camera, and why.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        settings: GroundParameters,
        vehicle: VehicleInputs,
        frames: FramesUnderWay,
        left_out: Callable[[str, str], None],
    ) -> None:
        self._node, self.vehicle = node, vehicle
        self._prefix = f"{camera}/" if camera else ""
        self._settings = settings
        # The camera's pose by the parameters; None: TF gives it.
        self._fixed: np.ndarray | None = None
        if settings.camera_pose_source != "tf":
            self._fixed = settings.camera.base_from_optical()
        self._left_out = left_out
        self._info: CameraInfo | None = None
        self._depth_info: CameraInfo | None = None
        self._camera: tuple[CameraInfo, tuple[int, int], CameraModel] | None = None
        # The frame that the camera's pose of the parameters is of, once it is known.
        self._optical_frame = ""
        self._depth: StampMatch[Image] = StampMatch(frames)
        self._points: StampMatch[PointCloud2] = StampMatch(frames)
        self._infos = {
            f"{self._prefix}camera_info": self._on_info,
            f"{self._prefix}depth_camera_info": self._on_depth_info,
        }
        topics = (
            *((topic, CameraInfo, callback) for topic, callback in self._infos.items()),
            (f"{self._prefix}depth", Image, lambda m: self._keep(self._depth, "depth", m)),
            (f"{self._prefix}points", PointCloud2, lambda m: self._keep(self._points, "points", m)),
        )
        self._subscriptions: list[Subscription] = []
        self._latched: dict[str, Subscription] = {}
        with ExitStack() as undo:
            undo.callback(self._unsubscribe)
            for topic, kind, callback in topics:
                self._subscriptions.append(
                    node.create_subscription(kind, topic, callback, qos_profile_sensor_data)
                )
            self._hear_latched()
            # On a steady clock: simulated time may stand still.
            self._timer = node.create_timer(
                _LOOK_SECONDS, self._hear_latched, clock=Clock(clock_type=ClockType.STEADY_TIME)
            )
            undo.pop_all()
        vehicle.left_out.append(left_out)

    def close(self) -> None:
        """Stop subscribing."""
        self._node.destroy_timer(self._timer)
        self._unsubscribe()
        self.vehicle.left_out.remove(self._left_out)

    def _unsubscribe(self) -> None:
        for subscription in (*self._subscriptions, *self._latched.values()):
            self._node.destroy_subscription(subscription)

    def view(self, stamp_ns: int, frame: str, size: tuple[int, int]) -> GroundView:
        """Return what is known about an image, waiting for it up to the parameter's time.

        stamp_ns, frame: of the image's header; size: (H, W). Raise ViewMissing where camera or
        poses stay unknown. Depth or points that stay out, or cannot be used, are left out;
        points are only looked at where there is no depth.
        """
        deadline = time.monotonic() + self._settings.timeout
        camera = self._camera_model(size)
        self._place(frame)
        mounting = self._mounting(stamp_ns, deadline)
        pose = self.vehicle.pose(stamp_ns, deadline)
        when = stamp_ns, deadline
        depth = self._measured(
            self._depth, "depth", when, lambda _, image: self._registered(image, camera, *when)
        )
        points = None
        if depth is None:
            points = self._measured(
                self._points, "points", when, lambda ns, cloud: self._in_base(ns, cloud, *when)
            )
        return GroundView(camera, mounting, pose, depth, points)

    # ---- messages

    def _hear_latched(self) -> None:
        """Subscribe to calibrations that were sent before, where a publisher keeps them.

        It takes a second subscription: a volatile one gets nothing of before, and a transient
        local one gets nothing from a volatile publisher, and each end would warn of the other.
        """
        for topic, callback in self._infos.items():
            publishers = self._node.get_publishers_info_by_topic(topic)
            is_kept = any(p.qos_profile.durability == LATCHED.durability for p in publishers)
            if is_kept and topic not in self._latched:
                create = self._node.create_subscription
                self._latched[topic] = create(CameraInfo, topic, callback, LATCHED)

    def _on_info(self, message: CameraInfo) -> None:
        self._info = message
        if not self._optical_frame:
            self._place(message.header.frame_id)

    def _on_depth_info(self, message: CameraInfo) -> None:
        self._depth_info = message

    def _keep(self, messages: StampMatch[T], topic: str, message: T) -> None:
        try:
            messages.add(nanoseconds(message.header.stamp), message)
        except ValueError as error:
            self._left_out(topic, str(error))

    # ---- look-ups

    def _place(self, frame: str) -> None:
        """Take the name of the camera's frame, of which odometry may be, too."""
        before, self._optical_frame = self._optical_frame, frame or self._optical_frame
        mountings = self.vehicle.mountings
        if self._optical_frame != before:
            # Some driver may name it anew with each image.
            mountings.pop(before.lstrip("/"), None)
        if self._optical_frame and self._fixed is not None:
            mountings[self._optical_frame.lstrip("/")] = self._fixed

    def _camera_model(self, size: tuple[int, int]) -> CameraModel:
        info = self._info
        if info is None:
            topic = self._node.resolve_topic_name(f"{self._prefix}camera_info")
            raise ViewMissing(
                f"no calibration on {topic} ({self._node.count_publishers(topic)} publishers); "
                "publish it with each image, or once as transient local (latched)"
            )
        if self._camera is None or self._camera[0] is not info or self._camera[1] != size:
            try:
                self._camera = (info, size, CameraModel.calibrated(info, size))
            except ValueError as error:
                raise ViewMissing(str(error)) from None
        return self._camera[2]

    def _mounting(self, stamp_ns: int, deadline: float) -> np.ndarray:
        if self._fixed is not None:
            return self._fixed
        target = self._settings.level_frame or self._settings.base_frame
        return self.vehicle.transform(target, self._optical_frame, stamp_ns, deadline)

    def _measured(
        self,
        messages: StampMatch[T],
        topic: str,
        when: tuple[int, float],
        convert: Callable[[int, T], np.ndarray],
    ) -> np.ndarray | None:
        """Return what is made of the message of an image's stamp; None where it is left out.

        when: that stamp, and the deadline; convert: takes the message's own stamp, and it.
        """
        stamp_ns, deadline = when
        name = self._node.resolve_topic_name(f"{self._prefix}{topic}")
        if self._node.count_publishers(name) == 0:
            return None
        _wait_for(lambda: messages.reaches(stamp_ns) or None, deadline)
        tolerance = self._settings.match_tolerance
        found = messages.nearest(stamp_ns, round(tolerance * 1e9))
        if found is None:
            self._left_out(topic, f"none within {tolerance} s of the image")
            return None
        try:
            return convert(*found)
        except (ValueError, ViewMissing) as error:
            self._left_out(topic, str(error))
            return None

    def _registered(
        self, message: Image, camera: CameraModel, stamp_ns: int, deadline: float
    ) -> np.ndarray:
        """Return a depth image as the camera sees it, float32 [H, W], metres."""
        frame = self._optical_frame
        return depth_of_picture(
            message,
            camera,
            frame,
            lambda own: self.vehicle.transform(frame, own, stamp_ns, deadline),
            self._depth_info,
            self._node.resolve_topic_name(f"{self._prefix}depth_camera_info"),
        )

    def _in_base(
        self, points_ns: int, cloud: PointCloud2, image_ns: int, deadline: float
    ) -> np.ndarray:
        """Return the points in the frame of `_base_from` at the image's stamp, float32 [N, 3]."""
        matrix = self._base_from(cloud.header.frame_id, points_ns, deadline)
        then, now = (self._known_pose(stamp_ns, deadline) for stamp_ns in (points_ns, image_ns))
        return points_in_base(cloud, matrix, then, now)

    def _known_pose(self, stamp_ns: int, deadline: float) -> Pose2D | None:
        try:
            return self.vehicle.pose(stamp_ns, deadline)
        except ViewMissing:
            return None

    def _base_from(self, frame: str, stamp_ns: int, deadline: float) -> np.ndarray:
        """Return base_frame, or level_frame, from a frame on the vehicle, float64 [4, 4].

        Raise ViewMissing.
        """
        settings = self._settings
        if settings.level_frame and self._fixed is None:
            # As the camera's pose: else a pitching vehicle's points lie aslant to its picture.
            return self.vehicle.transform(settings.level_frame, frame, stamp_ns, deadline)
        is_own = is_same_frame(frame, self._optical_frame)
        is_own = is_own and not is_same_frame(frame, settings.base_frame)
        if is_own and self._fixed is not None:
            return self._fixed
        return self.vehicle.base_from(frame, stamp_ns, deadline)


def _wait_for(find: Callable[[], T | None], deadline: float) -> T | None:
    """Return what is found by a time (time.monotonic(), seconds), trying once at least."""
    while (found := find()) is None and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return found
