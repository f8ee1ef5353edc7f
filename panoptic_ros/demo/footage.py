"""What the demo's camera shows: a video file, or the drive that the package brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path

import cv2

from panoptic_ros.demo.bag_frames import Drive, Shot
from panoptic_ros.resources import share_dir

# Written by the command `town` (docs/town.md).
_DRIVE = Path("sample") / "town_drive"
# A camera's frames are often alike; of a long video every tenth is taken at most, so that
# reading it stays quick and what moves still seems to.
_LARGEST_STRIDE = 10
_USUAL_RATE_HZ = 25.0


@dataclass(frozen=True)
class Footage:
    """Hold frames to show.

    rate: frames per second at which they play as they were recorded; count: how many there
    are at most; shots: starts reading them; mounting: x, y, z, roll, pitch, yaw of the camera,
    empty where it is unknown.
    """

    name: str
    rate: float
    count: int
    shots: Callable[[], Iterator[Shot]]
    mounting: Mapping[str, float] = field(default_factory=dict)


def open_footage(video: Path | None, limit: int) -> Footage:
    """Return at most `limit` frames of a video, evenly spread, or of the shipped drive.

    Raise FileNotFoundError for a missing file, ValueError for one that cannot be read.
    """
    if video is not None:
        return _recorded(video, limit)
    drive = Drive(share_dir() / _DRIVE)
    count = min(limit, drive.count)
    return Footage(
        "drive through the town",
        drive.rate,
        count,
        lambda: islice(drive.shots(), count),
        drive.mounting(),
    )


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
        lambda: islice(_read(video, rate), 0, limit * stride, stride),
    )


def _read(video: Path, rate: float) -> Iterator[Shot]:
    capture = cv2.VideoCapture(str(video))
    for number in count():
        is_read, image = capture.read()
        if not is_read:
            return
        yield Shot(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), number / rate)
