"""Write a town's drive as a rosbag2 (mcap) with images, calibration, odometry and truth."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from tempfile import mkdtemp

import cv2
import numpy as np
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from panoptic_ros.bags.layout import LATCHED, VERSION
from panoptic_ros.bags.message_types import own_types
from panoptic_ros.datasets.town import (
    BASE_FRAME,
    CAMERAS,
    ODOM_FRAME,
    ODOMETRY_TOPIC,
    STATIC_TF_TOPIC,
    TF_TOPIC,
)
from panoptic_ros.geometry.poses import quaternion
from panoptic_ros.synthetic.ego_drive import EgoPose
from panoptic_ros.synthetic.mesh import rotation_z
from panoptic_ros.synthetic.world import TownFrame, World
from panoptic_ros.whole_files import naming

_JPEG = [cv2.IMWRITE_JPEG_QUALITY, 88]
_PNG = [cv2.IMWRITE_PNG_COMPRESSION, 9]
# ROS time of a drive's first frame: any fixed instant, for bags that are the same each time.
START_NS = 1_700_000_000_000_000_000


class DriveBag:
    """Write frames of a town to one bag; use as a context manager.

    path: a folder that must not exist yet (FileExistsError otherwise), and does not before the bag
    is whole: a kill leaves a folder PATH.*.partial. Raise OSError that names it where the disk is
    full; after an error nothing of it is left.
    """

    def __init__(self, path: Path, town: World) -> None:
        if path.exists():
            raise FileExistsError(f"{path} exists; give a folder that does not")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._town = path, town
        self._partial = Path(mkdtemp(".partial", f"{path.name}.", path.parent))
        self._topics = CAMERAS[town.camera_name]
        self._store = own_types()
        self._types: Mapping[str, type] = self._store.types
        # rosbags names the files by their folder.
        self._bag = self._partial / path.name
        self._writer = Writer(self._bag, version=VERSION, storage_plugin=StoragePlugin.MCAP)
        self._connections: dict[str, Connection] = {}

    def __enter__(self) -> DriveBag:
        try:
            with naming(self._path):
                self._writer.open()
            self._begin()
        except BaseException:
            shutil.rmtree(self._partial, ignore_errors=True)
            raise
        return self

    def _begin(self) -> None:
        for topic, kind in (
            (self._topics.image, "sensor_msgs/msg/CompressedImage"),
            (self._topics.info, "sensor_msgs/msg/CameraInfo"),
            (self._topics.labels, "sensor_msgs/msg/CompressedImage"),
            (ODOMETRY_TOPIC, "nav_msgs/msg/Odometry"),
            (TF_TOPIC, "tf2_msgs/msg/TFMessage"),
            (STATIC_TF_TOPIC, "tf2_msgs/msg/TFMessage"),
        ):
            qos = [LATCHED] if topic == STATIC_TF_TOPIC else []
            self._connections[topic] = self._writer.add_connection(
                topic, kind, typestore=self._store, offered_qos_profiles=qos
            )
        camera = self._town.camera
        frame, place, turn = self._topics.frame, camera.position, camera.rotation
        self._write(STATIC_TF_TOPIC, START_NS, self._tf(START_NS, BASE_FRAME, frame, place, turn))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            with naming(self._path):
                self._writer.close()
                # Half a bag would pass for a drive.
                if kind is None:
                    self._bag.rename(self._path)
        finally:
            shutil.rmtree(self._partial, ignore_errors=True)

    def add(self, frame: TownFrame) -> None:
        """Write one frame."""
        stamp = START_NS + round(frame.time * 1e9)
        bgr = cv2.cvtColor(frame.image, cv2.COLOR_RGB2BGR)
        ego, turn = frame.ego, rotation_z(frame.ego.yaw)
        pose = self._tf(stamp, ODOM_FRAME, BASE_FRAME, (ego.x, ego.y, 0.0), turn)
        self._write(TF_TOPIC, stamp, pose)
        self._write(ODOMETRY_TOPIC, stamp, self._odometry(stamp, ego))
        self._write(self._topics.info, stamp, self._camera_info(stamp))
        jpeg = self._compressed(stamp, "rgb8; jpeg compressed bgr8", ".jpg", bgr, _JPEG)
        self._write(self._topics.image, stamp, jpeg)
        png = self._compressed(stamp, "16UC1; png compressed ", ".png", frame.labels, _PNG)
        self._write(self._topics.labels, stamp, png)

    def _write(self, topic: str, stamp: int, message: object) -> None:
        connection = self._connections[topic]
        data = self._store.serialize_cdr(message, connection.msgtype)
        with naming(self._path):
            self._writer.write(connection, stamp, data)

    def _header(self, stamp: int, frame_id: str) -> object:
        time = self._types["builtin_interfaces/msg/Time"](stamp // 10**9, stamp % 10**9)
        return self._types["std_msgs/msg/Header"](time, frame_id)

    def _vector(self, x: float, y: float, z: float) -> object:
        return self._types["geometry_msgs/msg/Vector3"](float(x), float(y), float(z))

    def _quaternion(self, matrix: np.ndarray) -> object:
        return self._types["geometry_msgs/msg/Quaternion"](*quaternion(matrix))

    def _tf(
        self, stamp: int, parent: str, child: str, xyz: tuple[float, ...], matrix: np.ndarray
    ) -> object:
        transform = self._types["geometry_msgs/msg/Transform"](
            self._vector(*xyz), self._quaternion(matrix)
        )
        stamped = self._types["geometry_msgs/msg/TransformStamped"](
            self._header(stamp, parent), child, transform
        )
        return self._types["tf2_msgs/msg/TFMessage"]([stamped])

    def _odometry(self, stamp: int, ego: EgoPose) -> object:
        point = self._types["geometry_msgs/msg/Point"](ego.x, ego.y, 0.0)
        pose = self._types["geometry_msgs/msg/Pose"](point, self._quaternion(rotation_z(ego.yaw)))
        twist = self._types["geometry_msgs/msg/Twist"](
            self._vector(ego.speed, 0, 0), self._vector(0, 0, ego.yaw_rate)
        )
        nothing = np.zeros(36)
        return self._types["nav_msgs/msg/Odometry"](
            self._header(stamp, ODOM_FRAME),
            BASE_FRAME,
            self._types["geometry_msgs/msg/PoseWithCovariance"](pose, nothing),
            self._types["geometry_msgs/msg/TwistWithCovariance"](twist, nothing),
        )

    def _camera_info(self, stamp: int) -> object:
        h, w = self._town.camera.size
        k = self._town.camera.matrix
        p = np.concatenate([k, np.zeros((3, 1))], axis=1)
        roi = self._types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
        return self._types["sensor_msgs/msg/CameraInfo"](
            self._header(stamp, self._topics.frame), h, w, "plumb_bob", np.zeros(5),
            k.ravel(), np.eye(3).ravel(), p.ravel(), 0, 0, roi,
        )  # fmt: skip

    def _compressed(
        self, stamp: int, kind: str, suffix: str, image: np.ndarray, options: list[int]
    ) -> object:
        done, data = cv2.imencode(suffix, image, options)
        if not done:
            raise OSError(f"OpenCV could not encode the image as {suffix}")
        return self._types["sensor_msgs/msg/CompressedImage"](
            self._header(stamp, self._topics.frame), kind, data
        )
