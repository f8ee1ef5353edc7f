"""Decode sensor_msgs/CompressedImage: JPEG and PNG."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin

from panoptic_ros.messages.images import MAX_PIXELS, check_pixels, demosaic
from panoptic_ros.messages.refusal import ImageRefused

# Pillow and not OpenCV: of broken files libpng and libjpeg tell stderr there, line by line and
# past every throttle, and torchvision's reader crashes on some. Its own warnings are about
# metadata that nobody reads here.
warnings.filterwarnings("ignore", module=r"PIL\.")
_READERS = {"jpeg": JpegImagePlugin.JpegImageFile, "png": PngImagePlugin.PngImageFile}

# Longer ones leave no room for what else there is to say.
_LONGEST_FORMAT = 100
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_END = b"\xff\xd9"
_START_OF_SCAN = 0xDA
# What libjpeg leaves of blocks that a scan does not have, and how large the last one is at least.
_JPEG_NOTHING, _JPEG_CORNER = 128, 4
# Codes of something, and each restart marker, whichever is the next. A scan with all of its blocks
# ends before them.
_MORE_CODES = b"".join(b"\xb3\x9e\x2d\x55" * 4 + bytes([0xFF, m]) for m in range(0xD0, 0xD8)) * 2
# SOF0..SOF15 less DHT (C4), JPG (C8) and DAC (CC): ITU-T T.81, table B.1.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_WITHOUT_LENGTH = frozenset(range(0xD0, 0xD9)) | {0x01}
# Huffman codes have 1 bit or more, and each block of 8 x 8 has one at least (T.81, annex F).
_JPEG_PIXELS_PER_BYTE = 8 * 64
# Deflate writes 258 bytes with 2 bits at best (RFC 1951).
_PNG_INFLATION = 1032
_INFLATE_BYTES = 1 << 20
# First column and row of each pass, and the steps between them (PNG specification, section 8.2).
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)
_IN_ORDER = ((0, 0, 1, 1),)
_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


# Returns uint8 [H, W, 3], RGB; None where a file is for the host to decode, or to refuse.
JpegDecoder = Callable[[bytes], "np.ndarray | None"]


class Compressed(Protocol):
    """Name the fields of sensor_msgs/CompressedImage that decoding reads."""

    format: str
    data: Any


@dataclass(frozen=True)
class _Header:
    """Hold what a file says of itself before its pixels.

    fewest_bytes: that a file of this size can have; raw_bytes: of a png's pixels, inflated;
    end: where a jpeg's end marker is; is_plain: whether it is no progressive one, nor CMYK.
    """

    container: str
    width: int
    height: int
    is_grey: bool
    fewest_bytes: int
    raw_bytes: int = 0
    end: int = 0
    is_plain: bool = True


def decode_compressed(
    msg: Compressed, max_pixels: int = MAX_PIXELS, on_device: JpegDecoder | None = None
) -> np.ndarray:
    """Return the picture in a sensor_msgs/CompressedImage as uint8 [H, W, 3], RGB.

    JPEG and PNG, told apart by their first bytes; grey, alpha (dropped) and 16 bits
    (upper byte kept) included. `format` is image_transport's ("jpeg",
    "rgb8; jpeg compressed bgr8", "mono16; png compressed "): it is read only to find
    a Bayer mosaic in a grey file. An EXIF orientation is ignored, since the
    calibration in CameraInfo is that of the sensor's rows and columns. JPEG has no
    checksum: changed bytes inside its scan go unnoticed.

    on_device: decodes plain JPEGs of colour whose scan libjpeg has found whole; the host does all
    others, and what it leaves.

    Raises:
        ImageRefused: neither JPEG nor PNG, truncated or undecodable bytes, pixels that are missing
            before the end marker, zero size, more than max_pixels or than that many bytes can hold.
    """
    data = bytes(msg.data)
    header = _checked_header(data, msg.format, max_pixels)
    if on_device is not None and (found := _by_device(data, header, on_device)) is not None:
        return found
    source = msg.format.split(";")[0].strip()
    if header.is_grey and source.startswith("bayer_"):
        return demosaic(_decode(data, header, _colors), source)
    image = _decode(data, header, _colors)
    return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)


def decode_label_png(msg: Compressed) -> np.ndarray:
    """Return the values in a PNG of one 16-bit channel, uint16 [H, W].

    Raise ImageRefused as `decode_compressed` does, and for a file of another kind.
    """
    data = bytes(msg.data)
    return _decode(data, _checked_header(data, msg.format, MAX_PIXELS), _labels)


def _checked_header(data: bytes, format_: str, max_pixels: int) -> _Header:
    header = _read_header(data, format_)
    check_pixels(header.container, header.width, header.height, max_pixels)
    if len(data) < header.fewest_bytes:
        raise ImageRefused(
            f"undecodable {header.container}: {len(data)} bytes cannot hold the "
            f"{header.width}x{header.height} pixels that it claims"
        )
    return header


def _decode(
    data: bytes, header: _Header, convert: Callable[[Image.Image, _Header], np.ndarray]
) -> np.ndarray:
    """Return what `convert` makes of a file, which it may refuse by ValueError."""
    try:
        with _READERS[header.container](io.BytesIO(data)) as file:
            if header.container == "png" and _may_lack_rows(file):
                _check_png_pixels(data, header.raw_bytes)
            found = convert(file, header)
        if header.container == "jpeg" and _may_lack_blocks(found, header):
            _check_jpeg_scan(data, header, found, convert)
        return found
    # OSError, SyntaxError, ValueError, zlib.error and more: Pillow promises none of them.
    except Exception as error:
        raise ImageRefused(
            f"undecodable {header.container}: corrupt data ({len(data)} bytes, "
            f"{header.width}x{header.height} pixels): {error}"
        ) from None


def _colors(file: Image.Image, header: _Header) -> np.ndarray:
    """Return uint8 [H, W, 3], RGB, or [H, W] of a grey file."""
    if not header.is_grey:
        return np.array(file.convert("RGB"))
    if file.mode.startswith("I"):
        return (np.asarray(file) >> 8).astype(np.uint8)
    return np.array(file.convert("L"))


def _labels(file: Image.Image, header: _Header) -> np.ndarray:
    # "I;16", and "I" before Pillow 11, are what grey files of 16 bits are read as.
    if header.container != "png" or not file.mode.startswith("I"):
        raise ValueError("a label image must be a PNG of one 16-bit channel")
    return np.asarray(file).astype(np.uint16)


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
        f"neither JPEG nor PNG: format {format_[:_LONGEST_FORMAT]!r}, {len(data)} bytes that begin "
        f"with {data[:4].hex() or 'nothing'}; let the camera, or a republisher, send one of them"
    )


def _png_header(data: bytes) -> _Header:
    """Read the IHDR chunk, which is always first (PNG specification, section 11.2.1)."""
    width, height, depth, color_type, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    if _PNG_END not in data:
        raise ImageRefused(f"truncated png: no end chunk in {len(data)} bytes")
    bits = depth * _PNG_CHANNELS.get(color_type, 1)
    raw = sum(
        rows * (1 + -(-columns * bits // 8))
        for x, y, dx, dy in (_ADAM7 if interlaced else _IN_ORDER)
        if (columns := len(range(x, width, dx))) and (rows := len(range(y, height, dy)))
    )
    return _Header("png", width, height, color_type == 0, raw // _PNG_INFLATION, raw)


def _may_lack_rows(file: Image.Image) -> bool:
    """Return whether the last row is empty, as Pillow leaves what the file does not have."""
    last_row = file.crop((0, file.height - 1, file.width, file.height))
    return bool(file.info.get("interlace")) or not np.asarray(last_row).any()


def _check_png_pixels(data: bytes, wanted: int) -> None:
    """Raise ValueError where the IDAT chunks inflate to fewer bytes than the pixels have."""
    stream, position, kind = zlib.decompressobj(), len(_PNG_SIGNATURE), b""
    while kind != b"IEND" and wanted > 0:
        length, kind = struct.unpack_from(">I4s", data, position)
        rest = data[position + 8 : position + 8 + length] if kind == b"IDAT" else b""
        while rest and wanted > 0:
            wanted -= len(stream.decompress(rest, _INFLATE_BYTES))
            rest = stream.unconsumed_tail
        position += length + 12
    if wanted > 0:
        raise ValueError(f"{wanted} bytes of its pixels are missing")


def _may_lack_blocks(pixels: np.ndarray, header: _Header) -> bool:
    """Return whether the last block looks as libjpeg leaves one that the file does not have."""
    corner = pixels[-_JPEG_CORNER:, -_JPEG_CORNER:]
    return not header.is_plain or bool((corner == _JPEG_NOTHING).all())


def _by_device(data: bytes, header: _Header, decode: JpegDecoder) -> np.ndarray | None:
    """Return a device's picture of a plain JPEG, None where the host has to judge it.

    A device is not shown a scan that is cut or broken, as nvJPEG takes many of them for whole.
    libjpeg reads the codes alone, at an eighth of the size, in a fourth of its time.
    """
    if header.container != "jpeg" or header.is_grey or not header.is_plain:
        return None
    try:
        with _READERS["jpeg"](io.BytesIO(data)) as file:
            file.draft("L", (1, 1))
            small = np.asarray(file)
    # Whatever Pillow raises, the host's own reading refuses with the reason.
    except Exception:
        return None
    if small[-1, -1] == _JPEG_NOTHING:
        return None
    found = decode(data[: header.end + len(_JPEG_END)])
    fits = found is not None and found.shape == (header.height, header.width, 3)
    return found if fits else None


def _check_jpeg_scan(
    data: bytes,
    header: _Header,
    pixels: np.ndarray,
    convert: Callable[[Image.Image, _Header], np.ndarray],
) -> None:
    """Raise ValueError where a file's end marker stands before the end of its pixels.

    USB cameras cut frames so, and libjpeg only warns. More codes before the marker change nothing
    in a scan that has all of its blocks.
    """
    longer = data[: header.end] + _MORE_CODES + _JPEG_END
    with _READERS["jpeg"](io.BytesIO(longer)) as file:
        if not np.array_equal(pixels, convert(file, header)):
            raise ValueError("pixels are missing before its end marker")


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
            fewest = width * height // _JPEG_PIXELS_PER_BYTE
            header = _Header(
                "jpeg",
                width,
                height,
                components == 1,
                fewest,
                is_plain=marker not in _PROGRESSIVE and components < 4,
            )
        if marker == _START_OF_SCAN:
            break
        position += struct.unpack_from(">H", data, position)[0]
    if header is None:
        raise ImageRefused("undecodable jpeg: no frame header before the first scan")
    # Older libjpeg wrappers fill the missing rows with grey and call it a picture.
    end = data.find(_JPEG_END, position)
    if end < 0:
        raise ImageRefused(f"truncated jpeg: no end marker in {len(data)} bytes")
    return replace(header, end=end)
