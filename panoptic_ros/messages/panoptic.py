"""Predictions as ROS messages, of whichever library's message classes."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from panoptic_ros.labels import INSTANCE_DIVISOR, SHIFT, UNLABELED, LabelSet, shifted
from panoptic_ros.prediction import PanopticPrediction, Segment

NOT_TRACKED = -1
# Encodings of the label image: the smallest that holds class_id * 1000 + n, or class_id << 16 | n.
AUTO, SHIFTED = "auto", "32SC1"

IMAGE_KIND = "sensor_msgs/msg/Image"
INSTANCES_KIND = "panoptic_ros/msg/PanopticInstances"
LABEL_INFO_KIND = "panoptic_ros/msg/LabelInfo"


class Messages:
    """Build messages of one library's classes.

    message_type: maps a type's name ("sensor_msgs/msg/Image") to its class, which takes every
    field by name; pack: turns a C-contiguous array [N] into what that class wants for a field of
    numbers, uint8[] or float32[] say.
    Headers and stamps are messages of the same library.
    """

    def __init__(
        self, message_type: Callable[[str], Any], pack: Callable[[np.ndarray], Any]
    ) -> None:
        self._type = message_type
        self._pack = pack

    def _point(self, place: Iterable[float]) -> Any:
        """Return x, y, z as Point."""
        x, y, z = map(float, place)
        return self._type("geometry_msgs/msg/Point")(x=x, y=y, z=z)

    def _vector(self, sizes: Iterable[float]) -> Any:
        """Return x, y, z as Vector3."""
        x, y, z = map(float, sizes)
        return self._type("geometry_msgs/msg/Vector3")(x=x, y=y, z=z)

    def _pose(self, place: Iterable[float], yaw: float = 0.0) -> Any:
        """Return a place and a turn about z, radians, as Pose."""
        turn = self._type("geometry_msgs/msg/Quaternion")(
            x=0.0, y=0.0, z=math.sin(yaw / 2), w=math.cos(yaw / 2)
        )
        return self._type("geometry_msgs/msg/Pose")(position=self._point(place), orientation=turn)

    def _color(self, rgba: Iterable[float]) -> Any:
        """Return a colour, 0..1, as ColorRGBA."""
        r, g, b, a = rgba
        return self._type("std_msgs/msg/ColorRGBA")(r=r, g=g, b=b, a=a)


class MessageBuilder(Messages):
    """Build messages of a frame's labels."""

    def image(self, pixels: np.ndarray, encoding: str, header: Any) -> Any:
        """Return pixels, [H, W] or [H, W, C], as sensor_msgs/Image of an encoding that fits."""
        height, width = pixels.shape[:2]
        data = np.ascontiguousarray(pixels).reshape(-1).view(np.uint8)
        return self._type(IMAGE_KIND)(
            header=header,
            height=height,
            width=width,
            encoding=encoding,
            is_bigendian=int(sys.byteorder == "big"),
            step=len(data) // height,
            data=self._pack(data),
        )

    def labels(self, panoptic: PanopticPrediction, header: Any, labels_encoding: str = AUTO) -> Any:
        """Return the label image as Image.

        labels_encoding: AUTO is 16UC1, or 32SC1 where the pixels are int32; SHIFTED is 32SC1
        with class_id << 16 | n.
        """
        if labels_encoding == SHIFTED:
            return self.image(shifted(panoptic.labels), "32SC1", header)
        encoding = "16UC1" if panoptic.labels.dtype == np.uint16 else "32SC1"
        return self.image(panoptic.labels, encoding, header)

    def instances(
        self,
        panoptic: PanopticPrediction,
        labels: LabelSet,
        header: Any,
        *,
        track_ids: Mapping[int, int] | None = None,
        positions: Mapping[int, tuple[float, float, float]] | None = None,
        position_frame: str = "",
        labels_encoding: str = AUTO,
    ) -> Any:
        """Return the things of a frame as PanopticInstances, by falling score.

        track_ids, positions (x, y, z in metres, in position_frame): by the segment's id, of those
        that have one; labels_encoding: of the label image, and so of the message's ids.
        """
        things = sorted((s for s in panoptic.segments if s.is_thing), key=lambda s: -s.score)
        ids = np.array([s.id for s in things], np.int64)
        if labels_encoding == SHIFTED:
            ids = shifted(ids)
        return self._type(INSTANCES_KIND)(
            header=header,
            instances=[
                self._instance(
                    panoptic,
                    segment,
                    value,
                    labels,
                    header,
                    (track_ids or {}).get(segment.id, NOT_TRACKED),
                    (positions or {}).get(segment.id),
                )
                for segment, value in zip(things, ids.tolist(), strict=True)
            ],
            position_frame=position_frame if positions else "",
        )

    def label_info(self, labels: LabelSet, stamp: Any, labels_encoding: str = AUTO) -> Any:
        """Return what the values of the label image mean, as LabelInfo."""
        classes = [
            self._type("panoptic_ros/msg/LabelClass")(
                id=c.id,
                name=c.name,
                is_thing=c.is_thing,
                color=self._color((*(channel / 255 for channel in c.color), 1.0)),
            )
            for c in sorted(labels.classes, key=lambda c: c.id)
        ]
        return self._type(LABEL_INFO_KIND)(
            header=self._type("std_msgs/msg/Header")(stamp=stamp, frame_id=""),
            label_set=labels.name,
            unlabeled=UNLABELED,
            instance_divisor=1 << SHIFT if labels_encoding == SHIFTED else INSTANCE_DIVISOR,
            classes=classes,
        )

    def _instance(
        self,
        panoptic: PanopticPrediction,
        segment: Segment,
        value: int,
        labels: LabelSet,
        header: Any,
        track_id: int,
        place: tuple[float, float, float] | None,
    ) -> Any:
        x0, y0, x1, y1 = segment.box
        mask = panoptic.mask(segment).view(np.uint8) * np.uint8(255)
        return self._type("panoptic_ros/msg/PanopticInstance")(
            id=value,
            track_id=track_id,
            class_id=segment.class_id,
            class_name=labels[segment.class_id].name,
            score=segment.score,
            box=self._type("sensor_msgs/msg/RegionOfInterest")(
                x_offset=x0, y_offset=y0, height=y1 - y0, width=x1 - x0, do_rectify=False
            ),
            area=segment.area,
            mask=self.image(mask, "mono8", header),
            position=self._point(place or (math.nan,) * 3),
        )
