"""Several cameras at one node: its memory."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import rclpy
import torch
from bench_networks import picture
from rclpy.node import Node
from results import Result, resident_mib
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from panoptic_ros.ros.conversions import MESSAGES
from panoptic_ros.transports import large_image_settings

_MODEL = "town"
_SIDES = (512, 1024)
_FRAMES = 10
_MEMORY_GOAL = 1.15
_WAIT_SECONDS = 300.0


class Cameras(Node):
    """Publish frames of several cameras, all at once, and count the labels of each."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__("cameras")
        self._picture = picture(*_SIDES)
        self.answers = dict.fromkeys(names, 0)
        prefixes = {name: f"{name}/" if name else "" for name in names}
        self._publishers = [
            self.create_publisher(Image, f"{prefix}image", 5) for prefix in prefixes.values()
        ]
        for name, prefix in prefixes.items():
            topic = f"panoptic/{prefix}labels"
            self.create_subscription(Image, topic, lambda _, n=name: self._count(n), 5)

    def run_until(self, frames: int) -> None:
        """Publish until each camera has as many answers; raise TimeoutError if they stay out."""
        end = time.monotonic() + _WAIT_SECONDS
        while min(self.answers.values()) < frames:
            if time.monotonic() > end:
                raise TimeoutError(f"the node gave {self.answers} answers")
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id="camera")
            message = MESSAGES.image(self._picture, "rgb8", header)
            for publisher in self._publishers:
                publisher.publish(message)
            until = time.monotonic() + 0.1
            while (left := until - time.monotonic()) > 0:
                rclpy.spin_once(self, timeout_sec=left)

    def _count(self, name: str) -> None:
        self.answers[name] += 1


def run(device: torch.device) -> list[Result]:
    os.environ |= large_image_settings(os.environ)
    rclpy.init()
    try:
        one = _resident_mib(device, ("",))
        two = _resident_mib(device, ("front", "rear"))
    finally:
        rclpy.shutdown()
    name = "cameras: memory of two against one"
    about = (
        f"a node's resident memory, {two:.0f} and {one:.0f} MiB, after {_FRAMES} frames of "
        f"{_SIDES[1]}x{_SIDES[0]} of each, model {_MODEL}"
    )
    return [Result(name, two / one, "times as much", _MEMORY_GOAL, False, {}, about)]


def _resident_mib(device: torch.device, cameras: tuple[str, ...]) -> float:
    parameters = [f"weights:={_MODEL}", f"device:={device}", "qos.reliability:=reliable"]
    if cameras != ("",):
        parameters.append(f"cameras:=[{', '.join(cameras)}]")
    command = [sys.executable, "-m", "panoptic_ros.ros.node", "--ros-args"]
    command += [word for parameter in parameters for word in ("-p", parameter)]
    probe = Cameras(cameras)
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as node:
        try:
            probe.run_until(_FRAMES)
            return resident_mib(node.pid)
        finally:
            node.terminate()
            probe.destroy_node()
