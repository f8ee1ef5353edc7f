"""Pictures and the film that the demo leaves behind."""

from __future__ import annotations

import errno
from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from panoptic_ros.whole_files import naming

# Wider ones make a page of sixty pictures slow, and show nothing more on a screen.
_PANE_WIDTH = 1024
# VP9, the only codec of OpenCV's wheels that browsers play, takes 0.4 us per pixel to encode.
_FILM_WIDTH = 1280
_CODEC = "vp09"
_FONT = cv2.FONT_HERSHEY_SIMPLEX


def composed(
    views: Mapping[str, tuple[np.ndarray, np.ndarray]], ground: np.ndarray | None = None
) -> np.ndarray:
    """Return cameras and overlays in one picture, left of the ground if there is one.

    views: image and overlay of each camera by its name, uint8 [H, W, 3], RGB, of the same size;
    the first one's are made at most 1024 pixels wide and lie on top of each other, those of each
    other camera beside each other below. ground: uint8 [h, w, 3], RGB: made as high as they are.
    Without ground the two of the only camera are beside each other.
    """
    (image, overlay), *others = views.values()
    panes = [_fitted(image, _PANE_WIDTH), _fitted(overlay, _PANE_WIDTH)]
    if ground is None:
        return np.hstack(panes)
    panes += [_resized(np.hstack(pair), panes[0].shape[1]) for pair in others]
    if others:
        for name, pane in zip(views, (panes[0], *panes[2:]), strict=True):
            _write(pane, name)
    stack = np.vstack(panes)
    height = stack.shape[0]
    width = round(ground.shape[1] * height / ground.shape[0])
    # Cells keep their edges where they grow.
    how = cv2.INTER_NEAREST if height > ground.shape[0] else cv2.INTER_AREA
    return np.hstack([stack, cv2.resize(ground, (width, height), interpolation=how)])


def write_film(pictures: Sequence[Path], file: Path, rate: float) -> bool:
    """Write PNGs of one size as an mp4; return False where OpenCV lacks the codec.

    rate: pictures per second. Raise OSError that names the file where it cannot be written;
    there is none then.
    """
    size = _film_size(_picture(pictures[0]))
    # OpenCV takes the format from the suffix.
    partial = file.with_name(f"partial.{file.name}")
    film = cv2.VideoWriter(str(partial), cv2.VideoWriter.fourcc(*_CODEC), rate, size)
    try:
        if not film.isOpened():
            return False
        for picture in pictures:
            film.write(cv2.resize(_picture(picture), size, interpolation=cv2.INTER_AREA))
        film.release()
        # It does not tell what of this failed. The index is written last.
        if cv2.VideoCapture(str(partial)).get(cv2.CAP_PROP_FRAME_COUNT) != len(pictures):
            with naming(file):
                raise OSError(errno.EIO, "the film is not whole; is the disk full?")
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
    return True


def _picture(file: Path) -> np.ndarray:
    picture = cv2.imread(str(file))
    if picture is None:
        raise OSError(f"cannot read {file}")
    return picture


def _film_size(picture: np.ndarray) -> tuple[int, int]:
    """Return width and height for the film; codecs want even numbers."""
    height, width = picture.shape[:2]
    scale = min(1.0, _FILM_WIDTH / width)
    return round(width * scale) // 2 * 2, round(height * scale) // 2 * 2


def _write(pane: np.ndarray, name: str) -> None:
    for color, thickness in (((0, 0, 0), 5), ((255, 255, 255), 2)):
        cv2.putText(pane, name, (12, 32), _FONT, 1.0, color, thickness, cv2.LINE_AA)


def _fitted(image: np.ndarray, width: int) -> np.ndarray:
    return image if image.shape[1] <= width else _resized(image, width)


def _resized(image: np.ndarray, width: int) -> np.ndarray:
    height = round(image.shape[0] * width / image.shape[1])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
