"""Poses from TF, where `tf2_ros` is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

import numpy as np
from geometry_msgs.msg import Quaternion, TransformStamped, Vector3
from rclpy.node import Node
from rclpy.time import Time

from panoptic_ros.geometry.poses import message_pose, optical_pose, quaternion


def is_available() -> bool:
    """Return whether `tf2_ros` can be imported."""
    return importlib.util.find_spec("tf2_ros") is not None


def broadcast_mounting(node: Node, frame: str, mounting: Mapping[str, float]) -> object:
    """Publish the optical frame of a camera in `base_link` on /tf_static.

    mounting: what `optical_pose` takes. Return the broadcaster, to be kept for as long as it
    shall be seen. Raise ImportError where `tf2_ros` is not installed.
    """
    import tf2_ros

    matrix = optical_pose(**mounting)
    transform = TransformStamped(child_frame_id=frame)
    transform.header.frame_id = "base_link"
    transform.header.stamp = node.get_clock().now().to_msg()
    x, y, z = matrix[:3, 3].tolist()
    transform.transform.translation = Vector3(x=x, y=y, z=z)
    x, y, z, w = quaternion(matrix[:3, :3])
    transform.transform.rotation = Quaternion(x=x, y=y, z=z, w=w)
    broadcaster = tf2_ros.StaticTransformBroadcaster(node)
    broadcaster.sendTransform(transform)
    return broadcaster


class Transforms:
    """Listen to TF. Raise ImportError where `tf2_ros` is not installed."""

    def __init__(self, node: Node) -> None:
        import tf2_ros

        self._error = tf2_ros.TransformException
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node, spin_thread=False)

    def lookup(self, target: str, source: str, time_ns: int = 0) -> np.ndarray:
        """Return target_from_source at a time, float64 [4, 4], without waiting for it.

        time_ns: 0 is the newest time that TF knows. Raise LookupError with tf2's reason where
        TF does not (yet) know it, ValueError where what it knows is no pose.
        """
        # ROS 1's leading slash, which recordings and bridges still have, tf2 does not take.
        frames = target.lstrip("/"), source.lstrip("/")
        try:
            found = self._buffer.lookup_transform(*frames, Time(nanoseconds=time_ns))
        except self._error as error:
            raise LookupError(str(error)) from None
        matrix = message_pose(found.transform.translation, found.transform.rotation)
        if not np.isfinite(matrix).all():
            raise ValueError(f"TF has a place that is not finite: {matrix[:3, 3].tolist()}")
        return matrix

    def clear(self) -> None:
        """Forget all moving transforms: what is older than them would be thrown away."""
        self._buffer.clear()

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()
