"""Messages to arrays and predictions to messages."""

from __future__ import annotations

import array
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header

from panoptic_ros.labels import LabelSet
from panoptic_ros.messages import KNOWN_ENCODINGS, ImageRefused, decode_image
from panoptic_ros.messages.panoptic import MessageBuilder
from panoptic_ros.msg import LabelClass, LabelInfo, PanopticInstance, PanopticInstances
from panoptic_ros.prediction import PanopticPrediction

_TYPES = {
    "geometry_msgs/msg/Point": Point,
    "panoptic_ros/msg/LabelClass": LabelClass,
    "panoptic_ros/msg/LabelInfo": LabelInfo,
    "panoptic_ros/msg/PanopticInstance": PanopticInstance,
    "panoptic_ros/msg/PanopticInstances": PanopticInstances,
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/RegionOfInterest": RegionOfInterest,
    "std_msgs/msg/ColorRGBA": ColorRGBA,
    "std_msgs/msg/Header": Header,
}


def image_to_rgb(msg: Image) -> np.ndarray:
    """Return the picture in a sensor_msgs/Image as uint8 [H, W, 3], RGB.

    The package decodes the encodings that it knows (the same result as cv_bridge's, mono16
    within 1 of 255: cv_bridge rounds where this keeps the upper byte). Any other
    encoding is left to cv_bridge where that is installed. Raise ImageRefused with the reason.
    """
    if msg.encoding in KNOWN_ENCODINGS:
        return decode_image(msg)
    try:
        from cv_bridge import CvBridge
    # Built for another numpy, it fails on import with more than ImportError.
    except Exception:
        return decode_image(msg)
    try:
        return CvBridge().imgmsg_to_cv2(msg, "rgb8")
    # CvBridgeError, cv2.error, and numpy's errors about the size of the buffer.
    except Exception as error:
        raise ImageRefused(f"cv_bridge on encoding {msg.encoding!r}: {error}") from error


def labels_message(panoptic: PanopticPrediction, header: Header) -> Image:
    """Return the label image as Image, 16UC1 (32SC1 where the pixels are int32)."""
    return _BUILD.labels(panoptic, header)


def mono8_image(pixels: np.ndarray, header: Header) -> Image:
    """Return uint8 [H, W] as Image, mono8."""
    return _BUILD.image(pixels, "mono8", header)


def rgb8_image(pixels: np.ndarray, header: Header) -> Image:
    """Return uint8 [H, W, 3], RGB, as Image, rgb8."""
    return _BUILD.image(pixels, "rgb8", header)


def instances_message(
    panoptic: PanopticPrediction,
    labels: LabelSet,
    header: Header,
    *,
    track_ids: Mapping[int, int] | None = None,
    positions: Mapping[int, tuple[float, float]] | None = None,
) -> PanopticInstances:
    """Return the things of a frame, by falling score.

    track_ids, positions (x, y in metres): by value in the label image, of those that have one.
    """
    return _BUILD.instances(panoptic, labels, header, track_ids=track_ids, positions=positions)


def label_info_message(labels: LabelSet, stamp: Time) -> LabelInfo:
    """Return what the values of the label image mean."""
    return _BUILD.label_info(labels, stamp)


def _packed(data: np.ndarray) -> array.array:
    # The setter checks every element of anything but an array.array: 646 ms for 6 MiB.
    packed = array.array("B")
    packed.frombytes(data.data)
    return packed


_BUILD = MessageBuilder(_TYPES.__getitem__, _packed)
