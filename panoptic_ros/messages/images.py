"""Decode sensor_msgs/Image."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Protocol

import cv2
import numpy as np

from panoptic_ros.messages.refusal import ImageRefused

# 8K video has 33.2 million. A few hundred bytes of a compressed picture can claim 65500 x 65500,
# so sizes are compared before any memory is taken. Model files may set another limit.
MAX_PIXELS = 1 << 25


class RawImage(Protocol):
    """Name the fields of sensor_msgs/Image that decoding reads."""

    height: int
    width: int
    encoding: str
    is_bigendian: int
    step: int
    data: Any


@dataclass(frozen=True)
class _Layout:
    """Describe how an encoding lies in memory.

    values: per pixel, along a row; code: what `cv2.cvtColor` calls the conversion to RGB
    (None: it is RGB); unit: the smallest block (width, height) that has a colour of its
    own; smallest: fewest columns and rows that can be converted; chroma_plane: whether a
    plane of half as many rows follows the luma rows; is_wide: values have 16 bits, not 8.
    """

    values: int
    code: int | None
    unit: tuple[int, int] = (1, 1)
    smallest: int = 1
    chroma_plane: bool = False
    is_wide: bool = False

    @property
    def bytes_per_pixel(self) -> int:
        return 2 * self.values if self.is_wide else self.values


# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the
# first row's first two: rggb is OpenCV's BG. A border of one pixel has no neighbours to
# interpolate from, so OpenCV gives black below 3 x 3.
_BAYER_CODES = {
    "bayer_rggb": cv2.COLOR_BayerBG2RGB,
    "bayer_bggr": cv2.COLOR_BayerRG2RGB,
    "bayer_gbrg": cv2.COLOR_BayerGR2RGB,
    "bayer_grbg": cv2.COLOR_BayerGB2RGB,
}
_SMALLEST_BAYER = 3

_UYVY = _Layout(2, cv2.COLOR_YUV2RGB_UYVY, unit=(2, 1))
_YUYV = _Layout(2, cv2.COLOR_YUV2RGB_YUYV, unit=(2, 1))

# Names and meanings: sensor_msgs/image_encodings.hpp. These come with 8 and with 16 bits.
_COLORS = {
    "rgb": _Layout(3, None),
    "bgr": _Layout(3, cv2.COLOR_BGR2RGB),
    "rgba": _Layout(4, cv2.COLOR_RGBA2RGB),
    "bgra": _Layout(4, cv2.COLOR_BGRA2RGB),
    "mono": _Layout(1, cv2.COLOR_GRAY2RGB),
    **{name: _Layout(1, code, smallest=_SMALLEST_BAYER) for name, code in _BAYER_CODES.items()},
}
# uyvy and yuyv are what newer distributions call yuv422 and yuv422_yuy2. YUV is BT.601, limited
# range, as in OpenCV.
_LAYOUTS = {
    **{f"{name}8": layout for name, layout in _COLORS.items()},
    **{f"{name}16": replace(layout, is_wide=True) for name, layout in _COLORS.items()},
    "yuv422": _UYVY,
    "uyvy": _UYVY,
    "yuv422_yuy2": _YUYV,
    "yuyv": _YUYV,
    "nv12": _Layout(1, cv2.COLOR_YUV2RGB_NV12, unit=(2, 2), chroma_plane=True),
    "nv21": _Layout(1, cv2.COLOR_YUV2RGB_NV21, unit=(2, 2), chroma_plane=True),
}

KNOWN_ENCODINGS = tuple(_LAYOUTS)


def decode_image(msg: RawImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return the picture in a sensor_msgs/Image as uint8 [H, W, 3], RGB.

    Rows may be padded (step >= row size), the last one or not; data of exactly the pixels has no
    padding. 16-bit
    values keep their upper byte; alpha is dropped. For nv12 and nv21, `height` is the
    picture's and `data` holds height * 3 / 2 rows. An rgb8 image without padding is a view of
    `msg.data`.

    Raises:
        ImageRefused: zero or impossible size, more than max_pixels, step below the row size,
            wrong length of data, unknown encoding.
    """
    layout = _layout(msg.encoding)
    width, height = int(msg.width), int(msg.height)
    check_pixels("image", width, height, max_pixels)
    _check_size(msg.encoding, layout, width, height)
    count = height * 3 // 2 if layout.chroma_plane else height
    rows = unpadded_rows(msg, count, width * layout.bytes_per_pixel)
    if layout.is_wide:
        # The upper byte of each value: first if big endian, else second.
        rows = np.ascontiguousarray(rows[:, 0 if msg.is_bigendian else 1 :: 2])
    if layout.values > 1:
        rows = rows.reshape(height, width, layout.values)
    if layout.code is None:
        return np.ascontiguousarray(rows)
    return cv2.cvtColor(rows, layout.code)


