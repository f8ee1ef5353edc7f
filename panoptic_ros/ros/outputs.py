"""The node's output topics, each converted only while somebody subscribes."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecyclePublisher
from rclpy.qos import QoSProfile, ReliabilityPolicy

from panoptic_ros.fusion import FusionOptions
from panoptic_ros.grid.window import GridWindow
from panoptic_ros.ground_stage import GroundResult
from panoptic_ros.labels import LabelSet
from panoptic_ros.output_messages import (
    IMAGE_OUTPUTS,
    LABEL_INFO,
    LATCHED_OUTPUTS,
    OUTPUT_KINDS,
    Answer,
    OutputMessages,
    Placed,
)
from panoptic_ros.ros.conversions import LATCHED, message_type, packed
from panoptic_ros.ros.parameters import OutputParameters

# A reliable publisher serves reliable and best-effort subscribers alike; a few frames of
# history bridge a subscriber's hiccup and no more.
OUTPUT_QOS = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)


class Outputs:
    """Publish answers on a node's topics, silent while the node is not active.

    names: of OUTPUT_KINDS; those whose messages are not installed are passed over. camera: its
    topics are ~/CAMERA/NAME, "": ~/NAME.
    """

    def __init__(
        self, node: LifecycleNode, names: Iterable[str] = OUTPUT_KINDS, camera: str = ""
    ) -> None:
        self._node = node
        self._publishers: dict[str, LifecyclePublisher] = {}
        with ExitStack() as undo:
            undo.callback(self.close)
            for name in set(names) - absent_outputs().keys():
                qos = LATCHED if name in LATCHED_OUTPUTS else OUTPUT_QOS
                topic = "/".join(filter(None, ("~", camera, name)))
                self._publishers[name] = node.create_lifecycle_publisher(
                    message_type(OUTPUT_KINDS[name]), topic, qos
                )
            undo.pop_all()
        self._messages = OutputMessages(message_type, packed)

    def publish_infos(self, labels: LabelSet, options: FusionOptions, labels_encoding: str) -> None:
        """Publish the meaning of the values; late subscribers get it too."""
        stamp = self._node.get_clock().now().to_msg()
        make = self._messages
        self._send(make.infos(labels, options, stamp, self._publishers, labels_encoding))

    def wanted(self, names: Iterable[str], enabled: OutputParameters) -> set[str]:
        """Return which of some outputs are enabled and have a subscriber."""
        return {
            name
            for name in names
            if name in self._publishers
            and getattr(enabled, name)
            and self._publishers[name].get_subscription_count() > 0
        }

    def publish(self, answer: Answer, enabled: OutputParameters) -> None:
        """Convert and publish the images that are wanted."""
        self._send(self._messages.images(answer, self.wanted(IMAGE_OUTPUTS, enabled)))

    def publish_placed(self, placed: Placed, wanted: set[str]) -> None:
        """Convert and publish those of GROUND_OUTPUTS that are wanted."""
        self._send(self._messages.placed(placed, wanted))

    def everything(self, answer: Answer, options: FusionOptions) -> dict[str, Any]:
        """Return the messages of an image by itself, by topic; no tracks and no positions."""
        make, nowhere = self._messages, GroundResult("", None, [])
        placed = Placed(answer, nowhere, GridWindow(), "")
        labels, stamp = answer.map.labels, answer.header.stamp
        return {
            **dict(make.infos(labels, options, stamp, {LABEL_INFO}, answer.labels_encoding)),
            **dict(make.images(answer, IMAGE_OUTPUTS)),
            **dict(make.placed(placed, {"instances"})),
        }

    def close(self) -> None:
        """Withdraw the topics."""
        while self._publishers:
            self._node.destroy_lifecycle_publisher(self._publishers.popitem()[1])

    def _send(self, messages: Iterable[tuple[str, Any]]) -> None:
        for name, message in messages:
            self._publishers[name].publish(message)


def absent_outputs() -> dict[str, str]:
    """Return the outputs whose messages are not installed, each with the package that it misses."""
    found = {}
    for name, kind in OUTPUT_KINDS.items():
        try:
            message_type(kind)
        except ModuleNotFoundError:
            found[name] = kind.split("/")[0]
    return found
