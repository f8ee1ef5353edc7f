"""What the node publishes of a frame, as messages of whichever library: for node and replay."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.grid.layers import UNKNOWN_CELL, GridLayers
from panoptic_ros.grid.velocity_blocks import velocity_blocks
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundResult
from panoptic_ros.label_map import LabelMap
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.clouds import CLOUD_KIND, CloudMessages
from panoptic_ros.messages.detections import (
    DETECTIONS_3D_KIND,
    DETECTIONS_KIND,
    VISION_INFO_KIND,
    Box3D,
    DetectionMessages,
)
from panoptic_ros.messages.grids import (
    GRID_KIND,
    GRID_MAP_KIND,
    LAYERS_KIND,
    MARKERS_KIND,
    GridMessages,
    MarkerMessages,
)
from panoptic_ros.messages.panoptic import (
    AUTO,
    IMAGE_KIND,
    INSTANCES_KIND,
    LABEL_INFO_KIND,
    MessageBuilder,
)
from panoptic_ros.pipeline import PanopticResult
from panoptic_ros.prediction import PanopticPrediction
from panoptic_ros.tracking.instance_points import measured_points
from panoptic_ros.tracking.markers import track_markers
from panoptic_ros.tracking.track import Track
from panoptic_ros.visualization import overlay


@dataclass(frozen=True)
class Answer:
    """Hold what the pipeline made of a frame, and how it is to be shown.

    header: of the input; image: uint8 [H, W, 3], RGB; labels: the model's; label_map: to the
    outputs' classes, None: they are the model's; labels_encoding: of the label image, see
    `MessageBuilder.labels`.
    """

    header: Any
    image: np.ndarray
    result: PanopticResult
    labels: LabelSet
    label_map: LabelMap | None = None
    labels_encoding: str = AUTO

    @cached_property
    def map(self) -> LabelMap:
        """The map to the outputs' classes."""
        return self.label_map or LabelMap.identity(self.labels)

    @cached_property
    def shown(self) -> tuple[PanopticPrediction, dict[int, int]]:
        """The prediction in the outputs' classes, and the new value of each old one."""
        panoptic = self.result.panoptic
        if self.label_map is None:
            return panoptic, {segment.id: segment.id for segment in panoptic.segments}
        return self.label_map.prediction(panoptic)


@dataclass(frozen=True)
class Placed:
    """Hold an answer and what the ground stage made of it.

    window: of the grid; odom_frame: of the poses; view: what was known of the frame beside its
    picture, None: nothing.
    """

    answer: Answer
    ground: GroundResult
    window: GridWindow
    odom_frame: str
    view: GroundView | None = None

    @property
    def track_ids(self) -> dict[int, int]:
        """Track id of each tracked instance, by its value in the label image that is shown."""
        _, value = self.answer.shown
        return {value[i]: track for i, track in self.ground.track_ids.items()}

    @property
    def is_posed(self) -> bool:
        """Whether the tracks are in odom; else their boxes are in base_link."""
        return self.view is None or self.view.pose is not None


class OutputMessages:
    """Turn frame after frame into messages; the markers remember what they showed before.

    message_type, pack: as for `Messages`.
    """

    def __init__(
        self, message_type: Callable[[str], Any], pack: Callable[[np.ndarray], Any]
    ) -> None:
        self._header = message_type("std_msgs/msg/Header")
        self.build = MessageBuilder(message_type, pack)
        self.grids = GridMessages(message_type, pack)
        self.markers = MarkerMessages(message_type, pack)
        self.clouds = CloudMessages(message_type, pack)
        self.vision = DetectionMessages(message_type, pack)

    def infos(
        self,
        labels: LabelSet,
        options: FusionOptions,
        stamp: Any,
        wanted: Container[str],
        labels_encoding: str = AUTO,
    ) -> Iterator[tuple[str, Any]]:
        """Yield name and message of what says, once, what the others mean.

        labels: the outputs' classes; options: the thresholds in use.
        """
        if LABEL_INFO in wanted:
            yield LABEL_INFO, self.build.label_info(labels, stamp, labels_encoding)
        if VISION_INFO in wanted:
            yield VISION_INFO, self.vision.label_info(labels, options.score_threshold, stamp)

    def images(self, answer: Answer, wanted: Container[str]) -> Iterator[tuple[str, Any]]:
        """Yield name and message of those of IMAGE_OUTPUTS that are wanted, labels first."""
        for name, (_, convert) in IMAGE_OUTPUTS.items():
            if name in wanted:
                yield name, convert(self, answer)

    def placed(self, placed: Placed, wanted: Container[str]) -> Iterator[tuple[str, Any]]:
        """Yield name and message of those of GROUND_OUTPUTS that are wanted and can be had."""
        view = placed.view
        missing: set[str] = set() if placed.ground.frame is not None else {*GRID_OUTPUTS}
        if view is None or (view.depth is None and view.points is None):
            missing.add(POINTS)
        for name, (_, convert) in GROUND_OUTPUTS.items():
            if name in wanted and name not in missing:
                yield name, convert(self, placed)

    def base_header(self, placed: Placed) -> Any:
        """Return the image's stamp in the grid's frame."""
        return self._header(stamp=placed.answer.header.stamp, frame_id=placed.ground.base_frame)

    def tracks_header(self, placed: Placed) -> Any:
        """Return the image's stamp in the frame that the tracks are in: odom, with a pose."""
        frame = placed.odom_frame if placed.is_posed else placed.ground.base_frame
        return self._header(stamp=placed.answer.header.stamp, frame_id=frame)


