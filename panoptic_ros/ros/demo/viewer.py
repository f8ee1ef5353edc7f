"""The demo's viewer: subscribes to what the node publishes, saves pictures, reports.

Reports, one JSON object per line:
    {"event": "classes", "classes": [{"id", "name", "color"}]}
                                             once the node is active
    {"event": "status", "camera", "time", "is_error", "message", "values": {...}}
                                             the node's diagnostics, of one camera or of all ("")
    {"event": "frame", "camera", "picture", "stamp_ns", "time", "segments": {class id: count},
     "instances": [[class name, score]]}     a frame, complete; picture: that it is or will be in
    {"event": "picture", "picture"}          the newest frames of all cameras, saved
    {"event": "failed", "reason"}            a picture could not be saved
"""

from __future__ import annotations

import argparse
import json
import math
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import ColorRGBA

from panoptic_ros.datasets.picture_files import write_png
from panoptic_ros.demo.panels import composed
from panoptic_ros.geometry.camera_model import CameraModel
from panoptic_ros.geometry.ground_plane import GroundView
from panoptic_ros.geometry.poses import optical_pose
from panoptic_ros.labels import UNLABELED, LabelClass, LabelSet, class_ids
from panoptic_ros.messages import decode_labels
from panoptic_ros.messages.panoptic import NOT_TRACKED
from panoptic_ros.msg import LabelInfo, PanopticInstance, PanopticInstances
from panoptic_ros.prediction import PanopticPrediction, Segment
from panoptic_ros.ros.conversions import LATCHED, image_to_rgb
from panoptic_ros.ros.demo.ground_pane import GroundPane
from panoptic_ros.ros.program import report, running

# Of a camera; {} is its place in the names.
_TOPICS = {
    "image": ("{}image", Image),
    "labels": ("panoptic/{}labels", Image),
    "color": ("panoptic/{}color", Image),
    "instances": ("panoptic/{}instances", PanopticInstances),
}
if TYPE_CHECKING:
    from panoptic_ros.rerun_log import RerunLog

