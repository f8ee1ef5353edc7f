"""The grid and the tracks as ROS messages, of whichever library's message classes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from panoptic_ros.messages.panoptic import Messages

GRID_KIND = "nav_msgs/msg/OccupancyGrid"
LAYERS_KIND = "panoptic_ros/msg/SemanticGrid"
MARKERS_KIND = "visualization_msgs/msg/MarkerArray"
GRID_MAP_KIND = "grid_map_msgs/msg/GridMap"

_UNKNOWN_CELL = -1
LARGEST_CELL = np.iinfo(np.int8).max
# An arrow as long as the way of one second.
_ARROW_SECONDS = 1.0
_ARROW_SIZES = (0.15, 0.35, 0.4)
_TEXT_METRES = 0.5
# Fields of SemanticGrid about what moves, with the type of their numbers.
_DYNAMIC_FIELDS: Mapping[str, type] = {
    "p_empty": np.float32,
    "p_static": np.float32,
    "p_dynamic": np.float32,
    "p_unknown": np.float32,
    "velocity_x": np.float32,
    "velocity_y": np.float32,
    "velocity_covariance": np.float32,
    "unknown_reason": np.uint8,
    "obstacle_distance": np.float32,
}
_WHITE = (1.0, 1.0, 1.0, 1.0)
_ORANGE = (1.0, 0.5, 0.0, 1.0)
_CLEAR = (0.0, 0.0, 0.0, 0.0)


class Cells(Protocol):
    """Name what a message tells of a grid's window: corner and cell in metres, [ny, nx]."""

    @property
    def x_min(self) -> float:
        """Smallest x."""

    @property
    def y_min(self) -> float:
        """Smallest y."""

    @property
    def resolution(self) -> float:
        """Side of a cell."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""


@dataclass(frozen=True)
class TrackMarker:
    """Describe a track's box in `odom`, and what is written on it.

    color: RGB, 0..1; alpha: 0..1, lower while coasting; center, size (along the box's x, y, z):
    metres; yaw: of the box, radians; velocity: m/s, None unless it surely moves.
    """

    track_id: int
    text: str
    color: tuple[float, float, float]
    alpha: float
    center: tuple[float, float, float]
    size: tuple[float, float, float]
    yaw: float
    velocity: tuple[float, float] | None


class GridMessages(Messages):
    """Build messages of grids."""

    def grid(self, cells: np.ndarray, window: Cells, header: Any) -> Any:
        """Return cells, int8 [ny, nx] (-1 unknown, else 0..100 or a class id), as OccupancyGrid."""
        data = self._pack(np.ascontiguousarray(cells, np.int8).ravel())
        return self._type(GRID_KIND)(
            header=header, info=self._info(window, header.stamp), data=data
        )

    def class_grid(self, classes: np.ndarray, window: Cells, header: Any) -> Any:
        """Return label ids, uint8 [ny, nx] with 0 unknown, as OccupancyGrid with -1 unknown.

        Raise ValueError for an id above 127: an OccupancyGrid's cell holds no more.
        """
        largest = int(classes.max())
        if largest > LARGEST_CELL:
            raise ValueError(f"class id {largest} does not fit into ~/class_grid (at most 127)")
        return self.grid(np.where(classes == 0, _UNKNOWN_CELL, classes), window, header)

    def layers(
        self,
        occupancy: np.ndarray,
        probability: np.ndarray,
        class_probabilities: np.ndarray,
        class_ids: np.ndarray,
        dynamic: Mapping[str, np.ndarray],
        window: Cells,
        header: Any,
    ) -> Any:
        """Return probabilities as SemanticGrid, NaN where a cell is unknown.

        occupancy: int8 [ny, nx], -1 unknown; probability: float [ny, nx]; class_probabilities:
        float [C, ny, nx]; class_ids: [C]; dynamic: [ny, nx] or [3, ny, nx] by the message's
        fields, those that are not there are empty.
        """
        unknown = occupancy == _UNKNOWN_CELL
        nothing = np.empty(0)
        return self._type(LAYERS_KIND)(
            header=header,
            info=self._info(window, header.stamp),
            occupancy=self._floats(np.where(unknown, np.nan, probability)),
            class_ids=self._pack(np.ascontiguousarray(class_ids, np.uint16)),
            class_probabilities=self._floats(np.where(unknown, np.nan, class_probabilities)),
            **{
                name: self._pack(np.ascontiguousarray(dynamic.get(name, nothing), kind).ravel())
                for name, kind in _DYNAMIC_FIELDS.items()
            },
        )

    def grid_map(self, planes: Mapping[str, np.ndarray], window: Cells, header: Any) -> Any:
        """Return planes, [ny, nx] by name, as GridMap of float32.

        Its matrices begin with the largest x and y, and lie column by column.
        """
        rows, columns = window.shape
        length, width = (n * window.resolution for n in (columns, rows))
        middle = (window.x_min + length / 2, window.y_min + width / 2, 0.0)
        info = self._type("grid_map_msgs/msg/GridMapInfo")(
            resolution=float(window.resolution),
            length_x=float(length),
            length_y=float(width),
            pose=self._pose(middle),
        )
        size = rows * columns
        dimensions = [
            self._type("std_msgs/msg/MultiArrayDimension")(label=label, size=count, stride=stride)
            for label, count, stride in (
                ("column_index", rows, size),
                ("row_index", columns, columns),
            )
        ]
        layout = self._type("std_msgs/msg/MultiArrayLayout")(dim=dimensions, data_offset=0)
        array = self._type("std_msgs/msg/Float32MultiArray")
        return self._type(GRID_MAP_KIND)(
            header=header,
            info=info,
            layers=list(planes),
            basic_layers=[],
            data=[array(layout=layout, data=self._floats(p[::-1, ::-1])) for p in planes.values()],
            outer_start_index=0,
            inner_start_index=0,
        )

    def _info(self, window: Cells, stamp: Any) -> Any:
        rows, columns = window.shape
        return self._type("nav_msgs/msg/MapMetaData")(
            map_load_time=stamp,
            resolution=window.resolution,
            width=columns,
            height=rows,
            origin=self._pose((window.x_min, window.y_min, 0.0)),
        )

    def _floats(self, values: np.ndarray) -> Any:
        return self._pack(np.ascontiguousarray(values, np.float32).ravel())


class MarkerMessages(Messages):
    """Turn the tracks of frame after frame into markers: boxes, names, velocities.

    Namespaces are tracks/box, tracks/name and tracks/velocity, a marker's id is its track's.
    """

    # Namespace and id of what the last message has shown.
    _shown: Set[tuple[str, int]] = frozenset()
    _is_first = True

    def message(self, tracks: Iterable[TrackMarker], header: Any) -> Any:
        """Return a MarkerArray: of a frame, and DELETE for what was shown and is no more."""
        kind: Any = self._type("visualization_msgs/msg/Marker")
        markers = [marker for track in tracks for marker in self._markers(track, header)]
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [
            self._marker(header, kind.DELETE, ns, number)
            for ns, number in sorted(self._shown - shown)
        ]
        if self._is_first:
            # What an earlier life of the publisher left in a viewer.
            gone.append(self._marker(header, kind.DELETEALL))
        self._shown, self._is_first = shown, False
        return self._type(MARKERS_KIND)(markers=gone + markers)

    def arrows(self, places: np.ndarray, velocities: np.ndarray, header: Any) -> Any:
        """Return a MarkerArray of arrows as long as the way of a second, in place of earlier ones.

        places: float [N, 2], metres; velocities: float [N, 2], m/s; both in the header's frame.
        """
        kind: Any = self._type("visualization_msgs/msg/Marker")
        arrows = [
            self._marker(
                header,
                kind.ADD,
                "grid/velocity",
                number,
                type=kind.ARROW,
                points=[self._point((*end, 0.0)) for end in ends],
                scale=self._vector(_ARROW_SIZES),
                color=self._color(_ORANGE),
            )
            for number, ends in enumerate(
                np.stack([places, places + _ARROW_SECONDS * velocities], axis=1).tolist()
            )
        ]
        before = self._marker(header, kind.DELETEALL)
        return self._type(MARKERS_KIND)(markers=[before, *arrows])

    def _markers(self, track: TrackMarker, header: Any) -> list[Any]:
        kind: Any = self._type("visualization_msgs/msg/Marker")
        color = (*map(float, track.color), float(track.alpha))
        x, y, z = track.center
        above = (x, y, z + track.size[2] / 2 + _TEXT_METRES)

        def add(part: str, shape: int, **fields: Any) -> Any:
            return self._marker(
                header, kind.ADD, f"tracks/{part}", track.track_id, type=shape, **fields
            )

        markers = [
            add(
                "box",
                kind.CUBE,
                pose=self._pose(track.center, track.yaw),
                scale=self._vector(track.size),
                color=self._color(color),
            ),
            add(
                "name",
                kind.TEXT_VIEW_FACING,
                pose=self._pose(above),
                scale=self._vector((0.0, 0.0, _TEXT_METRES)),
                color=self._color(_WHITE),
                text=track.text,
            ),
        ]
        if track.velocity is not None and math.hypot(*track.velocity) > 0:
            vx, vy = track.velocity
            tip = (x + _ARROW_SECONDS * vx, y + _ARROW_SECONDS * vy, z)
            arrow = add(
                "velocity",
                kind.ARROW,
                points=[self._point(track.center), self._point(tip)],
                scale=self._vector(_ARROW_SIZES),
                color=self._color(color),
            )
            markers.append(arrow)
        return markers

    def _marker(
        self, header: Any, action: int, ns: str = "", number: int = 0, **fields: Any
    ) -> Any:
        """Return a marker; the classes of `rosbags` have no defaults."""
        of, nothing = self._type, self._pack(np.zeros(0, np.uint8))
        stamp = of("builtin_interfaces/msg/Time")(sec=0, nanosec=0)
        empty = of("std_msgs/msg/Header")(stamp=stamp, frame_id="")
        image = of("sensor_msgs/msg/CompressedImage")(header=empty, format="", data=nothing)
        common: dict[str, Any] = {
            "type": 0,
            "pose": self._pose((0.0, 0.0, 0.0)),
            "scale": self._vector((0.0, 0.0, 0.0)),
            "color": self._color(_CLEAR),
            "lifetime": of("builtin_interfaces/msg/Duration")(sec=0, nanosec=0),
            "frame_locked": False,
            "points": [],
            "colors": [],
            "texture_resource": "",
            "texture": image,
            "uv_coordinates": [],
            "text": "",
            "mesh_resource": "",
            "mesh_file": of("visualization_msgs/msg/MeshFile")(filename="", data=nothing),
            "mesh_use_embedded_materials": False,
        }
        return of("visualization_msgs/msg/Marker")(
            header=header, ns=ns, id=number, action=action, **(common | fields)
        )