def _labels(make: OutputMessages, answer: Answer) -> Any:
    return make.build.labels(answer.shown[0], answer.header, answer.labels_encoding)


def _color(make: OutputMessages, answer: Answer) -> Any:
    colors = overlay(answer.image, answer.shown[0], answer.map.labels)
    return make.build.image(colors, "rgb8", answer.header)


def _semantic(make: OutputMessages, answer: Answer) -> Any:
    classes = answer.map.classes(answer.result.class_map())
    return make.build.image(classes, "mono8", answer.header)


def _confidence(make: OutputMessages, answer: Answer) -> Any:
    return make.build.image(answer.result.confidence_map(), "mono8", answer.header)


def _detections(make: OutputMessages, placed: Placed) -> Any:
    answer = placed.answer
    return make.vision.detections(answer.shown[0], answer.header, placed.track_ids)


def _detections_3d(make: OutputMessages, placed: Placed) -> Any:
    # A box that is measured stays while its object is not seen for a moment.
    seen = [t for t in _tracks(placed) if t.box_3d or (t.position and not t.coasting)]
    boxes = [
        Box3D(
            shape.track_id,
            track.class_id,
            track.score,
            shape.center,
            shape.size,
            shape.yaw,
            _place_covariance(track),
        )
        for track, shape in zip(seen, track_markers(seen, placed.answer.map.labels), strict=True)
    ]
    return make.vision.detections_3d(boxes, make.tracks_header(placed))


def _place_covariance(track: Track) -> np.ndarray:
    """Return the covariance of a box's x, y, float64 [2, 2], square metres."""
    if track.box_3d is not None:
        return track.box_3d.covariance
    return np.zeros((2, 2)) if track.covariance is None else track.covariance[:2, :2]


def _points(make: OutputMessages, placed: Placed) -> Any:
    answer = placed.answer
    panoptic, _ = answer.shown
    labels = panoptic.labels
    assert placed.view is not None, "nothing was measured"
    points, index = measured_points(placed.view, (labels.shape[0], labels.shape[1]))
    return make.clouds.labelled(
        points,
        index,
        answer.image,
        panoptic,
        placed.track_ids,
        answer.header,
        # A depth image has a point for each pixel.
        is_organized=placed.view.depth is not None,
        labels_encoding=answer.labels_encoding,
    )


def _instances(make: OutputMessages, placed: Placed) -> Any:
    answer, ground = placed.answer, placed.ground
    panoptic, value = answer.shown
    return make.build.instances(
        panoptic,
        answer.map.labels,
        answer.header,
        track_ids=placed.track_ids,
        positions={value[i]: (*g.position, g.elevation) for i, g in ground.instances.items()},
        position_frame=ground.base_frame,
        labels_encoding=answer.labels_encoding,
    )


def _markers(make: OutputMessages, placed: Placed) -> Any:
    shown = track_markers(_tracks(placed), placed.answer.map.labels)
    return make.markers.message(shown, make.tracks_header(placed))


def _tracks(placed: Placed) -> list[Track]:
    """Return the tracks in the outputs' classes, without those that are no things there."""
    shown = placed.answer.map
    things = {c.id for c in shown.labels.things}
    tracks = [replace(t, class_id=int(shown.ids[t.class_id])) for t in placed.ground.tracks]
    if not placed.is_posed:
        # Of when there were poses.
        tracks = [replace(t, position=None, velocity=None) for t in tracks]
    return [track for track in tracks if track.class_id in things]


