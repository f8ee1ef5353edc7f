"""Answer each image with labels of its size: what DDS and rclpy take without the package."""

from __future__ import annotations

import contextlib

import numpy as np
import rclpy
from panoptic_ros.msg import LabelInfo
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image

from panoptic_ros.ros.conversions import MESSAGES


class Echo(Node):
    """Stand in for the node: its topics, its messages' sizes, and nothing in between."""

    def __init__(self) -> None:
        super().__init__("echo")
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._info = self.create_publisher(LabelInfo, "panoptic/label_info", latched)
        self._labels = self.create_publisher(Image, "panoptic/labels", 5)
        self._answer: Image | None = None
        self.create_subscription(Image, "image", self._on_image, 5)
        self._info.publish(LabelInfo())

    def _on_image(self, image: Image) -> None:
        if self._answer is None:
            labels = np.zeros((image.height, image.width), np.uint16)
            self._answer = MESSAGES.image(labels, "mono16", image.header)
        self._answer.header = image.header
        self._labels.publish(self._answer)


def main() -> None:
    rclpy.init()
    with contextlib.suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(Echo())
    rclpy.try_shutdown()


if __name__ == "__main__":
    main()
