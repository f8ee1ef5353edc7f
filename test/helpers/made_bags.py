"""Small bags, made for a test."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from panoptic_ros.bags.message_types import own_types

SIZE = (64, 96)
START = 1_700_000_000_000_000_000
STEP = 100_000_000
CAMERA, INFO, TRUTH = "/camera/image", "/camera/camera_info", "/ground_truth/labels/compressed"
STORE = own_types()
TYPES = STORE.types


def picture(index: int) -> np.ndarray:
    """Return an image that differs from frame to frame, uint8 [64, 96, 3]."""
    return np.random.default_rng(index).integers(0, 256, (*SIZE, 3), np.uint8)


def header(time: int) -> Any:
    stamp = TYPES["builtin_interfaces/msg/Time"](time // 10**9, time % 10**9)
    return TYPES["std_msgs/msg/Header"](stamp, "camera")


def raw(time: int, image: np.ndarray) -> Any:
    h, w = image.shape[:2]
    return TYPES["sensor_msgs/msg/Image"](header(time), h, w, "rgb8", 0, 3 * w, image.ravel())


def compressed(time: int, image: np.ndarray) -> Any:
    data = cv2.imencode(".png", image[..., ::-1] if image.ndim == 3 else image)[1]
    return TYPES["sensor_msgs/msg/CompressedImage"](header(time), "png", data.ravel())


def info(time: int, focal: float = 80.0) -> Any:
    k = np.array([focal, 0, 48, 0, focal, 32, 0, 0, 1])
    p = np.array([focal, 0, 48, 0, 0, focal, 32, 0, 0, 0, 1, 0])
    roi = TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False)
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header(time), *SIZE, "plumb_bob", np.zeros(5), k, np.eye(3).ravel(), p, 0, 0, roi
    )


AHEAD = (-0.5, 0.5, -0.5, 0.5)


def static_tf(
    x: float = 1.5,
    z: float = 1.2,
    child: str = "camera",
    turn: tuple[float, float, float, float] = AHEAD,
) -> Any:
    """Return /tf_static of a frame in base_link; by default that of a camera that looks ahead."""
    turn = TYPES["geometry_msgs/msg/Quaternion"](*turn)
    place = TYPES["geometry_msgs/msg/Vector3"](x, 0.0, z)
    transform = TYPES["geometry_msgs/msg/Transform"](place, turn)
    head = TYPES["std_msgs/msg/Header"](header(START).stamp, "base_link")
    stamped = TYPES["geometry_msgs/msg/TransformStamped"](head, child, transform)
    return TYPES["tf2_msgs/msg/TFMessage"]([stamped])


def odometry(time: int, x: float, yaw: float = 0.0, child: str = "base_link") -> Any:
    turn = TYPES["geometry_msgs/msg/Quaternion"](0.0, 0.0, np.sin(yaw / 2), np.cos(yaw / 2))
    pose = TYPES["geometry_msgs/msg/Pose"](TYPES["geometry_msgs/msg/Point"](x, 0.0, 0.0), turn)
    still = TYPES["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    twist, nothing = TYPES["geometry_msgs/msg/Twist"](still, still), np.zeros(36)
    return TYPES["nav_msgs/msg/Odometry"](
        TYPES["std_msgs/msg/Header"](header(time).stamp, "odom"),
        child,
        TYPES["geometry_msgs/msg/PoseWithCovariance"](pose, nothing),
        TYPES["geometry_msgs/msg/TwistWithCovariance"](twist, nothing),
    )


def depth(time: int, metres: float = 5.0, frame: str = "camera") -> Any:
    values = np.full(SIZE, metres, np.float32).view(np.uint8).ravel()
    head = TYPES["std_msgs/msg/Header"](header(time).stamp, frame)
    return TYPES["sensor_msgs/msg/Image"](head, *SIZE, "32FC1", 0, 4 * SIZE[1], values)


def cloud(time: int, points: np.ndarray, frame: str = "base_link") -> Any:
    fields = [TYPES["sensor_msgs/msg/PointField"](n, 4 * i, 7, 1) for i, n in enumerate("xyz")]
    data = np.asarray(points, np.float32).view(np.uint8).ravel()
    head = TYPES["std_msgs/msg/Header"](header(time).stamp, frame)
    return TYPES["sensor_msgs/msg/PointCloud2"](
        head, 1, len(points), fields, False, 12, 12 * len(points), data, True
    )


def write(path: Path, messages: list[tuple[str, int, Any]], plugin: StoragePlugin) -> Path:
    """Write (topic, time, message) to a bag."""
    with Writer(path, version=8, storage_plugin=plugin) as writer:
        connections: dict[str, Any] = {}
        for topic, time, message in messages:
            kind = message.__msgtype__
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, kind, typestore=STORE)
            writer.write(connections[topic], time, STORE.serialize_cdr(message, kind))
    return path


def drive(
    path: Path,
    frames: int = 3,
    plugin: StoragePlugin = StoragePlugin.MCAP,
    image: Callable[[int, np.ndarray], Any] = raw,
    focals: tuple[float, ...] = (),
    truth: bool = True,
    placed: bool = False,
    depths: bool = False,
) -> Path:
    """Write a bag of a camera with truth; its calibration is not filled in.

    focals: one per frame; placed: with calibration, the camera's place, and odometry, a metre
    per frame; depths: with depth images of 5 m.
    """
    focals = focals or (80.0 if placed else 0.0,) * frames
    messages: list[tuple[str, int, Any]] = []
    if placed:
        messages.append(("/tf_static", START, static_tf()))
    for i in range(frames):
        time = START + i * STEP
        if placed:
            messages.append(("/odom", time, odometry(time, float(i))))
        messages.append((INFO, time, info(time, focals[i])))
        messages.append((CAMERA, time, image(time, picture(i))))
        if depths:
            messages.append(("/depth", time, depth(time)))
        if truth:
            labels = np.full(SIZE, 7, np.uint16)
            labels[10:30, 10 + i : 40 + i] = 26001
            messages.append((TRUTH, time, compressed(time, labels)))
    return write(path, messages, plugin)


def with_unknown_type(path: Path) -> Path:
    """Write a drive with a topic whose type nobody knows, as Humble did: without definitions."""
    store = get_typestore(Stores.ROS2_HUMBLE)
    store.register(get_types_from_msg("int32 x", "strange_msgs/msg/Odd"))
    odd = store.types["strange_msgs/msg/Odd"](3)
    with Writer(path, version=8, storage_plugin=StoragePlugin.SQLITE3) as writer:
        strange = writer.add_connection("/odd", "strange_msgs/msg/Odd", typestore=store)
        kind = "sensor_msgs/msg/Image"
        camera = writer.add_connection(CAMERA, kind, typestore=store)
        for i in range(2):
            time = START + i * STEP
            writer.write(strange, time, store.serialize_cdr(odd, "strange_msgs/msg/Odd"))
            writer.write(camera, time, store.serialize_cdr(raw(time, picture(i)), kind))
    (file,) = path.glob("*.db3")
    with sqlite3.connect(file) as database:
        database.execute("DELETE FROM message_definitions")
    return path