def demosaic(mosaic: np.ndarray, encoding: str) -> np.ndarray:
    """Return a Bayer mosaic, uint8 [H, W], as RGB, uint8 [H, W, 3].

    encoding: "bayer_rggb8", "bayer_gbrg16" ...; only the pattern counts.
    Raise ImageRefused on an unknown pattern or fewer than 3 x 3 pixels.
    """
    try:
        code = _BAYER_CODES[encoding.rstrip("0123456789")]
    except KeyError:
        raise ImageRefused(f"unknown Bayer pattern {encoding!r}") from None
    height, width = mosaic.shape
    _check_size(encoding, _Layout(1, code, smallest=_SMALLEST_BAYER), width, height)
    return cv2.cvtColor(mosaic, code)


def _layout(encoding: str) -> _Layout:
    try:
        return _LAYOUTS[encoding]
    except KeyError:
        is_type = re.fullmatch(r"\d+[USF]C\d*", encoding)
        hint = (
            " (a type has no order of colours: name it, as rgb8, bgr8 or mono8)" if is_type else ""
        )
        known = ", ".join(KNOWN_ENCODINGS)
        raise ImageRefused(f"unknown encoding {encoding!r}{hint}; known: {known}") from None


def _check_size(encoding: str, layout: _Layout, width: int, height: int) -> None:
    for name, length, unit in zip(("width", "height"), (width, height), layout.unit, strict=True):
        if length % unit:
            raise ImageRefused(f"{encoding} needs an even {name}, got {length}")
    if min(width, height) < layout.smallest:
        n = layout.smallest
        raise ImageRefused(f"{encoding} needs at least {n}x{n} pixels, got {width}x{height}")


def check_pixels(what: str, width: int, height: int, max_pixels: int) -> None:
    """Raise ImageRefused for a picture without pixels, or with more than max_pixels."""
    if width <= 0 or height <= 0:
        raise ImageRefused(f"zero size {width}x{height} in the {what}")
    if width * height > max_pixels:
        raise ImageRefused(
            f"{what} of {width}x{height} pixels is beyond the limit of {max_pixels} pixels "
            "(max_pixels of the model file)"
        )


def single_channel(msg: RawImage, what: str, kind: str) -> np.ndarray:
    """Return the values of an image of one channel, [H, W], in the message's byte order.

    what: the image is, for an error; kind: NumPy's name of a value's type, "u2" say. Raise
    ImageRefused for zero size, more than MAX_PIXELS, or wrong step or length of data.
    """
    width, height = int(msg.width), int(msg.height)
    check_pixels(what, width, height, MAX_PIXELS)
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    rows = unpadded_rows(msg, height, width * dtype.itemsize)
    return np.ascontiguousarray(rows).view(dtype)


def unpadded_rows(msg: RawImage, count: int, row_size: int) -> np.ndarray:
    """Return a view of a message's rows without their padding, uint8 [count, row_size].

    Where `data` holds exactly the pixels, `step` says nothing new and is not read: some drivers
    leave it at 0, or count pixels. Raise ImageRefused for a step or a length of data that does
    not fit.
    """
    step = row_size if len(msg.data) == count * row_size else int(msg.step) or row_size
    if step < row_size:
        raise ImageRefused(
            f"step {step} is less than a row of {row_size} bytes "
            f"({msg.width} pixels of {msg.encoding})"
        )
    expected, got = step * count, len(msg.data)
    # What is cut out of a larger picture has no padding behind its last row.
    if got not in (expected, expected - step + row_size):
        raise ImageRefused(
            f"data has {got} bytes, expected {expected} ({count} rows of step {step})"
        )
    return np.ndarray((count, row_size), np.uint8, msg.data, strides=(step, 1))
