"""Decode sensor_msgs/PointCloud2."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from panoptic_ros.messages.refusal import ImageRefused

# sensor_msgs/PointField's numbers for floating-point types.
_FLOATS = {7: "f4", 8: "f8"}


class PointCloud(Protocol):
    """Name the fields of sensor_msgs/PointCloud2 that decoding reads."""

    height: int
    width: int
    fields: list
    is_bigendian: bool
    point_step: int
    row_step: int
    data: object


def decode_points(msg: PointCloud) -> np.ndarray:
    """Return the finite points of a cloud as float32 [N, 3], x, y, z in the cloud's frame.

    Raise ImageRefused where x, y or z is missing or no floating-point number, or the sizes
    do not fit.
    """
    order = ">" if msg.is_bigendian else "<"
    fields = {field.name: field for field in msg.fields}
    for name in "xyz":
        if name not in fields or fields[name].datatype not in _FLOATS:
            raise ImageRefused(
                f"point cloud has no floating-point field {name!r}; its fields: {sorted(fields)}"
            )
    height, width, step = int(msg.height), int(msg.width), int(msg.point_step)
    row = int(msg.row_step)
    if row < width * step or len(msg.data) != height * row:
        raise ImageRefused(
            f"point cloud of {height} rows of {width} points of {step} bytes has row_step {row} "
            f"and {len(msg.data)} bytes"
        )
    if height * width == 0:
        return np.zeros((0, 3), np.float32)
    try:
        layout = np.dtype(
            {
                "names": list("xyz"),
                "formats": [order + _FLOATS[fields[name].datatype] for name in "xyz"],
                "offsets": [fields[name].offset for name in "xyz"],
                "itemsize": step,
            }
        )
    except ValueError as error:
        raise ImageRefused(f"point cloud's fields do not fit: {error}") from None
    cloud = np.ndarray((height, width), layout, msg.data, strides=(row, step))
    points = np.stack([cloud[name].ravel() for name in "xyz"], axis=1).astype(np.float32)
    return points[np.isfinite(points).all(axis=1)]
