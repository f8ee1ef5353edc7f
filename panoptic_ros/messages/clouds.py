"""From and to sensor_msgs/PointCloud2."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from panoptic_ros.geometry.poses import Pose2D
from panoptic_ros.labels import class_ids, shifted
from panoptic_ros.messages.panoptic import AUTO, SHIFTED, Messages
from panoptic_ros.messages.refusal import ImageRefused
from panoptic_ros.prediction import PanopticPrediction

CLOUD_KIND = "sensor_msgs/msg/PointCloud2"

# Metres. What no sensor measures would overflow on its way to the grid.
FARTHEST = 1e6
# sensor_msgs/PointField's numbers for floating-point types -> their size in bytes.
_FLOATS = {7: 4, 8: 8}
_UINT32, _FLOAT32 = 6, 7
# Fields of a point of ~/points, four bytes each, and PointField's number for their types.
_LABELLED = (
    ("x", _FLOAT32),
    ("y", _FLOAT32),
    ("z", _FLOAT32),
    ("rgb", _FLOAT32),
    ("class", _UINT32),
    ("instance", _UINT32),
    ("track", _UINT32),
)


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
    header: Any


def decode_points(msg: PointCloud) -> np.ndarray:
    """Return the points of a cloud as float32 [N, 3], x, y, z in the cloud's frame, metres.

    Those that are not finite, or beyond FARTHEST, are left out.

    Rows may be padded. Where `data` holds exactly the points, `row_step` says nothing new and
    is not read: some drivers leave it at 0, or give the size of the whole cloud.
    Raise ImageRefused where x, y or z is missing, doubled, no floating-point number or not
    within `point_step`, where two of them share bytes, or the sizes do not fit.
    """
    places = [_place(msg, name) for name in "xyz"]
    for (offset, size), (following, _) in pairwise(sorted(places)):
        if offset + size > following:
            raise ImageRefused(
                f"point cloud's fields overlap: x, y, z are (offset, size) {places} in a point"
            )
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


def points_in_base(
    msg: PointCloud, base_from_cloud: np.ndarray, then: Pose2D | None, now: Pose2D | None
) -> np.ndarray:
    """Return a cloud's points in the vehicle's frame as that is now, float32 [N, 3], metres.

    base_from_cloud: float [4, 4]; then, now: the vehicle's poses at the cloud's stamp and now; with
    one that is None it has not moved. Raise ValueError where `decode_points` or `check_reach` does.
    """
    points = decode_points(msg)
    check_reach(base_from_cloud, msg.header.frame_id)
    matrix = base_from_cloud.astype(np.float32)
    points = points @ matrix[:3, :3].T + matrix[:3, 3]
    if then is not None and now is not None:
        points[:, :2] = now.inverse().compose(then).apply(points[:, :2])
    return points


def check_reach(base_from_sensor: np.ndarray, frame: str) -> None:
    """Raise ValueError for a sensor that is farther away than any measures."""
    place = base_from_sensor[:3, 3]
    if not np.abs(place).max() <= FARTHEST:
        raise ValueError(
            f"its frame {frame!r} is at {place.tolist()}, farther than {FARTHEST:g} m; check TF"
        )


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


class CloudMessages(Messages):
    """Build labelled clouds."""

    def labelled(
        self,
        points: np.ndarray,
        index: np.ndarray,
        image: np.ndarray,
        panoptic: PanopticPrediction,
        tracks: Mapping[int, int],
        header: Any,
        *,
        is_organized: bool,
        labels_encoding: str = AUTO,
    ) -> Any:
        """Return points as PointCloud2 with x, y, z, rgb, class, instance and track.

        points: float [N, 3], metres, in the header's frame; index: int [N], each one's pixel in
        the flattened picture; image: uint8 [H, W, 3], RGB; panoptic: of the image; tracks: track
        id by value of its label image; labels_encoding: as for `MessageBuilder.labels`.
        class is the label id, instance the label image's value, track 0 where there is none.
        is_organized: one point for each pixel of the image, NaN where nothing is measured.
        """
        height, width = panoptic.labels.shape if is_organized else (1, len(points))
        cloud = np.empty((height * width, len(_LABELLED)), np.uint32)
        if is_organized:
            cloud.view(np.float32)[:, :3] = np.nan
            cloud.view(np.float32)[index, :3] = points
            index = np.arange(len(cloud))
        else:
            cloud.view(np.float32)[:, :3] = points
        pixels = image.reshape(-1, 3)[index]
        cloud[:, 3] = pixels[:, 0]
        for channel in (1, 2):
            cloud[:, 3] = cloud[:, 3] << 8 | pixels[:, channel]
        table = _by_value(panoptic.labels, tracks, labels_encoding)
        cloud[:, 4:] = table.take(panoptic.labels.ravel()[index], axis=0, mode="clip")
        step = cloud.itemsize * len(_LABELLED)
        field = self._type("sensor_msgs/msg/PointField")
        return self._type(CLOUD_KIND)(
            header=header,
            height=height,
            width=width,
            fields=[
                field(name=name, offset=cloud.itemsize * i, datatype=kind, count=1)
                for i, (name, kind) in enumerate(_LABELLED)
            ],
            is_bigendian=sys.byteorder == "big",
            point_step=step,
            row_step=width * step,
            data=self._pack(cloud.reshape(-1).view(np.uint8)),
            is_dense=len(points) == len(cloud),
        )


def _by_value(labels: np.ndarray, tracks: Mapping[int, int], labels_encoding: str) -> np.ndarray:
    """Return class, instance and track of each value of a label image, uint32 [V, 3]."""
    values = np.arange(int(labels.max(initial=0)) + 1)
    table = np.zeros((len(values), 3), np.uint32)
    table[:, 0] = class_ids(values)
    table[:, 1] = shifted(values) if labels_encoding == SHIFTED else values
    table[list(tracks), 2] = list(tracks.values())
    # Instances of classes that are not shown.
    table[0, 2] = 0
    return table
