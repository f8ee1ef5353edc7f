"""Decode depth images: sensor_msgs/Image with 32FC1 or 16UC1 (REP-118)."""

from __future__ import annotations

import numpy as np

from panoptic_ros.messages.images import RawImage, unpadded_rows
from panoptic_ros.messages.refusal import ImageRefused

# Encoding -> type of a value, metres per unit.
_UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 1e-3)}


def decode_depth(msg: RawImage) -> np.ndarray:
    """Return a depth image as float32 [H, W], metres, 0 where there is no depth.

    32FC1 holds metres (not finite: none), 16UC1 millimetres (0: none), of either byte order.
    Raise ImageRefused for another encoding, zero size, or wrong step or length of data.
    """
    if msg.encoding not in _UNITS:
        raise ImageRefused(
            f"depth has encoding {msg.encoding!r}; it must be 32FC1 (metres) or 16UC1 (millimetres)"
        )
    width, height = int(msg.width), int(msg.height)
    if width <= 0 or height <= 0:
        raise ImageRefused(f"zero size {width}x{height}")
    kind, metres = _UNITS[msg.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    rows = unpadded_rows(msg, height, width * dtype.itemsize)
    depth = np.ascontiguousarray(rows).view(dtype).astype(np.float32) * np.float32(metres)
    depth[~(np.isfinite(depth) & (depth > 0))] = 0
    return depth
