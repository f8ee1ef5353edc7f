"""What the demo's cameras show: a video file, or the drive that the package brings."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.bags import BagReader
from panoptic_ros.datasets.town import CAMERAS, ODOMETRY_TOPIC, STATIC_TF_TOPIC
from panoptic_ros.geometry.poses import message_pose, mounting
from panoptic_ros.messages import decode_compressed
from panoptic_ros.resources import share_dir

# Written by the command `town` (docs/town.md).
_DRIVES = {"front": Path("sample/town_drive"), "rear": Path("sample/town_drive_rear")}
# A camera's frames are often alike; of a long video every tenth is taken at most, so that
# reading it stays quick and what moves still seems to.
_LARGEST_STRIDE = 10
_USUAL_RATE_HZ = 25.0


@dataclass(frozen=True)
class Shot:
    """Hold a picture, uint8 [H, W, 3] RGB, and what was recorded with it.

    time: seconds since the first one; camera: its name, "" for the only one; info, odometry:
    sensor_msgs/CameraInfo and nav_msgs/Odometry as recorded (CDR), None where there are none.
    """

    image: np.ndarray
    time: float
    camera: str = ""
    info: bytes | None = None
    odometry: bytes | None = None


@dataclass(frozen=True)
class Footage:
    """Hold moments to show: what the cameras took since the moment before.

    rate: moments per second at which they play as they were recorded; count: how many there
    are at most; moments: starts reading them, the first camera's shot is the last of each;
    mountings: x, y, z, roll, pitch, yaw of each camera by its name, empty where they are unknown.
    """

    name: str
    rate: float
    count: int
    moments: Callable[[], Iterator[list[Shot]]]
    mountings: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def open_footage(video: Path | None, limit: int) -> Footage:
    """Return at most `limit` moments of a video, evenly spread, or of the shipped drive.

    Raise FileNotFoundError for a missing file, ValueError for one that cannot be read.
    """
    if video is not None:
        return _recorded(video, limit)
    cameras = [_Camera(name, share_dir() / bag) for name, bag in _DRIVES.items()]
    mountings = {camera.name: camera.mounting() for camera in cameras}
    with BagReader(cameras[0].bag) as reader:
        times = [entry.time for entry in reader.entries({CAMERAS[cameras[0].name].image})]
    shown = min(limit, len(times))
    rate = (len(times) - 1) / max((times[-1] - times[0]) / 1e9, 1e-9)
    return Footage(
        "drive through the town",
        rate,
        shown,
        lambda: islice(_driven(*cameras), shown),
        mountings,
    )


@dataclass(frozen=True)
class _Camera:
    """Read what a camera of the drive has recorded."""

    name: str
    bag: Path

    def mounting(self) -> dict[str, float]:
        """Return x, y, z (metres), roll, pitch, yaw (radians) of the camera in `base_link`.

        Raise ValueError where something of the drive is missing.
        """
        with BagReader(self.bag) as reader:
            if reader.problems:
                raise ValueError(
                    f"the shipped drive is broken: {reader.problems[0]}; get it anew, or give a "
                    "--video"
                )
            message = next(reader.messages({STATIC_TF_TOPIC})).message
        transform = message.transforms[0].transform
        return mounting(message_pose(transform.translation, transform.rotation))

    def shots(self) -> Iterator[Shot]:
        """Yield each picture with calibration and odometry of its stamp."""
        topics = CAMERAS[self.name]
        with BagReader(self.bag) as reader:
            # Messages of one stamp lie together, the picture last.
            latest: dict[str, bytes] = {}
            start = None
            for message in reader.messages({topics.image, topics.info, ODOMETRY_TOPIC}):
                if message.topic != topics.image:
                    latest[message.topic] = message.data
                    continue
                start = message.time if start is None else start
                yield Shot(
                    decode_compressed(message.message),
                    (message.time - start) / 1e9,
                    self.name,
                    latest[topics.info],
                    latest[ODOMETRY_TOPIC],
                )


def _driven(first: _Camera, *others: _Camera) -> Iterator[list[Shot]]:
    """Yield the moments of a drive whose cameras began together."""
    moment: list[Shot] = []
    # Of those of one time the first camera's comes last.
    for shot in heapq.merge(*(c.shots() for c in (*others, first)), key=lambda shot: shot.time):
        moment.append(shot)
        if shot.camera == first.name:
            yield moment
            moment = []


def thinned(moments: Iterable[list[Shot]], stride: int) -> Iterator[list[Shot]]:
    """Yield every stride-th moment, with the newest shot that each camera took since the last."""
    newest: dict[str, Shot] = {}
    for number, moment in enumerate(moments):
        for shot in moment:
            newest.pop(shot.camera, None)
            newest[shot.camera] = shot
        if number % stride == 0:
            yield list(newest.values())
            newest.clear()


def _recorded(video: Path, limit: int) -> Footage:
    if not video.is_file():
        raise FileNotFoundError(f"there is no video file {video}")
    capture = cv2.VideoCapture(str(video))
    if not capture.read()[0]:
        raise ValueError(f"{video} is not a video that OpenCV {cv2.__version__} can read")
    # Some containers do not know their length or rate and say 0, or less.
    total = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)
    rate = capture.get(cv2.CAP_PROP_FPS)
    rate = rate if rate > 0 else _USUAL_RATE_HZ
    stride = min(max(total // limit, 1), _LARGEST_STRIDE)
    return Footage(
        video.name,
        rate / stride,
        min(limit, -(-total // stride)),
        lambda: ([shot] for shot in islice(_read(video, rate), 0, limit * stride, stride)),
    )


def _read(video: Path, rate: float) -> Iterator[Shot]:
    capture = cv2.VideoCapture(str(video))
    for number in count():
        is_read, image = capture.read()
        if not is_read:
            return
        yield Shot(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), number / rate)
