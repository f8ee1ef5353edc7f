"""The node's state of health on /diagnostics, and one line in the log every ten seconds.

Keys of the status `<node>: panoptic`, all there at all times:
    state: lifecycle state, or the transition that is under way
    weights, device, fusion, input_topic, image_size (WIDTHxHEIGHT): empty while unknown
    rate_hz: published frames per second, over the last 10 s
    frames_in, frames_out, frames_dropped, frames_refused, frames_waiting: since `configure`;
        in = out + dropped + refused + waiting at any time
    frames_lost: frames that the middleware knows it lost on the way to the node
    refused_image, refused_stamp, refused_memory, refused_inference: frames_refused by kind
    last_refusal: reason of the last one
    grids_out, grids_dropped: frames that gave a grid; that gave none though one was wanted
    last_grid_drop: reason of the last one
    latency_<stage>_p50_ms, latency_<stage>_p95_ms: over the last 10 s, nan without frames;
        stages: wait, decode, semantic, instances, fusion, inference, publish, total, age
        (see frame_statistics.STAGES), ground_wait, ground, ground_publish (ground.GROUND_STAGES)
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from panoptic_ros.ros.ground import GroundStatus
from panoptic_ros.stream.refusals import KINDS, Refusal
from panoptic_ros.stream.slot import FrameCounts
from panoptic_ros.stream.statistics import STAGES, Latency

PERIOD_SECONDS = 1.0
LOG_EVERY = 10
# A warning stays up this long after its cause.
WARN_SECONDS = 10.0
# An active node without a frame for this long has no camera.
QUIET_SECONDS = 5.0


@dataclass(frozen=True)
class Status:
    """Hold a snapshot of the node; seconds since an event are infinite where it never was."""

    state: str
    error: str = ""
    weights: str = ""
    device: str = ""
    fusion: str = ""
    input_topic: str = ""
    image_size: str = ""
    publishers: int = 0
    rate: float = 0.0
    counts: FrameCounts = field(default_factory=FrameCounts)
    lost: int = 0
    seconds_since_loss: float = math.inf
    seconds_since_frame: float = math.inf
    refused: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    last_refusal: Refusal | None = None
    seconds_since_refusal: float = math.inf
    fault: Refusal | None = None
    latency: dict[str, Latency] = field(default_factory=lambda: dict.fromkeys(STAGES, Latency()))
    ground: GroundStatus = field(default_factory=GroundStatus)

    def summary(self) -> tuple[bytes, str]:
        """Return the diagnostic level and what to say with it, the worst first."""
        if self.error:
            return DiagnosticStatus.ERROR, self.error
        if self.fault:
            return DiagnosticStatus.ERROR, f"{self.fault.kind}: {self.fault.reason}"
        if self.seconds_since_refusal < WARN_SECONDS:
            return DiagnosticStatus.WARN, f"frames refused: {self.last_refusal.reason}"
        if self.state == "active" and self.seconds_since_frame > QUIET_SECONDS:
            return DiagnosticStatus.WARN, (
                f"no image on {self.input_topic} for {self.seconds_since_frame:.0f} s "
                f"({self.publishers} publishers)"
            )
        if self.seconds_since_loss < WARN_SECONDS:
            return DiagnosticStatus.WARN, (
                "the middleware loses frames; set FASTDDS_BUILTIN_TRANSPORTS=LARGE_DATA for "
                "camera and node, or qos.reliability:=reliable"
            )
        if self.ground.seconds_since_drop < WARN_SECONDS:
            return DiagnosticStatus.WARN, f"frames without a grid: {self.ground.last_drop}"
        return DiagnosticStatus.OK, self.state

    def values(self) -> dict[str, str]:
        """Return the keys of the module's docstring with their values."""
        counts = self.counts
        return {
            "state": self.state,
            "weights": self.weights,
            "device": self.device,
            "fusion": self.fusion,
            "input_topic": self.input_topic,
            "image_size": self.image_size,
            "rate_hz": f"{self.rate:.2f}",
            "frames_in": str(counts.frames_in),
            "frames_out": str(counts.out),
            "frames_dropped": str(counts.dropped),
            "frames_refused": str(counts.refused),
            "frames_waiting": str(counts.waiting),
            "frames_lost": str(self.lost),
            **{f"refused_{kind}": str(count) for kind, count in self.refused.items()},
            "last_refusal": self.last_refusal.reason if self.last_refusal else "",
            "grids_out": str(self.ground.grids),
            "grids_dropped": str(self.ground.dropped),
            "last_grid_drop": self.ground.last_drop,
            **{
                f"latency_{stage}_{name}_ms": f"{getattr(latency, name):.2f}"
                for stage, latency in {**self.latency, **self.ground.latency}.items()
                for name in ("p50", "p95")
            },
        }

    def line(self, before: FrameCounts) -> str:
        """Return the log's line about the frames since an earlier count."""
        now, age, inference = self.counts, self.latency["age"], self.latency["inference"]
        latency = (
            "no frame answered"
            if math.isnan(age.p50)
            else f"latency {age.p50:.0f} ms (p95 {age.p95:.0f}), "
            f"of which inference {inference.p50:.0f} ms (p95 {inference.p95:.0f})"
        )
        return (
            f"{self.rate:.1f} frames/s, {latency}; "
            f"in {now.frames_in - before.frames_in}, out {now.out - before.out}, "
            f"dropped {now.dropped - before.dropped}, refused {now.refused - before.refused}"
        )


class Reporter:
    """Publish a node's status each second and log a line each ten while it is active.

    It has a thread of its own: health must be told while a model loads or a transition waits
    for the frame in work, when the executor's timers stand still.
    """

    def __init__(self, node: Node, status: Callable[[], Status]) -> None:
        self._node = node
        self._status = status
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 1)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reporter", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reporting."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        logged = FrameCounts()
        active_beats = 0
        while not self._closing.wait(PERIOD_SECONDS):
            status = self._status()
            self._publish(status)
            active_beats = active_beats + 1 if status.state == "active" else 0
            if active_beats == 0:
                logged = status.counts
            elif active_beats % LOG_EVERY == 0:
                self._node.get_logger().info(status.line(logged))
                logged = status.counts

    def _publish(self, status: Status) -> None:
        level, message = status.summary()
        entry = DiagnosticStatus(
            level=level,
            name=f"{self._node.get_fully_qualified_name()[1:]}: panoptic",
            message=message,
            hardware_id=status.device,
            values=[KeyValue(key=k, value=v) for k, v in status.values().items()],
        )
        array = DiagnosticArray(status=[entry])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)
