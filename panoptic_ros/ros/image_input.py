"""The camera's topic: subscription and decoding, raw or compressed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from panoptic_ros.messages import decode_compressed
from panoptic_ros.ros.conversions import image_to_rgb
from panoptic_ros.ros.parameters import Parameters

try:
    from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
except ImportError:  # Humble
    from rclpy.qos_event import SubscriptionEventCallbacks, UnsupportedEventTypeError

TOPIC = "image"
_TYPES = {"raw": Image, "compressed": CompressedImage}
_DECODERS = {Image: image_to_rgb, CompressedImage: decode_compressed}
_RELIABILITY = {
    "best_effort": ReliabilityPolicy.BEST_EFFORT,
    "reliable": ReliabilityPolicy.RELIABLE,
}


def decode(message: Image | CompressedImage) -> np.ndarray:
    """Return the picture in a message, uint8 [H, W, 3], RGB; raise ImageRefused."""
    return _DECODERS[type(message)](message)


def subscribe(
    node: Node,
    parameters: Parameters,
    on_image: Callable[[Any], None],
    on_lost: Callable[[int], None],
) -> Subscription:
    """Subscribe to the topic `image` as the parameters say.

    on_lost: told how many messages the middleware lost, where it can tell.
    """
    qos = QoSProfile(
        depth=parameters.qos.depth, reliability=_RELIABILITY[parameters.qos.reliability]
    )
    kind = _TYPES[parameters.image_transport]
    events = SubscriptionEventCallbacks(message_lost=lambda e: on_lost(e.total_count_change))
    try:
        return node.create_subscription(kind, TOPIC, on_image, qos, event_callbacks=events)
    except UnsupportedEventTypeError:
        return node.create_subscription(kind, TOPIC, on_image, qos)
