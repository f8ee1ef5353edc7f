"""The grid and the tracks to messages."""

from __future__ import annotations

import array
import math

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from nav_msgs.msg import MapMetaData, OccupancyGrid
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from panoptic_ros.grid.layers import UNKNOWN_CELL, GridLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.labels import UNLABELED, LabelSet
from panoptic_ros.msg import SemanticGrid
from panoptic_ros.tracking.markers import TrackMarker

# An arrow as long as the way of one second.
_ARROW_SECONDS = 1.0
_ARROW_SIZES = Vector3(x=0.15, y=0.35, z=0.4)
_TEXT_METRES = 0.5


def grid_message(cells: np.ndarray, window: GridWindow, header: Header) -> OccupancyGrid:
    """Return cells, int8 [ny, nx] (-1 unknown, else 0..100 or a class id), as a message."""
    data = array.array("b", np.ascontiguousarray(cells, np.int8).tobytes())
    return OccupancyGrid(header=header, info=_info(window, header.stamp), data=data)


def class_cells(classes: np.ndarray) -> np.ndarray:
    """Return label ids, uint8 [ny, nx] with 0 unknown, as int8 with -1 unknown.

    Raise ValueError for an id above 127: an OccupancyGrid's cell holds no more.
    """
    largest = int(classes.max())
    if largest > np.iinfo(np.int8).max:
        raise ValueError(f"class id {largest} does not fit into ~/class_grid (at most 127)")
    return np.where(classes == UNLABELED, UNKNOWN_CELL, classes).astype(np.int8)


def layers_message(
    layers: GridLayers, labels: LabelSet, window: GridWindow, header: Header
) -> SemanticGrid:
    """Return the probabilities of the grid; the layers must have `class_probabilities`."""
    unknown = layers.occupancy == UNKNOWN_CELL
    return SemanticGrid(
        header=header,
        info=_info(window, header.stamp),
        occupancy=_floats(np.where(unknown, np.nan, layers.probability)),
        class_ids=array.array("H", labels.ids.tolist()),
        class_probabilities=_floats(np.where(unknown, np.nan, layers.class_probabilities)),
    )


class MarkerMessages:
    """Turn the tracks of frame after frame into markers: boxes, names, velocities.

    Namespaces are tracks/box, tracks/name and tracks/velocity, a marker's id is its track's.
    """

    def __init__(self) -> None:
        self._shown: set[tuple[str, int]] = set()
        self._is_first = True

    def message(self, tracks: list[TrackMarker], header: Header) -> MarkerArray:
        """Return the markers of a frame, and DELETE for what was shown before and is no more."""
        markers = [marker for track in tracks for marker in _markers(track, header)]
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [
            Marker(header=header, ns=ns, id=number, action=Marker.DELETE)
            for ns, number in sorted(self._shown - shown)
        ]
        if self._is_first:
            # What an earlier life of this node left in a viewer.
            gone.append(Marker(header=header, action=Marker.DELETEALL))
        self._shown, self._is_first = shown, False
        return MarkerArray(markers=gone + markers)


def _markers(track: TrackMarker, header: Header) -> list[Marker]:
    color = ColorRGBA(
        r=float(track.color[0]),
        g=float(track.color[1]),
        b=float(track.color[2]),
        a=float(track.alpha),
    )
    center, size = _point(track.center), _vector(track.size)
    above = Point(x=center.x, y=center.y, z=center.z + size.z / 2 + _TEXT_METRES)
    common = {"header": header, "id": track.track_id, "action": Marker.ADD}
    markers = [
        Marker(
            **common,
            ns="tracks/box",
            type=Marker.CUBE,
            pose=Pose(position=center, orientation=_heading(track.yaw)),
            scale=size,
            color=color,
        ),
        Marker(
            **common,
            ns="tracks/name",
            type=Marker.TEXT_VIEW_FACING,
            pose=Pose(position=above, orientation=_heading(0.0)),
            scale=Vector3(z=_TEXT_METRES),
            color=ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0),
            text=track.text,
        ),
    ]
    if track.velocity is not None and math.hypot(*track.velocity) > 0:
        vx, vy = track.velocity
        tip = Point(x=center.x + _ARROW_SECONDS * vx, y=center.y + _ARROW_SECONDS * vy, z=center.z)
        markers.append(
            Marker(
                **common,
                ns="tracks/velocity",
                type=Marker.ARROW,
                pose=Pose(orientation=_heading(0.0)),
                points=[center, tip],
                scale=_ARROW_SIZES,
                color=color,
            )
        )
    return markers


def _info(window: GridWindow, stamp: Time) -> MapMetaData:
    rows, columns = window.shape
    return MapMetaData(
        map_load_time=stamp,
        resolution=window.resolution,
        width=columns,
        height=rows,
        origin=Pose(position=Point(x=window.x_min, y=window.y_min), orientation=Quaternion(w=1.0)),
    )


def _floats(values: np.ndarray) -> array.array:
    return array.array("f", np.ascontiguousarray(values, np.float32).tobytes())


def _point(xyz: tuple[float, float, float]) -> Point:
    return Point(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def _vector(xyz: tuple[float, float, float]) -> Vector3:
    return Vector3(x=float(xyz[0]), y=float(xyz[1]), z=float(xyz[2]))


def _heading(yaw: float) -> Quaternion:
    return Quaternion(z=math.sin(yaw / 2), w=math.cos(yaw / 2))
