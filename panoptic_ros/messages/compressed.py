"""Decode sensor_msgs/CompressedImage: JPEG and PNG."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from panoptic_ros.messages.images import demosaic
from panoptic_ros.messages.refusal import ImageRefused

# 8192 x 8192: three times the largest cameras' and 200 MB decoded. A few hundred bytes
# can claim 65500 x 65500, so the header is read before any memory is taken.
PIXEL_LIMIT = 1 << 26

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
# SOF0..SOF15 less DHT (C4), JPG (C8) and DAC (CC): ITU-T T.81, table B.1.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}


class Compressed(Protocol):
    """Name the fields of sensor_msgs/CompressedImage that decoding reads."""

    format: str
    data: object


@dataclass(frozen=True)
class _Header:
    """Hold what a file says of itself before its pixels."""

    container: str
    width: int
    height: int
    is_grey: bool


def decode_compressed(msg: Compressed) -> np.ndarray:
    """Return the picture in a sensor_msgs/CompressedImage as uint8 [H, W, 3], RGB.

    JPEG and PNG, told apart by their first bytes; grey, alpha (dropped) and 16 bits
    (upper byte kept) included. `format` is image_transport's ("jpeg",
    "rgb8; jpeg compressed bgr8", "mono16; png compressed "): it is read only to find
    a Bayer mosaic in a grey file. An EXIF orientation is ignored, since the
    calibration in CameraInfo is that of the sensor's rows and columns. JPEG has no
    checksum: bytes changed amid its scan pass as a picture.

    Raises:
        ImageRefused: neither JPEG nor PNG, truncated or undecodable bytes, zero size,
            more than PIXEL_LIMIT pixels.
    """
    data = bytes(msg.data)
    header = _read_header(data, msg.format)
    if header.width == 0 or header.height == 0:
        raise ImageRefused(f"zero size {header.width}x{header.height} in the {header.container}")
    if header.width * header.height > PIXEL_LIMIT:
        raise ImageRefused(
            f"{header.container} of {header.width}x{header.height} pixels "
            f"is beyond the limit of {PIXEL_LIMIT}"
        )
    source = msg.format.split(";")[0].strip()
    if header.is_grey and source.startswith("bayer_"):
        return demosaic(_decode(data, cv2.IMREAD_GRAYSCALE, header), source)
    image = _decode(data, cv2.IMREAD_COLOR, header)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB, dst=image)


def _decode(data: bytes, flags: int, header: _Header) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error as error:
        raise ImageRefused(f"undecodable {header.container}: {error.err}") from None
    if image is None:
        raise ImageRefused(
            f"undecodable {header.container}: corrupt data ({len(data)} bytes, "
            f"{header.width}x{header.height} pixels)"
        )
    return image


def _read_header(data: bytes, format_: str) -> _Header:
    try:
        if data.startswith(_PNG_SIGNATURE):
            return _png_header(data)
        if data.startswith(_JPEG_SIGNATURE):
            return _jpeg_header(data)
    except (struct.error, IndexError):
        raise ImageRefused(
            f"truncated file: its header does not end in {len(data)} bytes"
        ) from None
    raise ImageRefused(
        f"neither JPEG nor PNG: format {format_!r}, {len(data)} bytes that begin with "
        f"{data[:4].hex() or 'nothing'}"
    )


def _png_header(data: bytes) -> _Header:
    """Read the IHDR chunk, which is always first (PNG specification, section 11.2.1)."""
    width, height, _, color_type = struct.unpack_from(">IIBB", data, 16)
    if _PNG_END not in data:
        raise ImageRefused(f"truncated png: no end chunk in {len(data)} bytes")
    return _Header("png", width, height, is_grey=color_type == 0)


def _jpeg_header(data: bytes) -> _Header:
    """Walk the segments from SOI to the first scan (ITU-T T.81, annex B)."""
    header, position = None, 2
    while data[position] == 0xFF:
        marker = data[position + 1]
        position += 1 if marker == 0xFF else 2
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            continue
        if marker in _START_OF_FRAME:
            height, width, components = struct.unpack_from(">HHB", data, position + 3)
            header = _Header("jpeg", width, height, is_grey=components == 1)
        if marker == _START_OF_SCAN:
            break
        position += struct.unpack_from(">H", data, position)[0]
    if header is None:
        raise ImageRefused("undecodable jpeg: no frame header before the first scan")
    # Older libjpeg wrappers fill the missing rows with grey and call it a picture.
    if data.find(_JPEG_END, position) < 0:
        raise ImageRefused(f"truncated jpeg: no end marker in {len(data)} bytes")
    return header
