"""What the demo's camera shows: a video file, or the drive that the package brings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.bags import open_images
from panoptic_ros.resources import share_dir

# Written by the command `town` (docs/town.md).
_DRIVE = Path("sample") / "town_drive"
_DRIVE_TOPIC = "/camera/image/compressed"
# A camera's frames are often alike; of a long video every tenth is taken at most, so that
# reading it stays quick and what moves still seems to.
_LARGEST_STRIDE = 10
_USUAL_RATE_HZ = 25.0


@dataclass(frozen=True)
class Footage:
    """Hold frames to show.

    rate: frames per second at which they play as they were recorded; count: how many there
    are at most; frames: starts reading them, uint8 [H, W, 3] RGB.
    """

    name: str
    rate: float
    count: int
    frames: Callable[[], Iterator[np.ndarray]]


def open_footage(video: Path | None, limit: int) -> Footage:
    """Return at most `limit` frames of a video, evenly spread, or of the shipped drive.

    Raise FileNotFoundError for a missing file, ValueError for one that cannot be read.
    """
    if video is not None:
        return _recorded(video, limit)
    drive = open_images(share_dir() / _DRIVE, _DRIVE_TOPIC)
    count = min(limit, drive.count)
    return Footage(
        "drive through the town", drive.rate, count, lambda: islice(drive.images(), count)
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
    stride = min(max(total // limit, 1), _LARGEST_STRIDE)
    return Footage(
        video.name,
        (rate if rate > 0 else _USUAL_RATE_HZ) / stride,
        min(limit, -(-total // stride)),
        lambda: islice(_read(video), 0, limit * stride, stride),
    )


def _read(video: Path) -> Iterator[np.ndarray]:
    capture = cv2.VideoCapture(str(video))
    while (answer := capture.read())[0]:
        yield cv2.cvtColor(answer[1], cv2.COLOR_BGR2RGB)
