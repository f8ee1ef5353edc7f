"""What ROS adds to the pipeline's time, from the camera's stamp to a subscriber's callback.

Against an echo of the same sizes in another process, which DDS and rclpy take by themselves.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import rclpy
import torch
from bench_networks import picture
from diagnostic_msgs.msg import DiagnosticArray
from panoptic_ros.msg import LabelInfo
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from results import Result
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from panoptic_ros.demo.processes import Children
from panoptic_ros.ros.conversions import MESSAGES
from panoptic_ros.transports import large_image_settings

_HERE = Path(__file__).parent
_MODEL = _HERE / "quick.yaml"
# (width, height) -> goal in milliseconds.
_GOALS = {(1280, 720): 10, (2048, 1024): 12}
_WARM_UP = 5
# The node's medians are of its last ten seconds, told once a second. So that they are of the
# measured frames and of no others, these come after a pause and take less.
_NODE_WINDOW_SECONDS = 10.0
_MEASURED_SECONDS = 6.0
_WAIT_SECONDS = 60.0
_PAUSE_SECONDS = 0.05


class Probe(Node):
    """Publish frames one by one and time the labels that come back."""

    def __init__(self) -> None:
        super().__init__("probe")
        self.latency: dict[int, float] = {}
        self.is_active = False
        self.node_values: dict[str, str] = {}
        self._publisher = self.create_publisher(Image, "image", 5)
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(LabelInfo, "panoptic/label_info", self._on_info, latched)
        self.create_subscription(Image, "panoptic/labels", self._on_labels, 5)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, 5)

    def frame(self, message: Image) -> float:
        """Publish a frame; return the milliseconds from its stamp to the labels' callback."""
        stamp = self.get_clock().now()
        message.header.stamp = stamp.to_msg()
        self._publisher.publish(message)
        self.wait_until(lambda: stamp.nanoseconds in self.latency)
        return self.latency[stamp.nanoseconds]

    def wait_until(self, is_true: Callable[[], bool], seconds: float = _WAIT_SECONDS) -> None:
        """Take in messages until something is true; raise TimeoutError where it does not come."""
        end = time.monotonic() + seconds
        while not is_true():
            if time.monotonic() > end:
                raise TimeoutError(
                    f"the node gave no answer in {seconds:.1f} s; is the machine busy?"
                )
            rclpy.spin_once(self, timeout_sec=0.1)

    def rest(self, seconds: float) -> None:
        """Take in messages for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            rclpy.spin_once(self, timeout_sec=left)

    def is_connected(self) -> bool:
        """Return whether the node is active and subscribes."""
        return self.is_active and self.count_subscribers("image") > 0

    def _on_labels(self, message: Image) -> None:
        now = self.get_clock().now().nanoseconds
        stamp = Time.from_msg(message.header.stamp).nanoseconds
        self.latency[stamp] = (now - stamp) / 1e6

    def _on_info(self, message: LabelInfo) -> None:
        self.is_active = True

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self.node_values = {v.key: v.value for s in message.status for v in s.values}


def run(device: torch.device) -> list[Result]:
    os.environ |= large_image_settings(os.environ)
    parameters = ["-p", f"weights:={_MODEL}", "-p", f"device:={device}"]
    reliable = ["-p", "qos.reliability:=reliable"]
    path = os.pathsep.join([str(_HERE), os.environ.get("PYTHONPATH", "")])
    results = []
    rclpy.init()
    with tempfile.TemporaryDirectory() as logs:
        for size, goal in _GOALS.items():
            with Children(Path(logs), {**os.environ, "PYTHONPATH": path}) as children:
                children.start("echo", "ros_echo")
                echo, _ = _measure(size, has_figures=False)
            with Children(Path(logs), os.environ) as children:
                children.start(
                    "node", "panoptic_ros.ros.node", "--ros-args", *parameters, *reliable
                )
                latencies, figures = _measure(size, has_figures=True)
            results.append(_result(size, goal, latencies, figures, statistics.median(echo)))
    rclpy.shutdown()
    return results


def _measure(size: tuple[int, int], has_figures: bool) -> tuple[list[float], dict[str, str]]:
    """Return the milliseconds from stamps to labels, and the figures that a node gives."""
    message = MESSAGES.image(picture(*size[::-1]), "rgb8", Header(frame_id="camera"))
    probe = Probe()
    try:
        probe.wait_until(probe.is_connected)
        probe.rest(2.0)
        for _ in range(_WARM_UP):
            probe.frame(message)
        if has_figures:
            probe.rest(_NODE_WINDOW_SECONDS)
        start, latencies = time.monotonic(), []
        while time.monotonic() - start < _MEASURED_SECONDS:
            latencies.append(probe.frame(message))
            probe.rest(_PAUSE_SECONDS)
        if has_figures:
            settled = str(_WARM_UP + len(latencies))
            left = _NODE_WINDOW_SECONDS - (time.monotonic() - start)
            probe.wait_until(lambda: probe.node_values.get("frames_out") == settled, left)
        return latencies, probe.node_values
    finally:
        probe.destroy_node()


def _result(
    size: tuple[int, int], goal: float, latencies: list[float], node: dict[str, str], echo: float
) -> Result:
    total = statistics.median(latencies)
    names = ("inference", "wait", "decode", "publish")
    stages = {k: float(node[f"latency_{k}_p50_ms"]) for k in names}
    added = total - stages["inference"]
    stages["transport"] = added - sum(v for k, v in stages.items() if k != "inference")
    times = {"stamp to callback": total, **stages, "an echo alone": echo}
    about = f"{len(latencies)} frames rgb8, one at a time, untrained networks ({_MODEL.name})"
    return Result(f"ros: added at {size[0]}x{size[1]}", added, "ms", goal, False, times, about)
