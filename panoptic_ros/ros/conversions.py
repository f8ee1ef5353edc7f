"""rclpy's messages: their classes, to arrays and from arrays; how those that last are sent."""

from __future__ import annotations

import array
import functools
import importlib

import numpy as np
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from panoptic_ros.messages import (
    KNOWN_ENCODINGS,
    ImageRefused,
    decode_compressed,
    decode_image,
)
from panoptic_ros.messages.compressed import JpegDecoder
from panoptic_ros.messages.images import MAX_PIXELS, check_pixels
from panoptic_ros.messages.panoptic import MessageBuilder

# Late subscribers get the last message.
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
# The camera topic's type, by the parameter image_transport.
TRANSPORTS = {"raw": Image, "compressed": CompressedImage}


@functools.cache
def message_type(kind: str) -> type:
    """Return the class of a message type, "sensor_msgs/msg/Image" say.

    Raise ModuleNotFoundError where its package is not installed.
    """
    package, _, name = kind.split("/")
    return getattr(importlib.import_module(f"{package}.msg"), name)


def image_to_rgb(msg: Image, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the picture in a sensor_msgs/Image as uint8 [H, W, 3], RGB.

    The package decodes the encodings that it knows (the same result as cv_bridge's, of 16
    bits within 1 of 255: cv_bridge rounds where this keeps the upper byte). Any other
    encoding is left to cv_bridge where that is installed. Raise ImageRefused with the reason.
    """
    if msg.encoding in KNOWN_ENCODINGS:
        return decode_image(msg, max_pixels)
    try:
        from cv_bridge import CvBridge
    # Built for another numpy, it fails on import with more than ImportError.
    except Exception:
        return decode_image(msg, max_pixels)
    check_pixels("image", msg.width, msg.height, max_pixels)
    try:
        return CvBridge().imgmsg_to_cv2(msg, "rgb8")
    # CvBridgeError, cv2.error, and numpy's errors about the size of the buffer.
    except Exception as error:
        raise ImageRefused(f"cv_bridge on encoding {msg.encoding!r}: {error}") from error


def picture(
    msg: Image | CompressedImage, max_pixels: int, on_device: JpegDecoder | None = None
) -> np.ndarray:
    """Return the picture in a message of TRANSPORTS, uint8 [H, W, 3], RGB; raise ImageRefused.

    on_device: see `decode_compressed`.
    """
    if isinstance(msg, CompressedImage):
        return decode_compressed(msg, max_pixels, on_device)
    return image_to_rgb(msg, max_pixels)


def packed(data: np.ndarray) -> array.array:
    """Return numbers [N], C-contiguous, as what the classes of rclpy take quickly."""
    # The setter checks every element of anything but an array.array: 646 ms for 6 MiB.
    result = array.array(data.dtype.char)
    result.frombytes(data.view(np.uint8).data)
    return result


MESSAGES = MessageBuilder(message_type, packed)
