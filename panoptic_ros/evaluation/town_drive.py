"""Drives with lasting true ids, calibration and odometry, from bags and from files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from panoptic_ros.bags import BagReader, stamp_ns
from panoptic_ros.datasets.cityscapes import Sample
from panoptic_ros.datasets.town import CAMERAS, ODOMETRY_TOPIC, STATIC_TF_TOPIC, Town
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.cuboid import Cuboid
from panoptic_ros.geometry.poses import Pose2D, message_pose, optical_pose, planar_pose
from panoptic_ros.messages import ImageRefused, decode_compressed, decode_labels
from panoptic_ros.prediction import PanopticPrediction

# Gives a picture's labels.
Network = Callable[[np.ndarray], PanopticPrediction]

_CAMERA = CAMERAS["front"]
_TOPICS = (STATIC_TF_TOPIC, _CAMERA.info, ODOMETRY_TOPIC, _CAMERA.labels, _CAMERA.image)


@dataclass(frozen=True)
class DriveFrame:
    """Hold a frame: its stamp, base_link in odom, true instance ids [H, W], its image.

    image: gives uint8 [H, W, 3], RGB, when it is called; depth: gives float32 [H, W], metres, 0
    none, and boxes the objects' in base_link by instance id; None where there is no such truth.
    """

    time_ns: int
    pose: Pose2D
    truth: np.ndarray
    image: Callable[[], np.ndarray]
    depth: Callable[[], np.ndarray] | None = None
    boxes: Callable[[], Mapping[int, Cuboid]] | None = None


@dataclass(frozen=True)
class TownDrive:
    """Hold a drive; base_from_optical: the camera's pose, float64 [4, 4]."""

    name: str
    camera: CameraModel
    base_from_optical: np.ndarray
    frames: Sequence[DriveFrame]


def bag_drive(path: Path, limit: int | None = None) -> TownDrive:
    """Return the first `limit` frames of a bag that the command `town` has written.

    Raise FileNotFoundError for a missing bag, ValueError for one that cannot be read or lacks
    a topic.
    """
    topics: dict[str, list[Any]] = {topic: [] for topic in _TOPICS}
    with BagReader(path) as bag:
        for message in bag.messages(topics):
            if len(topics[message.topic]) != limit:
                topics[message.topic].append(message.message)
            elif all(len(topics[topic]) == limit for topic in (_CAMERA.labels, _CAMERA.image)):
                break
    if bag.problems:
        raise ValueError(f"{path} is broken: {bag.problems[0]}")
    missing = [topic for topic, messages in topics.items() if not messages]
    if missing:
        raise ValueError(f"{path} has no messages on {', '.join(missing)}")
    counts = {t: len(topics[t]) for t in (ODOMETRY_TOPIC, _CAMERA.labels, _CAMERA.image)}
    if len({*counts.values()}) > 1:
        told = ", ".join(f"{number} on {topic}" for topic, number in counts.items())
        raise ValueError(f"{path} is no whole drive of the town: it has {told}")
    mounting = topics[STATIC_TF_TOPIC][0].transforms[0].transform
    frames = [
        DriveFrame(
            stamp_ns(labels.header),
            planar_pose(message_pose(odometry.pose.pose.position, odometry.pose.pose.orientation)),
            _true_labels(labels, path),
            partial(decode_compressed, image),
        )
        for odometry, labels, image in zip(
            topics[ODOMETRY_TOPIC], topics[_CAMERA.labels], topics[_CAMERA.image], strict=True
        )
    ]
    return TownDrive(
        path.name,
        CameraModel.from_camera_info(topics[_CAMERA.info][0]),
        message_pose(mounting.translation, mounting.rotation),
        frames,
    )


def files_drive(town: Town, samples: Sequence[Sample]) -> TownDrive:
    """Return a drive from the files of its frames; errors as for `Town`."""
    frames = []
    for sample in samples:
        ego = town.ego_pose(sample)
        pose = Pose2D(ego["x"], ego["y"], ego["yaw"])
        frames.append(
            DriveFrame(
                round(ego["time"] * 1e9),
                pose,
                sample.load_instance_ids(),
                sample.load_image,
                partial(town.depth, sample),
                partial(_boxes, town, sample),
            )
        )
    calibration = town.camera(samples[0])
    lens, mount = calibration["intrinsic"], calibration["extrinsic"]
    height, width = frames[0].truth.shape
    matrix = [[lens["fx"], 0, lens["u0"]], [0, lens["fy"], lens["v0"]], [0, 0, 1]]
    return TownDrive(
        samples[0].name.rsplit("_", 1)[0],
        CameraModel(width, height, np.array(matrix)),
        optical_pose(*(mount[key] for key in ("x", "y", "z", "roll", "pitch", "yaw"))),
        frames,
    )


def network_predictions(drive: TownDrive, network: Network) -> list[PanopticPrediction]:
    """Return what a network makes of a drive's images."""
    return [network(frame.image()) for frame in tqdm(drive.frames, drive.name, unit="frame")]


def _boxes(town: Town, sample: Sample) -> dict[int, Cuboid]:
    _, plan = town.ground_plan(sample)
    return {
        box["id"]: Cuboid(tuple(box["center"]), tuple(box["size"]), box["yaw"])
        for box in plan["boxes"]
    }


def _true_labels(message: Any, path: Path) -> np.ndarray:
    try:
        return decode_labels(message)
    except ImageRefused as refusal:
        raise ValueError(f"{path}: {_CAMERA.labels}: {refusal}") from refusal
