"""A bag's camera frames and their ground truth, as far as the bag can be read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from panoptic_ros.bags import Entry, Recording
from panoptic_ros.bags.message_types import learn, own_types
from panoptic_ros.messages import ImageRefused, decode_compressed, decode_image
from panoptic_ros.replay.topics import COMPRESSED, IMAGE_KINDS, camera_topic, truth_topic

CAMERA_INFO = "sensor_msgs/msg/CameraInfo"
ODOMETRY = "nav_msgs/msg/Odometry"
# What a viewer needs to show the output beside the drive, and the node to place it on the ground;
# the camera's pictures stay where they are, ~/color has them.
COPIED_KINDS = (CAMERA_INFO, "tf2_msgs/msg/TFMessage", ODOMETRY)


@dataclass(frozen=True)
class BagMessage:
    """Hold a message of a bag.

    time: log time, nanoseconds; data: as recorded (CDR); message: None where its type is unknown.
    """

    topic: str
    kind: str
    time: int
    data: bytes
    message: Any


class BagSource:
    """Read a bag's messages in the order of their log times.

    camera, truth: topics, None where there is none; problems: what is broken or odd, a line
    each, growing while messages are read. Use as a context manager.
    Raise FileNotFoundError or ValueError where the bag or a wanted topic is not there.
    """

    def __init__(self, path: Path, topic: str | None = None, truth: str | None = None) -> None:
        self._recording = Recording(path)
        self.problems = self._recording.problems
        try:
            self.types = own_types()
            self.problems += learn(self.types, self._recording.topics)
            counts = self._recording.counts()
            kinds = {t.name: t.kind for t in self._recording.topics if counts[t.name]}
            self.truth = truth_topic(kinds, truth)
            self.camera = camera_topic(kinds, topic, self.truth)
        except BaseException:
            self.close()
            raise
        self.kinds = kinds
        self.storage = self._recording.storage
        self.frames = counts[self.camera] if self.camera else 0
        if self.camera is None:
            known = ", ".join(f"{name} ({kind})" for name, kind in sorted(kinds.items()))
            self.problems.append(f"{path} has no images; its topics: {known or 'none'}")
        self._calibrations: dict[str, bytes] = {}

    def __enter__(self) -> BagSource:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the bag."""
        self._recording.close()

    @property
    def start(self) -> int:
        """Log time of the first message, nanoseconds."""
        return self._recording.start

    def messages(self, topics: set[str]) -> Iterator[BagMessage]:
        """Yield the messages of some topics; one that cannot be read is a problem, not an end."""
        for entry in self._recording.entries():
            if entry.topic.name in topics and (message := self._read(entry)):
                self._watch_calibration(message)
                yield message

    def truth_stamps(self) -> dict[int, BagMessage]:
        """Return the truth's messages by stamp, nanoseconds; the pictures stay compressed."""
        if self.truth is None:
            return {}
        return {stamp_ns(m.message.header): m for m in self.messages({self.truth})}

    def _read(self, entry: Entry) -> BagMessage | None:
        topic = entry.topic
        try:
            data = self._recording.data(entry)
            known = topic.kind in self.types.types
            message = self.types.deserialize_cdr(data, topic.kind) if known else None
        # A damaged message fails in as many ways as its type has fields.
        except Exception as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            self.problems.append(f"{topic.name} at {entry.time / 1e9:.6f} s: unreadable ({reason})")
            return None
        return BagMessage(topic.name, topic.kind, entry.time, bytes(data), message)

    def _watch_calibration(self, message: BagMessage) -> None:
        if message.kind != CAMERA_INFO:
            return
        info = message.message
        fields = (info.height, info.width, info.distortion_model, info.binning_x, info.binning_y)
        arrays = (np.asarray(a, float).tobytes() for a in (info.k, info.d, info.r, info.p))
        calibration = repr(fields).encode() + b"".join(arrays)
        before = self._calibrations.setdefault(message.topic, calibration)
        if before != calibration:
            self._calibrations[message.topic] = calibration
            self.problems.append(
                f"{message.topic} at {message.time / 1e9:.6f} s: the calibration changes; frames "
                "from there on are of another camera"
            )


def stamp_ns(header: Any) -> int:
    """Return a header's stamp in nanoseconds."""
    return header.stamp.sec * 10**9 + header.stamp.nanosec


def stamp_text(header: Any) -> str:
    """Return a header's stamp in seconds, exactly."""
    return f"{header.stamp.sec}.{header.stamp.nanosec:09d}"


def camera_image(message: BagMessage) -> np.ndarray:
    """Return a camera message's picture as the node sees it; raise ImageRefused."""
    decode = decode_compressed if message.kind == COMPRESSED else decode_image
    return decode(message.message)


def truth_labels(message: BagMessage) -> np.ndarray:
    """Return a ground-truth message's label image, integer [H, W].

    CompressedImage with a PNG of 16 bits, or Image 16UC1 or 32SC1, in Cityscapes' instance ids.
    Raise ImageRefused for anything else.
    """
    if message.kind not in IMAGE_KINDS:
        raise ImageRefused(f"{message.kind} is no image")
    return _png(message) if message.kind == COMPRESSED else _raw(message)


def _png(message: BagMessage) -> np.ndarray:
    data = np.frombuffer(bytes(message.message.data), np.uint8)
    labels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if labels is None or labels.ndim != 2 or labels.dtype != np.uint16:
        raise ImageRefused(f"{message.topic}: a label image must be a PNG of one 16-bit channel")
    return labels


def _raw(message: BagMessage) -> np.ndarray:
    image = message.message
    kind = {"16UC1": np.uint16, "mono16": np.uint16, "32SC1": np.int32}.get(image.encoding)
    if kind is None:
        raise ImageRefused(
            f"{message.topic}: encoding {image.encoding!r}; a label image is 16UC1 or 32SC1"
        )
    order = ">" if image.is_bigendian else "<"
    dtype = np.dtype(kind).newbyteorder(order)
    if image.step * image.height != len(image.data) or image.step < image.width * dtype.itemsize:
        raise ImageRefused(f"{message.topic}: {len(image.data)} bytes do not fit its size")
    rows = np.frombuffer(bytes(image.data), np.uint8).reshape(image.height, image.step)
    pixels = np.ascontiguousarray(rows[:, : image.width * dtype.itemsize])
    return pixels.view(dtype).astype(kind)
