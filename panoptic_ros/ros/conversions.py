"""Messages to arrays and predictions to messages."""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import ColorRGBA, Header

from panoptic_ros.encodings import KNOWN_ENCODINGS, ImageRefused, decode_image
from panoptic_ros.labels import INSTANCE_DIVISOR, UNLABELED, LabelSet
from panoptic_ros.msg import LabelClass, LabelInfo, PanopticInstance, PanopticInstances
from panoptic_ros.prediction import PanopticPrediction, Segment

NOT_TRACKED = -1


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
    encoding = "16UC1" if panoptic.labels.dtype == np.uint16 else "32SC1"
    return _image(panoptic.labels, encoding, header)


def mono8_image(pixels: np.ndarray, header: Header) -> Image:
    """Return uint8 [H, W] as Image, mono8."""
    return _image(pixels, "mono8", header)


def rgb8_image(pixels: np.ndarray, header: Header) -> Image:
    """Return uint8 [H, W, 3], RGB, as Image, rgb8."""
    return _image(pixels, "rgb8", header)


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
    things = sorted((s for s in panoptic.segments if s.is_thing), key=lambda s: -s.score)
    message = PanopticInstances(header=header)
    for segment in things:
        instance = _instance(panoptic, segment, labels, header)
        instance.track_id = (track_ids or {}).get(segment.id, NOT_TRACKED)
        if place := (positions or {}).get(segment.id):
            instance.position = Point(x=float(place[0]), y=float(place[1]), z=0.0)
        message.instances.append(instance)
    return message


def label_info_message(labels: LabelSet, stamp: Time) -> LabelInfo:
    """Return what the values of the label image mean."""
    classes = [
        LabelClass(id=c.id, name=c.name, is_thing=c.is_thing, color=_color(c.color))
        for c in sorted(labels.classes, key=lambda c: c.id)
    ]
    return LabelInfo(
        header=Header(stamp=stamp),
        label_set=labels.name,
        unlabeled=UNLABELED,
        instance_divisor=INSTANCE_DIVISOR,
        classes=classes,
    )


def _instance(
    panoptic: PanopticPrediction, segment: Segment, labels: LabelSet, header: Header
) -> PanopticInstance:
    x0, y0, x1, y1 = segment.box
    mask = panoptic.mask(segment).view(np.uint8) * np.uint8(255)
    return PanopticInstance(
        id=segment.id,
        class_id=segment.class_id,
        class_name=labels[segment.class_id].name,
        score=segment.score,
        box=RegionOfInterest(x_offset=x0, y_offset=y0, width=x1 - x0, height=y1 - y0),
        area=segment.area,
        mask=mono8_image(mask, header),
        position=Point(x=float("nan"), y=float("nan"), z=float("nan")),
    )


def _image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    height, width = pixels.shape[:2]
    # The setter checks every element of anything but an array.array: 646 ms for 6 MiB.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return Image(
        header=header,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=sys.byteorder == "big",
        step=len(data) // height,
        data=data,
    )


def _color(rgb: tuple[int, int, int]) -> ColorRGBA:
    r, g, b = (c / 255 for c in rgb)
    return ColorRGBA(r=r, g=g, b=b, a=1.0)
