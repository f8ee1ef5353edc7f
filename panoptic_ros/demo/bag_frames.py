"""A recorded drive with what places its pictures on the ground."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore

from panoptic_ros.bags import open_images
from panoptic_ros.geometry.poses import mounting, rigid_transform, rotation_matrix
from panoptic_ros.messages import decode_compressed

IMAGE_TOPIC = "/camera/image/compressed"
INFO_TOPIC = "/camera/camera_info"
ODOMETRY_TOPIC = "/odom"
STATIC_TF_TOPIC = "/tf_static"


@dataclass(frozen=True)
class Shot:
    """Hold a picture, uint8 [H, W, 3] RGB, and what was recorded with it.

    time: seconds since the first one; info, odometry: sensor_msgs/CameraInfo and
    nav_msgs/Odometry as recorded (CDR), None where there are none.
    """

    image: np.ndarray
    time: float
    info: bytes | None = None
    odometry: bytes | None = None


class Drive:
    """Read a bag that the command `town` wrote. Errors as for `bags.open_images`."""

    def __init__(self, path: Path) -> None:
        recording = open_images(path, IMAGE_TOPIC)
        self.count, self.rate = recording.count, recording.rate
        self._path = path

    def mounting(self) -> dict[str, float]:
        """Return x, y, z (metres), roll, pitch, yaw (radians) of the camera in `base_link`."""
        with self._reader() as reader:
            wanted = [c for c in reader.connections if c.topic == STATIC_TF_TOPIC]
            connection, _, data = next(reader.messages(wanted))
            transform = reader.deserialize(data, connection.msgtype).transforms[0].transform
        place, turn = transform.translation, transform.rotation
        rotation = rotation_matrix((turn.x, turn.y, turn.z, turn.w))
        return mounting(rigid_transform((place.x, place.y, place.z), rotation))

    def shots(self) -> Iterator[Shot]:
        """Yield each picture with calibration and odometry of its stamp."""
        with self._reader() as reader:
            topics = (IMAGE_TOPIC, INFO_TOPIC, ODOMETRY_TOPIC)
            wanted = [c for c in reader.connections if c.topic in topics]
            # Messages of one stamp lie together, the picture last.
            latest: dict[str, bytes] = {}
            for connection, time_ns, data in reader.messages(wanted):
                if connection.topic != IMAGE_TOPIC:
                    latest[connection.topic] = bytes(data)
                    continue
                message = reader.deserialize(data, connection.msgtype)
                yield Shot(
                    decode_compressed(message),
                    (time_ns - reader.start_time) / 1e9,
                    latest[INFO_TOPIC],
                    latest[ODOMETRY_TOPIC],
                )

    def _reader(self) -> AnyReader:
        return AnyReader([self._path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))
