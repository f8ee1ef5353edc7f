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
import math
import re
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.demo.panels import side_by_side
from panoptic_ros.labels import UNLABELED, LabelClass, LabelSet, class_ids
from panoptic_ros.messages import decode_labels
from panoptic_ros.messages.panoptic import NOT_TRACKED
from panoptic_ros.msg import LabelInfo, PanopticInstance, PanopticInstances
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.ros.conversions import image_to_rgb
from panoptic_ros.ros.demo.ground_pane import GroundPane
from panoptic_ros.ros.program import report, running

_TOPICS = {
    "image": ("image", Image),
    "labels": ("panoptic/labels", Image),
    "color": ("panoptic/color", Image),
    "instances": ("panoptic/instances", PanopticInstances),
}
if TYPE_CHECKING:
    from panoptic_ros.rerun_log import RerunLog

_MEDIAN = re.compile(r"latency_(\w+)_p50_ms")
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

    def __init__(self, pictures: Path, recording: Path | None, *, with_ground: bool) -> None:
        """Begin; recording: file for Rerun, None: none."""
        super().__init__("demo_viewer")
        self._pictures, self._recording = pictures, recording
        self._log: RerunLog | None = None
        self._latency: dict[str, float] = {}
        self._ground = GroundPane(self) if with_ground else None
        self._number = 0
        self._gather = Gather([*_TOPICS, "time_ns"])
        # Saving takes longer than a callback may: the time of arrival would be wrong.
        self._saver = ThreadPoolExecutor(max_workers=1)
        for key, (topic, kind) in _TOPICS.items():
            self.create_subscription(kind, topic, lambda m, k=key: self._on_message(k, m), 10)
        self.create_subscription(LabelInfo, "panoptic/label_info", self._on_label_info, _LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def close(self) -> None:
        """Save what has come."""
        self._saver.shutdown()
        if self._log is not None:
            self._log.close()

    def _on_label_info(self, message: LabelInfo) -> None:
        if self._recording is not None and self._log is None:
            from panoptic_ros.rerun_log import RerunLog

            self._log = RerunLog(self._recording, self._recording.stem, _label_set(message))
        classes = [{"id": c.id, "name": c.name, "color": _rgb(c.color)} for c in message.classes]
        report("classes", classes=classes)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {v.key: v.value for v in status.values}
            medians = {key: _MEDIAN.fullmatch(key) for key in values}
            self._latency.update((m[1], float(values[key])) for key, m in medians.items() if m)
            report(
                "status",
                time=time.time(),
                is_error=status.level == DiagnosticStatus.ERROR,
                message=status.message,
                values=values,
            )

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
        if self._log is not None:
            self._record(self._log, stamp, image, parts)
        ground = self._ground.picture(stamp, self._log) if self._ground else None
        write_png(self._pictures / picture, side_by_side(image, overlay, ground))
        report(
            "frame",
            picture=picture,
            stamp_ns=stamp,
            time=parts["time_ns"] / 1e9,
            segments=_count_segments(parts["labels"]),
            instances=[[i.class_name, i.score] for i in parts["instances"].instances],
        )

    def _record(self, log: RerunLog, stamp: int, image: np.ndarray, parts: dict[str, Any]) -> None:
        log.start(stamp)
        instances = parts["instances"].instances
        panoptic = PanopticPrediction(
            decode_labels(parts["labels"]), [_segment(i) for i in instances]
        )
        tracks = {i.id: i.track_id for i in instances if i.track_id != NOT_TRACKED}
        log.add_picture(image, panoptic, tracks)
        # Those of no frame yet are NaN.
        log.add_figures({k: v for k, v in self._latency.items() if not math.isnan(v)})


def _segment(instance: PanopticInstance) -> Segment:
    box, x, y = instance.box, instance.box.x_offset, instance.box.y_offset
    corners = (x, y, x + box.width, y + box.height)
    return Segment(instance.id, instance.class_id, True, instance.score, instance.area, corners)


def _label_set(message: LabelInfo) -> LabelSet:
    classes = [LabelClass(c.id, c.name, c.is_thing, _rgb(c.color)) for c in message.classes]
    return LabelSet(message.label_set, tuple(classes))


def _rgb(color: ColorRGBA) -> tuple[int, int, int]:
    return round(255 * color.r), round(255 * color.g), round(255 * color.b)


def _count_segments(message: Image) -> dict[int, int]:
    """Return how many segments of each class a label image has."""
    pixels = np.frombuffer(message.data, np.uint16 if message.encoding == "16UC1" else np.int32)
    values = np.unique(pixels)
    return dict(Counter(class_ids(values[values != UNLABELED]).tolist()))


def _report_failure(saved: Future) -> None:
    if error := saved.exception():
        report("failed", reason=f"the viewer cannot save a picture: {error}")


def main() -> None:
    """Run the viewer until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder to save them in")
    parser.add_argument("--rerun", type=Path, help="file to record in for Rerun")
    parser.add_argument("--ground", action="store_true", help="show the grid and the tracks")
    args = parser.parse_args()
    with running():
        viewer = Viewer(args.pictures, args.rerun, with_ground=args.ground)
        try:
            rclpy.spin(viewer)
        finally:
            viewer.close()


if __name__ == "__main__":
    main()
