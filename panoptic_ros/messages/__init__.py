"""Camera messages in, arrays out. Works on rclpy's and on the `rosbags` library's messages."""

from panoptic_ros.messages.clouds import decode_points
from panoptic_ros.messages.compressed import decode_compressed
from panoptic_ros.messages.depth import decode_depth
from panoptic_ros.messages.images import KNOWN_ENCODINGS, decode_image
from panoptic_ros.messages.label_images import decode_labels
from panoptic_ros.messages.refusal import ImageRefused

__all__ = [
    "KNOWN_ENCODINGS",
    "ImageRefused",
    "decode_compressed",
    "decode_depth",
    "decode_image",
    "decode_labels",
    "decode_points",
]
