"""What the node publishes of a frame, as messages of whichever library: for node and replay."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from panoptic_ros.grid.layers import GridLayers
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundResult
from panoptic_ros.labels import LabelSet
from panoptic_ros.messages.grids import (
    GRID_KIND,
    LAYERS_KIND,
    MARKERS_KIND,
    GridMessages,
    MarkerMessages,
)
from panoptic_ros.messages.panoptic import (
    IMAGE_KIND,
    INSTANCES_KIND,
    LABEL_INFO_KIND,
    MessageBuilder,
)
from panoptic_ros.pipeline import PanopticResult
from panoptic_ros.tracking.markers import track_markers
from panoptic_ros.visualization import overlay


@dataclass(frozen=True)
class Answer:
    """Hold what the pipeline made of a frame: header of the input, uint8 [H, W, 3] RGB, result."""

    header: Any
    image: np.ndarray
    result: PanopticResult
    labels: LabelSet


@dataclass(frozen=True)
class Placed:
    """Hold an answer and what the ground stage made of it.

    window: of the grid; odom_frame: of the tracks.
    """

    answer: Answer
    ground: GroundResult
    window: GridWindow
    odom_frame: str


class OutputMessages:
    """Turn frame after frame into messages; the markers remember what they showed before.

    message_type, pack: as for `MessageBuilder`.
    """

    def __init__(
        self, message_type: Callable[[str], Any], pack: Callable[[np.ndarray], Any]
    ) -> None:
        self._header = message_type("std_msgs/msg/Header")
        self.build = MessageBuilder(message_type, pack)
        self.grids = GridMessages(message_type, pack)
        self.markers = MarkerMessages(message_type, pack)

    def images(self, answer: Answer, wanted: Container[str]) -> Iterator[tuple[str, Any]]:
        """Yield name and message of those of IMAGE_OUTPUTS that are wanted, labels first."""
        for name, (_, convert) in IMAGE_OUTPUTS.items():
            if name in wanted:
                yield name, convert(self, answer)

    def placed(self, placed: Placed, wanted: Container[str]) -> Iterator[tuple[str, Any]]:
        """Yield name and message of those of GROUND_OUTPUTS that are wanted and can be had."""
        has_grid = placed.ground.frame is not None
        for name, (_, convert) in GROUND_OUTPUTS.items():
            if name in wanted and (has_grid or name not in GRID_OUTPUTS):
                yield name, convert(self, placed)

    def header(self, placed: Placed, frame: str) -> Any:
        """Return the image's stamp in another frame."""
        return self._header(stamp=placed.answer.header.stamp, frame_id=frame)


def _color(make: OutputMessages, answer: Answer) -> Any:
    colors = overlay(answer.image, answer.result.panoptic, answer.labels)
    return make.build.image(colors, "rgb8", answer.header)


def _semantic(make: OutputMessages, answer: Answer) -> Any:
    return make.build.image(answer.result.semantic.class_map(), "mono8", answer.header)


def _confidence(make: OutputMessages, answer: Answer) -> Any:
    return make.build.image(answer.result.semantic.confidence_map(), "mono8", answer.header)


def _instances(make: OutputMessages, placed: Placed) -> Any:
    answer, ground = placed.answer, placed.ground
    return make.build.instances(
        answer.result.panoptic,
        answer.labels,
        answer.header,
        track_ids=ground.track_ids,
        positions={i: (*g.position, g.elevation) for i, g in ground.instances.items()},
        position_frame=ground.base_frame,
    )


def _markers(make: OutputMessages, placed: Placed) -> Any:
    shown = track_markers(placed.ground.tracks, placed.answer.labels)
    return make.markers.message(shown, make.header(placed, placed.odom_frame))


def _grid(make: OutputMessages, placed: Placed) -> Any:
    header = make.header(placed, placed.ground.base_frame)
    return make.grids.grid(_layers(placed).occupancy, placed.window, header)


def _class_grid(make: OutputMessages, placed: Placed) -> Any:
    header = make.header(placed, placed.ground.base_frame)
    return make.grids.class_grid(_layers(placed).classes, placed.window, header)


def _cost_grid(make: OutputMessages, placed: Placed) -> Any:
    header = make.header(placed, placed.ground.base_frame)
    return make.grids.grid(_layers(placed).cost, placed.window, header)


def _grid_layers(make: OutputMessages, placed: Placed) -> Any:
    layers = _layers(placed)
    assert layers.class_probabilities is not None, "the stage was not asked for them"
    return make.grids.layers(
        layers.occupancy,
        layers.probability,
        layers.class_probabilities,
        placed.answer.labels.ids,
        placed.window,
        make.header(placed, placed.ground.base_frame),
    )


def _layers(placed: Placed) -> GridLayers:
    assert placed.ground.frame is not None, "there is no grid"
    return placed.ground.frame.layers


# Topic below the node's name -> message type, conversion. Those of the first kind leave with the
# label image, the others once a frame is placed on the ground.
IMAGE_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Answer], Any]]] = {
    "labels": (IMAGE_KIND, lambda make, a: make.build.labels(a.result.panoptic, a.header)),
    "semantic": (IMAGE_KIND, _semantic),
    "confidence": (IMAGE_KIND, _confidence),
    "color": (IMAGE_KIND, _color),
}
GRID_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Placed], Any]]] = {
    "grid": (GRID_KIND, _grid),
    "class_grid": (GRID_KIND, _class_grid),
    "cost_grid": (GRID_KIND, _cost_grid),
    "grid_layers": (LAYERS_KIND, _grid_layers),
}
GROUND_OUTPUTS: dict[str, tuple[str, Callable[[OutputMessages, Placed], Any]]] = {
    "markers": (MARKERS_KIND, _markers),
    **GRID_OUTPUTS,
    "instances": (INSTANCES_KIND, _instances),
}
LABEL_INFO = "label_info"
OUTPUT_KINDS = {
    **{name: kind for name, (kind, _) in IMAGE_OUTPUTS.items()},
    **{name: kind for name, (kind, _) in GROUND_OUTPUTS.items()},
    LABEL_INFO: LABEL_INFO_KIND,
}
# Late subscribers get the last message, too.
LATCHED_OUTPUTS = frozenset({*GRID_OUTPUTS, LABEL_INFO})
