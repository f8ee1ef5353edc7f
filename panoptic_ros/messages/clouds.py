"""Decode sensor_msgs/PointCloud2."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from panoptic_ros.messages.refusal import ImageRefused

# Metres. What no sensor measures would overflow on its way to the grid.
FARTHEST = 1e6
# sensor_msgs/PointField's numbers for floating-point types -> their size in bytes.
_FLOATS = {7: 4, 8: 8}


class PointField(Protocol):
    """Name the fields of sensor_msgs/PointField that decoding reads."""

    name: str
    offset: int
    datatype: int


class PointCloud(Protocol):
    """Name the fields of sensor_msgs/PointCloud2 that decoding reads."""

    height: int
    width: int
    fields: Sequence[PointField]
    is_bigendian: bool
    point_step: int
    row_step: int
    data: Any


def decode_points(msg: PointCloud) -> np.ndarray:
    """Return the points of a cloud as float32 [N, 3], x, y, z in the cloud's frame, metres.

    Those that are not finite, or beyond FARTHEST, are left out.

    Rows may be padded. Where `data` holds exactly the points, `row_step` says nothing new and
    is not read: some drivers leave it at 0, or give the size of the whole cloud.
    Raise ImageRefused where x, y or z is missing, doubled, no floating-point number or not
    within `point_step`, or the sizes do not fit.
    """
    places = [_place(msg, name) for name in "xyz"]
    height, width, step = int(msg.height), int(msg.width), int(msg.point_step)
    row = _row_step(msg, height, width, step)
    if height * width == 0:
        return np.zeros((0, 3), np.float32)
    order = ">" if msg.is_bigendian else "<"
    points = np.empty((height * width, 3), np.float32)
    # Beyond float32, and a signalling NaN: both end up as not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        for axis, (offset, size) in enumerate(places):
            # Sizes and offsets were compared as Python's integers, which do not overflow.
            values = np.ndarray(
                (height, width), f"{order}f{size}", msg.data, offset, strides=(row, step)
            )
            points[:, axis] = values.ravel()
    return points[(np.abs(points) <= FARTHEST).all(axis=1)]


def _place(msg: PointCloud, name: str) -> tuple[int, int]:
    """Return offset and size of a floating-point field within a point, bytes."""
    found = [field for field in msg.fields if field.name == name]
    if len(found) != 1 or found[0].datatype not in _FLOATS:
        what = "two fields" if len(found) > 1 else "no floating-point field"
        about = sorted((field.name, int(field.datatype)) for field in msg.fields)
        raise ImageRefused(
            f"point cloud has {what} {name!r}; its fields and their datatypes: {about}"
        )
    offset, size, step = int(found[0].offset), _FLOATS[found[0].datatype], int(msg.point_step)
    if offset < 0 or offset + size > step:
        raise ImageRefused(
            f"point cloud's fields do not fit: {name!r} has {size} bytes at offset {offset}, a "
            f"point {step} (point_step)"
        )
    return offset, size


def _row_step(msg: PointCloud, height: int, width: int, step: int) -> int:
    """Return how many bytes lie between the starts of two rows, once all sizes fit."""
    row, got = int(msg.row_step), len(msg.data)
    if min(height, width) < 0:
        raise ImageRefused(f"point cloud has {height} rows of {width} points")
    if got == height * width * step:
        return width * step
    if row < width * step or got != height * row:
        raise ImageRefused(
            f"point cloud of {height} rows of {width} points of {step} bytes has row_step {row} "
            f"and {got} bytes"
        )
    return row
