"""Decode label images: what the node publishes, and ground truth."""

from __future__ import annotations

from typing import Any

import numpy as np

from panoptic_ros.messages.compressed import decode_label_png
from panoptic_ros.messages.images import MAX_PIXELS, check_pixels, unpadded_rows
from panoptic_ros.messages.refusal import ImageRefused

_TYPES = {"16UC1": np.uint16, "mono16": np.uint16, "32SC1": np.int32}


def decode_labels(msg: Any) -> np.ndarray:
    """Return a label image, uint16 or int32 [H, W].

    CompressedImage with a PNG of one 16-bit channel, or Image 16UC1, mono16 or 32SC1 of either
    byte order. Raise ImageRefused for anything else, broken data and too many pixels.
    """
    if hasattr(msg, "format"):
        return decode_label_png(msg)
    if msg.encoding not in _TYPES:
        raise ImageRefused(f"a label image must be {' or '.join(_TYPES)}, not {msg.encoding!r}")
    width, height = int(msg.width), int(msg.height)
    check_pixels("label image", width, height, MAX_PIXELS)
    dtype = np.dtype(_TYPES[msg.encoding])
    rows = unpadded_rows(msg, height, width * dtype.itemsize)
    pixels = np.ascontiguousarray(rows).view(dtype.newbyteorder(">" if msg.is_bigendian else "<"))
    return pixels.astype(dtype)
