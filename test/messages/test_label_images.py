import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from panoptic_ros.messages import ImageRefused, decode_labels

LABELS = np.uint16([[0, 7, 26001], [24000, 65535, 11]])


@pytest.mark.parametrize("value", [-1, -(2**31), 1 << 24, 2**31 - 1])
def test_ids_that_no_label_has_are_refused(value):
    pixels = np.full((2, 3), 7, np.int32)
    pixels[1, 2] = value
    data = pixels.astype("<i4").tobytes()
    message = SimpleNamespace(
        width=3, height=2, encoding="32SC1", step=12, is_bigendian=0, data=data
    )
    with pytest.raises(ImageRefused, match=rf"holds the id {value}; ids must be in 0..16777215"):
        decode_labels(message)


def png(pixels):
    return SimpleNamespace(format="16UC1; png compressed ", data=cv2.imencode(".png", pixels)[1])


def raw(pixels, encoding, big=False, padding=0):
    rows = pixels.astype(pixels.dtype.newbyteorder(">" if big else "<")).view(np.uint8)
    rows = np.pad(rows.reshape(len(pixels), -1), ((0, 0), (0, padding)))
    height, width = pixels.shape
    return SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(big),
        step=rows.shape[1],
        data=rows.tobytes(),
    )


@pytest.mark.parametrize(
    "message",
    [
        png(LABELS),
        raw(LABELS, "16UC1"),
        raw(LABELS, "16UC1", big=True),
        raw(LABELS, "mono16", padding=3),
        raw(LABELS.astype(np.int32), "32SC1"),
    ],
)
def test_every_form_gives_the_same_values(message):
    labels = decode_labels(message)
    np.testing.assert_array_equal(labels, LABELS)
    assert labels.dtype == (np.int32 if getattr(message, "encoding", "") == "32SC1" else np.uint16)


def huge(width, height):
    """Return a PNG of 16 bits that claims a size."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    head = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    for kind, body in ((b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")):
        crc = zlib.crc32(kind + body)
        parts.append(struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc))
    return SimpleNamespace(format="png", data=b"".join(parts))


@pytest.mark.parametrize(
    "message",
    [
        png(LABELS.astype(np.uint8)),
        png(np.zeros((2, 3, 3), np.uint16)),
        SimpleNamespace(format="jpeg", data=cv2.imencode(".jpg", np.zeros((8, 8), np.uint8))[1]),
        SimpleNamespace(format="png", data=b""),
        SimpleNamespace(format="png", data=bytes(png(LABELS).data)[:-20]),
        huge(60000, 60000),
        huge(0, 7),
        huge(4000, 4000),
        raw(LABELS, "mono8"),
        raw(LABELS.astype(np.uint8), "8UC1"),
        SimpleNamespace(**{**vars(raw(LABELS, "16UC1")), "height": 3}),
        SimpleNamespace(**{**vars(raw(LABELS, "16UC1")), "height": 0}),
        SimpleNamespace(**{**vars(raw(LABELS, "16UC1")), "width": 1 << 31, "step": 0}),
    ],
    ids=range(13),
)
def test_anything_else_is_refused(message):
    with pytest.raises(ImageRefused):
        decode_labels(message)