_MEDIAN = re.compile(r"latency_(\w+)_p50_ms")
# The only camera's name in a recording.
_CAMERA = "camera"
_OF_CAMERA = re.compile(r": camera (\w+)$")


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
    """Bring the topics of a frame together and hand them to a thread that saves them.

    Each frame of the first camera makes a picture, with the newest ones of the others in it.
    """

    def __init__(
        self,
        pictures: Path,
        recording: Path | None,
        mountings: Mapping[str, Mapping[str, float]],
    ) -> None:
        """Begin.

        recording: file for Rerun, None: none; mountings: as of `Footage`, empty for a camera
        without ground.
        """
        super().__init__("demo_viewer")
        self._mountings, self._cameras = mountings, tuple(mountings) or ("",)
        self._pictures, self._recording = pictures, recording
        self._log: RerunLog | None = None
        self._latency: dict[str, float] = {}
        self._ground = GroundPane(self, self._cameras) if mountings else None
        self._number = 0
        self._gather = {camera: Gather([*_TOPICS, "time_ns"]) for camera in self._cameras}
        # Camera and overlay of each camera's newest frame.
        self._views: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        # Stamp of the first camera's newest frame, while no picture shows it.
        self._undrawn_ns: int | None = None
        # What is to be recorded with the first camera's next frame.
        self._unrecorded: dict[str, tuple[np.ndarray, dict[str, Any]]] = {}
        # Saving takes longer than a callback may: the time of arrival would be wrong.
        self._saver = ThreadPoolExecutor(max_workers=1)
        for camera in self._cameras:
            place = f"{camera}/" if camera else ""
            for key, (topic, kind) in _TOPICS.items():
                keep = partial(self._on_message, camera, key)
                self.create_subscription(kind, topic.format(place), keep, 10)
        self._infos: dict[str, CameraInfo] = {}
        for camera in mountings:
            hold = partial(self._infos.__setitem__, camera)
            self.create_subscription(CameraInfo, f"{camera}/camera_info", hold, 10)
        self.create_subscription(LabelInfo, "panoptic/label_info", self._on_label_info, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    def close(self) -> None:
        """Save what has come."""
        self._saver.shutdown()
        if self._log is not None:
            self._log.close()

    def _on_label_info(self, message: LabelInfo) -> None:
        if self._recording is not None and self._log is None:
            from panoptic_ros.rerun_log import RerunLog

            self._log = RerunLog(
                self._recording,
                self._recording.stem,
                _label_set(message),
                [camera or _CAMERA for camera in self._cameras],
            )
        classes = [{"id": c.id, "name": c.name, "color": _rgb(c.color)} for c in message.classes]
        report("classes", classes=classes)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            found = _OF_CAMERA.search(status.name)
            camera = found[1] if found else ""
            values = {v.key: v.value for v in status.values}
            if camera == self._cameras[0]:
                medians = {key: _MEDIAN.fullmatch(key) for key in values}
                self._latency.update((m[1], float(values[key])) for key, m in medians.items() if m)
            report(
                "status",
                camera=camera,
                time=time.time(),
                is_error=status.level == DiagnosticStatus.ERROR,
                message=status.message,
                values=values,
            )

    def _on_message(self, camera: str, key: str, message: Any) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        if key == "labels":
            self._gather[camera].add("time_ns", stamp, now)
        if parts := self._gather[camera].add(key, stamp, message):
            self._saver.submit(self._save, camera, stamp, parts).add_done_callback(_report_failure)

    def _save(self, camera: str, stamp: int, parts: dict[str, Any]) -> None:
        picture = f"{self._number:04d}.png"
        image = image_to_rgb(parts["image"])
        self._unrecorded[camera] = image, parts
        self._views[camera] = image, image_to_rgb(parts["color"])
        if camera == self._cameras[0]:
            self._undrawn_ns = stamp
        # The first frame may come before those of the other cameras.
        if self._undrawn_ns is not None and len(self._views) == len(self._cameras):
            if self._log is not None:
                self._record(self._log, self._undrawn_ns)
            self._draw(picture, self._undrawn_ns)
            self._undrawn_ns = None
            self._number += 1
        report(
            "frame",
            camera=camera,
            picture=picture,
            stamp_ns=stamp,
            time=parts["time_ns"] / 1e9,
            segments=_count_segments(parts["labels"]),
            instances=[[i.class_name, i.score] for i in parts["instances"].instances],
        )

    def _draw(self, picture: str, stamp: int) -> None:
        views = {name: self._views[name] for name in self._cameras}
        ground = self._ground.picture(stamp, self._log) if self._ground else None
        write_png(self._pictures / picture, composed(views, ground))
        report("picture", picture=picture)

    def _record(self, log: RerunLog, stamp: int) -> None:
        log.start(stamp)
        for camera, (image, parts) in self._unrecorded.items():
            instances = parts["instances"].instances
            panoptic = PanopticPrediction(
                decode_labels(parts["labels"]), [_segment(i) for i in instances]
            )
            tracks = {i.id: i.track_id for i in instances if i.track_id != NOT_TRACKED}
            log.add_picture(image, panoptic, tracks, camera=camera or _CAMERA)
            if camera in self._infos:
                place = optical_pose(**self._mountings[camera])
                model = CameraModel.from_camera_info(self._infos[camera])
                log.add_camera(GroundView(model, place), image.shape[:2], camera)
        self._unrecorded.clear()
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
    values = np.unique(decode_labels(message))
    return dict(Counter(class_ids(values[values != UNLABELED]).tolist()))


def _report_failure(saved: Future) -> None:
    if error := saved.exception():
        report("failed", reason=f"the viewer cannot save a picture: {error}")


def main() -> None:
    """Run the viewer until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="folder to save them in")
    parser.add_argument("--rerun", type=Path, help="file to record in for Rerun")
    parser.add_argument(
        "--mountings", type=json.loads, default={}, help="cameras, as JSON; none: no grid"
    )
    args = parser.parse_args()
    with running():
        viewer = Viewer(args.pictures, args.rerun, args.mountings)
        try:
            rclpy.spin(viewer)
        finally:
            viewer.close()


if __name__ == "__main__":
    main()
