"""The node's output topics, each converted only while somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from panoptic_ros.labels import LabelSet
from panoptic_ros.msg import LabelInfo, PanopticInstances
from panoptic_ros.pipeline import PanopticResult
from panoptic_ros.ros.conversions import (
    instances_message,
    label_info_message,
    labels_message,
    mono8_image,
    rgb8_image,
)
from panoptic_ros.ros.parameters import OutputParameters
from panoptic_ros.semantic_maps import class_map, confidence_map
from panoptic_ros.visualization import overlay

# A reliable publisher serves reliable and best-effort subscribers alike; a few frames of
# history bridge a subscriber's hiccup and no more.
OUTPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


@dataclass(frozen=True)
class Answer:
    """Hold what the pipeline made of a frame: header of the input, uint8 [H, W, 3] RGB, result."""

    header: Header
    image: np.ndarray
    result: PanopticResult
    labels: LabelSet


# Topic under ~/ and field of OutputParameters -> message type, conversion.
OUTPUTS: dict[str, tuple[type, Callable[[Answer], Any]]] = {
    "labels": (Image, lambda a: labels_message(a.result.panoptic, a.header)),
    "semantic": (Image, lambda a: mono8_image(class_map(a.result.semantic), a.header)),
    "confidence": (Image, lambda a: mono8_image(confidence_map(a.result.semantic), a.header)),
    "instances": (
        PanopticInstances,
        lambda a: instances_message(a.result.panoptic, a.labels, a.header),
    ),
    "color": (
        Image,
        lambda a: rgb8_image(overlay(a.image, a.result.panoptic, a.labels), a.header),
    ),
}


class Outputs:
    """Publish answers on a node's topics, silent while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        self._publishers = {
            name: node.create_lifecycle_publisher(kind, f"~/{name}", OUTPUT_QOS)
            for name, (kind, _) in OUTPUTS.items()
        }
        self._label_info = node.create_lifecycle_publisher(LabelInfo, "~/label_info", LATCHED_QOS)

    def publish_label_info(self, labels: LabelSet) -> None:
        """Publish the meaning of the values; late subscribers get it too."""
        stamp = self._node.get_clock().now().to_msg()
        self._label_info.publish(label_info_message(labels, stamp))

    def publish(self, answer: Answer, enabled: OutputParameters) -> None:
        """Convert and publish what is enabled and has a subscriber."""
        for name, publisher in self._publishers.items():
            if getattr(enabled, name) and publisher.get_subscription_count() > 0:
                _, convert = OUTPUTS[name]
                publisher.publish(convert(answer))

    def close(self) -> None:
        """Withdraw the topics."""
        for publisher in (*self._publishers.values(), self._label_info):
            self._node.destroy_lifecycle_publisher(publisher)
