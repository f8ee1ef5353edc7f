"""The demo's viewer: subscribes to what the node publishes, saves pictures, reports.

Reports, one JSON object per line:
    {"event": "classes", "classes": [{"id", "name", "color"}]}    once the node is active
    {"event": "status", "time", "is_error", "message", "values": {...}}
                                                                  the node's diagnostics
    {"event": "frame", "picture", "stamp_ns", "time", "segments": {class id: count},
     "instances": [[class name, score]]}                          a frame, complete and saved
    {"event": "failed", "reason"}                                 a picture could not be saved
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.demo.panels import side_by_side
from panoptic_ros.labels import UNLABELED, class_ids
from panoptic_ros.msg import LabelInfo, PanopticInstances
from panoptic_ros.ros.conversions import image_to_rgb
from panoptic_ros.ros.demo.ground_pane import GroundPane
from panoptic_ros.ros.program import report, running

_TOPICS = {
    "image": ("image", Image),
    "labels": ("panoptic/labels", Image),
    "color": ("panoptic/color", Image),
    "instances": ("panoptic/instances", PanopticInstances),
}
_LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Gather:
    """Collect one value per topic under each stamp."""

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = frozenset(topics)
        self._open: dict[int, dict[str, Any]] = {}

    def add(self, topic: str, stamp: int, value: Any) -> dict[str, Any] | None:
        """Keep a value; return all of a stamp's, by topic, once they are complete.

        Older stamps are then discarded: of a dropped frame only the image arrives.
        """
        values = self._open.setdefault(stamp, {})
        values[topic] = value
        if values.keys() != self._topics:
            return None
        self._open = {s: v for s, v in self._open.items() if s > stamp}
        return values


class Viewer(Node):
    """Bring the topics of a frame together and hand them to a thread that saves them."""

    def __init__(self, pictures: Path, *, with_ground: bool) -> None:
        super().__init__("demo_viewer")
        self._pictures = pictures
        self._ground = GroundPane(self) if with_ground else None
        self._number = 0
        self._gather = Gather([*_TOPICS, "time_ns"])
        # Saving takes longer than a callback may: the time of arrival would be wrong.
        self._saver = ThreadPoolExecutor(max_workers=1)
        for key, (topic, kind) in _TOPICS.items():
            self.create_subscription(kind, topic, lambda m, k=key: self._on_message(k, m), 10)
        self.create_subscription(LabelInfo, "panoptic/label_info", _on_label_info, _LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", _on_diagnostics, 10)

    def _on_message(self, key: str, message: Any) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        if key == "labels":
            self._gather.add("time_ns", stamp, now)
        if parts := self._gather.add(key, stamp, message):
            self._saver.submit(self._save, self._number, stamp, parts).add_done_callback(
                _report_failure
            )
            self._number += 1

    def _save(self, number: int, stamp: int, parts: dict[str, Any]) -> None:
        picture = f"{number:04d}.png"
        image, overlay = image_to_rgb(parts["image"]), image_to_rgb(parts["color"])
        ground = self._ground.picture(stamp) if self._ground else None
        write_png(self._pictures / picture, side_by_side(image, overlay, ground))
        report(
            "frame",
            picture=picture,
            stamp_ns=stamp,
            time=parts["time_ns"] / 1e9,
            segments=_count_segments(parts["labels"]),
            instances=[[i.class_name, i.score] for i in parts["instances"].instances],
        )


def _count_segments(message: Image) -> dict[int, int]:
    """Return how many segments of each class a label image has."""
    pixels = np.frombuffer(message.data, np.uint16 if message.encoding == "16UC1" else np.int32)
    values = np.unique(pixels)
    return dict(Counter(class_ids(values[values != UNLABELED]).tolist()))


def _on_label_info(message: LabelInfo) -> None:
    classes = [
        {
            "id": c.id,
            "name": c.name,
            "color": [round(255 * v) for v in (c.color.r, c.color.g, c.color.b)],
        }
        for c in message.classes
    ]
    report("classes", classes=classes)


def _on_diagnostics(message: DiagnosticArray) -> None:
    for status in message.status:
        report(
            "status",
            time=time.time(),
            is_error=status.level == DiagnosticStatus.ERROR,
            message=status.message,
            values={v.key: v.value for v in status.values},
        )


def _report_failure(saved: Future) -> None:
    if error := saved.exception():
        report("failed", reason=f"the viewer cannot save a picture: {error}")


def main() -> None:
    """Run the viewer until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder to save them in")
    parser.add_argument("--ground", action="store_true", help="show the grid and the tracks")
    args = parser.parse_args()
    with running():
        rclpy.spin(Viewer(args.pictures, with_ground=args.ground))


if __name__ == "__main__":
    main()
