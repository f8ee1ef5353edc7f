"""Read the files of a data set; errors name the file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.messages.compressed import decode_compressed
from panoptic_ros.whole_files import write_file


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
    image = decoded(_content(path))
    if image is None:
        raise ValueError(f"{path} is not an image that OpenCV can read; copy it again")
    if image.dtype != dtype or image.ndim != 2:
        raise ValueError(
            f"{path} holds {image.dtype} of shape {image.shape}, expected {np.dtype(dtype)} [H, W]"
        )
    return image


def decoded(content: bytes, flags: int = cv2.IMREAD_UNCHANGED) -> np.ndarray | None:
    """Return a picture file's content as OpenCV decodes it, None where it cannot.

    flags: cv2.IMREAD_*. OpenCV alone raises a cv2.error of its own for an empty file and for
    a header that claims more pixels than it takes.
    """
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags) if content else None
    except (cv2.error, MemoryError):
        return None


def write_png(path: Path, image: np.ndarray) -> None:
    """Write a picture, uint8 or uint16 [H, W] or [H, W, 3], RGB; raise as `write_file` does.

    `cv2.imwrite` reports success on a full disk.
    """
    bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    done, content = cv2.imencode(".png", bgr)
    if not done:
        raise OSError(f"{path}: OpenCV cannot encode {image.dtype} {list(image.shape)} as PNG")
    write_file(path, content.tobytes())


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{path} is missing") from error
