"""Camera images from recorded bags, without ROS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader, AnyReaderError
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.messages import decode_compressed, decode_image

_DECODERS = {
    "sensor_msgs/msg/Image": decode_image,
    "sensor_msgs/msg/CompressedImage": decode_compressed,
}


@dataclass(frozen=True)
class ImageRecording:
    """Name the images of one topic in a rosbag2 (a folder; sqlite3 or mcap).

    count: messages on the topic; rate: images per second, 0 for fewer than two.
    """

    path: Path
    topic: str
    count: int
    rate: float

    def images(self) -> Iterator[np.ndarray]:
        """Yield each image in order, uint8 [H, W, 3], RGB.

        Raise ImageRefused for a message that is no image.
        """
        with _reader(self.path) as reader:
            wanted = [c for c in reader.connections if c.topic == self.topic]
            for connection, _, data in reader.messages(wanted):
                message = reader.deserialize(data, connection.msgtype)
                yield _DECODERS[connection.msgtype](message)


def open_images(path: Path, topic: str) -> ImageRecording:
    """Find an image topic in a bag.

    Raise FileNotFoundError for a missing bag, ValueError for one that cannot be read or has
    no images on the topic; the message lists the image topics there are.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no bag {path}")
    try:
        with _reader(path) as reader:
            counts = {c.topic: c.msgcount for c in reader.connections if c.msgtype in _DECODERS}
            seconds = reader.duration / 1e9
    except AnyReaderError as error:
        raise ValueError(f"{path} is not a bag that can be read: {error}") from error
    if not counts.get(topic):
        known = ", ".join(sorted(counts)) or "none"
        raise ValueError(f"{path} has no images on {topic}; its image topics: {known}")
    count = counts[topic]
    return ImageRecording(path, topic, count, (count - 1) / seconds if count > 1 else 0.0)


def _reader(path: Path) -> AnyReader:
    # Bags before Iron do not carry their message definitions.
    return AnyReader([path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