def _grid(make: OutputMessages, placed: Placed) -> Any:
    return make.grids.grid(_layers(placed).occupancy, placed.window, make.base_header(placed))


def _class_grid(make: OutputMessages, placed: Placed) -> Any:
    classes = placed.answer.map.classes(_layers(placed).classes)
    return make.grids.class_grid(classes, placed.window, make.base_header(placed))


def _cost_grid(make: OutputMessages, placed: Placed) -> Any:
    return make.grids.grid(_layers(placed).cost, placed.window, make.base_header(placed))


def _grid_layers(make: OutputMessages, placed: Placed) -> Any:
    layers, answer = _layers(placed), placed.answer
    dynamic = placed.ground.dynamic
    assert layers.class_probabilities is not None, "the stage was not asked for them"
    return make.grids.layers(
        layers.occupancy,
        layers.probability,
        answer.map.probabilities(layers.class_probabilities, answer.labels),
        answer.map.labels.ids,
        dynamic.fields() if dynamic else {},
        placed.window,
        make.base_header(placed),
    )


def _grid_map(make: OutputMessages, placed: Placed) -> Any:
    layers, dynamic = _layers(placed), placed.ground.dynamic
    unknown = layers.occupancy == UNKNOWN_CELL
    planes = {
        "occupancy": np.where(unknown, np.nan, layers.probability),
        "class": placed.answer.map.classes(layers.classes),
        "cost": np.where(unknown, np.nan, layers.cost),
    }
    if dynamic is not None:
        planes |= dynamic.fields()
        names = ("velocity_xx", "velocity_xy", "velocity_yy")
        planes |= dict(zip(names, planes.pop("velocity_covariance"), strict=True))
    return make.grids.grid_map(planes, placed.window, make.base_header(placed))


def _grid_velocities(make: OutputMessages, placed: Placed) -> Any:
    places = velocities = np.zeros((0, 2))
    if placed.ground.dynamic is not None:
        places, velocities = velocity_blocks(placed.ground.dynamic, placed.window)
    return make.markers.arrows(places, velocities, make.base_header(placed))


def _layers(placed: Placed) -> GridLayers:
    assert placed.ground.frame is not None, "there is no grid"
    return placed.ground.frame.layers


# Topic below the node's name -> message type, conversion. Those of the first kind leave with the
# label image, the others once a frame is placed on the ground.
IMAGE_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Answer], Any]]] = {
    "labels": (IMAGE_KIND, _labels),
    "semantic": (IMAGE_KIND, _semantic),
    "confidence": (IMAGE_KIND, _confidence),
    "color": (IMAGE_KIND, _color),
}
POINTS = "points"
GRID_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Placed], Any]]] = {
    "grid": (GRID_KIND, _grid),
    "class_grid": (GRID_KIND, _class_grid),
    "cost_grid": (GRID_KIND, _cost_grid),
    "grid_layers": (LAYERS_KIND, _grid_layers),
    "grid_map": (GRID_MAP_KIND, _grid_map),
    "grid_velocities": (MARKERS_KIND, _grid_velocities),
}
GROUND_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Placed], Any]]] = {
    "markers": (MARKERS_KIND, _markers),
    **GRID_OUTPUTS,
    "instances": (INSTANCES_KIND, _instances),
    "detections": (DETECTIONS_KIND, _detections),
    "detections_3d": (DETECTIONS_3D_KIND, _detections_3d),
    POINTS: (CLOUD_KIND, _points),
}
# Those that show what moves.
DYNAMIC_OUTPUTS = frozenset({"grid_layers", "grid_map", "grid_velocities"})
# What shows the tracks' boxes in space.
BOX_OUTPUTS = frozenset({"markers", "detections_3d"})
LABEL_INFO, VISION_INFO = "label_info", "vision_info"
OUTPUT_KINDS = {
    **{name: kind for name, (kind, _) in IMAGE_OUTPUTS.items()},
    **{name: kind for name, (kind, _) in GROUND_OUTPUTS.items()},
    LABEL_INFO: LABEL_INFO_KIND,
    VISION_INFO: VISION_INFO_KIND,
}
# Late subscribers get the last message, too.
LATCHED_OUTPUTS = frozenset({*GRID_OUTPUTS, LABEL_INFO, VISION_INFO})
