"""The evaluator: matches the node's labels to images and truth by stamp, reports at the end.

Reports on its standard output, one JSON object per line: {"event": "ready"} once the node is
active, {"event": "failed", "reason"} where it cannot be, {"event": "answered", "stamp_ns"} for
each frame. The end is SIGINT, or `idle_timeout` seconds without image or answer.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from panoptic_ros.bags import COMPRESSED, IMAGE, Entry, stamp_ns
from panoptic_ros.labels import label_set
from panoptic_ros.messages import ImageRefused, decode_labels
from panoptic_ros.msg import LabelInfo
from panoptic_ros.replay.live_score import LiveScore, report_text
from panoptic_ros.replay.source import TRUTH_TOPICS, BagSource
from panoptic_ros.ros.conversions import LATCHED
from panoptic_ros.ros.program import report
from panoptic_ros.whole_files import write_json

NODE = "replay_evaluator"
_LOOK_SECONDS = 0.1
# Large enough to lose nothing while a frame is scored.
_DEPTH = 50
_TYPES = {IMAGE: Image, COMPRESSED: CompressedImage}
_PARAMETERS: dict[str, Any] = {
    "image_topic": "/camera/image_raw",
    "labels_topic": "/panoptic/labels",
    "label_info_topic": "/panoptic/label_info",
    # From the bag if one is given, else a topic; '': the town's.
    "truth_topic": "",
    "bag": "",
    "report_file": "",
    "label_set": "cityscapes",
    # Seconds; 0: never, only SIGINT ends.
    "idle_timeout": 10.0,
}


class Evaluator(Node):
    """Take arrival times in callbacks and score in a thread.

    failure: why there is nothing to evaluate, "" otherwise. Raise FileNotFoundError or
    ValueError for a bag, a topic or a parameter that cannot be.
    """

    def __init__(self) -> None:
        super().__init__(NODE)
        for name, default in _PARAMETERS.items():
            self.declare_parameter(name, default)
        self.failure = ""
        self._score = LiveScore(label_set(self._text("label_set")))
        self._is_ready = False
        self._last_arrival: float | None = None
        self._refused: list[str] = []
        self._scorer = ThreadPoolExecutor(max_workers=1)
        self._source: BagSource | None = None
        self._recorded: dict[int, Entry] = {}
        truth = self._text("truth_topic")
        if bag := self._text("bag"):
            self._source = BagSource(Path(bag), self._text("image_topic"), truth or None)
            self._recorded = self._source.truth_by_stamp()
        else:
            topic = truth or TRUTH_TOPICS[0]
            self._subscribe_once_published(topic, self._on_truth)
        self._subscribe_once_published(self._text("image_topic"), self._on_image)
        labels, info = self._text("labels_topic"), self._text("label_info_topic")
        self.create_subscription(Image, labels, self._on_labels, _DEPTH)
        self.create_subscription(LabelInfo, info, self._on_label_info, LATCHED)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 10)

    @property
    def is_done(self) -> bool:
        """Whether nothing has arrived for `idle_timeout`."""
        limit = self.get_parameter("idle_timeout").value
        last = self._last_arrival
        return bool(limit and last is not None and time.monotonic() - last > limit)

    def report(self) -> dict[str, Any]:
        """Return and write the results, once all answers are scored."""
        self._scorer.shutdown(wait=True)
        recorded = self._source.problems if self._source else []
        problems = [*recorded, *self._refused, *self._score.problems]
        results = {**self._score.results(), "problems": problems}
        if file := self._text("report_file"):
            write_json(Path(file), results)
        return results

    def _text(self, name: str) -> str:
        return self.get_parameter(name).value

    def _subscribe_once_published(self, topic: str, on_message: Callable[[Any], None]) -> None:
        """Subscribe with the publisher's type and reliability, so that nothing is lost."""

        def look() -> None:
            publishers = self.get_publishers_info_by_topic(topic)
            if not publishers:
                return
            self.destroy_timer(timer)
            kind = publishers[0].topic_type
            if kind not in _TYPES:
                self.failure = f"{topic} is of type {kind}; it must be one of {[*_TYPES]}"
                return
            qos = QoSProfile(depth=_DEPTH, reliability=publishers[0].qos_profile.reliability)
            self.create_subscription(_TYPES[kind], topic, on_message, qos)

        # On a steady clock: simulated time may not run yet.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        timer = self.create_timer(_LOOK_SECONDS, look, clock=clock)

    def _on_image(self, message: Any) -> None:
        self._last_arrival = time.monotonic()
        self._score.add_image(stamp_ns(message.header), self._last_arrival)

    def _on_labels(self, message: Image) -> None:
        self._last_arrival = time.monotonic()
        stamp = stamp_ns(message.header)
        self._score.add_answer(stamp, self._last_arrival)
        self._in_turn(lambda: self._add_labels(stamp, message))

    def _on_truth(self, message: Any) -> None:
        stamp = stamp_ns(message.header)
        self._in_turn(lambda: self._score.add_truth(stamp, decode_labels(message)))

    def _add_labels(self, stamp: int, message: Image) -> None:
        try:
            self._score.add_labels(stamp, decode_labels(message))
            if self._source and (entry := self._recorded.pop(stamp, None)):
                recorded = self._source.bag.read(entry)
                if recorded is not None:
                    self._score.add_truth(stamp, decode_labels(recorded.message))
        finally:
            report("answered", stamp_ns=stamp)

    def _in_turn(self, work: Callable[[], None]) -> None:
        """Do in the thread what would make times of arrival wrong."""
        self._scorer.submit(work).add_done_callback(self._on_scored)

    def _on_scored(self, done: Future) -> None:
        error = done.exception()
        if isinstance(error, ImageRefused):
            self._refused.append(str(error))
        elif error:
            self.failure = f"{type(error).__name__}: {error}"

    def _on_label_info(self, message: LabelInfo) -> None:
        if not self._is_ready:
            self._is_ready = True
            report("ready", label_set=message.label_set)

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            if status.level == DiagnosticStatus.ERROR and not self._is_ready:
                self.failure = f"the node does not start: {status.message}"


def main() -> None:
    """Evaluate until the end; exit with 1 where there is nothing to evaluate."""
    rclpy.init()
    try:
        evaluator = Evaluator()
    except (OSError, ValueError) as error:
        sys.exit(f"{NODE}: {error}")
    try:
        while not (evaluator.is_done or evaluator.failure):
            rclpy.spin_once(evaluator, timeout_sec=0.1)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    # The report is written even where the one who asks for the end asks twice.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    results: dict[str, Any] = {}
    try:
        results = evaluator.report()
    except OSError as error:
        evaluator.failure = str(error)
    rclpy.try_shutdown()
    if evaluator.failure:
        report("failed", reason=evaluator.failure)
        sys.exit(1)
    print(report_text(results), file=sys.stderr)


if __name__ == "__main__":
    main()
