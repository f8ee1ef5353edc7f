"""Read the files of a data set; errors name the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.messages.compressed import decode_compressed


@dataclass(frozen=True)
class _Picture:
    """Hold what `decode_compressed` asks of a message."""

    data: bytes
    format: str = ""


def read_picture(path: Path) -> np.ndarray:
    """Return a JPEG or PNG picture, uint8 [H, W, 3], RGB; an EXIF orientation is ignored.

    Raise FileNotFoundError where there is none, ValueError for a broken one: OpenCV alone
    fills what a truncated JPEG lacks and calls it a picture.
    """
    try:
        return decode_compressed(_Picture(_content(path)))
    except ValueError as error:
        raise ValueError(f"{path} is not an image that can be read ({error})") from error


def read_labels(path: Path, dtype: type[np.generic]) -> np.ndarray:
    """Return a PNG of one number per pixel, [H, W] of dtype.

    Raise FileNotFoundError where there is none, ValueError for a broken one or another type.
    """
    content = np.frombuffer(_content(path), np.uint8)
    image = cv2.imdecode(content, cv2.IMREAD_UNCHANGED) if content.size else None
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can read; copy it again")
    if image.dtype != dtype or image.ndim != 2:
        raise ValueError(
            f"{path} holds {image.dtype} of shape {image.shape}, expected {np.dtype(dtype)} [H, W]"
        )
    return image


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing") from error
