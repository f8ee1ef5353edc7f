"""The node's output topics, each converted only while somebody subscribes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from nav_msgs.msg import OccupancyGrid
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundResult
from panoptic_ros.labels import LabelSet
from panoptic_ros.msg import LabelInfo, PanopticInstances, SemanticGrid
from panoptic_ros.pipeline import PanopticResult
from panoptic_ros.ros.conversions import (
    instances_message,
    label_info_message,
    labels_message,
    mono8_image,
    rgb8_image,
)
from panoptic_ros.ros.ground_conversions import (
    MarkerMessages,
    class_cells,
    grid_message,
    layers_message,
)
from panoptic_ros.ros.parameters import OutputParameters
from panoptic_ros.semantic_maps import class_map, confidence_map
from panoptic_ros.tracking.markers import track_markers
from panoptic_ros.visualization import overlay

# A reliable publisher serves reliable and best-effort subscribers alike; a few frames of
# history bridge a subscriber's hiccup and no more.
OUTPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


# Outputs of the first kind leave with the label image, those of the second once a frame is
# placed on the ground.
GRIDS = ("grid", "class_grid", "cost_grid", "grid_layers")
GROUND_OUTPUTS = ("instances", *GRIDS, "markers")


@dataclass(frozen=True)
class Answer:
    """Hold what the pipeline made of a frame: header of the input, uint8 [H, W, 3] RGB, result."""

    header: Header
    image: np.ndarray
    result: PanopticResult
    labels: LabelSet


@dataclass(frozen=True)
class Placed:
    """Hold an answer and what the ground stage made of it.

    base_frame, odom_frame: of the grid, of the tracks; window: of the grid.
    """

    answer: Answer
    ground: GroundResult
    window: GridWindow
    base_frame: str
    odom_frame: str

    @property
    def grid_header(self) -> Header:
        """The image's stamp in the grid's frame."""
        return Header(stamp=self.answer.header.stamp, frame_id=self.base_frame)

    def grid(self, cells: np.ndarray) -> OccupancyGrid:
        """Return cells, int8 [ny, nx], in the grid's frame."""
        return grid_message(cells, self.window, self.grid_header)


# Topic under ~/ and field of OutputParameters -> message type, conversion.
IMAGE_OUTPUTS: dict[str, tuple[type, Callable[[Answer], Any]]] = {
    "labels": (Image, lambda a: labels_message(a.result.panoptic, a.header)),
    "semantic": (Image, lambda a: mono8_image(class_map(a.result.semantic), a.header)),
    "confidence": (Image, lambda a: mono8_image(confidence_map(a.result.semantic), a.header)),
    "color": (
        Image,
        lambda a: rgb8_image(overlay(a.image, a.result.panoptic, a.labels), a.header),
    ),
}
GRID_OUTPUTS: dict[str, tuple[type, Callable[[Placed], Any]]] = {
    "grid": (OccupancyGrid, lambda p: p.grid(p.ground.frame.layers.occupancy)),
    "class_grid": (OccupancyGrid, lambda p: p.grid(class_cells(p.ground.frame.layers.classes))),
    "cost_grid": (OccupancyGrid, lambda p: p.grid(p.ground.frame.layers.cost)),
    "grid_layers": (
        SemanticGrid,
        lambda p: layers_message(p.ground.frame.layers, p.answer.labels, p.window, p.grid_header),
    ),
}


class Outputs:
    """Publish answers on a node's topics, silent while the node is not active."""

    def __init__(self, node: LifecycleNode) -> None:
        self._node = node
        kinds = {
            **{name: (kind, OUTPUT_QOS) for name, (kind, _) in IMAGE_OUTPUTS.items()},
            **{name: (kind, LATCHED_QOS) for name, (kind, _) in GRID_OUTPUTS.items()},
            "instances": (PanopticInstances, OUTPUT_QOS),
            "markers": (MarkerArray, OUTPUT_QOS),
            "label_info": (LabelInfo, LATCHED_QOS),
        }
        self._publishers = {
            name: node.create_lifecycle_publisher(kind, f"~/{name}", qos)
            for name, (kind, qos) in kinds.items()
        }
        self._markers = MarkerMessages()

    def publish_label_info(self, labels: LabelSet) -> None:
        """Publish the meaning of the values; late subscribers get it too."""
        stamp = self._node.get_clock().now().to_msg()
        self._publishers["label_info"].publish(label_info_message(labels, stamp))

    def wanted(self, names: Iterable[str], enabled: OutputParameters) -> set[str]:
        """Return which of some outputs are enabled and have a subscriber."""
        return {
            name
            for name in names
            if getattr(enabled, name) and self._publishers[name].get_subscription_count() > 0
        }

    def publish(self, answer: Answer, enabled: OutputParameters) -> None:
        """Convert and publish the images that are wanted."""
        wanted = self.wanted(IMAGE_OUTPUTS, enabled)
        for name, (_, convert) in IMAGE_OUTPUTS.items():
            if name in wanted:
                self._publishers[name].publish(convert(answer))

    def publish_placed(self, placed: Placed, wanted: set[str]) -> None:
        """Convert and publish those of GROUND_OUTPUTS that are wanted."""
        answer, ground = placed.answer, placed.ground
        if "markers" in wanted:
            header = Header(stamp=answer.header.stamp, frame_id=placed.odom_frame)
            shown = track_markers(ground.tracks, answer.labels)
            self._publishers["markers"].publish(self._markers.message(shown, header))
        for name, (_, convert) in GRID_OUTPUTS.items():
            if name in wanted and ground.frame is not None:
                self._publishers[name].publish(convert(placed))
        if "instances" in wanted:
            self._publishers["instances"].publish(
                instances_message(
                    answer.result.panoptic,
                    answer.labels,
                    answer.header,
                    track_ids=ground.track_ids,
                    positions={i: g.position for i, g in ground.instances.items()},
                )
            )

    def close(self) -> None:
        """Withdraw the topics."""
        for publisher in self._publishers.values():
            self._node.destroy_lifecycle_publisher(publisher)
