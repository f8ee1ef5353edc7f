"""Decode depth images: sensor_msgs/Image with 32FC1, 16UC1 (REP-118) or mono16."""

from __future__ import annotations

import numpy as np

from panoptic_ros.messages.clouds import FARTHEST
from panoptic_ros.messages.images import MAX_PIXELS, RawImage, check_pixels, unpadded_rows
from panoptic_ros.messages.refusal import ImageRefused

# Encoding -> type of a value, metres per unit. Drivers older than REP-118 say mono16.
_UNITS = {"32FC1": ("f4", 1.0), "16UC1": ("u2", 1e-3), "mono16": ("u2", 1e-3)}


def decode_depth(msg: RawImage, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Return a depth image as float32 [H, W], metres, 0 where there is no depth.

    32FC1 holds metres (not finite, or beyond FARTHEST: none), 16UC1 and mono16 millimetres (0:
    none), of either byte order. Raise ImageRefused for another encoding, zero size or more than
    max_pixels, or wrong step or length of data.
    """
    if msg.encoding not in _UNITS:
        raise ImageRefused(
            "depth must be 32FC1 (metres), 16UC1 or mono16 (millimetres); its encoding is "
            f"{msg.encoding!r}"
        )
    width, height = int(msg.width), int(msg.height)
    check_pixels("depth image", width, height, max_pixels)
    kind, metres = _UNITS[msg.encoding]
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    rows = unpadded_rows(msg, height, width * dtype.itemsize)
    # A signalling NaN is no depth either, and nothing to be told of on stderr.
    with np.errstate(invalid="ignore"):
        depth = np.ascontiguousarray(rows).view(dtype).astype(np.float32) * np.float32(metres)
    depth[~((depth > 0) & (depth <= FARTHEST))] = 0
    return depth
